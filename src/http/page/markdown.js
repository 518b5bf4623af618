// SPDX-License-Identifier: Apache-2.0
// Markdown as models write it, built of DOM nodes: whatever the text holds, it can only become text. Links lead to http
// and https alone.

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const MAX_DEPTH = 8;

// In this order: code before what it may hold, strong before emphasis.
const INLINE = [
  { pattern: /(`+)(.+?)\1/s, make: (m) => el("code", {}, m[2].replace(/^ (.*) $/, "$1")) },
  { pattern: /\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/, make: (m, depth) => link(m[2], ...inline(m[1], depth)) },
  { pattern: /\*\*(?=\S)(.+?)(?<=\S)\*\*/s, make: (m, depth) => el("strong", {}, ...inline(m[1], depth)) },
  { pattern: /__(?=\S)(.+?)(?<=\S)__/s, make: (m, depth) => el("strong", {}, ...inline(m[1], depth)) },
  { pattern: /(?<![*\w])\*(?=[^\s*])(.+?)(?<=[^\s*])\*(?![*\w])/s, make: (m, depth) => el("em", {}, ...inline(m[1], depth)) },
  { pattern: /(?<![_\w])_(?=[^\s_])(.+?)(?<=[^\s_])_(?![_\w])/s, make: (m, depth) => el("em", {}, ...inline(m[1], depth)) },
  { pattern: /~~(?=\S)(.+?)(?<=\S)~~/s, make: (m, depth) => el("s", {}, ...inline(m[1], depth)) },
  { pattern: /https?:\/\/[^\s<>"')\]]*[^\s<>"')\].,:;!?]/, make: (m) => link(m[0], m[0]) },
];

function link(href, ...children) {
  return el("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}

/** Nodes of a line's text: the earliest match becomes an element, the rest is looked through again. */
function inline(text, depth = 0) {
  if (depth > MAX_DEPTH) return [text];
  const nodes = [];
  while (text) {
    let first = null;
    for (const { pattern, make } of INLINE) {
      const match = pattern.exec(text);
      if (match && (!first || match.index < first.match.index)) first = { match, make };
    }
    if (!first) break;
    if (first.match.index > 0) nodes.push(text.slice(0, first.match.index));
    nodes.push(first.make(first.match, depth + 1));
    text = text.slice(first.match.index + first.match[0].length);
  }
  if (text) nodes.push(text);
  return nodes;
}

function codeBlock(code, language) {
  const head = el("div", { class: "code-head" }, el("span", {}, language || "text"), copyButton(() => code));
  return el("div", { class: "code" }, head, el("pre", { tabindex: "0" }, el("code", {}, code)));
}

/** Reads the fence that opens at lines[i]; one that is still being written goes to the end. */
function readFence(lines, i, fence) {
  const body = [];
  const isEnd = (line) => line.trim().startsWith(fence[1]) && /^(`+|~+)$/.test(line.trim());
  for (i++; i < lines.length && !isEnd(lines[i]); i++) body.push(lines[i]);
  return { node: codeBlock(body.join("\n"), fence[2]), next: i + 1 };
}

function readQuote(lines, i, depth) {
  const body = [];
  for (; i < lines.length && QUOTE.test(lines[i]); i++) body.push(lines[i].replace(QUOTE, ""));
  return { node: el("blockquote", {}, ...blocks(body, depth + 1)), next: i };
}

/** A list: items at the first one's indentation; what is deeper belongs to the item before it. */
function readList(lines, i, depth) {
  const [, indent, marker] = ITEM.exec(lines[i]);
  const isOrdered = /\d/.test(marker);
  const items = [];
  while (i < lines.length) {
    const match = ITEM.exec(lines[i]);
    const isMine = match && match[1].length <= indent.length + 1 && /\d/.test(match[2]) === isOrdered;
    if (isMine) {
      items.push([match[3]]);
    } else if (/^\s{2,}\S/.test(lines[i]) || (lines[i].trim() === "" && /^\s{2,}\S/.test(lines[i + 1] ?? ""))) {
      items.at(-1).push(lines[i].slice(Math.min(indent.length + 2, lines[i].search(/\S|$/))));
    } else if (lines[i].trim() === "" && ITEM.test(lines[i + 1] ?? "")) {
      // A blank line between items.
    } else {
      break;
    }
    i++;
  }
  const list = el(isOrdered ? "ol" : "ul", isOrdered && parseInt(marker) !== 1 ? { start: parseInt(marker) } : {});
  for (const item of items) {
    const [first, ...rest] = item;
    list.append(el("li", {}, ...inline(first), ...blocks(rest, depth + 1)));
  }
  return { node: list, next: i };
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

function readTable(lines, i) {
  const row = (tag, line) => el("tr", {}, ...cells(line).map((cell) => el(tag, {}, ...inline(cell))));
  const head = el("thead", {}, row("th", lines[i]));
  const body = el("tbody");
  for (i += 2; i < lines.length && lines[i].includes("|"); i++) body.append(row("td", lines[i]));
  return { node: el("table", {}, head, body), next: i };
}

const startsBlock = (line) => FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);

function readParagraph(lines, i) {
  const body = [lines[i]];
  for (i++; i < lines.length && lines[i].trim() && !startsBlock(lines[i]); i++) body.push(lines[i]);
  const paragraph = el("p");
  body.forEach((line, n) => paragraph.append(...(n ? [el("br")] : []), ...inline(line.trim())));
  return { node: paragraph, next: i };
}

function readBlock(lines, i, depth) {
  const fence = FENCE.exec(lines[i]);
  if (fence) return readFence(lines, i, fence);
  const heading = HEADING.exec(lines[i]);
  if (heading) {
    const level = Math.min(5, heading[1].length + 2);
    return { node: el(`h${level}`, {}, ...inline(heading[2])), next: i + 1 };
  }
  if (RULE.test(lines[i])) return { node: el("hr"), next: i + 1 };
  if (QUOTE.test(lines[i]) && depth < MAX_DEPTH) return readQuote(lines, i, depth);
  if (ITEM.test(lines[i]) && depth < MAX_DEPTH) return readList(lines, i, depth);
  if (lines[i].includes("|") && TABLE_RULE.test(lines[i + 1] ?? "") && lines[i + 1].includes("-")) return readTable(lines, i);
  return readParagraph(lines, i);
}

function blocks(lines, depth = 0) {
  const nodes = [];
  for (let i = 0; i < lines.length; ) {
    if (!lines[i].trim()) {
      i++;
      continue;
    }
    const { node, next } = readBlock(lines, i, depth);
    nodes.push(node);
    i = next;
  }
  return nodes;
}

/** The nodes of a text. */
function renderMarkdown(text) {
  return blocks(text.replace(/\r\n?/g, "\n").split("\n"));
}
