// OpenAI's own client against `nibble serve`, as its users write it.
import assert from "node:assert/strict";
import { test } from "node:test";
import Ajv from "ajv";
import OpenAI from "openai";
import { collect, key, serve, until } from "./server.mjs";
import { conforms, conformsByType } from "./types.mjs";

const base = await serve();
const client = new OpenAI({ apiKey: key, baseURL: `${base}/v1`, maxRetries: 0 });
const [{ id: model }] = (await client.models.list()).data;
const messages = [{ role: "user", content: "Once upon a time" }];
const ask = { model, messages, max_tokens: 24, seed: 7 };

test("models", async () => {
  for (const one of (await client.models.list()).data) conforms("ListedModel", one);
  conforms("ListedModel", await client.models.retrieve(model));
});

test("a chat, whole and as a stream", async () => {
  const whole = await client.chat.completions.create(ask);
  conforms("Chat", whole);
  const text = whole.choices[0].message.content;
  assert.ok(text.length > 0);
  assert.equal(whole.usage.completion_tokens, 24);

  const chunks = await collect(await client.chat.completions.create({
    ...ask, stream: true, stream_options: { include_usage: true },
  }));
  for (const chunk of chunks) conforms("ChatChunk", chunk);
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), text);
  assert.equal(chunks.at(-1).usage.completion_tokens, 24);

  // The client's own accumulator makes the same of the stream.
  const final = await client.chat.completions.stream(ask).finalChatCompletion();
  assert.equal(final.choices[0].message.content, text);
});

test("log-probabilities", async () => {
  const whole = await client.chat.completions.create({ ...ask, logprobs: true, top_logprobs: 3 });
  conforms("Chat", whole);
  assert.equal(whole.choices[0].logprobs.content.length, 24);
});

test("texts", async () => {
  const whole = await client.completions.create({ model, prompt: "Once", max_tokens: 8 });
  conforms("Text", whole);
  const parts = await collect(
    await client.completions.create({ model, prompt: "Once", max_tokens: 8, stream: true }));
  for (const part of parts) {
    // The type forgets that only the last part has a reason.
    if (part !== parts.at(-1)) part.choices[0].finish_reason ??= "stop";
    conforms("Text", part);
  }
});

test("who leaves a stream frees its place", async () => {
  const endless = await client.completions.create(
    { model, prompt: "Once", max_tokens: 1000, ignore_eos: true, stream: true });
  for await (const _ of endless) break;
  await until(base, "nibble_active", 0);
  const aborted = client.chat.completions.create(
    { ...ask, max_tokens: 1000, ignore_eos: true }, { signal: AbortSignal.timeout(50) });
  await assert.rejects(aborted, OpenAI.APIUserAbortError);
  await until(base, "nibble_active", 0);
});

test("answers by a schema", async () => {
  const schema = {
    type: "object",
    properties: {
      name: { type: "string", maxLength: 12 },
      age: { type: "integer", minimum: 1, maximum: 12 },
      pets: { type: "array", items: { enum: ["cat", "dog", "bird"] }, minItems: 1, maxItems: 4 },
    },
    required: ["name", "age", "pets"],
    additionalProperties: false,
  };
  const validate = new Ajv().compile(schema);
  for (let seed = 0; seed < 5; ++seed) {
    const answer = await client.chat.completions.parse({
      ...ask, seed, max_tokens: 300,
      response_format: { type: "json_schema", json_schema: { name: "child", strict: true, schema } },
    });
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.ok(validate(answer.choices[0].message.parsed), JSON.stringify(validate.errors));
  }
});

test("tools: a call, its stream, its result", async () => {
  const parameters = {
    type: "object",
    properties: { animal: { enum: ["cat", "dog"] }, times: { type: "integer", minimum: 1, maximum: 9 } },
    required: ["animal", "times"],
    additionalProperties: false,
  };
  const validate = new Ajv().compile(parameters);
  const tools = [{ type: "function", function: { name: "feed", strict: true, parameters } }];
  const asked = { ...ask, tools, max_tokens: 200, tool_choice: "required" };
  const whole = await client.chat.completions.create(asked);
  conforms("Chat", whole);
  const { message, finish_reason } = whole.choices[0];
  assert.equal(finish_reason, "tool_calls");
  const [call] = message.tool_calls;
  assert.equal(call.function.name, "feed");
  assert.ok(validate(JSON.parse(call.function.arguments)));

  const chunks = await collect(await client.chat.completions.create({ ...asked, stream: true }));
  for (const chunk of chunks) conforms("ChatChunk", chunk);
  const final = await client.chat.completions.stream(asked).finalChatCompletion();
  assert.deepEqual(final.choices[0].message.tool_calls[0].function.arguments, call.function.arguments);

  const next = await client.chat.completions.create({ ...ask, tools, messages: [...messages, message,
    { role: "tool", tool_call_id: call.id, content: "The cat ate." }] });
  assert.ok(next.usage.prompt_tokens > whole.usage.prompt_tokens);

  // The client's own loop of calls and results.
  const fed = [];
  const feed = (given) => {
    fed.push(given);
    return "It ate.";
  };
  const runner = client.chat.completions.runTools({
    model, messages, max_tokens: 200, seed: 7,
    tool_choice: { type: "function", function: { name: "feed" } },
    tools: [{ type: "function", function: { name: "feed", parameters, parse: JSON.parse, function: feed } }],
  });
  await runner.done();
  assert.ok(validate(fed[0]));
});

test("responses", async () => {
  const asked = { model, input: "Once upon a time", max_output_tokens: 16 };
  const response = await client.responses.create(asked);
  conforms("ResponseWhole", response);
  assert.ok(response.output_text.length > 0);
  const events = await collect(await client.responses.create({ ...asked, stream: true }));
  for (const event of events) {
    // The type has what the client itself adds to a whole answer.
    if (event.response) event.response.output_text ??= "";
    conformsByType(event);
  }
  const pieces = events.filter(({ type }) => type === "response.output_text.delta");
  assert.equal(events.at(-1).response.output[0].content[0].text,
    pieces.map(({ delta }) => delta).join(""));
});

test("responses call functions", async () => {
  const parameters = {
    type: "object", properties: { animal: { type: "string", enum: ["cat", "dog"] } },
    required: ["animal"], additionalProperties: false,
  };
  const tools = [{ type: "function", name: "feed", description: "Feeds", parameters, strict: true }];
  const input = [{ role: "user", content: "Once upon a time" }];
  const asked = { model, input, tools, tool_choice: "required", parallel_tool_calls: false };
  const response = await client.responses.create(asked);
  conforms("ResponseWhole", response);
  const [call] = response.output;
  assert.equal(call.type, "function_call");
  assert.ok(["cat", "dog"].includes(JSON.parse(call.arguments).animal));
  const stream = client.responses.stream(asked);
  for await (const event of stream) {
    const plain = JSON.parse(JSON.stringify(event));
    if (plain.response) plain.response.output_text ??= "";
    conformsByType(plain);
  }
  assert.equal((await stream.finalResponse()).output[0].type, "function_call");
  const result = { type: "function_call_output", call_id: call.call_id, output: "It ate." };
  const next = await client.responses.create(
    { model, tools, max_output_tokens: 8, input: [...input, call, result] });
  assert.ok(next.usage.input_tokens > response.usage.input_tokens);
});

test("embeddings", async () => {
  // The client asks for base64 by itself.
  const input = ["The cat sat.", "The dog ran."];
  const { data } = await client.embeddings.create({ model, input });
  assert.equal(data.length, 2);
  for (const { embedding } of data) {
    assert.ok(Math.abs(embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-4);
  }
  conforms("Embeddings",
    await client.embeddings.create({ model, input, encoding_format: "float" }));
});

test("errors are those that the client knows", async () => {
  const chat = (more) => client.chat.completions.create({ ...ask, ...more });
  await assert.rejects(chat({ model: "gpt-4o" }), OpenAI.NotFoundError);
  await assert.rejects(chat({ temperature: -1 }), OpenAI.BadRequestError);
  const stranger = new OpenAI({ apiKey: "wrong", baseURL: `${base}/v1`, maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});
