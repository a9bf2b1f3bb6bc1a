// Quantizes MODEL to every type and compares what @huggingface/gguf reads in each file with what
// `nibble inspect` says. node read.mjs NIBBLE MODEL, in the folder where the package is installed.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { statSync, unlinkSync } from "node:fs";
import { gguf, GGMLQuantizationType } from "@huggingface/gguf";

const [nibble, model] = process.argv.slice(2);
const run = (...args) =>
  execFileSync(nibble, args, { encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "ignore"] });

// Whole numbers of 64 bits come as BigInt.
const plain = (value) =>
  Array.isArray(value) ? value.map(plain) : typeof value === "bigint" ? Number(value) : value;

async function compare(path) {
  const theirs = await gguf(path, { allowLocalFile: true });
  const ours = JSON.parse(run("inspect", "--json", path));
  const { version, tensor_count, kv_count, ...metadata } = theirs.metadata;
  assert.equal(version, ours.version);
  assert.equal(Number(kv_count), Object.keys(ours.metadata).length);
  assert.equal(Number(tensor_count), ours.tensors.length);
  for (const [key, { value }] of Object.entries(ours.metadata)) {
    assert.deepEqual(plain(metadata[key]), value, key);
  }
  let end = Number(theirs.tensorDataOffset);
  ours.tensors.forEach((tensor, i) => {
    const their = theirs.tensorInfos[i];
    assert.equal(their.name, tensor.name);
    assert.deepEqual(their.shape.map(Number), tensor.shape, tensor.name);
    assert.equal(GGMLQuantizationType[their.dtype], tensor.type, tensor.name);
    const offset = Number(theirs.tensorDataOffset + their.offset);
    assert.equal(offset, tensor.offset, tensor.name);
    assert.ok(offset >= end, `${tensor.name} overlaps the tensor before it`);
    end = offset + tensor.bytes;
  });
  assert.ok(end <= statSync(path).size);
  return ours.tensors.length;
}

// The list of types is in the message that refuses another.
const refused = spawnSync(nibble, ["quantize", model, "out.gguf", "nothing"], { encoding: "utf8" });
const types = refused.stderr.match(/known: (.*)/)[1].split(", ");
assert.ok(types.length >= 18, refused.stderr);
run("quantize", model, "F32.gguf", "F32");
for (const type of types) {
  const path = `${type}.gguf`;
  if (type !== "F32") run("quantize", "F32.gguf", path, type);
  console.log(`${type}: ${await compare(path)} tensors, the same to both`);
  if (type !== "F32") unlinkSync(path);
}
unlinkSync("F32.gguf");
