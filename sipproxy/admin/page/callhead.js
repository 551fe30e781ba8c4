/** What stands over a call: who, how it went, its ids, and the way to other tools. */

import { copyButton, h, mark, setText, webAddress } from "./dom.js";
import { duration, exact, nowUs, plural, short, stopwatch, when } from "./format.js";
import { standing, verdict } from "./search.js";

const GOOD = new Set(["answered", "talking"]);

export class CallHead {
  constructor() {
    this.talk = h("span");
    this.element = h("header", { class: "callhead" });
  }

  /** Nothing is known of it. */
  clear(...children) {
    this.call = null;
    this.element.replaceChildren(...children);
  }

  /** Gives the call's title. */
  show({ answer, isOpen, lanes }) {
    const call = answer.calls.find((each) => each.id === lanes[0]?.id) ?? answer.calls[0] ?? null;
    const title = call ? `${call.from || "anonymous"} → ${call.to || "?"}` : "Call";
    const transfers = answer.calls.reduce((sum, each) => sum + each.transfers, 0);
    this.call = call;
    this.element.replaceChildren(
      h("div", { class: "line" },
        h("h1", null, title),
        call && chip(call.failed ? "failed" : GOOD.has(standing(call)) ? "good" : "", mark(standing(call)), verdict(call)),
        isOpen && chip("lively", "live"),
        call && figure("began", when(call.began_us, true), exact(call.began_us)),
        call?.setup_ms !== null && call ? figure("setup", duration(call.setup_ms)) : null,
        call?.answered_us ? figure("talk", this.talk) : null,
        transfers ? figure("", plural(transfers, "transfer")) : null,
        answer.calls.length > 1 && figure("", plural(answer.calls.length, "call")),
        answer.truncated && h("span", { class: "chip", title: "There is more than can be shown at once" }, "cut short"),
        call && !call.sampled && h("span", { class: "chip", title: "Kept here, not exported" }, "not sampled")),
      h("div", { class: "line ids" },
        answer.traces.map((trace) => figure("trace", [
          h("a", { class: "id", href: `#/call/${encodeURIComponent(trace)}`, title: trace }, short(trace)),
          copyButton("trace-id", trace)])),
        call?.interaction_id ? figure("interaction", search(call.interaction_id)) : null,
        call?.call_ids.length ? figure("Call-ID", call.call_ids.map((id) =>
          [h("span", { class: "id callid", title: id }, id), copyButton("Call-ID", id)])) : null,
        h("span", { class: "away" }, Object.entries(answer.deep_links ?? {}).map(elsewhere))));
    this.tick();
    return title;
  }

  /** Time goes on. */
  tick() {
    const { talk_ms: whole, answered_us: since, state } = this.call ?? {};
    if (since) setText(this.talk, state === "over" ? duration(whole) : stopwatch((nowUs() - since) / 1000));
  }
}

const chip = (more, ...children) => h("span", { class: `chip ${more}` }, children);

function figure(name, value, title) {
  return h("span", { class: "fig", title }, name && h("span", { class: "quiet" }, name), name && " ", value);
}

const search = (id) => h("a", { class: "id", href: `#/search?${new URLSearchParams({ id })}` }, id);

function elsewhere([name, address]) {
  const href = webAddress(address);
  return href && h("a", { href, target: "_blank", rel: "noopener noreferrer" }, name, mark("away"));
}
