// Cancels the start that the page is about: a named server's, or another user's, as well. Follows it
// where JupyterHub's own script may not run.
(function () {
  "use strict";
  const root = document.getElementById("gpu-spawner-pending");
  const WORDS = JSON.parse(root.dataset.words);
  const button = root.querySelector('[data-gs="cancel"]');
  const said = root.querySelector('[data-gs="said"]');
  const theirs = document.getElementById("gs-stop-of-hub");
  if (theirs) theirs.remove();
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    said.textContent = WORDS.cancelling;
    // Where the progress of a server is told is below where the server is stopped.
    const url = new URL(root.dataset.progress, window.location.href);
    url.pathname = url.pathname.replace(/\/progress$/, "");
    url.searchParams.set("_xsrf", root.dataset.xsrf);
    try {
      const answer = await fetch(url, { method: "DELETE" });
      // There may be nothing to cancel any more: the page to choose on says what is.
      if (answer.ok || answer.status === 404) {
        window.location.assign(root.dataset.back);
        return;
      }
      said.textContent = (await answer.json()).message || WORDS.notCancelled;
    } catch {
      said.textContent = WORDS.noAnswer;
    }
    button.disabled = false;
  });

  // JupyterHub follows the start by an inline script, which a strict content policy forbids.
  if (window.jhdata) return;
  const bar = document.getElementById("progress-bar");
  const message = document.getElementById("progress-message");
  const log = document.getElementById("progress-log");
  if (!bar || !message || !log) return;
  const stream = new EventSource(root.dataset.progress);
  stream.addEventListener("message", (event) => {
    const step = JSON.parse(event.data);
    if (step.progress !== undefined) {
      bar.setAttribute("aria-valuenow", step.progress);
      bar.style.width = `${step.progress}%`;
    }
    if (step.html_message !== undefined) message.innerHTML = step.html_message;
    else if (step.message !== undefined) message.textContent = step.message;
    const line = document.createElement("div");
    line.className = "progress-log-event";
    line.append(...[...message.childNodes].map((node) => node.cloneNode(true)));
    log.append(line);
    if (step.ready || step.failed) stream.close();
    if (step.ready) window.location.reload();
    if (step.failed) {
      bar.classList.add("bg-danger");
      document.getElementById("progress-details").open = true;
    }
  });
})();
