// The few things every part does to the document. Text is only ever set as text: nothing that the
// server sends is read as markup.

/** The element with this id; the markup has it. */
export function byId(id) {
  return document.getElementById(id);
}

/** Makes an HTML element with attributes and children (nodes or strings). */
export function element(name, attributes = {}, ...children) {
  return build(document.createElement(name), attributes, children);
}

/** Makes an SVG element with attributes and children. */
export function svg(name, attributes = {}, ...children) {
  return build(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

/** Sets the text if it differs, so that selections and screen readers are left in peace. */
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/** Sets an attribute if it differs; `null` takes it away. */
export function setAttribute(node, name, value) {
  if (value === null) {
    node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

/** Places a node across its parent: `from` and `to` are fractions of the width. */
export function place(node, from, to = from) {
  node.style.setProperty("--from", String(from));
  node.style.setProperty("--to", String(to));
}

/**
 * Makes the children of `parent` match `items` in order, keeping the node of each key: what a person
 * has focused or selected stays. `create(item)` makes a node, `update(node, item)` fills it.
 */
export function keyed(parent, items, key, create, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let node = old.get(name);
    if (node) {
      old.delete(name);
    } else {
      node = create(item);
      node.dataset.key = name;
    }
    if (node === place) {
      place = place.nextElementSibling;
    } else {
      parent.insertBefore(node, place);
    }
    update(node, item);
  }
  old.forEach((node) => node.remove());
}

/**
 * Fills a sentence such as `{amount} behind UTC`: each place becomes the node or string given for
 * it. Rewrites only when a text changed.
 */
export function setSentence(node, template, places) {
  const children = template
    .split(/\{(\w+)\}/)
    .map((part, i) => (i % 2 === 0 ? part : places[part]));
  const text = children.map((child) => child.textContent ?? child).join("");
  if (node.textContent !== text) {
    node.replaceChildren(...children);
  }
}

const SHAPES = {
  good: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2Z",
  fair: "M8 1.5 14.5 8 8 14.5 1.5 8Z",
  warning: "M8 1.5 15 14H1Z",
  bad: "M2 4.5 4.5 2 8 5.5 11.5 2 14 4.5 10.5 8 14 11.5 11.5 14 8 10.5 4.5 14 2 11.5 5.5 8Z",
  idle: "M8 2a6 6 0 1 0 0 12A6 6 0 1 0 8 2ZM8 4.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 1 1 0-7Z",
  star: "M8 1l2.1 4.6 5 .6-3.7 3.4 1 4.9L8 12.1l-4.4 2.4 1-4.9L.9 6.2l5-.6Z",
};

/** A word with a shape before it: state is never told by colour alone. */
export function badge() {
  const shape = svg(
    "svg",
    { viewBox: "0 0 16 16", class: "shape", "aria-hidden": "true" },
    svg("path", { "fill-rule": "evenodd" }),
  );
  return element("span", { class: "badge" }, shape, element("span", { class: "word" }));
}

/** Gives a badge its tone (a key of the shapes), shape and word. */
export function setBadge(node, tone, word, shape = tone) {
  setAttribute(node, "data-tone", tone);
  setAttribute(node.querySelector("path"), "d", SHAPES[shape]);
  setText(node.querySelector(".word"), word);
}

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}
