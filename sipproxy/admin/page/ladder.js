/**
 * The SIP messages as a ladder. Between times and arrows run the rails: one for each span, from its beginning to
 * its end, so that the ladder shows which spans were alive when a message passed.
 */

import { h, s } from "./dom.js";
import { cut, duration, offset, plural } from "./format.js";
import { arrow, isFailure, told } from "./words.js";

const ROW = 22;
const WAIT_US = 1_000_000; // silence of at least this is drawn as a gap
const RAIL = 6;
const MOST_RAILS = 14;
const TIMES = 120; // what stands left of the rails
const NUMBER = 14; // of the call, where there are several
const EDGE = 56; // half of a party's name, beyond the outer lifelines
const COLUMN = 118; // the least from lifeline to lifeline
const LETTER = 6.9;

export class Ladder {
  /** on: {message(n), hover(message or null)} */
  constructor(on) {
    this.on = on;
    this.heads = s("svg", { class: "parties", height: 34, "aria-hidden": "true" });
    this.rows = h("div", { class: "messages", role: "listbox", tabindex: 0, "aria-label": "SIP messages" });
    this.drawing = s("svg", { class: "arrows", "aria-hidden": "true" });
    this.label = h("h2", { class: "axislabel" });
    this.element = h("div", { class: "ladder pane",
      onclick: (event) => { const n = numberOf(event); if (n !== null) on.message(n); },
      onpointerover: (event) => { const n = numberOf(event); on.hover(n === null ? null : this.byNumber.get(n)); },
      onpointerleave: () => on.hover(null) },
    h("div", { class: "axisrow" }, this.label, this.heads), h("div", { class: "canvas" }, this.rows, this.drawing));
    Object.assign(this, { byNumber: new Map(), selected: null, lit: new Set(), span: null });
    new ResizeObserver(() => this.place()).observe(this.element);
  }

  show(story) {
    this.story = story;
    this.elements = new Map();
    this.byNumber = new Map(story.messages.map((message) => [message.n, message]));
    const children = [];
    const begun = new Set(story.lanes.slice(0, 1));
    let y = 0;
    const add = (element, height) => {
      children.push(element);
      y += height;
    };
    let before = null;
    for (const message of story.messages) {
      if (before && message.at_us - before.at_us >= WAIT_US) {
        add(h("div", { class: "gap", role: "presentation" },
          h("span", null, duration((message.at_us - before.at_us) / 1000))), ROW);
      }
      if (message.lane && !begun.has(message.lane)) {
        begun.add(message.lane);
        add(beginning(message.lane), ROW);
      }
      message.y = y + ROW / 2;
      const element = rowOf(message, before, story);
      this.elements.set(message.n, element);
      add(element, ROW);
      before = message;
    }
    if (!children.length) add(h("p", { class: "hint" }, "No message of this call is kept."), 0);
    this.height = y;
    this.rows.replaceChildren(...children);
    this.label.textContent = plural(story.messages.length, "message");
    this.rails = railsOf(story, (us) => this.y(us));
    this.place(true);
  }

  /** How far down an instant lies: between the messages before and after it. */
  y(us) {
    const { messages } = this.story;
    if (!messages.length) return 0;
    let low = 0;
    let high = messages.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (messages[middle].at_us < us) low = middle + 1;
      else high = middle;
    }
    if (low === messages.length) return Math.min(this.height, messages.at(-1).y + ROW / 2);
    const next = messages[low];
    if (low === 0 || next.at_us === us) return Math.max(0, next.y - (next.at_us === us ? 0 : ROW / 2));
    const last = messages[low - 1];
    return last.y + ((us - last.at_us) / (next.at_us - last.at_us)) * (next.y - last.y);
  }

  place(always = false) {
    const { story } = this;
    if (!story) return;
    const full = this.element.clientWidth;
    if (!always && full === this.full) return;
    this.full = full;
    const rails = Math.max(0, ...this.rails.map((rail) => rail.column + 1));
    this.times = TIMES + (story.lanes.length > 1 ? NUMBER : 0);
    this.left = this.times + rails * RAIL + EDGE;
    const spaces = Math.max(1, story.parties.length - 1);
    this.step = Math.max(COLUMN, Math.floor((full - this.left - EDGE) / spaces));
    const width = Math.max(full, this.left + this.step * spaces + EDGE);
    this.rows.style.width = `${width}px`;
    for (const svg of [this.heads, this.drawing]) svg.setAttribute("width", width);
    this.drawing.setAttribute("height", this.height);
    this.heads.replaceChildren(...story.parties.map((party) => this.head(party)));
    this.railElements = new Map(this.rails.map((rail) => [rail.span.span_id, this.rail(rail)]));
    const lifelines = story.parties.map((party) => s("line", { class: `lifeline${party.us ? " us" : ""}`,
      x1: this.x(party), x2: this.x(party), y1: 0, y2: this.height }));
    this.drawing.replaceChildren(...lifelines, ...this.railElements.values(),
      ...story.messages.map((message) => this.arrow(message)));
    this.select(this.selected, this.lit, this.span);
  }

  x(party) {
    return this.left + party.column * this.step;
  }

  head(party) {
    const most = Math.floor((Math.min(this.step, 2 * EDGE) - 4) / 6.1);
    const addresses = [...party.addresses];
    const x = this.x(party);
    return s("g", { class: party.us ? "party us" : "party" }, s("title", null, [party.name, ...addresses].join("\n")),
      s("text", { class: "partyname", x, y: 14 }, cut(party.name, most)),
      s("text", { class: "partyaddress", x, y: 28 },
        cut(addresses[0] ?? "", most) + (addresses.length > 1 ? ` +${addresses.length - 1}` : "")));
  }

  rail({ span, column, from, to }) {
    const x = this.times + column * RAIL + RAIL / 2;
    const classes = `rail hue${span.lane.hue}${span.failed ? " failed" : ""}${span.isOpen ? " open" : ""}`;
    return s("line", { class: classes, x1: x, x2: x, y1: from, y2: Math.max(from + 3, to) });
  }

  arrow(message) {
    const { y } = message;
    const [from, to] = message.sent ? [message.us, message.party] : [message.party, message.us];
    const x1 = this.x(from);
    const x2 = this.x(to);
    const toRight = x2 > x1 ? 1 : -1;
    const { what, of } = arrow(message);
    const room = Math.floor((Math.abs(x2 - x1) - 26) / LETTER);
    const text = `${message.repeated ? "again " : ""}${what}`;
    const failed = isFailure(message);
    const classes = [`arrow hue${message.lane?.hue ?? 1}`, failed && "failure", message.repeated && "repeated",
      message.status && "response"].filter(Boolean).join(" ");
    const tail = of && text.length + of.length + 1 <= room ? ` ${of}` : "";
    const said = (failed ? "✕ " : "") + cut(text, Math.max(8, room));
    const half = ((said.length + tail.length) * LETTER) / 2 + 4;
    const middle = (x1 + x2) / 2;
    const [ahead, behind, neck] = [middle - toRight * half, middle + toRight * half, x2 - toRight * 8];
    return s("g", { class: classes, "data-message": message.n },
      s("path", { class: "shaft", d: `M${x1} ${y}H${ahead}M${behind} ${y}H${x2 - toRight * 3}` }),
      s("path", { class: "head", d: `M${neck} ${y - 4}L${x2 - toRight} ${y}L${neck} ${y + 4}Z` }),
      s("text", { x: middle, y: y + 3.5 }, said, tail ? s("tspan", { class: "of" }, tail) : null));
  }

  /** Mark the selected message, those of the selected span, and that span's rail. */
  select(selected, lit, span) {
    Object.assign(this, { selected, lit, span });
    if (!this.story) return;
    for (const [n, element] of this.elements) {
      element.setAttribute("aria-selected", n === selected);
      element.classList.toggle("lit", n !== selected && lit.has(n));
    }
    for (const [id, element] of this.railElements) {
      const chosen = id === span || (selected !== null && this.byNumber.get(selected)?.spans.includes(id));
      element.classList.toggle("chosen", Boolean(chosen));
    }
    const active = this.elements.get(selected);
    if (active) this.rows.setAttribute("aria-activedescendant", active.id);
    else this.rows.removeAttribute("aria-activedescendant");
  }

  hover(id) {
    for (const [span, element] of this.railElements ?? []) element.classList.toggle("hover", span === id);
  }

  reveal(n) {
    this.elements.get(n)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

function numberOf(event) {
  const row = event.target.closest("[data-message]");
  return row ? Number(row.getAttribute("data-message")) : null;
}

/** Rails side by side, each in the first column that is free for as long as it lasts. */
function railsOf(story, y) {
  if (!story.messages.length) return [];
  const ends = [];
  const rails = [];
  const spans = [...story.rows].sort((one, other) => one.start_us - other.start_us || other.stop - one.stop);
  for (const span of spans) {
    if (!span.messages.length && span.name !== "dialog" && span.name !== "transfer") continue;
    const own = span.messages;
    const from = Math.min(y(span.start_us), own[0]?.y ?? Infinity);
    const to = span.isOpen ? y(Infinity) : Math.max(y(span.stop), own.at(-1)?.y ?? 0);
    let column = ends.findIndex((end) => end <= from);
    if (column < 0) column = ends.length;
    if (column >= MOST_RAILS) continue;
    ends[column] = Math.max(to, from + 3) + 2;
    rails.push({ span, column, from, to });
  }
  return rails;
}

function beginning(lane) {
  const { call } = lane;
  const why = lane.cause ? `, by the transfer in call ${lane.cause.lane.number}` : "";
  return h("div", { class: `begins hue${lane.hue}`, role: "presentation" }, h("span", { class: "badge" }, lane.number),
    h("span", null, `Call ${lane.number}${call ? `: ${call.from || "anonymous"} → ${call.to || "?"}` : ""}${why}`));
}

function rowOf(message, before, story) {
  const since = before ? `+${duration((message.at_us - before.at_us) / 1000)}` : "";
  const at = offset(message.at_us - story.start);
  return h("div", { class: `message hue${message.lane?.hue ?? 1}`, role: "option", id: `message-${message.n}`,
    "aria-label": `${at} s, ${told(message)}, call ${message.lane?.number ?? "unknown"}`,
    "data-message": message.n },
  story.lanes.length > 1 ? h("span", { class: "number" }, message.lane?.number) : null,
  h("span", { class: "at" }, at), h("span", { class: "since" }, since));
}
