/** The spans of a call as bars over time, a lane for each call, with joins where a transfer leads on. */

import { h, mark, s, setText } from "./dom.js";
import { duration, offset, plural } from "./format.js";
import { Scale } from "./scale.js";
import { ENDS, about, result, sentence } from "./words.js";

export const ROW = 24;
const AXIS = 34;
const MARGIN = 10; // right and left of the bars

export class Waterfall {
  /** on: {span(id), hover(id or null)}; tool: what stands beside the title. */
  constructor(on, tool) {
    this.on = on;
    this.linear = false;
    Object.assign(this, { selected: null, lit: new Set(), at: null });
    this.axis = s("svg", { class: "axis", height: AXIS, "aria-hidden": "true" });
    this.rows = h("div", { class: "spans", role: "tree", tabindex: 0, "aria-label": "Spans" });
    this.bars = s("svg", { class: "bars", "aria-hidden": "true" });
    this.label = h("h2");
    this.names = h("div", { class: "axislabel" }, this.label, tool);
    this.element = h("div", { class: "waterfall pane", onclick: (event) => this.clicked(event),
      onpointerover: (event) => on.hover(idOf(event)), onpointerleave: () => on.hover(null) },
    h("div", { class: "axisrow" }, this.names, this.axis), h("div", { class: "canvas" }, this.rows, this.bars));
    new ResizeObserver(() => this.place()).observe(this.element);
  }

  show(story) {
    this.story = story;
    this.elements = new Map();
    const children = [];
    for (const lane of story.lanes) {
      children.push(laneHead(lane, (id) => this.on.span(id)));
      for (const span of lane.rows) {
        const element = rowOf(span, story.start);
        this.elements.set(span.span_id, element);
        children.push(element);
      }
    }
    this.rows.replaceChildren(...children);
    this.label.textContent = plural(story.spans.size, "span");
    this.place(true);
  }

  /** Time has gone on. */
  advance() {
    for (const span of this.story.rows) {
      if (span.isOpen) setText(this.elements.get(span.span_id).lastChild.lastChild, lastingOf(span));
    }
    this.place(true);
  }

  /** Lay the bars out anew: the pane has another width, time has gone on, or the scale is another. */
  place(always = false) {
    const { story } = this;
    const first = this.rows.firstElementChild;
    if (!story || !first) return;
    const facts = this.rows.querySelector(".spanfacts")?.offsetWidth ?? 0;
    const width = Math.floor(this.element.clientWidth - this.names.offsetWidth - facts);
    if (!always && width === this.width) return;
    this.width = width;
    const instants = [story.start, story.end, ...story.messages.map((message) => message.at_us)];
    for (const span of story.rows) instants.push(span.start_us, span.stop, ...span.events.map((event) => event.at_us));
    this.scale = new Scale(instants, Math.max(40, width - 2 * MARGIN), this.linear);
    const height = this.rows.offsetHeight;
    for (const svg of [this.axis, this.bars]) svg.setAttribute("width", width);
    this.bars.setAttribute("height", height);
    this.drawAxis(height);
    const middles = new Map(story.rows.map((span) =>
      [span.span_id, this.elements.get(span.span_id).offsetTop + ROW / 2]));
    this.cursor = s("line", { class: "cursor", y1: 0, y2: height, hidden: true });
    this.bars.replaceChildren(this.defs(), ...this.grid(height),
      ...story.rows.map((span) => this.bar(span, middles.get(span.span_id))),
      ...story.joins.map((join) => this.join(join, middles)), this.cursor);
    this.select(this.selected, this.lit, this.at);
  }

  x(us) {
    return MARGIN + this.scale.x(us);
  }

  drawAxis() {
    const parts = [];
    for (const { x, text, ends } of this.scale.ticks()) {
      parts.push(s("line", { class: "tick", x1: MARGIN + x, x2: MARGIN + x, y1: AXIS - 6, y2: AXIS }),
        s("text", { class: "ticktext", x: MARGIN + x + (ends ? 2 : -2), y: AXIS - 10,
          "text-anchor": ends ? "end" : "start" }, text));
    }
    for (const wait of this.scale.waits) {
      const from = MARGIN + wait.from + 3;
      const to = MARGIN + wait.to - 3;
      const middle = (from + to) / 2;
      parts.push(s("path", { class: "wait", d: `M${from} ${AXIS - 2}H${middle - 4}l2-4l4 8l2-4H${to}` }));
    }
    this.axis.replaceChildren(...parts);
  }

  *grid(height) {
    for (const wait of this.scale.waits) {
      yield s("rect", { class: "waitband", x: MARGIN + wait.from, width: wait.to - wait.from, y: 0, height });
    }
    for (const { x } of this.scale.ticks()) {
      yield s("line", { class: "gridline", x1: MARGIN + x, x2: MARGIN + x, y1: 0, y2: height });
    }
  }

  defs() {
    const hues = this.story.lanes.map((lane) => lane.hue);
    return s("defs", null,
      s("pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        s("rect", { class: "hatchground", width: 5, height: 5 }),
        s("rect", { class: "hatchline", width: 2, height: 5 })),
      [...new Set(hues)].map((hue) => s("linearGradient", { id: `fade${hue}`, class: `hue${hue}` },
        s("stop", { class: "full", offset: "0" }), s("stop", { class: "none", offset: "1" }))));
  }

  bar(span, y) {
    const from = this.x(span.start_us);
    const to = Math.max(from + 2, this.x(span.stop));
    const high = span.name === "dialog" ? 7 : span.kind === "INTERNAL" && span.name !== "transfer" ? 7 : 11;
    const classes = ["bar", `hue${span.lane.hue}`, span.name === "dialog" ? "dialog" : "",
      span.name === "transfer" ? "transfer" : "", span.failed ? "failed" : "", span.isOpen ? "open" : ""];
    const bar = s("g", { class: classes.filter(Boolean).join(" "), "data-span": span.span_id });
    bar.append(s("rect", { class: "body", x: from, y: y - high / 2, width: to - from, height: high, rx: 2 }));
    if (span.isOpen) {
      const fade = Math.min(28, to - from);
      bar.append(s("rect", { class: "fade", fill: `url(#fade${span.lane.hue})`, x: to, y: y - high / 2,
        width: Math.min(fade, MARGIN), height: high }),
      s("path", { class: "goeson", d: `M${to + 1} ${y - 4}l4 4l-4 4M${to + 5} ${y - 4}l4 4l-4 4` }));
    }
    for (const event of span.events) {
      const x = this.x(event.at_us);
      bar.append(s("line", { class: "event", x1: x, x2: x, y1: y - high / 2 - 2, y2: y + high / 2 + 2 }));
    }
    return bar;
  }

  join({ from, to, caused }, middles) {
    const y1 = middles.get(from.span_id);
    const y2 = middles.get(to.span_id);
    const inside = (span, us) => Math.min(Math.max(us, span.start_us), span.stop);
    const x1 = this.x(inside(from, to.start_us));
    const x2 = this.x(inside(to, Math.max(from.start_us, to.start_us)));
    const down = y2 > y1 ? 1 : -1;
    const end = y2 - down * 8;
    const neck = end - down * 2;
    const path = Math.abs(x1 - x2) < 1 ? `M${x1} ${y1}V${end}`
      : `M${x1} ${y1}C${x1} ${(y1 + end) / 2} ${x2} ${(y1 + end) / 2} ${x2} ${end}`;
    const what = `${from.span_id} ${to.span_id}`;
    return s("g", { class: `join hue${to.lane.hue} ${caused ? "caused" : "linked"}`, "data-join": what },
      s("path", { class: "halo", d: path }), s("path", { class: "line", d: path }),
      s("circle", { cx: x1, cy: y1, r: 3 }),
      caused ? s("path", { class: "head", d: `M${x2 - 4} ${neck}L${x2} ${end + down * 4}L${x2 + 4} ${neck}Z` })
        : s("circle", { cx: x2, cy: y2, r: 3 }));
  }

  /** Mark the selected span, the ones that a message belongs to, and an instant. */
  select(selected, lit, at) {
    Object.assign(this, { selected, lit, at });
    if (!this.story) return;
    for (const [id, element] of this.elements) {
      element.setAttribute("aria-selected", id === selected);
      element.classList.toggle("lit", id !== selected && lit.has(id));
    }
    const active = this.elements.get(selected);
    if (active) this.rows.setAttribute("aria-activedescendant", active.id);
    else this.rows.removeAttribute("aria-activedescendant");
    this.point(at);
  }

  /** Show where an instant lies; null: nowhere. */
  point(at) {
    if (!this.cursor) return;
    if (at === null) {
      this.cursor.setAttribute("hidden", "");
      return;
    }
    const x = this.x(at);
    this.cursor.removeAttribute("hidden");
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
  }

  reveal(id) {
    this.elements.get(id)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  clicked(event) {
    const id = idOf(event);
    if (id !== null && !event.target.closest("button")) this.on.span(id);
  }
}

const lastingOf = (span) => duration((span.stop - span.start_us) / 1000);

function idOf(event) {
  return event.target.closest("[data-span]")?.getAttribute("data-span") ?? null;
}

function laneHead(lane, go) {
  const { call } = lane;
  const cause = lane.cause && h("button", { type: "button", class: "linklike", tabindex: -1,
    onclick: (event) => { event.stopPropagation(); go(lane.cause.span_id); } },
  `by the transfer in call ${lane.cause.lane.number}`);
  return h("div", { class: `lane hue${lane.hue}`, role: "presentation" },
    h("span", { class: "badge" }, lane.number),
    h("b", null, call ? `${call.from || "anonymous"} → ${call.to || "?"}` : "a call that is not kept any more"),
    h("span", { class: "way" }, call?.trunks.join(" → "), call?.end ? `; ${ENDS[call.end] ?? call.end}` : ""),
    cause);
}

function rowOf(span, start) {
  const said = `${sentence(span)} Begins at ${offset(span.start_us - start)} s. `
    + `${plural(span.messages.length, "message")}.`;
  const name = h("span", { class: "spanname" }, mark(span.name === "transfer" ? "transfer" : span.kind),
    h("b", null, span.name), h("span", { class: "about" }, about(span)),
    span.links.length ? mark("link") : null);
  name.style.paddingLeft = `${8 + span.depth * 12}px`;
  return h("div", { class: `span hue${span.lane.hue}${span.failed ? " failed" : ""}`, role: "treeitem",
    id: `span-${span.span_id}`, "aria-level": span.depth + 1, "aria-label": said, title: said,
    "data-span": span.span_id }, name,
  h("span", { class: "spanfacts" }, h("span", null, span.failed ? "✕ " : "", span.isOpen ? "open" : result(span)),
    h("span", null, lastingOf(span))));
}
