/** The page's own spans, and the W3C trace context that its INVITEs carry.

Made by hand and not by @opentelemetry/sdk-trace-web, because the ES modules of that package leave out the
file name's extension where they import each other: no browser finds them without a bundler. A page that has
a bundler takes the SDK, and for the headers its propagator:

    const headers = {};
    propagation.inject(trace.setSpan(context.active(), span), headers);   // traceparent, tracestate
*/

const CLIENT = 3; // OTLP's numbers of kinds and of a failure
const ERROR = 2;
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;

/** Whose child a span becomes; null where the header is absent or broken. */
export function parentIn(header) {
  const [, traceId, spanId] = TRACEPARENT.exec(header ?? "") ?? [];
  return traceId === undefined ? null : { traceId, spanId };
}

export class Span {
  /** Begins now; `parent` is a span, what `parentIn` found, or null for a new trace. */
  constructor(name, parent = null) {
    this.name = name;
    this.traceId = parent?.traceId ?? random(16);
    this.parentSpanId = parent?.spanId ?? "";
    this.spanId = random(8);
    this.startTimeUnixNano = now();
    this.attributes = {};
    this.ended = false;
  }

  /** Rows for JsSIP's `extraHeaders`; 01: sampled. */
  get headers() {
    return [`traceparent: 00-${this.traceId}-${this.spanId}-01`, `tracestate: desk=${this.spanId}`];
  }

  /** It is over, and leaves; once. `fault` says what went wrong, as `error.type`. */
  async end(fault = "") {
    if (this.ended) return;
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
    const response = await fetch(url, { method: "POST", headers, body, keepalive: true }); // also while the page is left
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
