// SPDX-License-Identifier: Apache-2.0
// Small helpers over the DOM. Nothing here or elsewhere turns text into HTML.

const byId = (id) => document.getElementById(id);

/** An element with properties (`class`, `onclick`, `aria-label`, ...) and children, nodes or text. */
function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

function svgEl(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function icon(name) {
  const svg = svgEl("svg", { class: "icon", "aria-hidden": "true" });
  svg.append(svgEl("use", { href: `#i-${name}` }));
  return svg;
}

function iconButton(name, label, onclick) {
  return el("button", { class: "icon-button", type: "button", "aria-label": label, title: label, onclick }, icon(name));
}

/** Says it to screen readers. */
function announce(text) {
  byId("announce").textContent = text;
}

/** Copies text; pages without a secure origin have no clipboard API. */
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = el("textarea", { class: "sr-only" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function copyButton(textOf) {
  const button = iconButton("copy", "Copy", async () => {
    await copyText(textOf());
    button.replaceChildren(icon("check"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1200);
  });
  return button;
}
