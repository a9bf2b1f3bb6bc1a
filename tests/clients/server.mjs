// `nibble serve` with the story model, for one file of tests. Read next: openai.test.mjs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after } from "node:test";

const { NIBBLE: nibble, MODEL: file } = process.env;
export const key = "secret";
export const authorization = { authorization: `Bearer ${key}` };

// A server, at a free port unless another is named: { base, stop() }, which gives its exit code.
export function replica(...more) {
  if (!more.includes("--port")) more.push("--port", "0");
  const server = spawn(nibble, ["serve", file, "-c", "1024", ...more], {
    env: { ...process.env, NIBBLE_API_KEY: key },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise((resolve) => server.on("exit", resolve));
  process.on("exit", () => server.kill("SIGKILL"));
  const stop = () => {
    server.kill("SIGTERM");
    return ended;
  };
  return new Promise((resolve, reject) => {
    let said = "";
    server.on("exit", () => reject(new Error(said)));
    server.stderr.on("data", (text) => {
      said += text;
      const match = said.match(/serving (http:\/\/127\.0\.0\.1:\d+)\n/);
      if (match) resolve({ base: match[1], stop });
    });
  });
}

// One that is stopped behind the last test, and has to end well; gives its address.
export async function serve(...more) {
  const { base, stop } = await replica(...more);
  after(async () => assert.equal(await stop(), 0));
  return base;
}

// A value of /metrics, and the wait until it is what it should be.
export async function metric(base, name) {
  const text = await (await fetch(`${base}/metrics`, { headers: authorization })).text();
  return Number(text.match(new RegExp(`^${name}\\b.* (\\S+)$`, "m"))[1]);
}
export async function until(base, name, value) {
  while (await metric(base, name) !== value) await new Promise((later) => setTimeout(later, 20));
}

// Every part of a stream.
export async function collect(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}
