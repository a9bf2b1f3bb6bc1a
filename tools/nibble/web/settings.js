// The form of settings: empty fields leave the choice to the model, whose values they show.
import { el } from "./dom.js";
import { defaults, saveSettings, settings } from "./store.js";

const numbers = [
  ["temperature", "Temperature", "0 always takes the likeliest token", { min: 0, max: 100, step: 0.05 }],
  ["top_k", "Top K", "The likeliest tokens to choose among; 0: all", { min: 0, step: 1 }],
  ["top_p", "Top P", "Those that make up this share", { min: 0, max: 1, step: 0.01 }],
  ["min_p", "Min P", "Those at least this likely, against the likeliest", { min: 0, max: 1, step: 0.01 }],
  ["repeat_penalty", "Repeat penalty", "Above 1: less of what was said", { min: 0.01, max: 100, step: 0.05 }],
  ["max_tokens", "Longest answer", "In tokens", { min: 1, step: 1 }],
  ["seed", "Seed", "The same seed gives the same answer", { step: 1 }],
];

export function settingsForm(form, changed) {
  const system = el("textarea", { id: "system", rows: 5, placeholder: "None" });
  const fields = new Map([["system", system]]);
  form.append(el("div.field", {}, el("label", { for: "system" }, "System prompt"), system));
  for (const [name, label, hint, range] of numbers) {
    const input = el("input", { id: name, type: "number", inputmode: "decimal", ...range,
      "aria-describedby": `${name}-hint` });
    fields.set(name, input);
    form.append(el("div.field.row", {}, el("label", { for: name }, label), input,
      el("small", { id: `${name}-hint` }, hint)));
  }
  const reset = el("button.quiet", { type: "button" }, "As the model recommends");
  form.append(reset);
  const show = () => {
    const values = settings();
    for (const [name, field] of fields) field.value = values[name];
  };
  const keep = () => {
    const values = {};
    for (const [name, field] of fields) values[name] = field.validity.valid ? field.value : "";
    changed(() => saveSettings(values));
  };
  form.addEventListener("input", keep);
  form.addEventListener("submit", (event) => event.preventDefault());
  reset.addEventListener("click", () => {
    changed(() => saveSettings({ ...defaults, system: settings().system }));
    show();
  });
  show();

  // What the model recommends, where nothing is chosen.
  return function recommend(sampling, context) {
    for (const [name, value] of Object.entries(sampling ?? {})) {
      const field = fields.get(name);
      if (field) field.placeholder = String(Math.round(value * 1000) / 1000);
    }
    fields.get("max_tokens").placeholder = context ? `to ${context}` : "";
    fields.get("seed").placeholder = "random";
  };
}

// The fields of a request.
export function chosen() {
  const { system, ...values } = settings();
  const body = {};
  for (const [name, value] of Object.entries(values)) {
    if (value !== "" && Number.isFinite(Number(value))) body[name] = Number(value);
  }
  return { system: system.trim(), body };
}
