// A hub on this machine, as Hugging Face's: a list of files, and their parts. It has the story model
// as hf:a/b/m-Q4_0.gguf.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

export const bytes = readFileSync(process.env.MODEL);
export const sha256 = createHash("sha256").update(bytes).digest("hex");
const later = (ms) => new Promise((done) => setTimeout(done, ms));

// Servers that are started behind this ask it, and keep what they get in a store of their own.
// { pace }: ms before each 64 KiB, as it is at the time.
export async function hub() {
  const self = { pace: 0 };
  const server = createServer(async (request, response) => {
    if (request.url.startsWith("/api/models/a/b")) {
      const file = { rfilename: "m-Q4_0.gguf", size: bytes.length, lfs: { sha256, size: bytes.length } };
      response.end(JSON.stringify({ sha: "c0ffee", siblings: [file] }));
    } else if (request.url === "/a/b/resolve/c0ffee/m-Q4_0.gguf") {
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range);
      const end = Math.min(Number(to) + 1, bytes.length);
      response.writeHead(206, {
        ETag: '"1"', "Content-Type": "application/octet-stream",
        "Content-Range": `bytes ${from}-${end - 1}/${bytes.length}`,
      });
      for (let at = Number(from); at < end && !response.destroyed; at += 65536) {
        if (self.pace) await later(self.pace);
        response.write(bytes.subarray(at, Math.min(at + 65536, end)));
      }
      response.end();
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const home = mkdtempSync(join(tmpdir(), "nibble-pull-"));
  after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(home, { recursive: true });
  });
  process.env.HF_ENDPOINT = `http://127.0.0.1:${server.address().port}`;
  process.env.NIBBLE_HOME = home;
  return self;
}
