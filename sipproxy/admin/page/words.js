/** Spans and messages in the words of those who read ladders. */

import { duration } from "./format.js";

/** What ended a dialog, or a call. */
export const ENDS = {
  caller_bye: "the caller hung up", callee_bye: "the callee hung up", cancelled: "cancelled",
  timeout: "the peer did not answer any more", transferred: "transferred away",
  session_expired: "the session timer expired", shutdown: "sipproxy stopped", lost: "sipproxy lost it in a crash",
};
const CARRIERS = { none: "nothing", traceparent: "traceparent", marker: "the transfer's marker",
  replaces: "Replaces", "referred-by": "Referred-By", connection: "its WebSocket", "session-id": "Session-ID", pai: "P-Asserted-Identity",
  "previous-trace-id": "previous-trace-id", "uri-header": "a header in the URI", retry: "the challenged INVITE" };

const a = (span, name) => span.attributes[name];

/** What tells two spans of one name apart, in a word or two. */
export function about(span) {
  const trunk = a(span, "sip.trunk") ?? "";
  const leg = a(span, "sip.leg") ?? "";
  if (span.name === "transfer") {
    return [a(span, "sip.transfer.kind"), a(span, "sip.transfer.mode")].filter(Boolean).join(", ");
  }
  if (span.name === "dialog") return trunk ? `${leg} ${trunk}` : leg;
  if (span.kind === "CLIENT") return trunk ? `to ${trunk}` : "";
  if (span.kind === "SERVER") return trunk ? `from ${trunk}` : "";
  return trunk ? `to ${trunk}` : "";
}

/** What came of it, where that is worth a place beside the bar. */
export function result(span) {
  const status = a(span, "sip.response.status_code");
  if (span.name === "transfer") return a(span, "sip.transfer.outcome") ?? "";
  if (span.name === "dialog") return "";
  return a(span, "error.type") && !status ? a(span, "error.type") : status ? String(status) : "";
}

/** One sentence. */
export function sentence(span) {
  const lasted = span.isOpen ? "still open" : duration((span.end_us - span.start_us) / 1000);
  const status = a(span, "sip.response.status_code");
  const got = status ? `, answered ${status}` : a(span, "error.type") ? `, failed: ${a(span, "error.type")}` : "";
  const trunk = a(span, "sip.trunk");
  switch (span.name) {
    case "route":
      return trunk ? `Routed to ${trunk} first${got}.` : `No way for this call${got}.`;
    case "dialog": {
      const end = a(span, "sip.dialog.end");
      const ended = span.isOpen ? "still open" : `${lasted}; ${ENDS[end] ?? end ?? "ended"}`;
      return `Dialog with the ${a(span, "sip.leg") ?? "peer"}${trunk ? ` (${trunk})` : ""}: ${ended}.`;
    }
    case "transfer": {
      const outcome = a(span, "sip.transfer.outcome");
      const stage = a(span, "sip.transfer.stage");
      const told = outcome ? `${outcome}${stage && stage !== outcome ? `, came as far as ${stage}` : ""}` : "pending";
      const source = a(span, "sip.transfer.outcome_source") === "reported" ? ", as NOTIFY says" : "";
      const mode = a(span, "sip.transfer.mode");
      const how = { relay: ", REFER relayed", local: ", placed by sipproxy" }[mode] ?? "";
      const kind = capital(a(span, "sip.transfer.kind") ?? "a");
      return `${kind} transfer${how}: ${told}${source}${status ? ` (${status})` : ""}.`;
    }
    default: {
      const direction = { SERVER: "from", CLIENT: "to" }[span.kind];
      const peer = direction && trunk ? ` ${direction} ${trunk}` : "";
      const carrier = a(span, "sip.trace.carrier");
      const decision = a(span, "sip.trace.decision");
      const by = carrier === "none" ? "" : ` by ${CARRIERS[carrier] ?? carrier}`;
      const known = decision && carrier ? ` Trace ${decision}${by}.` : "";
      return `${span.name}${peer}${got}, ${lasted}.${known}`;
    }
  }
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** "INVITE", "180 Ringing", "200 OK": what stands on the arrow, and whose response it is. */
export function arrow(message) {
  return { what: message.start, of: message.status && message.method !== "INVITE" ? message.method : "" };
}

/** A response that is no success, as the ladder marks it. */
export const isFailure = (message) => message.status >= 400 && ![401, 407, 487].includes(message.status);

/** What a screen reader says of a message. */
export function told(message) {
  const { what, of } = arrow(message);
  const [from, to] = message.sent ? ["sipproxy", message.party.name] : [message.party.name, "sipproxy"];
  return `${what}${of ? ` to ${of}` : ""}, ${from} to ${to}${message.repeated ? ", sent again" : ""}`;
}
