// Markdown to elements. What a model or a user writes becomes text nodes and a fixed set of
// elements; links go to http, https and mailto alone, and images are shown as links.
//
// blocks() cuts a text, render() makes one block's element; a text that grows keeps all blocks but
// the last ones, so the page replaces little (view.js).
import { el, icon } from "./dom.js";

const fence = /^( {0,3})(`{3,}|~{3,})\s*([^`\s]*)[^`]*$/;
const heading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const rule = /^ {0,3}([-*_])\s*(?:\1\s*){2,}$/;
const quote = /^ {0,3}> ?/;
const item = /^( *)([-*+]|\d{1,9}[.)])(?:\s+|$)/;
const tableRule = /^ *\|? *:?-+:? *(\| *:?-+:? *)*\|? *$/;
const blank = /^\s*$/;
const deepest = 12;
const longest = 20_000;  // of a paragraph with spans in it

// [{ kind, raw, ... }]; two blocks with the same raw text look the same.
export function blocks(text) {
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  const out = [];
  let at = 0;
  const add = (kind, end, more) => {
    out.push({ kind, raw: lines.slice(at, end).join("\n"), ...more });
    at = end;
  };
  while (at < lines.length) {
    const line = lines[at];
    let match;
    if (blank.test(line)) {
      ++at;
    } else if ((match = line.match(fence))) {
      const [, , mark, language] = match;
      let end = at + 1;
      while (end < lines.length && !closes(lines[end], mark)) ++end;
      const code = lines.slice(at + 1, end).join("\n");
      add("code", Math.min(end + 1, lines.length), { code, language });
    } else if ((match = line.match(heading))) {
      add("heading", at + 1, { level: match[1].length, text: match[2] });
    } else if (rule.test(line)) {
      add("rule", at + 1);
    } else if (quote.test(line)) {
      let end = at;
      while (end < lines.length && quote.test(lines[end])) ++end;
      add("quote", end, { text: lines.slice(at, end).map((l) => l.replace(quote, "")).join("\n") });
    } else if (item.test(line)) {
      add("list", listEnd(lines, at));
    } else if (line.includes("|") && at + 1 < lines.length && tableRule.test(lines[at + 1])) {
      let end = at + 2;
      while (end < lines.length && lines[end].includes("|")) ++end;
      add("table", end);
    } else {
      let end = at + 1;
      while (end < lines.length && !startsBlock(lines[end])) ++end;
      add("paragraph", end, { text: lines.slice(at, end).join("\n") });
    }
  }
  return out;
}

function closes(line, mark) {
  const text = line.trim();
  return text.length >= mark.length && text === mark[0].repeat(text.length);
}

function startsBlock(line) {
  return blank.test(line) || fence.test(line) || heading.test(line) || rule.test(line) ||
    quote.test(line) || item.test(line);
}

function listEnd(lines, from) {
  let end = from + 1;
  while (end < lines.length) {
    const inside = /^(\s{2,}|\t)\S/.test(lines[end]) || item.test(lines[end]);
    if (blank.test(lines[end])) {
      const next = lines[end + 1] ?? "";
      if (!/^(\s{2,}|\t)\S/.test(next) && !item.test(next)) break;
    } else if (!inside && startsBlock(lines[end])) {
      break;
    }
    ++end;
  }
  return end;
}

export function render(block, depth = 0) {
  switch (block.kind) {
    case "code": return codeBlock(block);
    case "heading": return el(`h${Math.min(block.level + 1, 6)}`, {}, ...inline(block.text));
    case "rule": return el("hr");
    case "quote": return el("blockquote", {}, ...all(block.text, depth + 1));
    case "list": return list(block.raw, depth);
    case "table": return table(block.raw);
    default: return el("p", {}, ...inline(block.text));
  }
}

function all(text, depth) {
  if (depth > deepest) return [text];
  return blocks(text).map((block) => render(block, depth));
}

function codeBlock({ code, language }) {
  const copy = el("button.quiet", { type: "button" }, icon("copy"), "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code);
    copy.lastChild.data = "Copied";
    setTimeout(() => { copy.lastChild.data = "Copy"; }, 1500);
  });
  return el("div.code", {},
    el("div.code-head", {}, el("span", {}, language || "text"), copy),
    el("pre", { tabindex: 0 }, el("code", {}, code)));
}

function list(raw, depth) {
  const lines = raw.split("\n");
  const [, indent, mark] = lines[0].match(item);
  const items = [];
  for (const line of lines) {
    const match = line.match(item);
    if (match && match[1].length <= indent.length + 1) {
      items.push([line.slice(match[0].length)]);
    } else {
      items.at(-1).push(line.replace(/^(\t| {1,4})/, ""));
    }
  }
  const ordered = /\d/.test(mark);
  const loose = items.some((one) => one.slice(0, -1).some((line) => blank.test(line)));
  const made = items.map((one) => {
    const children = all(one.join("\n").trimEnd(), depth + 1).flatMap((child) =>
      !loose && child.tagName === "P" ? [...child.childNodes] : [child]);
    return el("li", {}, ...task(children));
  });
  return el(ordered ? "ol" : "ul", ordered ? { start: parseInt(mark, 10) } : {}, ...made);
}

// "[x] done"
function task(children) {
  const first = children[0];
  const match = first?.nodeType === Node.TEXT_NODE && first.data.match(/^\[([ xX])\] /);
  if (!match) return children;
  first.data = first.data.slice(4);
  const box = el("input", { type: "checkbox", disabled: true, checked: match[1] !== " " });
  return [box, ...children];
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) =>
    cell.trim().replaceAll("\\|", "|"));
}

function table(raw) {
  const [head, rules, ...rows] = raw.split("\n");
  const sides = cells(rules).map((cell) => {
    if (/^:.*:$/.test(cell)) return "center";
    return cell.endsWith(":") ? "right" : "left";
  });
  const row = (tag, line) => el("tr", {}, ...cells(line).slice(0, 64).map((cell, i) =>
    el(`${tag}.${sides[i] ?? "left"}`, {}, ...inline(cell))));
  return el("div.table", { tabindex: 0 }, el("table", {},
    el("thead", {}, row("th", head)), el("tbody", {}, ...rows.map((line) => row("td", line)))));
}

// One alternative a kind of span; the first that matches at the leftmost place counts.
const span = new RegExp([
  "\\\\([!-/:-@\\[-`{-~])", // 1: escaped
  "(`+)([^`]|[^`][\\s\\S]{0,2000}?[^`])\\2(?!`)", // 2, 3: code
  "(!?)\\[([^\\[\\]\\n]{0,500})\\]\\(<?([^\\s()<>]{1,2000}(?:\\([^\\s()<>]*\\))?[^\\s()<>]*)>?(?:\\s+\"[^\"\\n]*\")?\\)", // 4-6
  "(https?:\\/\\/[^\\s<>\"'`]{1,2000})", // 7: address
  "\\*\\*(\\S|\\S[^\\n]{0,2000}?\\S)\\*\\*(?!\\*)", // 8: strong
  "__(\\S|\\S[^\\n]{0,2000}?\\S)__(?!\\w)", // 9
  "\\*(?=[^\\s*])((?:[^*\\n]|\\*\\*){0,1000}?[^\\s*])\\*(?!\\*)", // 10: emphasis
  "(?<!\\w)_(?=[^\\s_])([^_\\n]{0,1000}?[^\\s_])_(?!\\w)", // 11
  "~~(\\S|\\S[^\\n]{0,2000}?\\S)~~", // 12
  "( {2,}|\\\\)?\\n", // 13: line
].join("|"), "g");

function inline(text, depth = 0) {
  if (depth > deepest || text.length > longest) return [text];
  const out = [];
  let at = 0;
  for (const match of text.matchAll(span)) {
    if (match.index > at) out.push(text.slice(at, match.index));
    at = match.index + match[0].length;
    const [, escaped, , code, , label, target, address, strong, strong2, em, em2, gone] = match;
    if (escaped) out.push(escaped);
    else if (code) out.push(el("code", {}, code.replace(/^ (.*) $/s, "$1")));
    else if (target) out.push(link(target, inline(label || target, depth + 1)));
    else if (address) {
      const tail = address.match(/[).,;:!?*_]+$/)?.[0] ?? "";
      const clean = address.slice(0, address.length - tail.length);
      out.push(link(clean, [clean]), tail);
    } else if (strong || strong2) out.push(el("strong", {}, ...inline(strong ?? strong2, depth + 1)));
    else if (em || em2) out.push(el("em", {}, ...inline(em ?? em2, depth + 1)));
    else if (gone) out.push(el("s", {}, ...inline(gone, depth + 1)));
    else out.push(el("br"));
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

function link(target, children) {
  let url;
  try {
    url = new URL(target);
  } catch {
    return el("span", {}, ...children);
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return el("span", {}, ...children);
  return el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, ...children);
}
