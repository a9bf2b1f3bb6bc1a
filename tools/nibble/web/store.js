// Conversations and settings, kept in this browser: one entry of localStorage a conversation, and
// the list of them.
const prefix = "nibble.chat.";

function read(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

// Throws an Error that says what to do when there is no room.
function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    throw new Error("This browser's storage is full: the last change is not kept. " +
      "Export what you need and delete old conversations.");
  }
}

export const defaults = {
  system: "", temperature: "", top_k: "", top_p: "", min_p: "", repeat_penalty: "",
  max_tokens: "", seed: "",
};

export function settings() {
  return { ...defaults, ...read("nibble.settings", {}) };
}
export function saveSettings(value) {
  write("nibble.settings", value);
}

export function apiKey() {
  return localStorage.getItem("nibble.key") ?? "";
}
export function saveApiKey(key) {
  localStorage.setItem("nibble.key", key);
}

// { id, title, changed, messages: [{ role, content, files?, stats?, error? }] }, the newest first.
export function conversations() {
  const out = [];
  for (let i = 0; i < localStorage.length; ++i) {
    const key = localStorage.key(i);
    if (!key.startsWith(prefix)) continue;
    const one = read(key, null);
    if (one && Array.isArray(one.messages)) out.push(one);
  }
  return out.sort((a, b) => b.changed - a.changed);
}

export function newConversation() {
  return { id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, title: "",
    changed: Date.now(), messages: [] };
}

export function save(conversation) {
  write(prefix + conversation.id, conversation);
}

export function remove(conversation) {
  localStorage.removeItem(prefix + conversation.id);
}

export function titleOf(conversation) {
  if (conversation.title) return conversation.title;
  const first = conversation.messages.find(({ role }) => role === "user");
  const text = (first?.content || first?.files?.[0]?.name || "").trim().split("\n")[0];
  return text.length > 60 ? `${text.slice(0, 59)}…` : text || "New conversation";
}

export function asMarkdown(conversation) {
  const turns = conversation.messages.map((message) => {
    const files = (message.files ?? []).map(({ name, text }) => `\n\n${fenced(name, text)}`);
    return `## ${message.role === "user" ? "You" : "Answer"}\n\n${message.content}${files.join("")}\n`;
  });
  return `# ${titleOf(conversation)}\n\n${turns.join("\n")}`;
}

// A file as the model sees it, and as an export shows it.
export function fenced(name, text) {
  let mark = "```";
  while (text.includes(mark)) mark += "`";
  return `${name}:\n${mark}\n${text}\n${mark}`;
}
