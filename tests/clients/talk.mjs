// The npm clients of OpenAI and Ollama, as their users write them, against `nibble serve` with the
// story model. node talk.mjs NIBBLE MODEL, in the folder where the packages are installed.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import Ajv from "ajv";
import { Ollama } from "ollama";
import OpenAI from "openai";

const [nibble, file] = process.argv.slice(2);
const server = spawn(nibble, ["serve", file, "--port", "0", "-c", "1024"], {
  env: { ...process.env, NIBBLE_API_KEY: "secret" },
  stdio: ["ignore", "ignore", "pipe"],
});
const port = await new Promise((resolve, reject) => {
  let said = "";
  server.on("exit", () => reject(new Error(said)));
  server.stderr.on("data", (text) => {
    said += text;
    const match = said.match(/serving http:\/\/127\.0\.0\.1:(\d+)\n/);
    if (match) resolve(match[1]);
  });
});
const base = `http://127.0.0.1:${port}`;

async function openai() {
  const client = new OpenAI({ apiKey: "secret", baseURL: `${base}/v1`, maxRetries: 0 });
  const [{ id: model }] = (await client.models.list()).data;
  const ask = { model, messages: [{ role: "user", content: "Once upon a time" }], max_tokens: 24, seed: 7 };

  const whole = await client.chat.completions.create(ask);
  const text = whole.choices[0].message.content;
  assert.ok(text.length > 0);
  assert.equal(whole.usage.completion_tokens, 24);

  let streamed = "";
  let usage;
  const stream = await client.chat.completions.create({
    ...ask, stream: true, stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    streamed += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(streamed, text);
  assert.equal(usage.completion_tokens, 24);

  // Leaving a stream is an abort: the place is free again.
  const endless = await client.completions.create(
    { model, prompt: "Once", max_tokens: 1000, ignore_eos: true, stream: true });
  for await (const _ of endless) break;
  const active = async () => (await (await fetch(`${base}/metrics`, { headers: { authorization: "Bearer secret" } }))
    .text()).match(/^nibble_active.* (\d+)$/m)[1];
  while (await active() !== "0") await new Promise((later) => setTimeout(later, 20));

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
    const answer = await client.chat.completions.create({
      ...ask, seed, max_tokens: 300,
      response_format: { type: "json_schema", json_schema: { name: "child", strict: true, schema } },
    });
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.ok(validate(JSON.parse(answer.choices[0].message.content)), JSON.stringify(validate.errors));
  }

  const response = await client.responses.create({ model, input: "Once upon a time", max_output_tokens: 16 });
  assert.ok(response.output_text.length > 0);
  let pieces = "";
  let last;
  for await (const event of await client.responses.create({
    model, input: "Once upon a time", max_output_tokens: 16, stream: true,
  })) {
    if (event.type === "response.output_text.delta") pieces += event.delta;
    last = event;
  }
  assert.equal(last.response.output[0].content[0].text, pieces);

  // The client asks for base64 by itself.
  const { data } = await client.embeddings.create({ model, input: ["The cat sat.", "The dog ran."] });
  assert.equal(data.length, 2);
  for (const { embedding } of data) {
    assert.ok(Math.abs(embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-4);
  }

  await assert.rejects(client.chat.completions.create({ ...ask, model: "gpt-4o" }), OpenAI.NotFoundError);
  await assert.rejects(client.chat.completions.create({ ...ask, temperature: -1 }), OpenAI.BadRequestError);
  const stranger = new OpenAI({ apiKey: "wrong", baseURL: `${base}/v1`, maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  return text;
}

async function ollama(expected) {
  const client = new Ollama({ host: base, headers: { authorization: "Bearer secret" } });
  const { models } = await client.list();
  const model = models[0].name;
  const options = { num_predict: 24, seed: 7 };
  const messages = [{ role: "user", content: "Once upon a time" }];

  const whole = await client.chat({ model, messages, options });
  assert.equal(whole.message.content, expected, "the same answer by either API");
  assert.equal(whole.done_reason, "length");
  let streamed = "";
  for await (const part of await client.chat({ model, messages, options, stream: true })) {
    streamed += part.message.content;
  }
  assert.equal(streamed, expected);
  const generated = await client.generate({ model, prompt: "Once upon a time", options });
  assert.equal(generated.response, expected);
  assert.equal(generated.eval_count, 24);

  const formatted = await client.generate({
    model, prompt: "A cat", format: { type: "object", properties: { good: { type: "boolean" } }, required: ["good"] },
  });
  assert.equal(typeof JSON.parse(formatted.response).good, "boolean");

  const { embeddings } = await client.embed({ model, input: ["The cat sat.", "The dog ran."] });
  assert.equal(embeddings.length, 2);
  assert.equal((await client.show({ model })).details.format, "gguf");
  assert.equal((await client.ps()).models[0].name, model);
  await assert.rejects(client.chat({ model: "nothing", messages }), /nothing/);
}

try {
  await ollama(await openai());
  console.log("openai, ollama and ajv are content");
} finally {
  const ended = new Promise((resolve) => server.on("exit", resolve));
  server.kill("SIGTERM");
  assert.equal(await ended, 0);
}
