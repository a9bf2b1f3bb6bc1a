// Getting a model: the dialog, its one download and how far that is. Closing the dialog does not end
// it: the button that opens it shows the share then. Read next: api.js.
import { modelId, pull } from "./api.js";
import { byId, el } from "./dom.js";

const dialog = byId("get");
const field = byId("get-name");
let running = null;  // the AbortController of the download

// As the program writes them.
function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  const unit = Math.min(3, Math.floor(Math.log2(Math.max(count, 1)) / 10));
  return `${(count / 1024 ** unit).toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

function time(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// Bytes a second over the last seconds.
class Rate {
  constructor() {
    this.seen = [];
  }
  add(count) {
    const now = performance.now();
    if (this.seen.length && count < this.seen.at(-1)[1]) this.seen = [];  // the next file
    this.seen.push([now, count]);
    while (this.seen.length > 2 && now - this.seen[0][0] > 5000) this.seen.shift();
  }
  get value() {
    const [[from, before], [to, after]] = [this.seen[0], this.seen.at(-1)];
    return to - from > 300 ? (after - before) / (to - from) * 1000 : 0;
  }
}

function show() {
  byId("get-form").hidden = running !== null || dialog.dataset.refused === "true";
  byId("get-running").hidden = running === null;
  byId("get-label").classList.toggle("busy", running !== null);
  if (!running) byId("get-label").textContent = byId("get-model").title = "Get a model";
}

function tell(error) {
  byId("get-error").textContent = error;
  byId("get-error").hidden = !error;
}

function progress(share, numbers) {
  const bar = byId("get-bar");
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  byId("get-numbers").textContent = numbers;
  byId("get-label").textContent = share === null ? "…" : `${Math.floor(share * 100)} %`;
  byId("get-model").title = "Downloading a model";
}

// Resolves to the model's name here; null: it was cancelled.
async function download(name) {
  running = new AbortController();
  tell("");
  byId("get-what").textContent = name;
  byId("get-said").textContent = `Downloading ${name}`;
  progress(null, "Asking the hub…");
  show();
  const rate = new Rate();
  let quarter = 0;
  try {
    for await (const { status, completed, total } of pull(name, running.signal)) {
      if (!total) {
        if (!status.startsWith("pulling")) byId("get-what").textContent = status;
        continue;
      }
      rate.add(completed);
      const left = rate.value > 0 ? ` · ${bytes(rate.value)}/s · ${time((total - completed) / rate.value)} left` : "";
      progress(completed / total, `${bytes(completed)} of ${bytes(total)}${left}`);
      if (Math.floor(completed / total * 4) > quarter) {
        quarter = Math.floor(completed / total * 4);
        byId("get-said").textContent = `${quarter * 25} %`;
      }
    }
    return await modelId(name);
  } catch (error) {
    if (error.name === "AbortError") return null;
    throw error;
  } finally {
    running = null;
    show();
  }
}

// `arrived(name, inSight)`: a model is there now; whether the dialog was open when it came. `failed`:
// what to say where the dialog is not.
export function getDialog(arrived, failed) {
  byId("get-model").addEventListener("click", () => {
    dialog.showModal();
    (running ? byId("get-cancel") : field).focus();
  });
  byId("close-get").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();  // beside it
  });
  byId("get-cancel").addEventListener("click", () => {
    running?.abort();
    field.focus();
  });
  byId("get-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = field.value.trim();
    if (!name || running) return;
    let got;
    try {
      got = await download(name);
    } catch (error) {
      tell(error.message);
      if (dialog.open) field.focus();
      else failed(`${name} was not downloaded: ${error.message}`);
      return;
    }
    if (got === null) {
      byId("get-said").textContent = "Cancelled";
      if (dialog.open) field.focus();
      return;
    }
    const inSight = dialog.open;
    field.value = "";
    dialog.close();
    arrived(got, inSight);
  });

  // What the server says of downloads (/props).
  return function allow({ pull: allowed, pull_names: names = [], no_pull: why = "" }) {
    dialog.dataset.refused = String(!allowed);
    byId("get-refused").hidden = allowed;
    byId("get-refused").textContent = why ? `${why[0].toUpperCase()}${why.slice(1)}.` : "";
    byId("get-names").replaceChildren(...names.map((name) => el("li", {},
      el("button.quiet", { type: "button", onclick: () => {
        field.value = name;
        field.focus();
      } }, name))));
    show();
  };
}
