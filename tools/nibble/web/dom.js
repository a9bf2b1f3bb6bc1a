// Elements by hand: text goes in as text, never as HTML. (The page's policy forbids the rest.)

// el("a.link", { href }, "text", child ...)
export function el(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export const byId = (id) => document.getElementById(id);

// Outlines of 24 x 24.
const shapes = {
  plus: "M12 5v14M5 12h14",
  menu: "M4 7h16M4 12h16M4 17h10",
  sliders: "M4 8h9M17 8h3M4 16h3M11 16h9M15 6v4M9 14v4",
  close: "M6 6l12 12M18 6L6 18",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  stop: "M7 7h10v10H7z",
  clip: "M19 11.500l-7.5 7.500a4.5 4.5 0 0 1-6.4-6.400L13 4.700a3 3 0 0 1 4.3 4.300l-7.8 7.800a1.5 1.5 0 0 1-2.2-2.100L14 8",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  theme: "M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8z",
  copy: "M9 9h10v11H9zM5 15V4h10",
  retry: "M20 11a8 8 0 1 0-2.3 6.300M20 5v6h-6",
  edit: "M5 19l1-4L16 5l3 3L9 18z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  check: "M5 13l4 4L19 7",
  cloud: "M7 18a4 4 0 0 1-.5-8 6 6 0 0 1 11.400 1.300A3.500 3.500 0 0 1 17.500 18M12 11v8M9 16.500l3 3 3-3",
};

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", shapes[name]);
  svg.append(path);
  return svg;
}

export function iconButton(name, label, onclick) {
  return el("button.icon", { type: "button", "aria-label": label, title: label, onclick }, icon(name));
}
