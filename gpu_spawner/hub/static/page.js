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
  const STATES = ["ready", "cold", "busy", "limit", "impossible", "unknown"];

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
    if (wait) dock.append(wait);
    dock.append(feedback);
    dock.hidden = false;
    // The dock says it, wherever one has scrolled to.
    const notice = find("notice");
    if (notice) notice.remove();
  }

  function icon(state) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "gs-i");
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
    instead.append("Free now: ", name);
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
    find("wait-time", wait).textContent = ", for up to " + time;
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
    const closed = ["busy", "limit", "impossible"].includes(state);
    const label = find("label", tile).textContent;
    const detail = find("detail", tile).textContent;
    const because = tile.dataset.because || "";
    const words = document.createElement("span");
    words.className = "gs-" + state;
    const mark = document.createElement("span");
    mark.className = "gs-state d-inline";
    mark.append(icon(state), " ", label);
    words.append(mark, closed ? (because ? ": " + because : "") : ", " + detail);
    line.append(words);
    const instead = closed && insteadButton(tile.dataset.instead);
    if (instead) line.append(instead);
    const image = imageTitle(card);
    const waits = offerWait(card, state === "busy");
    const what = (waits ? "Wait for: " : "Start: ") + tile.dataset.phrase + (image ? ", " + image : "");
    if (button.tagName === "INPUT") button.value = what; else button.textContent = what;
    // Still a button: what is busy here may be free by the time the hub is asked.
    button.classList.toggle("gs-closed", closed && !waits);
    const news = tile.dataset.phrase + ": " + (closed && because ? because : label + ", " + detail);
    if (spoken && news !== spoken) find("live").textContent = news;
    spoken = news;
  }

  // ---- environments ------------------------------------------------------------------------
  function imageTitle(card) {
    const select = card.querySelector("select");
    if (select) return select.selectedOptions[0].dataset.title;
    const only = find("one-image", card);
    return only ? only.textContent : "";
  }

  // A state may differ by environment: "name=state=detail|...", for those that differ.
  function applyImage(tile) {
    const select = tile.closest(".gs-card").querySelector("select");
    let state = tile.dataset.serverState;
    let detail = tile.dataset.serverDetail;
    if (select && tile.dataset.images) {
      for (const part of tile.dataset.images.split("|")) {
        const [name, otherState, otherDetail] = part.split("=");
        if (name === select.value) { state = otherState; detail = otherDetail; }
      }
    }
    tile.dataset.state = state;
    tile.classList.remove(...STATES.map((one) => "gs-" + one));
    tile.classList.add("gs-" + state);
    tile.querySelector(".gs-state use").setAttribute("href", "#gs-" + state);
    find("detail", tile).textContent = detail;
    tile.querySelector("input").disabled = state === "impossible";
  }

  // ---- live numbers ------------------------------------------------------------------------
  let age = root.dataset.age === "" ? null : Number(root.dataset.age);
  let heard = Date.now();

  function ageWords() {
    if (age === null) return "What is free is not known";
    const seconds = Math.round(age + (Date.now() - heard) / 1000);
    if (seconds < 2) return "Numbers as of now";
    if (seconds < 120) return `Numbers as of ${seconds} s ago`;
    return `Numbers as of ${Math.floor(seconds / 60)} min ago`;
  }

  function patchTile(tile, news) {
    const changed = find("label", tile).textContent !== news.label;
    find("label", tile).textContent = news.label;
    tile.dataset.free = news.free === null ? "" : news.free;
    tile.dataset.total = news.total === null ? "" : news.total;
    tile.dataset.because = news.because;
    tile.dataset.instead = news.instead;
    tile.dataset.images = news.images;
    tile.dataset.serverState = news.state;
    tile.dataset.serverDetail = news.detail;
    applyImage(tile);
    if (changed) {
      tile.classList.remove("gs-changed");
      void tile.offsetWidth; // restarts the animation
      tile.classList.add("gs-changed");
    }
  }

  function patchRow(row, news) {
    const summary = find("summary", row);
    if (summary) summary.textContent = news.summary;
    const bar = find("bar", row);
    if (bar) {
      bar.setAttribute("width", news.percent === null ? 0 : news.percent);
      bar.closest("svg").toggleAttribute("hidden", news.percent === null);
    }
    find("notes", row).replaceChildren(...news.notes.map((note) => {
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
      const element = root.querySelector(`[data-row="${CSS.escape(id)}"]`);
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
    const token = window.jhdata && window.jhdata.xsrf_token;
    if (token) url.searchParams.set("_xsrf", token);
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
      find("age").textContent = "The choices have changed: reload this page to see them";
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

  // ---- links: #profile=pytorch-gpus&flavor=h100-80gb&share=whole&count=2&image=... ----------
  function preselect() {
    const wanted = new URLSearchParams(window.location.hash.slice(1));
    if (![...wanted.keys()].length) return;
    const fits = radios().filter((radio) => {
      const [profile, flavor, share, count] = radio.value.split("/");
      const has = { profile, flavor, share, count };
      return Object.keys(has).every((key) => !wanted.has(key) || wanted.get(key) === has[key]);
    });
    const startable = (radio) => ["ready", "cold"].includes(tileOf(radio).dataset.state);
    const radio = fits.find(startable) || fits[0];
    if (!radio) return;
    radio.checked = true;
    const card = radio.closest(".gs-card");
    const select = card.querySelector("select");
    const option = select && [...select.options].find((one) => one.value === wanted.get("image"));
    if (option) { option.selected = true; onImage(card); }
    card.scrollIntoView({ block: "nearest" });
    describe();
  }

  function onImage(card) {
    const option = card.querySelector("select").selectedOptions[0];
    const facts = find("image-facts", card);
    facts.textContent = option.dataset.facts;
    facts.hidden = false;
    card.querySelectorAll(".gs-tile").forEach(applyImage);
  }

  root.querySelectorAll(".gs-tile").forEach((tile) => {
    tile.dataset.serverState = tile.dataset.state;
    tile.dataset.serverDetail = find("detail", tile).textContent;
  });
  root.querySelectorAll(".gs-card select").forEach((select) => {
    const card = select.closest(".gs-card");
    // With a script the facts stand beside the menu; the menu itself gets short.
    [...select.options].forEach((option) => { option.textContent = option.dataset.title; });
    onImage(card);
    select.addEventListener("change", () => {
      onImage(card);
      if (!card.querySelector("input:checked")) {
        const first = card.querySelector(".gs-ready input, .gs-cold input, input:not(:disabled)");
        if (first) first.checked = true;
      }
      describe();
    });
  });
  root.addEventListener("change", (event) => {
    if (event.target.name === "offer" || event.target === waitBox) describe();
  });
  window.addEventListener("hashchange", preselect);
  preselect();
  describe();
  if (root.dataset.stream) connect();
})();
