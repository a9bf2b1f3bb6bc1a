// Ollama's own client lets `nibble serve` download a model from a hub on this machine, and uses it.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Ollama } from "ollama";
import { authorization, collect, serve } from "./server.mjs";
import { conforms } from "./types.mjs";

const bytes = readFileSync(process.env.MODEL);
const sha256 = createHash("sha256").update(bytes).digest("hex");
const home = mkdtempSync(join(tmpdir(), "nibble-pull-"));
after(() => rmSync(home, { recursive: true }));

// As Hugging Face's: a list of files, and their parts.
const hub = createServer((request, response) => {
  if (request.url.startsWith("/api/models/a/b")) {
    const file = { rfilename: "m-Q4_0.gguf", size: bytes.length, lfs: { sha256, size: bytes.length } };
    response.end(JSON.stringify({ sha: "c0ffee", siblings: [file] }));
  } else if (request.url === "/a/b/resolve/c0ffee/m-Q4_0.gguf") {
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range);
    const last = Math.min(Number(to), bytes.length - 1);
    response.writeHead(206, {
      ETag: '"1"', "Content-Type": "application/octet-stream",
      "Content-Range": `bytes ${from}-${last}/${bytes.length}`,
    });
    response.end(bytes.subarray(Number(from), last + 1));
  } else {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => hub.listen(0, "127.0.0.1", resolve));
after(() => hub.close());
process.env.HF_ENDPOINT = `http://127.0.0.1:${hub.address().port}`;
process.env.NIBBLE_HOME = home;
const client = new Ollama({ host: await serve("--store"), headers: authorization });

test("pull, list, use", async () => {
  await assert.rejects(client.pull({ model: "hf:a/none" }), /a\/none/);
  const parts = await collect(await client.pull({ model: "hf:a/b:Q4_0", stream: true }));
  assert.equal(parts.at(-1).status, "success");
  const told = parts.filter(({ digest }) => digest);
  for (const part of told) conforms("OllamaProgress", part);
  assert.deepEqual([told.at(-1).digest, told.at(-1).completed], [`sha256:${sha256}`, bytes.length]);
  assert.equal((await client.pull({ model: "hf:a/b:Q4_0" })).status, "success");
  const listed = await client.list();
  conforms("OllamaList", listed);
  const model = "hf:a/b/m-Q4_0.gguf";
  assert.ok(listed.models.some(({ name }) => name === model));
  const answer = await client.generate({ model, prompt: "Once", options: { num_predict: 4 } });
  conforms("OllamaText", answer);
  assert.equal(answer.eval_count, 4);
});
