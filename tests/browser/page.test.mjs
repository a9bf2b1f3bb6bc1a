// The chat page in headless Chromium, against `nibble serve` with the story model: a conversation
// as a person has it, and what a hostile model could say.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { chromium } from "playwright-core";
import { hub } from "./hub.mjs";
import { key, serve } from "./server.mjs";

const base = await serve("--parallel", "2");
const far = await hub();
const store = await serve("--store");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
after(() => browser.close());

// A page of its own, whose errors and refused contents fail the test.
async function open({ width = 1200, height = 800, colorScheme = "light", hasKey = true, mobile = false, at = base } = {}) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme, acceptDownloads: true, hasTouch: mobile,
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const page = await context.newPage();
  const troubles = [];
  page.on("pageerror", (error) => troubles.push(error.message));
  page.on("console", (message) => {
    const expected = /status of (401|400|404|429)/.test(message.text());
    if (message.type() === "error" && !expected) troubles.push(message.text());
  });
  page.on("request", (request) => {
    const own = request.url().startsWith(at) || /^(blob|data):/.test(request.url());
    if (!own) troubles.push(`asked for ${request.url()}`);
  });
  if (hasKey) await page.addInitScript((value) => localStorage.setItem("nibble.key", value), key);
  await page.goto(at);
  if (hasKey) await page.locator("#model option").first().waitFor({ state: "attached" });
  return { page, async end() {
    await context.close();
    assert.deepEqual(troubles, []);
  } };
}

async function say(page, text) {
  await page.fill("#prompt", text);
  await page.press("#prompt", "Enter");
}
async function answered(page) {
  await page.locator("#stop").waitFor({ state: "hidden" });
}
const answers = (page) => page.locator(".message.answer .text").allInnerTexts();
async function set(page, fields) {
  if (!await page.isVisible("#settings")) await page.click("#toggle-settings");
  for (const [name, value] of Object.entries(fields)) await page.fill(`#${name}`, value);
  await page.click("#close-settings");
}

test("a conversation: ask, answer, retry, edit, reload, export, delete", async () => {
  const { page, end } = await open();
  await set(page, { max_tokens: "40", seed: "7", system: "Tell stories." });
  await say(page, "Once upon a time");
  await answered(page);
  const [first] = await answers(page);
  assert.ok(first.length > 20, first);
  assert.match(await page.locator(".answer .stats").innerText(), /tokens\/s · 40 tokens · .* cut/);
  assert.ok(Number(await page.getAttribute("#context", "aria-valuenow")) > 0);
  assert.equal(await page.locator("#spoken").innerText(), first);

  // The same seed answers the same; another one does not.
  await page.click(".answer >> button[aria-label='Answer again']");
  await answered(page);
  assert.deepEqual(await answers(page), [first]);
  await set(page, { seed: "8" });
  await page.click(".answer >> button[aria-label='Answer again']");
  await answered(page);
  const [second] = await answers(page);
  assert.notEqual(second, first);

  await say(page, "And then?");
  await answered(page);
  assert.equal((await answers(page)).length, 2);

  // The first question, edited: what followed it is gone.
  await page.hover(".message.user >> nth=0");
  await page.click(".message.user >> nth=0 >> button[aria-label='Edit']");
  await page.fill(".editor textarea", "A little dog");
  await page.click(".editor >> text=Send");
  await answered(page);
  assert.deepEqual(await page.locator(".message.user .text").allInnerTexts(), ["A little dog"]);
  const [edited] = await answers(page);

  await page.reload();
  await page.locator("#model option").first().waitFor({ state: "attached" });
  assert.deepEqual(await answers(page), [edited]);
  assert.equal(await page.inputValue("#seed"), "8");

  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
  assert.equal(download.suggestedFilename(), "A little dog.md");

  // A second conversation beside it, and the way back.
  await page.keyboard.press("Control+Shift+O");
  assert.equal(await page.locator(".message").count(), 0);
  await say(page, "The cat");
  await answered(page);
  assert.equal(await page.locator("#conversations li").count(), 2);
  await page.click("#conversations >> text=A little dog");
  assert.deepEqual(await answers(page), [edited]);
  page.on("dialog", (dialog) => dialog.accept());
  await page.hover("#conversations li:has-text('A little dog')");
  await page.click("#conversations button[aria-label='Delete A little dog']");
  assert.equal(await page.locator("#conversations li").count(), 1);
  await end();
});

test("stop keeps what was said, by key and by button", async () => {
  const { page, end } = await open();
  // A story that does not end by itself.
  await page.route("**/v1/chat/completions", (route) => route.continue({
    postData: JSON.stringify({ ...route.request().postDataJSON(), ignore_eos: true }),
  }));
  for (const by of [() => page.keyboard.press("Escape"), () => page.click("#stop")]) {
    await page.keyboard.press("Control+Shift+O");
    await set(page, { max_tokens: "980" });
    await say(page, "Once upon a time");
    await page.waitForFunction(() =>
      document.querySelector(".message.answer .text")?.textContent.length > 10);
    await by();
    await answered(page);
    assert.match(await page.locator(".answer .stats").innerText(), /stopped/);
    assert.ok((await answers(page))[0].length > 10);
  }
  await end();
});

test("a file goes along", async () => {
  const { page, end } = await open();
  await set(page, { max_tokens: "4" });
  await page.setInputFiles("#file", { name: "notes.txt", mimeType: "text/plain",
    buffer: Buffer.from("The cat is called Tom.") });
  const asked = page.waitForRequest("**/v1/chat/completions");
  await say(page, "Who is the cat?");
  const { messages } = (await asked).postDataJSON();
  assert.equal(messages[0].content, "notes.txt:\n```\nThe cat is called Tom.\n```\n\nWho is the cat?");
  await answered(page);
  assert.match(await page.locator(".files li").innerText(), /notes\.txt · 22/);
  await page.setInputFiles("#file", { name: "a.bin", mimeType: "application/octet-stream",
    buffer: Buffer.from([1, 0, 2]) });
  await page.locator("#notice", { hasText: "a.bin is not a text file" }).waitFor();
  await end();
});

test("a key is asked for, and a wrong one again", async () => {
  const { page, end } = await open({ hasKey: false });
  await page.fill("#key", "wrong");
  await page.keyboard.press("Enter");
  await page.locator("#key").waitFor();
  await page.fill("#key", key);
  await page.keyboard.press("Enter");
  await page.locator("#model option").first().waitFor({ state: "attached" });
  assert.ok(!await page.isVisible("#notice"));
  await end();
});

test("an error of the server is shown where the answer would be", async () => {
  const { page, end } = await open();
  await say(page, "a cat ".repeat(3000));
  await answered(page);
  assert.match(await page.locator(".answer .error").innerText(), /the context holds 1024/);
  await end();
});

const rich = `<think>They want to see everything.</think>
# A heading with \`code\`

A paragraph with **strong**, *emphasis*, ~~gone~~, a [link](https://example.org/a_(b)) and
https://example.org/x. Second line.

1. one
2. two
   - inner **a**
   - inner b
3. three

> A quote
> of two lines

| left | right |
|:-----|------:|
| a | 1 |
| b \\| c | 22 |

\`\`\`cpp
int main() { return a < b && c > d; }  // <script>
\`\`\`

- [x] done
- [ ] open

---
The end.`;

const hostile = `<script>window.pwned = 1</script><img src=x onerror="window.pwned = 2">
<svg onload="window.pwned = 3"></svg> <iframe src="javascript:window.pwned=4"></iframe>

[click](javascript:window.pwned=5) [data](data:text/html,<script>window.pwned=6</script>)
![image](https://evil.example/leak.png) [x](JaVaScRiPt:alert(1)) <a href="javascript:1">a</a>

\`\`\`"><script>window.pwned = 7</script>
</code></pre><script>window.pwned = 8</script>
\`\`\`

| <b>a</b> | <style>*{display:none}</style> |
|---|---|
| <script>window.pwned = 9</script> | \${1+1} {{7*7}} |

# <img src=x onerror=window.pwned=10>

<think>x</think> \u202e \u0000 &lt;script&gt; <form action="https://evil.example"><button>go</button></form>
${"**".repeat(3000)}${"[".repeat(3000)}${"> ".repeat(300)}deep
${"  - ".repeat(60)}deep`;

// The model's side of the connection is played: these words, in pieces.
async function play(page, text) {
  await page.route("**/v1/chat/completions", (route) => {
    const chunks = text.match(/[\s\S]{1,40}/gu).map((content) =>
      ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] }));
    chunks.push({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
    chunks.push({ choices: [], usage: { completion_tokens: chunks.length, total_tokens: 300 } });
    const body = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("");
    route.fulfill({ status: 200, contentType: "text/event-stream", body: `${body}data: [DONE]\n\n` });
  });
}

test("nothing that a model or a user says is HTML", async () => {
  const { page, end } = await open();
  await play(page, hostile);
  await say(page, hostile);
  await answered(page);
  await page.reload();
  await page.locator(".answer").waitFor();
  await page.waitForTimeout(300);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  const found = await page.evaluate(() => [...document.querySelectorAll(
    "#messages :is(script, img, iframe, svg[onload], style, form, button[formaction], link, object)," +
    "#conversations :is(script, img, style), #messages [onerror]")].map(({ outerHTML }) => outerHTML));
  assert.deepEqual(found, []);
  const targets = await page.evaluate(() =>
    [...document.querySelectorAll("#messages a")].map(({ protocol }) => protocol));
  assert.ok(targets.every((protocol) => protocol === "https:"), targets.join());
  assert.match(await page.locator(".answer .text").innerText(), /<script>window\.pwned = 1<\/script>/);
  // Even a hole in the page would open nothing: the policy refuses text as HTML.
  const refused = await page.evaluate(() => {
    try {
      document.createElement("div").innerHTML = "<b>x</b>";
      return false;
    } catch {
      return true;
    }
  });
  assert.ok(refused);
  const { headers } = await fetch(base);
  assert.match(headers.get("content-security-policy"), /default-src 'none'; script-src 'self';/);
  await page.evaluate(() => {});
  await page.context().close();
});

test("Markdown becomes what it means", async () => {
  const { page, end } = await open();
  await play(page, rich);
  await say(page, "Show me everything");
  await answered(page);
  const text = page.locator(".answer .text");
  assert.equal(await text.locator("h2").innerText(), "A heading with code");
  assert.equal(await text.locator("ol > li").count(), 3);
  assert.equal(await text.locator("ol > li ul > li").count(), 2);
  assert.equal(await text.locator("td").nth(2).innerText(), "b | c");
  assert.equal(await text.locator("pre code").innerText(),
    "int main() { return a < b && c > d; }  // <script>");
  assert.deepEqual(await text.locator("a").evaluateAll((all) => all.map(({ href }) => href)),
    ["https://example.org/a_(b)", "https://example.org/x"]);
  assert.equal(await text.locator("blockquote p").innerText(), "A quote\nof two lines");
  assert.equal(await text.locator("input[type=checkbox]:checked").count(), 1);
  assert.equal(await page.locator(".answer .thought").textContent(), "They want to see everything.");
  await page.click(".code >> text=Copy");
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^int main/);
  await end();
});

const picked = (page) => page.locator("#model option:checked").innerText();

test("a model is downloaded, shown on its way, and then used", async () => {
  const { page, end } = await open({ at: store });
  await page.click("#get-model");
  // What is wrong is said, and can be put right.
  await page.fill("#get-name", "hf:a/none");
  await page.keyboard.press("Enter");
  await page.locator("#get-error", { hasText: "a/none" }).waitFor();
  await page.fill("#get-name", "just a word");
  await page.keyboard.press("Enter");
  await page.locator("#get-error", { hasText: "is no model of the hub" }).waitFor();
  assert.ok(await page.evaluate(() => document.activeElement.id === "get-name"));

  // Cancelled on its way.
  far.pace = 100;
  await page.fill("#get-name", "hf:a/b:Q4_0");
  await page.keyboard.press("Enter");
  await page.locator("#get-numbers", { hasText: /^\d.* of 2\.\d MiB/ }).waitFor();
  assert.ok(!await page.isVisible("#get-form"));
  await page.click("#get-cancel");
  await page.locator("#get-form").waitFor();
  assert.ok(!await page.isVisible("#get-running"));
  assert.ok(!await page.isVisible("#get-error"));

  // It goes on behind the page, where the button shows how far it is, and Escape stops nothing.
  await page.keyboard.press("Enter");
  await page.locator("#get-numbers", { hasText: "of 2." }).waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#get").waitFor({ state: "hidden" });
  await page.locator("#get-label", { hasText: /^\d+ %$/ }).waitFor();
  await set(page, { max_tokens: "5" });
  await say(page, "Once");
  await answered(page);
  far.pace = 0;
  await page.locator("#notice", { hasText: "hf:a/b/m-Q4_0.gguf is here" }).waitFor();
  assert.equal(await picked(page), "stories-gemma3-qat-q4_0");
  await page.click("#notice >> text=Use it");
  assert.equal(await picked(page), "hf:a/b/m-Q4_0.gguf");
  await page.keyboard.press("Control+Shift+O");
  await page.locator("#empty-text", { hasText: "hf:a/b/m-Q4_0.gguf answers on this machine" }).waitFor();
  const asked = page.waitForRequest("**/v1/chat/completions");
  await say(page, "Once");
  assert.equal((await asked).postDataJSON().model, "hf:a/b/m-Q4_0.gguf");
  await answered(page);
  assert.ok((await answers(page))[0].length > 0);

  // What is here already is chosen at once.
  await page.selectOption("#model", "stories-gemma3-qat-q4_0");
  await page.click("#get-model");
  await page.fill("#get-name", "https://huggingface.co/a/b");
  await page.keyboard.press("Enter");
  await page.locator("#get").waitFor({ state: "hidden" });
  await page.waitForFunction(() => document.title === "nibble · hf:a/b/m-Q4_0.gguf");
  assert.equal(await picked(page), "hf:a/b/m-Q4_0.gguf");
  await end();
});

test("a server that does not download says so", async () => {
  const { page, end } = await open();
  await page.click("#get-model");
  assert.match(await page.locator("#get-refused").innerText(), /start it with --store/);
  assert.ok(!await page.isVisible("#get-form"));
  await page.click("#close-get");
  assert.ok(!await page.isVisible("#get"));
  await end();
});

test("keys alone reach everything", async () => {
  const { page, end } = await open();
  await set(page, { max_tokens: "5" });
  await page.focus("#prompt");
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("two");
  await page.keyboard.press("Enter");
  await answered(page);
  assert.equal(await page.locator(".user .text").innerText(), "one\ntwo");
  await page.keyboard.press("ArrowUp");  // edits the last question
  assert.equal(await page.inputValue(".editor textarea"), "one\ntwo");
  await page.keyboard.press("Escape");
  const unnamed = await page.evaluate(() => [...document.querySelectorAll(
    "button, input:not([hidden]), textarea, select")].filter((one) =>
    !(one.getAttribute("aria-label") || one.innerText.trim() || one.labels?.length))
    .map(({ outerHTML }) => outerHTML));
  assert.deepEqual(unnamed, []);
  await end();
});

for (const [name, size] of [["phone", { width: 390, height: 844, mobile: true }], ["desktop", {}]]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`pictures: ${name}, ${colorScheme}`, async () => {
      const { page, end } = await open({ ...size, colorScheme, at: store });
      const picture = (what) =>
        page.screenshot({ path: `pictures/${name}-${colorScheme}-${what}.png` });
      await picture("empty");
      await set(page, { max_tokens: "120", seed: "7" });
      await say(page, "Once upon a time there was a little cat");
      await answered(page);
      await page.unroute("**/v1/chat/completions");
      await play(page, rich);
      await say(page, "Show me everything that you can write");
      await answered(page);
      await picture("end");
      await page.evaluate(() => { document.querySelector("#scroller").scrollTop = 150; });
      await page.waitForTimeout(100);
      await picture("chat");
      // Nothing is wider than the window.
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      if (name === "phone") await page.click("#toggle-sidebar");
      await picture("side");
      if (name === "phone") await page.keyboard.press("Escape");
      await page.click("#toggle-settings");
      await page.waitForTimeout(100);
      await picture("settings");
      await page.keyboard.press("Escape");
      await page.click("#get-model");
      await picture("get");
      await page.route("**/api/pull", (route) => route.fulfill({
        status: 200, contentType: "application/x-ndjson", body: JSON.stringify({ error: "there is no model here" }) + "\n" }));
      await page.fill("#get-name", "gemma3:1b");
      await page.keyboard.press("Enter");
      await page.locator("#get-error").waitFor();
      await picture("get-error");
      // As it would be on its way.
      await page.evaluate(() => {
        for (const id of ["get-form", "get-error"]) document.getElementById(id).hidden = true;
        document.getElementById("get-running").hidden = false;
        document.getElementById("get-what").textContent = "gemma3:1b, 957.1 MiB: running it takes " +
          "1.4 GiB; this machine's memory is 7.7 GiB, enough for contexts up to 32768 tokens";
        document.getElementById("get-bar").value = 0.37;
        document.getElementById("get-numbers").textContent = "354.1 MiB of 957.1 MiB · 24.1 MiB/s · 26 s left";
      });
      await picture("get-running");
      await end();
    });
  }
}
