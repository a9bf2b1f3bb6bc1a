// What kept prefixes save: the time to the first token behind a long system prompt, when nothing of it
// is known, when memory has it, and when the folder has it after a restart.
//
//   node bench/serve_prefix.mjs NAME PORT NIBBLE serve MODEL ...     rounds: ROUNDS=5
//
// Prints a JSON line with the medians, in ms. Run it on a machine that does nothing else.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [name, port, ...command] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "nibble-prefix-"));
const base = `http://127.0.0.1:${port}`;
const later = (ms) => new Promise((done) => setTimeout(done, ms));

async function start() {
  const server = spawn(command[0], [...command.slice(1), "--port", port, "--prefix-dir", folder],
    { stdio: ["ignore", "ignore", "inherit"] });
  process.on("exit", () => server.kill("SIGKILL"));
  while (!await fetch(`${base}/health`).then(({ ok }) => ok, () => false)) await later(50);
  return () => new Promise((done) => {
    server.on("exit", done);
    server.kill("SIGTERM");
  });
}

const words = "river stone light garden winter music ship letter window bread cloud horse".split(" ");
function prompt(round, question) {
  let out = `${round}`;
  for (let i = 0; i < 1200; ++i) out += ` ${words[(i * 7 + round * 3 + (i >> 3)) % words.length]}`;
  return `${out} ${question}`;
}

async function ask(text) {
  const begin = performance.now();
  const response = await fetch(`${base}/v1/completions`, {
    method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: text, max_tokens: 1, ignore_eos: true, temperature: 0 }),
  });
  const { usage } = await response.json();
  return { ms: performance.now() - begin, prompt: usage.prompt_tokens,
    cached: usage.prompt_tokens_details.cached_tokens };
}

const rounds = Number(process.env.ROUNDS ?? 5);
const asked = { cold: [], memory: [], disk: [] };
let stop = await start();
await ask("warm up");
for (let round = 1; round <= rounds; ++round) {
  asked.cold.push(await ask(prompt(round, "What then?")));
  asked.memory.push(await ask(prompt(round, "And why?")));
}
await stop();
const files = readdirSync(folder);
const bytes = files.reduce((sum, file) => sum + statSync(join(folder, file)).size, 0);
stop = await start();
await ask("warm up");
for (let round = 1; round <= rounds; ++round) {
  asked.disk.push(await ask(prompt(round, "Who knows?")));
}
await stop();
rmSync(folder, { recursive: true });
const median = (of) => of.map(({ ms }) => ms).sort((a, b) => a - b)[of.length >> 1];
const out = { bench: "serve_prefix", name, rounds, prompt_tokens: asked.cold[0].prompt,
  files: files.length, bytes };
for (const [kind, of] of Object.entries(asked)) {
  out[`${kind}_ms`] = Number(median(of).toFixed(1));
  out[`${kind}_cached_tokens`] = of[0].cached;
}
console.log(JSON.stringify(out));
