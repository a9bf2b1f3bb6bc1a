// More requests than there is room for (autocannon), and curl, which says what it sees on the wire.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import autocannon from "autocannon";
import { authorization, key, metric, serve, until } from "./server.mjs";

const base = await serve("--parallel", "4", "--queue", "8");
const body = JSON.stringify({ prompt: "Once", max_tokens: 8, ignore_eos: true });
const headers = { ...authorization, "content-type": "application/json" };

test("within the queue every request is answered", async () => {
  const result = await autocannon({
    url: `${base}/v1/completions`, method: "POST", headers, body, connections: 12, amount: 200, timeout: 120,
  });
  assert.equal(result["2xx"], 200);
  assert.equal(result.errors + result.timeouts + result.non2xx, 0);
});

test("beyond it, 429 or an answer, and nothing else", async () => {
  const result = await autocannon({
    url: `${base}/v1/completions`, method: "POST", headers, body, connections: 40, amount: 800, timeout: 120,
  });
  assert.equal(result["2xx"] + (result.statusCodeStats[429]?.count ?? 0), 800);
  assert.ok(result["2xx"] > 0);
  assert.equal(result.errors + result.timeouts, 0);
  await until(base, "nibble_active", 0);
  assert.equal(await metric(base, "nibble_queue_length"), 0);
});

function curl(more, input = "") {
  return execFileSync("curl", ["-sS", "-H", `Authorization: Bearer ${key}`, ...more], {
    encoding: "utf8", input,
  });
}

test("curl", () => {
  const seen = curl(["-N", "-i", `${base}/v1/completions`, "-d",
    JSON.stringify({ prompt: "Once", max_tokens: 4, stream: true })]);
  assert.match(seen, /^HTTP\/1\.1 200 OK\r\nContent-Type: text\/event-stream\r\n/);
  assert.match(seen, /data: \[DONE\]\n\n$/);
  assert.match(curl([`${base}/health`]), /"ok"/);
  assert.match(curl(["-I", `${base}/v1/models`]), /^HTTP\/1\.1 200 OK/);
  assert.match(curl(["--http1.0", `${base}/v1/models`]), /stories/);
  // Expect: 100-continue, which curl sends before a large body.
  const prompt = "a cat ".repeat(300_000);
  const refused = curl([`${base}/v1/completions`, "-d", "@-"], JSON.stringify({ prompt }));
  assert.match(refused, /the context holds 1024/);
});
