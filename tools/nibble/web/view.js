// The messages of a conversation as elements. An answer that grows keeps the elements of blocks
// that did not change.
import { el, icon, iconButton } from "./dom.js";
import { blocks, render } from "./markdown.js";

// What a model thought before it answered (Qwen 3 and others).
function parts(content) {
  const match = content.match(/^\s*<think>([\s\S]*?)(?:<\/think>\s*|$)/);
  return match ? { thought: match[1].trim(), text: content.slice(match[0].length) }
    : { thought: "", text: content };
}

class Body {
  constructor() {
    this.thought = el("div.thought");
    this.details = el("details", { hidden: true }, el("summary", {}, "Thoughts"), this.thought);
    this.text = el("div.text");
    this.element = el("div.body", {}, this.details, this.text);
    this.shown = [];
  }

  show(content) {
    const { thought, text } = parts(content);
    this.details.hidden = !thought;
    if (this.thought.textContent !== thought) this.thought.textContent = thought;
    const next = blocks(text);
    let same = 0;
    while (same < next.length && this.shown[same]?.raw === next[same].raw &&
           this.shown[same].kind === next[same].kind) ++same;
    while (this.text.childNodes.length > same) this.text.lastChild.remove();
    for (const block of next.slice(same)) this.text.append(render(block));
    this.shown = next;
  }
}

function statsText({ rate, tokens, first, reason, stopped }) {
  const out = [];
  if (rate) out.push(`${rate.toFixed(1)} tokens/s`);
  if (tokens) out.push(`${tokens} tokens`);
  if (first) out.push(`${first.toFixed(2)} s to the first`);
  if (stopped) out.push("stopped");
  else if (reason === "length") out.push("cut: the limit of tokens is reached");
  return out.join(" · ");
}

// `act`: { copy, retry, edit, remove } with the message's index.
export class MessageView {
  constructor(message, act) {
    this.message = message;
    const user = message.role === "user";
    this.body = new Body();
    this.files = el("ul.files", { "aria-label": "Attached files" });
    this.stats = el("p.stats");
    this.error = el("p.error", { role: "alert" });
    const buttons = [
      iconButton("copy", "Copy", (event) => act.copy(message, event.currentTarget)),
      iconButton("edit", "Edit", () => act.edit(this)),
      !user && iconButton("retry", "Answer again", () => act.retry(message)),
      iconButton("trash", "Delete from here on", () => act.remove(message)),
    ].filter(Boolean);
    this.actions = el("div.actions", {}, ...buttons);
    this.element = el(`article.message.${user ? "user" : "answer"}`,
      { "aria-label": user ? "You" : "Answer" },
      this.files, this.body.element, this.error, this.stats, this.actions);
    this.update();
  }

  update(busy = false) {
    const { content, files = [], stats, error } = this.message;
    this.body.show(content);
    this.body.element.hidden = !content && (this.message.role === "user" || !busy);
    this.files.replaceChildren(...files.map(({ name, text }) =>
      el("li", {}, icon("clip"), `${name} · ${size(text.length)}`)));
    this.files.hidden = !files.length;
    this.error.textContent = error ?? "";
    this.error.hidden = !error;
    this.stats.textContent = stats ? statsText(stats) : "";
    this.stats.hidden = !this.stats.textContent;
    this.element.classList.toggle("busy", busy);
    this.actions.hidden = busy;
  }

  // Puts a text field in the place of the message.
  edit(save, verb) {
    const field = el("textarea", { "aria-label": "Edit the message" });
    field.value = this.message.content;
    const done = (value) => {
      box.replaceWith(this.body.element);
      this.actions.hidden = false;
      if (value !== undefined) save(value);
    };
    const box = el("div.editor", {}, field, el("div.choices", {},
      el("button.quiet", { type: "button", onclick: () => done() }, "Cancel"),
      el("button.primary", { type: "button", onclick: () => done(field.value) }, verb)));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        done();
      } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        done(field.value);
      }
    });
    this.body.element.hidden = false;
    this.body.element.replaceWith(box);
    this.actions.hidden = true;
    grow(field);
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }
}

export function size(characters) {
  return characters < 1000 ? `${characters} characters` : `${(characters / 1000).toFixed(1)} kB`;
}

// A text field as high as its text.
export function grow(field) {
  const fit = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  field.addEventListener("input", fit);
  requestAnimationFrame(fit);
  return fit;
}
