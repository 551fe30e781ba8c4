/** The page's own spans, and the W3C trace context that its INVITEs carry.

Made by hand and not by @opentelemetry/sdk-trace-web, because the ES modules of that package leave out the
file name's extension where they import each other: no browser finds them without a bundler. A page that has
a bundler takes the SDK, and for the headers its propagator:

    const headers = {};
    propagation.inject(trace.setSpan(context.active(), span), headers);   // traceparent, tracestate
*/

const CLIENT = 3; // OTLP's numbers of kinds and of a failure
const ERROR = 2;
const SAMPLED = 1;
const MEMBERS = 32; // of a tracestate
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Whose child a span becomes, from the headers of a request; null where there is none. */
export function parentIn(traceparent, tracestate) {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? "") ?? [];
  if (traceId === undefined || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, sampled: Boolean(parseInt(flags, 16) & SAMPLED), state: tracestate ?? "" };
}

export class Span {
  /** Begins now; `parent` is a span, what `parentIn` found, or null for a new trace. */
  constructor(name, parent = null) {
    this.name = name;
    this.traceId = parent?.traceId ?? random(16);
    this.parentSpanId = parent?.spanId ?? "";
    this.spanId = random(8);
    this.sampled = parent?.sampled ?? true;
    const others = (parent?.state ?? "").split(",").map((each) => each.trim());
    // What this page knows the trace by comes first, in place of what it said before.
    this.state = [`desk=${this.spanId}`, ...others.filter((each) => each && !each.startsWith("desk="))]
      .slice(0, MEMBERS).join(",");
    this.startTimeUnixNano = now();
    this.attributes = {};
    this.ended = false;
  }

  /** Rows for JsSIP's `extraHeaders`. */
  get headers() {
    const flags = this.sampled ? "01" : "00";
    return [`traceparent: 00-${this.traceId}-${this.spanId}-${flags}`, `tracestate: ${this.state}`];
  }

  /** It is over, and leaves; once. `fault` says what went wrong, as `error.type`. */
  async end(fault = "") {
    if (this.ended || !this.sampled) return;
    this.ended = true;
    if (fault) this.attributes["error.type"] = fault;
    const { traceId, spanId, parentSpanId, name, startTimeUnixNano } = this;
    const span = { traceId, spanId, parentSpanId, name, kind: CLIENT, startTimeUnixNano, endTimeUnixNano: now(),
      attributes: rows(this.attributes), status: fault ? { code: ERROR } : {} };
    const resource = { attributes: rows({ "service.name": "desk" }) };
    const url = document.querySelector("meta[name=otlp-traces]").content;
    const scopeSpans = [{ scope: { name: "desk" }, spans: [span] }];
    const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] });
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body, keepalive: true }); // outlives the page
    if (!response.ok) throw new Error(`the collector says ${response.status}`);
  }
}

function random(bytes) {
  const drawn = crypto.getRandomValues(new Uint8Array(bytes));
  return [...drawn].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function now() {
  const us = Math.round((performance.timeOrigin + performance.now()) * 1000);
  return `${us}000`; // a string, as OTLP wants it: nanoseconds have more digits than a number of JavaScript's
}

function rows(attributes) {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: { stringValue: value } }));
}
