// Load on a server of OpenAI's /v1/completions, ours or another's, and what its clients see:
//
//   node bench/serve_load.mjs NAME PORT COMMAND...     {port} in COMMAND is replaced
//
// Starts COMMAND, waits for /health, and prints one JSON line for each of: tokens/s of 1 and of 8
// streams; the time to the first token of a prompt while 7 streams are answered; how much longer
// their tokens take while a long prompt is read; what an answer held to a schema costs; the CPU time
// of an idle server; and, where LOADS names another model that the server (--store) has by name, what
// its loading means for an answer in progress and for requests. ONLY=throughput,load,schema,idle or
// loading chooses. Tokens are counted by the server. Run it at real-time priority on a machine that
// does nothing else.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

const [name, port, ...command] = process.argv.slice(2);
const only = process.env.ONLY?.split(",");
const server = spawn(command[0], command.slice(1).map((word) => word.replace("{port}", port)), {
  stdio: ["ignore", "ignore", "inherit"],
});
process.on("exit", () => server.kill("SIGKILL"));
const base = `http://127.0.0.1:${port}`;
const later = (ms) => new Promise((done) => setTimeout(done, ms));
while (!await fetch(`${base}/health`).then(({ ok }) => ok, () => false)) await later(50);

const words = "river stone light garden winter music ship letter window bread cloud horse".split(" ");
function prompt(tokens, seed) {
  let out = `${seed}`;
  for (let i = 0; i < tokens; ++i) out += ` ${words[(i * 7 + seed * 3 + (i >> 3)) % words.length]}`;
  return out;
}

// One streamed answer: times of its pieces in ms, and the server's count of tokens.
async function stream(text, tokens, more = {}, signal) {
  const begin = performance.now();
  const times = [];
  let usage;
  try {
    const response = await fetch(`${base}/v1/completions`, {
      method: "POST", signal, headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: text, max_tokens: tokens, ignore_eos: true, temperature: 0,
        stream: true, stream_options: { include_usage: true }, ...more }),
    });
    let held = "";
    for await (const bytes of response.body) {
      held += Buffer.from(bytes).toString("latin1");
      const lines = held.split("\n");
      held = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data: {")) continue;
        const event = JSON.parse(line.slice(6));
        if (event.choices?.length) times.push(performance.now());
        usage = event.usage ?? usage;
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
  return { begin, times, first: times[0] - begin, prompt: usage?.prompt_tokens, tokens: usage?.completion_tokens };
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const round = (x) => Math.round(x * 100) / 100;
function say(test, values) {
  if (values) console.log(JSON.stringify({ name, test, ...values }));
}
const wanted = (test) => !only || only.includes(test);

// Tokens/s while all answer: from the last first token to the first end.
async function throughput(count, tokens) {
  const all = await Promise.all(Array.from({ length: count }, (_, i) =>
    stream(prompt(16, i), tokens)));
  const from = Math.max(...all.map(({ times }) => times[0]));
  const to = Math.min(...all.map(({ times }) => times.at(-1)));
  const pieces = all.flatMap(({ times }) => times.filter((t) => t > from && t <= to)).length;
  // Pieces are tokens, but for those that are half a character: scaled by the server's count.
  const scale = all.reduce((sum, a) => sum + a.tokens, 0) / all.reduce((sum, a) => sum + a.times.length, 0);
  return pieces * scale / (to - from) * 1000;
}

await stream(prompt(16, 99), 8);  // warm
if (wanted("throughput")) {
  const rounds = [];
  for (let i = 0; i < 3; ++i) {
    const one = await throughput(1, 96);
    const eight = await throughput(8, 64);
    rounds.push({ one, eight, ratio: eight / one });
  }
  say("throughput", { streams_1_tokens_s: round(median(rounds.map(({ one }) => one))),
    streams_8_tokens_s: round(median(rounds.map(({ eight }) => eight))),
    ratio: round(median(rounds.map(({ ratio }) => ratio))) });
}

if (wanted("load")) {
  const alone = await stream(prompt(220, 51), 2);
  const stop = new AbortController();
  const others = Array.from({ length: 7 }, (_, i) => stream(prompt(16, 20 + i), 900, {}, stop.signal));
  await later(4000);
  const mine = await stream(prompt(220, 52), 2);
  const longBegin = performance.now();
  const long = await stream(prompt(900, 53), 2);
  const longEnd = performance.now();
  stop.abort();
  const done = await Promise.all(others);
  const between = (from, to) => done.flatMap(({ times }) =>
    times.slice(1).map((t, i) => [t, t - times[i]]).filter(([t]) => t > from && t <= to).map(([, gap]) => gap));
  const calm = between(mine.begin - 1500, mine.begin);
  const stirred = between(longBegin + 50, longEnd);
  say("first token", { prompt_tokens: mine.prompt, alone_ms: round(alone.first),
    beside_7_streams_ms: round(mine.first), long_prompt_tokens: long.prompt,
    long_prompt_first_ms: round(long.first) });
  say("stutter", { calm_ms_per_token: round(median(calm)), while_reading_ms_per_token: round(median(stirred)),
    worst_ms: round(Math.max(...stirred)), ratio: round(median(stirred) / median(calm)) });
  await later(500);
}

if (wanted("schema")) {
  const schema = { type: "object", properties: {
    name: { type: "string", maxLength: 60 }, notes: { type: "array", items: { type: "string", maxLength: 40 }, minItems: 2, maxItems: 4 },
    age: { type: "integer", minimum: 0, maximum: 120 } }, required: ["name", "notes", "age"] };
  const perToken = ({ times, tokens }) => (times.at(-1) - times[0]) / (tokens - 1);
  const costs = [];
  for (let i = 0; i < 4; ++i) {
    const free = perToken(await stream(prompt(16, 30 + i), 48, { temperature: 1, seed: i }));
    // Whole logits, as a schema needs them, without one.
    const exact = perToken(await stream(prompt(16, 30 + i), 48, { temperature: 1, top_k: 0, seed: i }));
    const held = perToken(await stream(prompt(16, 30 + i), 48, { temperature: 1, seed: i, ignore_eos: false,
      response_format: { type: "json_schema", json_schema: { name: "x", schema } } }));
    costs.push({ free, exact, held });
  }
  say("schema", { free_ms: round(median(costs.map(({ free }) => free))),
    free_all_logits_ms: round(median(costs.map(({ exact }) => exact))),
    held_ms: round(median(costs.map(({ held }) => held))) });
}

if (process.env.LOADS && wanted("loading")) {
  const listed = await (await fetch(`${base}/v1/models`)).json();
  const model = listed.data.find(({ loaded }) => loaded).id;
  const story = stream(prompt(16, 70), 600, { model });
  await later(2500);
  const begin = performance.now();
  let over = false;
  const other = stream(prompt(8, 71), 1, { model: process.env.LOADS }).finally(() => { over = true; });
  let slowest = 0;
  while (!over) {
    const asked = performance.now();
    await (await fetch(`${base}/tokenize`, { method: "POST", headers: { "content-type": "application/json" },
      body: JSON.stringify({ model, content: "A cat" }) })).text();
    slowest = Math.max(slowest, performance.now() - asked);
    await later(20);
  }
  const end = begin + (await other).first;
  const { times } = await story;
  const gaps = (from, to) => times.slice(1).map((t, i) => [t, t - times[i]])
    .filter(([t, gap]) => t - gap < to && t > from).map(([, gap]) => gap);
  const [calm, loading] = [gaps(begin - 2000, begin), gaps(begin, end)];
  say("loading", { loaded_and_first_token_ms: round(end - begin), calm_ms_per_token: round(median(calm)),
    while_loading_ms_per_token: round(median(loading)), worst_ms: round(Math.max(...loading)),
    worst_other_request_ms: round(slowest) });
}

if (wanted("idle")) {
  const ticks = () => readFileSync(`/proc/${server.pid}/stat`, "utf8").split(") ")[1].split(" ")
    .slice(11, 13).reduce((sum, x) => sum + Number(x), 0);
  await later(1000);
  const before = ticks();
  await later(5000);
  say("idle", { cpu_ticks_of_500: ticks() - before });
}
server.kill("SIGTERM");
process.exit(0);
