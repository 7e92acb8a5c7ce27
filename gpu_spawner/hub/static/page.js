// What the spawn page does beyond plain HTML: it keeps the numbers live, says on the button what
// it starts, and preselects from the link (#profile=...&count=2). Without it the form still works.
(function () {
  "use strict";
  const root = document.getElementById("gpu-spawner");
  const form = root && root.closest("form");
  if (!form) return;
  const one = (selector, within = root) => within.querySelector(selector);
  const all = (selector, within = root) => [...within.querySelectorAll(selector)];
  const find = (name, within) => one(`[data-gs="${name}"]`, within);
  const tell = (name, text) => { find(name).textContent = text; };
  const make = (tag, text = "") => {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  };
  // What the script says, in the reader's language; what stands in braces is filled in.
  const WORDS = JSON.parse(root.dataset.words);
  const say = (name, values) => WORDS[name].replace(/{(\w+)}/g, (match, key) => values[key]);
  const STATES = ["ready", "cold", "scale_up", "busy", "limit", "denied", "impossible", "unknown"];

  // Every choice: its elements, and what is known about it with the environment that the server
  // counted with. `state` and `because` are those with the environment that is picked.
  const tiles = all('input[name="offer"]').map((radio) => {
    const box = radio.parentNode;
    const row = box.closest(".gs-row");
    const [profile, flavor, share, count] = radio.value.split("/");
    const { phrase, note, instead, images = "" } = box.dataset;
    const label = one("em", box);
    const detail = one("span > small", box);
    const state = STATES.find((each) => box.classList.contains("gs-" + each));
    const why = all(".gs-notes li > span", row)[note];
    const because = why ? why.textContent : "";
    return {
      radio, box, row, label, detail, state, because,
      card: box.closest(".gs-card"),
      parts: count ? { profile, flavor, share, count } : { profile },
      // What the tiles of a row are called by differs in the count alone, as a rule.
      phrase: phrase || row.dataset.phrase.replace("{}", count),
      news: {
        state, because, instead, images, label: label.textContent, detail: detail.textContent,
      },
    };
  });
  const picked = () => tiles.find((tile) => tile.radio.checked);
  const slugOf = (card) => card.id.slice(3);

  // JupyterHub's page has no main landmark: screen readers could not jump past its menu.
  const container = form.closest(".container");
  if (container && !one('main, [role="main"]', document)) container.setAttribute("role", "main");

  // ---- the dock: JupyterHub's button, with the choice in words ----------------------------
  const feedback = one(".feedback-container", form);
  const button = one("[type=submit]", form);
  const wait = find("wait");
  const waitBox = wait && one("input", wait);
  if (feedback && button) {
    find("picked").after(feedback);
    if (wait) feedback.before(wait);
    find("dock").hidden = false;
    // The dock says it, wherever one has scrolled to.
    find("notice")?.remove();
  }

  function insteadButton(key) {
    const tile = tiles.find(({ radio }) => radio.value === key);
    if (!tile) return "";
    const instead = make("button", WORDS.instead + " ");
    instead.type = "button";
    instead.className = "gs-instead";
    instead.append(make("b", tile.phrase));
    instead.addEventListener("click", () => {
      tile.radio.checked = true;
      describe();
      tile.radio.focus();
    });
    return instead;
  }

  // One may wait for what is busy, where the profile allows it; returns whether one does.
  function offerWait(time, busy) {
    if (!wait) return false;
    const offered = busy && time;
    wait.hidden = !offered;
    // What cannot be seen is not sent.
    waitBox.disabled = !offered;
    tell("wait-time", say("waitTime", { time }));
    return offered && waitBox.checked;
  }

  let spoken = "";
  function describe() {
    const tile = picked();
    const line = find("picked");
    line.replaceChildren();
    if (!tile || !button) return;
    const { card, phrase, state, because } = tile;
    const starts = state === "scale_up";
    const closed = starts || ["busy", "limit", "denied", "impossible"].includes(state);
    const label = tile.label.textContent;
    const detail = tile.detail.textContent;
    const words = make("span");
    words.className = "gs-" + state;
    words.append(make("em", label), closed ? because && ": " + because : ", " + detail);
    line.append(words, closed ? insteadButton(tile.news.instead) : "");
    const image = imageTitle(card);
    const waits = offerWait(card.dataset.maxWait, state === "busy");
    const what = say(waits ? "waitFor" : "start", { what: phrase + (image && ", " + image) });
    if (button.tagName === "INPUT") button.value = what; else button.textContent = what;
    // Still a button: what is busy here may be free by the time the hub is asked.
    button.classList.toggle("gs-closed", closed && !waits && !starts);
    const news = phrase + ": " + (closed && because ? because : label + ", " + detail);
    if (spoken && news !== spoken) tell("live", news);
    spoken = news;
  }

  // ---- environments ------------------------------------------------------------------------
  const imageSelect = (card) => one("select:not([data-amount])", card);
  const amountsOf = (card) => all("[data-amount]", card);
  const ownField = (card) => one(".gs-own input", card);
  const ownImage = (card) => ownField(card)?.value.trim();

  function imageTitle(card) {
    return ownImage(card) ||
      (imageSelect(card)?.selectedOptions[0] || find("one-image", card)).textContent;
  }

  // A state may differ by environment: "name=state=label=detail=why|...", for those that differ; a
  // label that is left out is the same.
  function applyImage(tile) {
    const { card, box, radio, news } = tile;
    const other = news.images.split("|").map((part) => part.split("="))
      .find(([name]) => name === imageSelect(card)?.value);
    let { state, label, detail, because } = news;
    if (other) [, state, label, detail, because] = other;
    if (ownImage(card) && (state === "ready" || state === "cold")) {
      state = "cold";
      detail = WORDS.mayPull;
    }
    box.classList.remove(...STATES.map((each) => "gs-" + each));
    box.classList.add("gs-" + state);
    tile.label.textContent = label || news.label;
    // The row says why for the image it was made with; here it is another.
    tile.detail.textContent = other && because || detail;
    Object.assign(tile, { state, because });
    radio.disabled = state === "impossible" || state === "denied";
    if (because && !other) radio.setAttribute("aria-describedby", tile.row.id + "n");
    else radio.removeAttribute("aria-describedby");
  }

  function onImage(card) {
    const select = imageSelect(card);
    if (select) find("image-facts", card).textContent = select.selectedOptions[0].dataset.facts || "";
    tiles.filter((tile) => tile.card === card).forEach(applyImage);
  }

  // ---- live numbers ------------------------------------------------------------------------
  let age = root.dataset.age === "" ? null : Number(root.dataset.age);
  let heard = Date.now();

  function ageWords() {
    if (age === null) return WORDS.ageUnknown;
    const seconds = Math.round(age + (Date.now() - heard) / 1000);
    if (seconds < 2) return WORDS.ageNow;
    if (seconds < 120) return say("ageSeconds", { seconds });
    return say("ageMinutes", { minutes: Math.floor(seconds / 60) });
  }

  function patchTile(tile, news) {
    const { classList } = tile.box;
    const changed = tile.label.textContent !== news.label;
    tile.news = news;
    applyImage(tile);
    if (changed) {
      classList.remove("gs-changed");
      // Restarts the animation.
      void tile.box.offsetWidth;
      classList.add("gs-changed");
    }
  }

  function patchRow(row, news) {
    const summary = one(".gs-sum", row);
    if (summary) {
      summary.textContent = news.summary;
      const bar = one("progress", row);
      bar.value = news.percent || 0;
      bar.hidden = news.percent === null;
    }
    one(".gs-notes", row).replaceChildren(...news.notes.map((note) => {
      const item = make("li");
      if (note.what) item.append(make("b", note.what), " ");
      item.append(note.text);
      return item;
    }));
  }

  function setAge(seconds) {
    age = seconds;
    heard = Date.now();
    tell("age", ageWords());
  }

  let stream = null;
  let pause = 2000;

  function setLive(value) {
    root.classList.toggle("gs-live", value);
    if (value) pause = 2000;
  }

  function connect() {
    const url = new URL(root.dataset.stream, window.location.href);
    // JupyterHub's window.jhdata is not there where inline scripts may not run.
    const token = new URL(form.action).searchParams.get("_xsrf");
    if (token) url.searchParams.set("_xsrf", token);
    // The numbers are those of the amounts that are chosen.
    all(".gs-card").forEach((card) => {
      const amounts = amountsOf(card).map((each) => [each.dataset.amount, each.value]);
      if (!amounts.length) return;
      url.searchParams.append("amounts", new URLSearchParams([["profile", slugOf(card)], ...amounts]));
    });
    stream = new EventSource(url);
    const on = (name, act) => stream.addEventListener(name, (event) => {
      setLive(name !== "error" && name !== "catalog");
      act(event.data && JSON.parse(event.data));
    });
    on("offers", (news) => {
      tiles.forEach((tile) => {
        if (news.tiles[tile.radio.value]) patchTile(tile, news.tiles[tile.radio.value]);
      });
      Object.entries(news.rows).forEach(([id, row]) => {
        const element = document.getElementById(id);
        if (element) patchRow(element, row);
      });
      tell("holding", news.holding);
      find("holding").hidden = !news.holding;
      find("running").replaceChildren(...news.running.map((text) => make("li", text)));
      find("running").hidden = !news.running.length;
      setAge(news.age_seconds);
      describe();
    });
    on("age", setAge);
    // The catalog was edited: what can be picked is no longer what this page shows.
    on("catalog", () => {
      stream.close();
      clearInterval(clock);
      tell("age", WORDS.stale);
    });
    on("error", () => {
      // The browser reconnects by itself, except after an answer that is not a stream (the hub
      // restarting, a session that ended).
      if (stream.readyState !== EventSource.CLOSED) return;
      setTimeout(connect, pause);
      pause = Math.min(pause * 2, 60000);
    });
  }

  window.addEventListener("pagehide", () => stream.close());
  window.addEventListener("pageshow", (event) => {
    // Back from another page, with this one kept as it was left.
    if (event.persisted) connect();
  });

  const clock = setInterval(() => tell("age", ageWords()), 1000);

  // ---- many profiles -----------------------------------------------------------------------
  const filter = find("filter");
  function applyFilter() {
    const by = (name) => one(`[data-by="${name}"]`, filter)?.value;
    const cards = all(".gs-card");
    cards.forEach((card) => {
      const { category, flavors = "", memory = 0 } = card.dataset;
      // What the button would start is never out of sight.
      card.hidden = picked()?.card !== card && !(
        (!by("category") || category === by("category")) &&
        (!by("flavors") || flavors.split(" ").includes(by("flavors"))) &&
        (!by("memory") || Number(memory) >= Number(by("memory"))));
    });
    tell("shown", say("shown", { shown: cards.filter((card) => !card.hidden).length, all: cards.length }));
  }
  if (filter) {
    filter.hidden = false;
    filter.addEventListener("change", applyFilter);
    applyFilter();
  }

  // ---- a link to pass on -------------------------------------------------------------------
  function link({ card, parts }) {
    const wanted = new URLSearchParams(parts);
    const select = imageSelect(card);
    if (ownImage(card)) wanted.set("own_image", ownImage(card));
    else if (select) wanted.set("image", select.value);
    amountsOf(card).forEach((each) => wanted.set(each.dataset.amount, each.value));
    return new URL(`${root.dataset.link}#${wanted}`, window.location.href).href;
  }
  const field = make("input");
  field.className = "form-control form-control-sm";
  field.readOnly = true;
  field.setAttribute("aria-label", WORDS.link);
  find("copy").addEventListener("click", () => {
    const tile = picked();
    if (!tile) return;
    field.value = link(tile);
    const show = () => {
      // A page without https, or a reader who said no: the link itself, ready to be copied.
      find("copied").before(field);
      field.focus();
      field.select();
      tell("copied", WORDS.copyField);
    };
    if (!navigator.clipboard) { show(); return; }
    navigator.clipboard.writeText(field.value).then(() => {
      field.remove();
      tell("copied", WORDS.copied);
    }, show);
  });

  // ---- links: #profile=pytorch-gpus&flavor=h100-80gb&share=whole&count=2&image=... ----------
  function preselect() {
    const wanted = new URLSearchParams(window.location.hash.slice(1));
    if (![...wanted.keys()].length) return;
    const notes = [];
    for (const [key, names] of Object.entries(JSON.parse(root.dataset.renamed))) {
      const [now, title] = names[wanted.get(key)] || [];
      if (!now) continue;
      notes.push(say("renamed", { old: `'${wanted.get(key)}'`, new: title }));
      wanted.set(key, now);
    }
    const shut = all(".gs-shut").find((card) => slugOf(card) === wanted.get("profile"));
    if (shut) notes.push(shut.dataset.because);
    const fits = tiles.filter(({ parts }) =>
      ["profile", "flavor", "share", "count"].every((key) =>
        !wanted.has(key) || wanted.get(key) === { flavor: "cpu", ...parts }[key]));
    const open = fits.filter(({ radio }) => !radio.disabled);
    const tile = open.find(({ state }) => state === "ready" || state === "cold") || open[0];
    if (!tile && fits.length) notes.push(fits[0].because);
    const told = find("renamed");
    told.replaceChildren(...notes.map((text) => make("p", text)));
    told.hidden = !notes.length;
    if (!tile) return;
    const { card } = tile;
    tile.radio.checked = true;
    const choose = (menu, name) => {
      const option = [...menu.options].find((each) => each.value === wanted.get(name));
      if (option && !option.disabled) option.selected = true;
    };
    amountsOf(card).forEach((menu) => choose(menu, menu.dataset.amount));
    if (imageSelect(card)) choose(imageSelect(card), "image");
    const own = ownField(card);
    if (own && wanted.has("own_image")) {
      own.value = wanted.get("own_image");
      own.closest("details").open = true;
    }
    onImage(card);
    if (filter) applyFilter();
    card.scrollIntoView({ block: "nearest" });
    describe();
  }

  function pickIn(card) {
    if (picked()?.card === card) return;
    const first = one(".gs-ready input, .gs-cold input, .gs-tile input:enabled", card);
    if (first) first.checked = true;
  }

  all(".gs-card select, .gs-own input").forEach((menu) => {
    const card = menu.closest(".gs-card");
    const isAmount = menu.dataset.amount;
    // With a script the facts stand beside the menu; the menu itself gets short. "Title (facts)"
    all("[data-title]", menu).forEach((option) => {
      const { title } = option.dataset;
      option.dataset.facts = option.textContent.slice(title.length + 2, -1);
      option.textContent = title;
    });
    if (!isAmount) onImage(card);
    menu.addEventListener("input", () => {
      if (!isAmount) onImage(card);
      pickIn(card);
      describe();
      if (isAmount) { stream.close(); connect(); }
    });
  });
  root.addEventListener("change", (event) => {
    if (event.target.name === "offer" || event.target === waitBox) describe();
  });
  // What has to be corrected is where the keyboard is; the link is no choice made in an address.
  const correct = find("correct");
  const wrong = one("[aria-invalid]");
  if (correct && wrong) {
    correct.addEventListener("click", (event) => {
      event.preventDefault();
      wrong.focus();
    });
    wrong.focus();
  }
  window.addEventListener("hashchange", preselect);
  preselect();
  describe();
  connect();
})();
