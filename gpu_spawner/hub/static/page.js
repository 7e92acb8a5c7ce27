// What the spawn page does beyond plain HTML: it keeps the numbers live, says on the button what
// it starts, and preselects from the link (#profile=...&count=2). Without it the form still works.
(function () {
  "use strict";
  const root = document.getElementById("gpu-spawner");
  const form = root && root.closest("form");
  if (!form) return;
  const find = (name, within) => (within || root).querySelector(`[data-gs="${name}"]`);
  const radios = () => Array.from(root.querySelectorAll('input[name="offer"]'));
  const picked = () => root.querySelector('input[name="offer"]:checked');
  const tileOf = (radio) => radio.closest(".gs-tile");
  const tileByKey = (key) => {
    const radio = radios().find((one) => one.value === key);
    return radio ? tileOf(radio) : null;
  };
  const labelOf = (tile) => tile.querySelector("em span");
  const detailOf = (tile) => tile.querySelector("label > small");
  // What the script says, in the reader's language; what stands in braces is filled in.
  const WORDS = JSON.parse(root.dataset.words);
  const say = (name, values) => WORDS[name].replace(/{(\w+)}/g, (all, key) => values[key]);
  const STATES = ["ready", "cold", "scale_up", "busy", "limit", "denied", "impossible", "unknown"];

  // JupyterHub's page has no main landmark: screen readers could not jump past its menu.
  const container = form.closest(".container");
  if (container && !document.querySelector('main, [role="main"]')) {
    container.setAttribute("role", "main");
  }

  // ---- the dock: JupyterHub's button, with the choice in words ----------------------------
  const dock = find("dock");
  const feedback = form.querySelector(".feedback-container");
  const button = form.querySelector('button[type="submit"], input[type="submit"]');
  const wait = find("wait");
  const waitBox = wait && wait.querySelector("input");
  if (feedback && button) {
    find("picked").after(feedback);
    if (wait) feedback.before(wait);
    dock.hidden = false;
    // The dock says it, wherever one has scrolled to.
    const notice = find("notice");
    if (notice) notice.remove();
  }

  function icon(state) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", "#gs-" + state);
    svg.append(use);
    return svg;
  }

  function insteadButton(key) {
    const tile = key && tileByKey(key);
    if (!tile) return null;
    const instead = document.createElement("button");
    instead.type = "button";
    instead.className = "gs-instead";
    const name = document.createElement("b");
    name.textContent = tile.dataset.phrase;
    instead.append(WORDS.instead, " ", name);
    instead.addEventListener("click", () => {
      const radio = tile.querySelector("input");
      radio.checked = true;
      describe();
      radio.focus();
    });
    return instead;
  }

  // One may wait for what is busy, where the profile allows it; returns whether one does.
  function offerWait(card, busy) {
    if (!wait) return false;
    const time = card.dataset.maxWait || "";
    const offered = busy && time !== "";
    wait.hidden = !offered;
    // What cannot be seen is not sent.
    waitBox.disabled = !offered;
    find("wait-time", wait).textContent = say("waitTime", { time });
    return offered && waitBox.checked;
  }

  let spoken = "";
  function describe() {
    const radio = picked();
    const line = find("picked");
    line.replaceChildren();
    if (!radio || !button) return;
    const tile = tileOf(radio);
    const card = tile.closest(".gs-card");
    const state = tile.dataset.state;
    const starts = state === "scale_up";
    const closed = starts || ["busy", "limit", "denied", "impossible"].includes(state);
    const label = labelOf(tile).textContent;
    const detail = detailOf(tile).textContent;
    const because = tile.dataset.because;
    const words = document.createElement("span");
    words.className = "gs-" + state;
    const mark = document.createElement("em");
    mark.append(icon(state), " ", label);
    words.append(mark, closed ? (because ? ": " + because : "") : ", " + detail);
    line.append(words);
    const instead = closed && insteadButton(tile.dataset.instead);
    if (instead) line.append(instead);
    const image = imageTitle(card);
    const waits = offerWait(card, state === "busy");
    const what = say(waits ? "waitFor" : "start", { what: tile.dataset.phrase + (image ? ", " + image : "") });
    if (button.tagName === "INPUT") button.value = what; else button.textContent = what;
    // Still a button: what is busy here may be free by the time the hub is asked.
    button.classList.toggle("gs-closed", closed && !waits && !starts);
    const news = tile.dataset.phrase + ": " + (closed && because ? because : label + ", " + detail);
    if (spoken && news !== spoken) find("live").textContent = news;
    spoken = news;
  }

  // ---- environments ------------------------------------------------------------------------
  const imageSelect = (card) => card.querySelector("select:not([data-amount])");
  const ownField = (card) => card.querySelector(".gs-own input");

  function imageTitle(card) {
    const own = ownField(card);
    if (own && own.value.trim()) return own.value.trim();
    const select = imageSelect(card);
    if (select) return select.selectedOptions[0].textContent;
    const only = find("one-image", card);
    return only ? only.textContent : "";
  }

  // A state may differ by environment: "name=state=detail|...", for those that differ.
  function applyImage(tile) {
    const card = tile.closest(".gs-card");
    const select = imageSelect(card);
    const own = ownField(card);
    let state = tile.dataset.serverState;
    let detail = tile.dataset.serverDetail;
    let label = tile.dataset.serverLabel;
    let because = tile.dataset.serverBecause;
    const images = select && tile.dataset.images ? tile.dataset.images.split("|") : [];
    const other = images.map((part) => part.split("=")).find(([name]) => name === select.value);
    if (other) [, state, label, detail, because] = other;
    if (own && own.value.trim() && (state === "ready" || state === "cold")) {
      state = "cold";
      detail = WORDS.mayPull;
    }
    tile.dataset.state = state;
    tile.classList.remove(...STATES.map((one) => "gs-" + one));
    tile.classList.add("gs-" + state);
    tile.querySelector("use").setAttribute("href", "#gs-" + state);
    labelOf(tile).textContent = label;
    // The row says why for the image it was made with; here it is another.
    detailOf(tile).textContent = other && because ? because : detail;
    tile.dataset.because = because;
    tile.querySelector("input").disabled = state === "impossible" || state === "denied";
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
    const changed = labelOf(tile).textContent !== news.label;
    labelOf(tile).textContent = news.label;
    tile.dataset.serverBecause = news.because;
    tile.dataset.serverLabel = news.label;
    tile.dataset.instead = news.instead;
    tile.dataset.images = news.images;
    tile.dataset.serverState = news.state;
    tile.dataset.serverDetail = news.detail;
    applyImage(tile);
    if (changed) {
      tile.classList.remove("gs-changed");
      // Restarts the animation.
      void tile.offsetWidth;
      tile.classList.add("gs-changed");
    }
  }

  function patchRow(row, news) {
    const summary = find("summary", row);
    if (summary) summary.textContent = news.summary;
    const bar = row.querySelector(".gs-bar");
    if (bar) {
      bar.value = news.percent || 0;
      bar.hidden = news.percent === null;
    }
    row.querySelector(".gs-notes").replaceChildren(...news.notes.map((note) => {
      const item = document.createElement("li");
      if (note.what) {
        const what = document.createElement("b");
        what.textContent = note.what;
        item.append(what, " ");
      }
      item.append(note.text);
      return item;
    }));
  }

  function patch(news) {
    const has = new Map(radios().map((radio) => [radio.value, tileOf(radio)]));
    for (const [key, tile] of Object.entries(news.tiles)) {
      if (has.has(key)) patchTile(has.get(key), tile);
    }
    for (const [id, row] of Object.entries(news.rows)) {
      const element = document.getElementById(id);
      if (element) patchRow(element, row);
    }
    find("holding").textContent = news.holding;
    find("holding").hidden = !news.holding;
    age = news.age_seconds;
    heard = Date.now();
    find("age").textContent = ageWords();
    describe();
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
    root.querySelectorAll(".gs-card:has([data-amount])").forEach((card) => {
      const chosen = { profile: card.dataset.profile };
      card.querySelectorAll("[data-amount]").forEach((one) => { chosen[one.dataset.amount] = one.value; });
      url.searchParams.append("amounts", new URLSearchParams(chosen));
    });
    stream = new EventSource(url);
    stream.addEventListener("offers", (event) => {
      setLive(true);
      patch(JSON.parse(event.data));
    });
    stream.addEventListener("age", (event) => {
      setLive(true);
      age = JSON.parse(event.data);
      heard = Date.now();
    });
    // The catalog was edited: what can be picked is no longer what this page shows.
    stream.addEventListener("catalog", () => {
      stream.close();
      setLive(false);
      clearInterval(clock);
      find("age").textContent = WORDS.stale;
    });
    stream.addEventListener("error", () => {
      setLive(false);
      // The browser reconnects by itself, except after an answer that is not a stream (the hub
      // restarting, a session that ended).
      if (stream.readyState !== EventSource.CLOSED) return;
      setTimeout(connect, pause);
      pause = Math.min(pause * 2, 60000);
    });
  }

  window.addEventListener("pagehide", () => { if (stream) stream.close(); });
  window.addEventListener("pageshow", (event) => {
    // Back from another page, with this one kept as it was left.
    if (event.persisted && root.dataset.stream) connect();
  });

  const clock = setInterval(() => { find("age").textContent = ageWords(); }, 1000);

  // ---- many profiles -----------------------------------------------------------------------
  const filter = find("filter");
  function applyFilter() {
    const by = (name) => (filter.querySelector(`[data-by="${name}"]`) || {}).value || "";
    const cards = [...root.querySelectorAll(".gs-card")];
    cards.forEach((card) => {
      const has = card.dataset;
      // What the button would start is never out of sight.
      card.hidden = !card.querySelector('input[name="offer"]:checked') && !(
        (!by("category") || has.category === by("category")) &&
        (!by("flavors") || (has.flavors || "").split(" ").includes(by("flavors"))) &&
        (!by("memory") || Number(has.memory || 0) >= Number(by("memory"))));
    });
    find("shown").textContent = say("shown", { shown: cards.filter((card) => !card.hidden).length, all: cards.length });
  }
  if (filter) {
    filter.hidden = false;
    filter.addEventListener("change", applyFilter);
    applyFilter();
  }

  // ---- a link to pass on -------------------------------------------------------------------
  function link() {
    const radio = picked();
    if (!radio) return "";
    const card = radio.closest(".gs-card");
    const [profile, flavor, share, count] = radio.value.split("/");
    const wanted = new URLSearchParams(count ? { profile, flavor, share, count } : { profile });
    const own = ownField(card);
    const select = imageSelect(card);
    if (own && own.value.trim()) wanted.set("own_image", own.value.trim());
    else if (select) wanted.set("image", select.value);
    card.querySelectorAll("[data-amount]").forEach((one) => wanted.set(one.dataset.amount, one.value));
    return new URL(`${root.dataset.link}#${wanted}`, window.location.href).href;
  }
  const field = document.createElement("input");
  field.className = "form-control form-control-sm";
  field.readOnly = true;
  field.setAttribute("aria-label", WORDS.link);
  find("copy").addEventListener("click", () => {
    const text = link();
    if (!text) return;
    const show = () => {
      // A page without https, or a reader who said no: the link itself, ready to be copied.
      find("copied").before(field);
      field.value = text;
      field.focus();
      field.select();
      find("copied").textContent = WORDS.copyField;
    };
    if (!navigator.clipboard) { show(); return; }
    navigator.clipboard.writeText(text).then(() => {
      field.remove();
      find("copied").textContent = WORDS.copied;
    }, show);
  });

  // ---- links: #profile=pytorch-gpus&flavor=h100-80gb&share=whole&count=2&image=... ----------
  function preselect() {
    const wanted = new URLSearchParams(window.location.hash.slice(1));
    if (![...wanted.keys()].length) return;
    const notes = [];
    for (const [key, names] of Object.entries(JSON.parse(root.dataset.renamed || "{}"))) {
      const [now, title] = names[wanted.get(key)] || [];
      if (!now) continue;
      notes.push(say("renamed", { old: `'${wanted.get(key)}'`, new: title }));
      wanted.set(key, now);
    }
    const shut = root.querySelector(`.gs-shut[data-profile="${CSS.escape(wanted.get("profile") || "")}"]`);
    if (shut) notes.push(shut.dataset.because);
    const fits = radios().filter((radio) => {
      const [profile, flavor, share, count] = radio.value.split("/");
      const has = { profile, flavor, share, count };
      return Object.keys(has).every((key) => !wanted.has(key) || wanted.get(key) === has[key]);
    });
    const startable = (radio) => ["ready", "cold"].includes(tileOf(radio).dataset.state);
    const open = fits.filter((one) => !one.disabled);
    const radio = open.find(startable) || open[0];
    if (!radio && fits.length) notes.push(tileOf(fits[0]).dataset.because);
    const told = find("renamed");
    told.replaceChildren(...notes.map((text) => {
      const note = document.createElement("p");
      note.textContent = text;
      return note;
    }));
    told.hidden = !notes.length;
    if (!radio) return;
    radio.checked = true;
    const card = radio.closest(".gs-card");
    card.querySelectorAll("[data-amount]").forEach((one) => {
      const option = [...one.options].find((each) => each.value === wanted.get(one.dataset.amount));
      if (option) option.selected = true;
    });
    const own = ownField(card);
    if (own && wanted.has("own_image")) {
      own.value = wanted.get("own_image");
      own.closest("details").open = true;
    }
    const select = imageSelect(card);
    const option = select && [...select.options].find((one) => one.value === wanted.get("image"));
    if (option && !option.disabled) option.selected = true;
    onImage(card);
    if (filter) applyFilter();
    card.scrollIntoView({ block: "nearest" });
    describe();
  }

  function onImage(card) {
    const select = imageSelect(card);
    if (select) {
      const facts = find("image-facts", card);
      facts.textContent = select.selectedOptions[0].dataset.facts || "";
    }
    card.querySelectorAll(".gs-tile").forEach(applyImage);
  }

  root.querySelectorAll(".gs-tile").forEach((tile) => {
    const why = tile.closest(".gs-row").querySelectorAll(".gs-notes li > span")[tile.dataset.note];
    tile.dataset.because = why ? why.textContent : "";
    tile.dataset.state = STATES.find((state) => tile.classList.contains("gs-" + state));
    tile.dataset.serverState = tile.dataset.state;
    tile.dataset.serverDetail = detailOf(tile).textContent;
    tile.dataset.serverLabel = labelOf(tile).textContent;
    tile.dataset.serverBecause = tile.dataset.because;
  });
  function pickIn(card) {
    if (card.querySelector("input:checked")) return;
    const first = card.querySelector(".gs-ready input, .gs-cold input, .gs-tile input:not(:disabled)");
    if (first) first.checked = true;
  }
  root.querySelectorAll(".gs-card select:not([data-amount])").forEach((select) => {
    const card = select.closest(".gs-card");
    // With a script the facts stand beside the menu; the menu itself gets short. "Title (facts)"
    [...select.options].forEach((option) => {
      const title = option.dataset.title;
      if (!title) return;
      option.dataset.facts = option.textContent.slice(title.length + 2, -1);
      option.textContent = title;
    });
    onImage(card);
    select.addEventListener("change", () => {
      onImage(card);
      pickIn(card);
      describe();
    });
  });
  root.querySelectorAll(".gs-own input").forEach((field) => {
    const card = field.closest(".gs-card");
    onImage(card);
    field.addEventListener("input", () => { onImage(card); pickIn(card); describe(); });
  });
  root.addEventListener("change", (event) => {
    if (event.target.name === "offer" || event.target === waitBox) describe();
    if (event.target.dataset.amount) {
      pickIn(event.target.closest(".gs-card"));
      describe();
      if (root.dataset.stream) { stream.close(); connect(); }
    }
  });
  // What has to be corrected is where the keyboard is; the link is no choice made in an address.
  const correct = find("correct");
  const wrong = root.querySelector("[aria-invalid]");
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
  if (root.dataset.stream) connect();
})();
