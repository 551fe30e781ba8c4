/** Elements made of text and attributes alone: what a caller sent is never parsed as markup. */

const SVG = "http://www.w3.org/2000/svg";

// What turns the order of letters round or cannot be seen: a name could pass for another with it.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
export const visible = (text) => text.replace(UNSEEN, "\ufffd");

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : visible(String(value)));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child instanceof Node ? child : visible(String(child)));
  }
  return element;
}

/** An HTML element. Attributes that are null or false are left out; `onclick` and the like are listeners. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Set text only where it differs: most of a list's cells do not. */
export function setText(element, text) {
  const shown = visible(text);
  if (element.firstChild === null || element.textContent !== shown) element.textContent = shown;
}

const MARKS = {
  calling: "M2 8h8M7 5l3 3-3 3M13 3v10",
  ringing: "M8 2.5a3.5 3.5 0 0 1 3.5 3.5v3l1.5 2.5H3L4.5 9V6A3.5 3.5 0 0 1 8 2.5zM6.5 13.5h3",
  talking: "M3 6v4M6 3.5v9M9 5v6M12 2.5v11",
  transferring: "M2 5h9M8.5 2.5L11 5 8.5 7.5M14 11H5M7.5 8.5L5 11l2.5 2.5",
  answered: "M3 8.5l3.2 3.2L13 4.5",
  failed: "M4 4l8 8M12 4l-8 8",
  busy: "M4 8h8",
  other: "M8 4.5a3.5 3.5 0 1 0 .01 0z",
  in: "M2 8h8M7 5l3 3-3 3M13 3v10",
  out: "M3 3v10M6 8h8M11 5l3 3-3 3",
  internal: "M4.5 8a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0",
  link: "M6.5 9.5l3-3M7.5 4.5l1-1a2.8 2.8 0 0 1 4 4l-1 1M8.5 11.5l-1 1a2.8 2.8 0 0 1-4-4l1-1",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  away: "M6 3.5H3.5v9h9V10M9 3.5h3.5V7M12.5 3.5L7.5 8.5",
};
const ALIASES = { over: "answered", declined: "busy", refused: "failed", timeout: "failed", lost: "failed",
  cancelled: "busy", SERVER: "in", CLIENT: "out", INTERNAL: "internal", transfer: "transferring" };

/** A small drawing that says by its shape what a colour alone must not. */
export function mark(name) {
  const path = MARKS[name] ?? MARKS[ALIASES[name]] ?? MARKS.other;
  return s("svg", { class: "mark", viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: path }));
}

let liveRegion = null;

/** Say something once to whoever listens instead of looking. */
export function announce(text) {
  liveRegion ??= document.getElementById("said");
  liveRegion.textContent = text;
}

/** A button that puts `text` into the clipboard and says that it did. */
export function copyButton(what, text) {
  const said = h("span", { class: "copied", "aria-hidden": "true" });
  return h("button", { type: "button", class: "icon copy", "aria-label": `Copy ${what}`, title: `Copy ${what}`,
    async onclick(event) {
      event.stopPropagation();
      let done = "copied";
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        done = "not allowed here";
      }
      said.textContent = done;
      announce(`${what}: ${done}`);
      setTimeout(() => { said.textContent = ""; }, 1600);
    } }, mark("copy"), said);
}

/** An address that may become a link: of the web, and nothing else. */
export function webAddress(text) {
  try {
    const url = new URL(text, location.href);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
