/** What is known of the chosen span, and the text of the chosen message. */

import { ApiError, getText } from "./api.js";
import { copyButton, h, mark, visible } from "./dom.js";
import { clock, duration, exact, offset, plural, short } from "./format.js";
import { sentence, told } from "./words.js";

/** Headers that carry the trace, or tell what a transfer is about. */
const CONTEXT = new Set(["traceparent", "tracestate", "x-traceparent", "x-tracestate", "previous-trace-id", "baggage",
  "otel-trace-id", "refer-to", "r", "replaces", "referred-by", "b", "session-id", "target-dialog", "reason"]);

const row = (name, ...value) => h("tr", null, h("th", { scope: "row" }, name), h("td", null, value));

/** The panel of a span; `go` = {span(id), message(n)}. */
export function spanDetails(story, span, go) {
  if (span === null) {
    return [h("p", { class: "hint" }, "A span: what it was about, its attributes, events and links. "
      + "Choose one above; its messages light up in the ladder.")];
  }
  const { start } = story;
  const lasted = span.isOpen ? "open" : duration((span.end_us - span.start_us) / 1000);
  const attributes = Object.entries(span.attributes).sort(([one], [other]) => (one < other ? -1 : 1));
  return [
    h("header", null, mark(span.name === "transfer" ? "transfer" : span.kind), h("h2", null, span.name),
      h("span", { class: "quiet" }, span.kind.toLowerCase()),
      span.failed ? h("span", { class: "chip failed" }, mark("failed"), "failed") : null,
      span.isOpen ? h("span", { class: "chip" }, "open") : null,
      h("span", { class: "figures" },
        h("span", { title: exact(span.start_us) }, `at ${offset(span.start_us - start)} s`), h("b", null, lasted))),
    h("p", { class: "sentence" }, sentence(span)),
    span.messages.length ? section(plural(span.messages.length, "message"), span.messages.map((message) =>
      h("button", { type: "button", class: "pill", title: `${told(message)} at ${offset(message.at_us - start)} s`,
        onclick: () => go.message(message.n) }, message.sent ? "→ " : "← ", message.start))) : null,
    span.links.length ? section("Links", span.links.map((link) => linkTo(story, link, go))) : null,
    span.events.length ? section("Events", span.events.map((event) => h("span", { class: "pill flat",
      title: Object.entries(event.attributes ?? {}).map(([name, value]) => `${name}=${value}`).join(" ") },
    h("b", null, event.name), `+${duration((event.at_us - span.start_us) / 1000)}`))) : null,
    h("table", { class: "facts" }, h("caption", null, "Attributes"),
      attributes.map(([name, value]) => row(name, h("span", { class: "value" }, String(value)))),
      row("span id", h("span", { class: "value" }, span.span_id)),
      row("parent", parentOf(story, span, go)),
      row("trace id", h("span", { class: "value" }, span.trace_id), copyButton("trace-id", span.trace_id))),
  ];
}

function section(title, children) {
  return h("div", { class: "pills" }, h("span", { class: "quiet" }, title), children);
}

function parentOf(story, span, go) {
  const parent = story.spans.get(span.parent_id);
  if (parent) {
    return h("button", { type: "button", class: "linklike", onclick: () => go.span(parent.span_id) },
      `${parent.name} ${short(parent.span_id)}`);
  }
  if (!span.parent_id) return "none: the trace begins here";
  return h("span", { class: "value" }, `${span.parent_id}, of the sender`);
}

function linkTo(story, link, go) {
  const other = story.spans.get(link.span_id);
  if (other) {
    return h("button", { type: "button", class: "pill", onclick: () => go.span(other.span_id) }, mark("link"),
      `${other.name}, call ${other.lane.number}`);
  }
  return h("a", { class: "pill", href: `#/call/${encodeURIComponent(link.trace_id)}`, title: `Trace ${link.trace_id}` },
    mark("link"), `trace ${short(link.trace_id)}`);
}

/** The panel of a message. */
export function messageDetails(story, message) {
  if (message === null) {
    return [h("p", { class: "hint" }, "A message: its text, with numbers masked and without its body. "
      + "Choose one above; its span lights up on the other side.")];
  }
  const [from, to] = message.sent ? ["sipproxy", message.party.name] : [message.party.name, "sipproxy"];
  const text = h("pre", { class: "text", tabindex: 0, "aria-label": "Text of the message" }, coloured(message.text));
  return [
    h("header", null, mark(message.sent ? "out" : "in"), h("h2", null, message.start),
      h("span", { class: "quiet" }, `${from} → ${to}, ${message.transport}`),
      message.repeated ? h("span", { class: "chip" }, "sent again") : null,
      h("span", { class: "figures" }, h("span", { title: exact(message.at_us) }, clock(message.at_us, true)),
        h("b", null, `${offset(message.at_us - story.start)} s`)),
      story.answer.raw ? rawButton(story, message, text) : null),
    h("p", { class: "sentence value" }, `${message.from} → ${message.to}`), text,
  ];
}

function rawButton(story, message, text) {
  const button = h("button", { type: "button", title: "As it was on the wire; each view is noted in the log",
    async onclick() {
      button.disabled = true;
      try {
        const id = encodeURIComponent(story.answer.id);
        text.replaceChildren(coloured(await getText(`traces/${id}/raw/${message.n}`)));
        text.classList.add("raw");
        button.textContent = "Raw: this view was noted in the log";
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        button.disabled = false;
        button.textContent = `Raw: ${error.message}`;
      }
    } }, "Raw");
  return button;
}

/** Lines with the names of their headers told apart, and those of the trace marked. */
function coloured(text) {
  const piece = document.createDocumentFragment();
  visible(text.replace(/\r\n/g, "\n")).replace(/\s+$/, "").split("\n").forEach((line, at) => {
    if (at) piece.append("\n");
    const name = at && /^([A-Za-z0-9!%*_+`'~.-]+)(\s*:)/.exec(line);
    if (!name) piece.append(at ? line : h("b", null, line));
    else {
      const context = CONTEXT.has(name[1].toLowerCase());
      piece.append(h("span", { class: context ? "header context" : "header" }, name[0]),
        context ? h("mark", null, line.slice(name[0].length)) : line.slice(name[0].length));
    }
  });
  return piece;
}
