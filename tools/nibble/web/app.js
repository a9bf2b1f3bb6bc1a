// The page: conversations at the side, one of them in the middle, settings at the other side.
//
// State is what store.js keeps; this file changes it and shows it again. Read next: api.js (the
// server), view.js and markdown.js (messages), settings.js.
import { ApiError, answer, props } from "./api.js";
import { byId, el, icon, iconButton } from "./dom.js";
import { getDialog } from "./get.js";
import { chosen, settingsForm } from "./settings.js";
import * as store from "./store.js";
import { MessageView, grow, size } from "./view.js";

const fileMax = 1_000_000;  // characters
const prompt = byId("prompt");
const scroller = byId("scroller");
const narrow = matchMedia("(max-width: 50rem)");

let models = [];
let current = store.newConversation();
let views = [];
let files = [];      // attached to the next message
let running = null;  // { abort, message } of the answer in progress
let follows = true;  // the newest text stays in sight
const fitPrompt = grow(prompt);

for (const element of document.querySelectorAll("[data-icon]")) {
  element.prepend(icon(element.dataset.icon));
}

// Does something that may fail, and says so where it is seen.
function attempt(action) {
  try {
    notice("");
    return action();
  } catch (error) {
    notice(error.message);
    return undefined;
  }
}

function notice(text, ...more) {
  const box = byId("notice");
  box.replaceChildren(text, ...more);
  box.hidden = !text;
}

// ---- the server

async function connect() {
  try {
    const told = await props();
    models = told.models;
    allowDownloads(told);
    notice("");
  } catch (error) {
    if (error.status === 401) return askForKey();
    notice(`${error.message} `, el("button.quiet", { type: "button", onclick: connect }, "Try again"));
    return undefined;
  }
  const select = byId("model");
  const wanted = localStorage.getItem("nibble.model");
  select.replaceChildren(...models.map(({ name }) => el("option", { value: name }, name)));
  if (models.some(({ name }) => name === wanted)) select.value = wanted;
  if (!models.length) byId("empty-text").textContent = "This server has no model yet: get one, above.";
  modelChanged();
  return undefined;
}

// It is chosen, unless the person has gone on to something else.
async function modelArrived(name, inSight) {
  if (inSight) localStorage.setItem("nibble.model", name);
  await connect();
  if (inSight) {
    byId("model").focus();
    return;
  }
  notice(`${name} is here. `, el("button.quiet", { type: "button", onclick: () => {
    byId("model").value = name;
    modelChanged();
  } }, "Use it"));
}

function askForKey() {
  const field = el("input", { type: "password", id: "key", autocomplete: "off" });
  const form = el("form.key", {}, el("label", { for: "key" }, "This server asks for a key"), field,
    el("button.primary", { type: "submit" }, "Use it"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    store.saveApiKey(field.value.trim());
    connect();
  });
  notice(form);
  field.focus();
}

const model = () => models.find(({ name }) => name === byId("model").value);

async function modelChanged() {
  const one = model();
  if (!one) return;
  if (!one.sampling) {  // there by name; what is told of it takes its loading
    byId("empty-text").textContent = `${one.name} is being loaded…`;
    status(byId("empty-text").textContent);
    try {
      Object.assign(one, (await props(one.name)).models[0], { name: one.name });
      notice("");
    } catch (error) {
      notice(error.message);
      return;
    } finally {
      status("");
    }
    if (model() !== one) return;
  }
  localStorage.setItem("nibble.model", one.name);
  document.title = `nibble · ${one.name}`;
  recommend(one.sampling, one.context);
  byId("empty-text").textContent = one.chat
    ? `${one.name} answers on this machine, and nothing leaves it.`
    : `${one.name} is no chat model: it goes on with what you write.`;
  showContext();
}

// How much of the context the last answer used.
function showContext() {
  const used = current.messages.findLast(({ stats }) => stats?.total)?.stats.total ?? 0;
  const context = model()?.context ?? 0;
  const meter = byId("context");
  meter.hidden = !context || !used;
  if (meter.hidden) return;
  const share = Math.min(1, used / context);
  meter.setAttribute("aria-valuenow", share.toFixed(3));
  meter.setAttribute("aria-valuetext", `${used} of ${context} tokens`);
  meter.title = `${used} of ${context} tokens of context`;
  meter.classList.toggle("full", share > 0.9);
  byId("context-fill").style.width = `${share * 100}%`;
  byId("context-text").textContent = `${Math.round(share * 100)} %`;
}

// ---- conversations

function showList() {
  byId("conversations").replaceChildren(...store.conversations().map((one) => {
    const title = store.titleOf(one);
    const open = el("button.open", { type: "button", title,
      "aria-current": one.id === current.id ? "true" : false, onclick: () => openChat(one) }, title);
    const rename = iconButton("edit", `Rename ${title}`, () => renameChat(one, open));
    const drop = iconButton("trash", `Delete ${title}`, () => removeChat(one, title));
    return el("li", {}, open, rename, drop);
  }));
}

function openChat(one) {
  stop();
  current = one;
  localStorage.setItem("nibble.current", one.id);
  if (narrow.matches) showSidebar(false);
  showAll();
  prompt.focus();
}

function renameChat(one, place) {
  const field = el("input", { value: store.titleOf(one), "aria-label": "Title" });
  let left = false;
  const done = (keep) => {
    if (left) return;
    left = true;
    const chat = one.id === current.id ? current : one;
    if (keep) attempt(() => store.save(Object.assign(chat, { title: field.value.trim() })));
    showList();
  };
  field.addEventListener("blur", () => done(true));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") done(true);
    if (event.key === "Escape") done(false);
  });
  place.replaceWith(field);
  field.select();
}

function removeChat(one, title) {
  if (!confirm(`Delete “${title}”? This cannot be undone.`)) return;
  store.remove(one);
  if (one.id === current.id) openChat(store.newConversation());
  showList();
}

function exportChat() {
  const blob = new Blob([store.asMarkdown(current)], { type: "text/markdown" });
  const name = store.titleOf(current).replace(/[^\p{L}\p{N} _-]/gu, "").trim().slice(0, 60);
  const link = el("a", { href: URL.createObjectURL(blob), download: `${name || "conversation"}.md` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function keep() {
  current.changed = Date.now();
  attempt(() => store.save(current));
}

// ---- messages

const actions = {
  async copy({ content }, button) {
    await navigator.clipboard.writeText(content);
    button.replaceChildren(icon("check"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
  },
  retry(message) {
    if (running) return;
    current.messages.length = current.messages.indexOf(message);
    showAll();
    respond();
  },
  edit(view) {
    if (running) return;
    const { message } = view;
    const asks = message.role === "user";
    view.edit((text) => {
      message.content = text;
      if (asks) current.messages.length = current.messages.indexOf(message) + 1;
      keep();
      showAll();
      if (asks) respond();
    }, asks ? "Send" : "Save");
  },
  remove(message) {
    if (running) return;
    current.messages.length = current.messages.indexOf(message);
    keep();
    showAll();
  },
};

function showAll() {
  views = current.messages.map((message) => new MessageView(message, actions));
  byId("messages").replaceChildren(...views.map(({ element }) => element));
  byId("empty").hidden = current.messages.length > 0;
  byId("export").disabled = current.messages.length === 0;
  showList();
  showContext();
  follows = true;
  toEnd();
}

function add(message) {
  current.messages.push(message);
  const view = new MessageView(message, actions);
  views.push(view);
  byId("messages").append(view.element);
  byId("empty").hidden = true;
  byId("export").disabled = false;
  return view;
}

function toEnd() {
  if (follows) scroller.scrollTop = scroller.scrollHeight;
}

// What the model is given: attached files stand before the words they came with.
function asked() {
  const { system, body } = chosen();
  const messages = current.messages.filter(({ content, files: attached, role }) =>
    role === "user" ? content || attached?.length : content).map(({ role, content, files: attached }) => ({
    role,
    content: [...(attached ?? []).map(({ name, text }) => store.fenced(name, text)), content]
      .filter(Boolean).join("\n\n"),
  }));
  if (system) messages.unshift({ role: "system", content: system });
  return { ...body, model: byId("model").value, messages };
}

async function respond() {
  const body = asked();
  const message = { role: "assistant", content: "" };
  const view = add(message);
  const abort = new AbortController();
  const mine = { abort, message };
  const chat = current;
  running = mine;
  showRunning();
  view.update(true);
  const start = performance.now();
  let first = 0;
  let tokens = 0;
  let frame = 0;
  const show = () => {
    frame = 0;
    if (current !== chat) return;
    view.update(true);
    toEnd();
    const seconds = (performance.now() - first) / 1000;
    if (tokens > 1) status(`${((tokens - 1) / seconds).toFixed(1)} tokens/s${ofLimit((tokens - 1) / seconds)} · ${tokens} tokens`);
  };
  let end = {};
  try {
    for await (const piece of answer(body, abort.signal)) {
      if (piece.text !== undefined) {
        if (!first) first = performance.now();
        ++tokens;
        message.content += piece.text;
        frame ||= requestAnimationFrame(show);
      } else {
        end = piece;
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      message.error = error.message;
      if (error instanceof ApiError && error.status === 401) askForKey();
    }
  }
  const seconds = (performance.now() - first) / 1000;
  const count = end.usage?.completion_tokens ?? tokens;
  if (count) {
    message.stats = { tokens: count, first: first ? (first - start) / 1000 : 0, reason: end.reason,
      rate: count > 1 && seconds > 0 ? (count - 1) / seconds : 0, total: end.usage?.total_tokens,
      stopped: abort.signal.aborted };
  }
  cancelAnimationFrame(frame);
  if (running === mine) running = null;
  showRunning();
  if (chat.messages.includes(message)) {
    chat.changed = Date.now();
    attempt(() => store.save(chat));
  }
  if (current !== chat) return;
  view.update();
  toEnd();
  showList();
  showContext();
  byId("spoken").textContent = message.error ? "" : message.content;
}

// The share of what this machine's memory could give, where the server knows it.
function ofLimit(rate) {
  const limit = model()?.limit_tokens_s;
  return limit ? ` (${Math.min(100, Math.round((rate / limit) * 100))} % of the machine's limit)` : "";
}

function status(text) {
  byId("status").textContent = text;
}

function showRunning() {
  byId("send").hidden = running !== null;
  byId("stop").hidden = running === null;
  status(running ? "Reading the prompt…" : "");
  byId("messages").setAttribute("aria-busy", String(running !== null));
}

function stop() {
  running?.abort.abort();
}

function send() {
  const content = prompt.value.trim();
  if (running || (!content && !files.length) || !models.length) return;
  add(files.length ? { role: "user", content, files } : { role: "user", content });
  files = [];
  showFiles();
  prompt.value = "";
  fitPrompt();
  localStorage.setItem("nibble.current", current.id);
  keep();
  showList();
  follows = true;
  respond();
}

// ---- files

async function attach(list) {
  for (const file of list) {
    const text = file.size <= 4 * fileMax ? await file.text() : null;
    if (text === null || text.length > fileMax) {
      notice(`${file.name} is too long to attach: at most ${size(fileMax)}.`);
    } else if (text.includes("\0")) {
      notice(`${file.name} is not a text file.`);
    } else {
      files.push({ name: file.name, text });
    }
  }
  showFiles();
  prompt.focus();
}

function showFiles() {
  const list = byId("attachments");
  list.replaceChildren(...files.map((file) => el("li", {}, icon("clip"),
    `${file.name} · ${size(file.text.length)}`,
    iconButton("close", `Remove ${file.name}`, () => {
      files = files.filter((other) => other !== file);
      showFiles();
    }))));
  list.hidden = !files.length;
}

// ---- the frame of the page

function showSidebar(open) {
  document.body.classList.toggle("sidebar", open);
  byId("toggle-sidebar").setAttribute("aria-expanded", String(open));
  byId("sidebar").inert = !open;
  shade();
}

function showSettings(open) {
  byId("settings").hidden = !open;
  byId("toggle-settings").setAttribute("aria-expanded", String(open));
  if (open) byId("system").focus();
  shade();
}

function shade() {
  const open = document.body.classList.contains("sidebar") || !byId("settings").hidden;
  byId("shade").hidden = !(narrow.matches && open);
}

function nextTheme() {
  const order = ["auto", "light", "dark"];
  const now = document.documentElement.dataset.theme ?? "auto";
  setTheme(order[(order.indexOf(now) + 1) % order.length]);
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("nibble.theme", theme);
  byId("theme").title = `Theme: ${theme === "auto" ? "the system's" : theme}`;
  byId("theme").setAttribute("aria-label", byId("theme").title);
}

const allowDownloads = getDialog(modelArrived, notice);
const recommend = settingsForm(byId("settings-form"), attempt);

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  } else if (event.key === "ArrowUp" && !prompt.value && !running) {
    const last = views.findLast(({ message }) => message.role === "user");
    if (last) {
      event.preventDefault();
      actions.edit(last);
    }
  }
});
prompt.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) {
    event.preventDefault();
    attach(event.clipboardData.files);
  }
});
document.addEventListener("keydown", (event) => {
  if (byId("get").open) return;
  if (event.key === "Escape") {
    if (running) stop();
    else if (!byId("settings").hidden) showSettings(false);
    else if (narrow.matches) showSidebar(false);
  } else if (event.key.toLowerCase() === "o" && event.shiftKey && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    openChat(store.newConversation());
  }
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  attach(event.dataTransfer.files);
});
scroller.addEventListener("scroll", () => {
  follows = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40;
  byId("to-end").hidden = follows;
});
byId("to-end").addEventListener("click", () => {
  follows = true;
  toEnd();
});
byId("stop").addEventListener("click", stop);
byId("attach").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", async (event) => {
  await attach(event.target.files);
  event.target.value = "";
});
byId("new-chat").addEventListener("click", () => openChat(store.newConversation()));
byId("export").addEventListener("click", exportChat);
byId("model").addEventListener("change", modelChanged);
byId("theme").addEventListener("click", nextTheme);
byId("toggle-sidebar").addEventListener("click", () =>
  showSidebar(!document.body.classList.contains("sidebar")));
byId("toggle-settings").addEventListener("click", () => showSettings(byId("settings").hidden));
byId("close-settings").addEventListener("click", () => {
  showSettings(false);
  byId("toggle-settings").focus();
});
byId("shade").addEventListener("click", () => {
  showSidebar(false);
  showSettings(false);
});
narrow.addEventListener("change", () => showSidebar(!narrow.matches));

setTheme(localStorage.getItem("nibble.theme") ?? "auto");
showSidebar(!narrow.matches);
current = store.conversations().find(({ id }) => id === localStorage.getItem("nibble.current")) ??
  current;
showAll();
connect();
