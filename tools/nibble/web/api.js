// Talks to the server this page came from: what it has, and answers as they come.
import { apiKey } from "./store.js";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, options = {}) {
  const headers = { "Content-Type": "application/json" };
  if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer. Is nibble serve still running?");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  throw new ApiError(response.status, said?.error?.message ?? said?.error ?? `HTTP ${response.status}`);
}

// Of all models; or of one, which is loaded for it.
export async function props(model) {
  const query = model === undefined ? "" : `?model=${encodeURIComponent(model)}`;
  return (await request(`/props${query}`)).json();
}

// What the server calls a model that it has.
export async function modelId(name) {
  return (await (await request(`/v1/models/${encodeURIComponent(name)}`)).json()).id;
}

// Has the server download a model: yields { status } and { digest, completed, total }. Throws
// ApiError.
export async function* pull(name, signal) {
  const response = await request("/api/pull", {
    method: "POST", signal, body: JSON.stringify({ model: name }),
  });
  for await (const line of pieces(response.body, "\n")) {
    const event = JSON.parse(line);
    if (event.error) throw new ApiError(502, event.error);
    if (event.status === "success") return;
    yield event;
  }
  throw new ApiError(0, "The download broke off: the connection was lost. What came is kept.");
}

// Yields { text }, and last { usage, reason }. Throws ApiError, also for an answer that breaks off.
export async function* answer(body, signal) {
  const response = await request("/v1/chat/completions", {
    method: "POST", signal,
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
  });
  let usage;
  let reason;
  let whole = false;
  for await (const data of events(response.body)) {
    if (data === "[DONE]") {
      whole = true;
      break;
    }
    const event = JSON.parse(data);
    if (event.error) throw new ApiError(500, event.error.message);
    usage = event.usage ?? usage;
    const choice = event.choices?.[0];
    reason = choice?.finish_reason ?? reason;
    if (choice?.delta?.content) yield { text: choice.delta.content };
  }
  if (!whole) throw new ApiError(0, "The answer broke off: the connection was lost.");
  yield { usage, reason };
}

// The data of server-sent events.
async function* events(stream) {
  for await (const event of pieces(stream, "\n\n")) {
    const data = event.split("\n").filter((line) => line.startsWith("data:"))
      .map((line) => line.slice(5).trimStart());
    if (data.length) yield data.join("\n");
  }
}

// A stream's text, cut at `end`.
async function* pieces(stream, end) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    while (true) {
      const { value, done } = await reader.read();
      if (done) return;
      held += value;
      let at;
      while ((at = held.indexOf(end)) >= 0) {
        const piece = held.slice(0, at);
        held = held.slice(at + end.length);
        yield piece;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
