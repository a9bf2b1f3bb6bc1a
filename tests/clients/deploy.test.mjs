// Two replicas behind HAProxy (tools/packaging/haproxy.cfg): one is drained under load, and then the
// other is killed and comes back; no request fails.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import autocannon from "autocannon";
import { authorization, replica } from "./server.mjs";

const { HAPROXY: haproxy, HAPROXY_CFG: file } = process.env;

const free = () => new Promise((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
const later = (ms) => new Promise((done) => setTimeout(done, ms));

test("a replica is drained under load", { skip: !haproxy && "there is no haproxy" }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "nibble-haproxy-"));
  after(() => rmSync(folder, { recursive: true }));
  const port = await free();
  const ports = [await free(), await free()];
  const start = (i) => replica("--port", String(ports[i]), "--parallel", "4");
  const replicas = [await start(0), await start(1)];
  const env = { ...process.env, NIBBLE_BIND: `127.0.0.1:${port}`, NIBBLE_A: `127.0.0.1:${ports[0]}`,
    NIBBLE_B: `127.0.0.1:${ports[1]}`, NIBBLE_SOCKET: join(folder, "admin.sock") };
  execFileSync(haproxy, ["-c", "-q", "-f", file], { env, stdio: "inherit" });
  const proxy = spawn(haproxy, ["-db", "-q", "-f", file], { env, stdio: "inherit" });
  after(() => proxy.kill("SIGKILL"));
  const base = `http://127.0.0.1:${port}`;
  const alive = () => fetch(`${base}/health`).then(({ ok }) => ok, () => false);
  while (!await alive()) await later(50);

  let done = false;
  const load = autocannon({
    url: `${base}/v1/completions`, method: "POST", connections: 6, duration: 9, timeout: 60,
    headers: { ...authorization, "content-type": "application/json" },
    body: JSON.stringify({ prompt: "Once upon a time", max_tokens: 48, ignore_eos: true }),
  }).then((result) => {
    done = true;
    return result;
  });
  // Streams beside it: each has to come to its end.
  const streams = (async () => {
    let whole = 0;
    while (!done) {
      const response = await fetch(`${base}/v1/completions`, {
        method: "POST", headers: { ...authorization, "content-type": "application/json" },
        body: JSON.stringify({ prompt: "A cat", max_tokens: 150, ignore_eos: true, stream: true }),
      });
      assert.equal(response.status, 200);
      assert.match(await response.text(), /data: \[DONE\]\n\n$/);
      ++whole;
    }
    return whole;
  })();

  await later(1500);
  assert.equal(await replicas[0].stop(), 0);  // SIGTERM, in the middle of its answers
  await later(500);
  replicas[0] = await start(0);
  await later(2500);  // it is taken in again
  assert.equal(await replicas[1].stop(), 0);
  await later(500);
  replicas[1] = await start(1);

  const result = await load;
  assert.ok(await streams > 0);
  console.log(`${result["2xx"]} requests while both replicas were replaced, ` +
    `${result.non2xx + result.errors + result.timeouts} failed`);
  assert.ok(result["2xx"] > 20);
  assert.equal(result.non2xx + result.errors + result.timeouts, 0, JSON.stringify(result.statusCodeStats));
  for (const one of replicas) assert.equal(await one.stop(), 0);
});
