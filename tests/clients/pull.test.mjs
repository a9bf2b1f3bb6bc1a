// Ollama's own client lets `nibble serve` download a model from a hub on this machine, and uses it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Ollama } from "ollama";
import { bytes, hub, sha256 } from "./hub.mjs";
import { authorization, collect, serve } from "./server.mjs";
import { conforms } from "./types.mjs";

await hub();
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
