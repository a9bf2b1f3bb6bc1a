// Ollama's own client and LangChain's on top of it against `nibble serve`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatOllama, OllamaEmbeddings } from "@langchain/ollama";
import { Ollama } from "ollama";
import { authorization, collect, serve, until } from "./server.mjs";
import { conforms } from "./types.mjs";

const base = await serve();
const client = new Ollama({ host: base, headers: authorization });
const { models } = await client.list();
const model = models[0].name;
const options = { num_predict: 24, seed: 7 };
const messages = [{ role: "user", content: "Once upon a time" }];

test("models", async () => {
  conforms("OllamaList", await client.list());
  conforms("OllamaList", await client.ps());
  const shown = await client.show({ model });
  conforms("OllamaShow", shown);
  assert.equal(shown.details.format, "gguf");
  assert.equal((await client.ps()).models[0].name, model);
  assert.match((await client.version()).version, /^\d+\.\d+/);
});

test("a chat and a text, whole and as streams", async () => {
  const whole = await client.chat({ model, messages, options });
  conforms("OllamaChat", whole);
  const expected = whole.message.content;
  assert.equal(whole.done_reason, "length");
  const parts = await collect(await client.chat({ model, messages, options, stream: true }));
  conforms("OllamaChat", parts.at(-1));
  assert.equal(parts.map(({ message }) => message.content).join(""), expected);

  const generated = await client.generate({ model, prompt: "Once upon a time", options });
  conforms("OllamaText", generated);
  assert.equal(generated.response, expected);
  assert.equal(generated.eval_count, 24);
  const { context } = generated;
  const next = await client.generate({ model, prompt: "And then", context, options });
  assert.ok(next.prompt_eval_count > context.length);
});

test("an aborted stream frees its place", async () => {
  const stream = await client.chat({ model, messages, options: { num_predict: 900 }, stream: true });
  const read = (async () => {
    for await (const _ of stream) stream.abort();
  })();
  await assert.rejects(read, { name: "AbortError" });
  await until(base, "nibble_active", 0);
});

test("an answer by a schema", async () => {
  const format = {
    type: "object", properties: { good: { type: "boolean" } }, required: ["good"],
  };
  const formatted = await client.generate({ model, prompt: "A cat", format });
  assert.equal(typeof JSON.parse(formatted.response).good, "boolean");
});

test("tools", async () => {
  const parameters = {
    type: "object", properties: { animal: { type: "string", enum: ["cat", "dog"] } }, required: ["animal"],
  };
  const tools = [{ type: "function", function: { name: "feed", description: "Feeds", parameters } }];
  // Free to call or to talk; then it has to call (the field is OpenAI's, Ollama has none).
  conforms("OllamaChat", await client.chat({ model, messages, options, tools }));
  const asked = { model, messages, tools, tool_choice: "required", options: { seed: 7, num_predict: 100 } };
  const called = await client.chat(asked);
  conforms("OllamaChat", called);
  const [call] = called.message.tool_calls;
  assert.equal(call.function.name, "feed");
  assert.ok(["cat", "dog"].includes(call.function.arguments.animal));
  const parts = await collect(await client.chat({ ...asked, stream: true }));
  assert.deepEqual(parts.at(-1).message.tool_calls, called.message.tool_calls);
  const answer = await client.chat({ model, tools, options, messages: [...messages, called.message,
    { role: "tool", tool_name: "feed", content: "It ate." }] });
  assert.ok(answer.prompt_eval_count > called.prompt_eval_count);
});

test("embeddings", async () => {
  const answer = await client.embed({ model, input: ["The cat sat.", "The dog ran."] });
  conforms("OllamaEmbed", answer);
  assert.equal(answer.embeddings.length, 2);
});

test("errors name what was asked for", async () => {
  await assert.rejects(client.chat({ model: "nothing", messages }), /nothing/);
});

test("LangChain", async () => {
  const langchain = { model, baseUrl: base, headers: authorization };
  const chat = new ChatOllama({ ...langchain, numPredict: 24, seed: 7 });
  const whole = await chat.invoke("Once upon a time");
  assert.equal(whole.content, (await client.chat({ model, messages, options })).message.content);
  const parts = await collect(await chat.stream("Once upon a time"));
  assert.equal(parts.map(({ content }) => content).join(""), whole.content);
  const vectors = await new OllamaEmbeddings(langchain).embedDocuments(["The cat sat."]);
  assert.ok(vectors[0].length > 8);
});
