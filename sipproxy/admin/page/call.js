/** #/call/ID: one call, or those that a transfer joins, as waterfall and ladder side by side. */

import { ApiError, get } from "./api.js";
import { subscribe } from "./calls.js";
import { CallHead } from "./callhead.js";
import { announce, h } from "./dom.js";
import { messageDetails, spanDetails } from "./details.js";
import { nowUs } from "./format.js";
import { Ladder } from "./ladder.js";
import { advance, closest, storyOf } from "./model.js";
import { splitter } from "./splitter.js";
import { Waterfall } from "./waterfall.js";

const AGAIN_MS = 1000; // an open call is asked for at most this often,
const SELDOM_MS = 8000; // and, where nothing happens, at least
const NONE = new Set();

export class CallView {
  constructor() {
    this.title = "Call";
    this.head = new CallHead();
    this.notice = h("p", { class: "empty", hidden: true });
    this.ladder = new Ladder({ message: (n) => this.chooseMessage(n),
      hover: (message) => this.waterfall.point(message ? message.at_us : this.instant()) });
    this.scale = h("button", { type: "button", "aria-pressed": "false", title: "Draw time to scale (t)",
      onclick: () => this.setLinear(!this.waterfall.linear) }, "To scale");
    this.waterfall = new Waterfall({ span: (id) => this.chooseSpan(id), hover: (id) => this.ladder.hover(id) },
      this.scale);
    this.spanPanel = h("article", { class: "details", tabindex: -1, "aria-label": "Chosen span" });
    this.messagePanel = h("article", { class: "details", tabindex: -1, "aria-label": "Chosen message" });
    this.body = h("div", { class: "callbody", hidden: true });
    this.body.append(
      this.waterfall.element, this.ladder.element, splitter(this.body), this.spanPanel, this.messagePanel);
    this.element = h("section", { class: "view callview", "aria-label": "Call" },
      this.head.element, this.notice, this.body);
    this.go = { span: (id) => this.chooseSpan(id), message: (n) => this.chooseMessage(n) };
  }

  show(id, query) {
    const wanted = new URLSearchParams(query);
    const isNew = id !== this.id;
    this.patience = AGAIN_MS;
    this.id = id;
    this.span = wanted.get("span");
    this.message = wanted.has("message") ? Number(wanted.get("message")) : null;
    if (isNew) {
      this.story = null;
      this.body.hidden = true;
      this.head.clear();
    }
    this.unsubscribe = subscribe((ids) => this.calledUp(ids));
    this.ticking = setInterval(() => this.tick(), 1000);
    if (this.story) this.choose();
    this.load();
  }

  hide() {
    this.unsubscribe();
    clearInterval(this.ticking);
    clearTimeout(this.again);
    this.again = 0;
    this.loading?.abort();
  }

  /** Something happened to live calls; if to this one, ask again. */
  calledUp(ids) {
    if (!this.story) {
      if (ids === null) this.load();
      return;
    }
    const mine = this.story.answer.calls.map((call) => call.id);
    if (ids === null ? this.story.isOpen : mine.some((id) => ids.has(id))) {
      this.patience = AGAIN_MS;
      this.loadSoon();
    }
  }

  loadSoon() {
    this.again ||= setTimeout(() => {
      this.again = 0;
      this.load();
    }, Math.max(0, AGAIN_MS - (performance.now() - (this.loadedAt ?? 0))));
  }

  /** While something is open, time goes on; what is new of it (messages have no event of their own) is asked for. */
  tick() {
    if (!this.story?.isOpen) return;
    if (performance.now() - this.loadedAt >= this.patience) this.loadSoon();
    else {
      advance(this.story, nowUs());
      this.waterfall.advance();
      this.head.tick();
    }
  }

  async load() {
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    this.loadedAt = performance.now();
    try {
      const answer = await get(`traces/${encodeURIComponent(this.id)}`, loading.signal);
      this.notice.hidden = true;
      const words = JSON.stringify(answer);
      const changed = words !== this.words || this.story === null;
      this.words = words;
      this.patience = changed ? AGAIN_MS : Math.min(SELDOM_MS, this.patience * 2);
      if (changed) this.version = (this.version ?? 0) + 1;
      if (changed) this.render(answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof ApiError)) throw error;
      if (this.story && error.status === 0) return; // what is here stays, and the header says what is wrong
      this.explain(error);
    }
  }

  explain(error) {
    const text = error.status === 404
      ? `No call is known by “${this.id}”. It may be older than what is kept, or its Call-ID was changed.`
      : `The call cannot be read: ${error.message}.`;
    this.story = null;
    this.body.hidden = true;
    this.head.clear(h("h1", null, "Call"));
    this.notice.textContent = text;
    this.notice.hidden = false;
    announce(text);
  }

  render(answer) {
    const begun = performance.now();
    const first = this.story === null;
    this.story = storyOf(answer, nowUs());
    this.body.hidden = false;
    const { element } = this.ladder;
    const atEnd = !first && element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    this.title = this.head.show(this.story);
    document.title = `${this.title} · sipproxy`;
    this.waterfall.show(this.story);
    this.ladder.show(this.story);
    if (atEnd && this.story.isOpen) element.scrollTop = element.scrollHeight;
    this.choose(first);
    performance.measure("sipproxy:call", { start: begun, end: performance.now() });
  }

  chooseSpan(id, remember = true) {
    this.span = id;
    this.message = null;
    if (remember) this.remember();
    this.choose(true);
  }

  chooseMessage(n) {
    const message = this.ladder.byNumber.get(n);
    if (!message) return;
    this.message = n;
    if (!message.spans.includes(this.span)) this.span = closest(this.story, message)?.span_id ?? null;
    this.remember();
    this.choose(true);
  }

  /** The address names what is chosen, so that it can be sent to somebody. */
  remember() {
    const wanted = new URLSearchParams();
    if (this.message !== null) wanted.set("message", this.message);
    else if (this.span) wanted.set("span", this.span);
    history.replaceState(null, "", `#/call/${encodeURIComponent(this.id)}${wanted.size ? `?${wanted}` : ""}`);
  }

  /** Show what is chosen on both sides; `reveal` brings it into view. */
  choose(reveal = false) {
    const { story } = this;
    const message = this.message === null ? null : this.ladder.byNumber.get(this.message) ?? null;
    if (message && !this.span) this.span = closest(story, message)?.span_id ?? null;
    const span = this.span ? story.spans.get(this.span) ?? null : null;
    const litSpans = message ? new Set(message.spans) : NONE;
    const litMessages = span ? new Set(span.messages.map((each) => each.n)) : NONE;
    this.waterfall.select(span?.span_id ?? null, litSpans, this.instant());
    this.ladder.select(message?.n ?? null, litMessages, span?.span_id ?? null);
    const known = `${this.version} ${span?.span_id} ${message?.n}`;
    if (known !== this.known) {
      this.spanPanel.replaceChildren(...present(spanDetails(story, span, this.go)));
      this.messagePanel.replaceChildren(...present(messageDetails(story, message)));
      this.known = known;
    }
    if (!reveal) return;
    if (span) this.waterfall.reveal(span.span_id);
    const shown = message ?? span?.messages[0];
    if (shown) this.ladder.reveal(shown.n);
  }

  instant() {
    const message = this.message === null ? null : this.ladder.byNumber.get(this.message);
    return message ? message.at_us : null;
  }

  setLinear(on) {
    this.waterfall.linear = on;
    this.scale.setAttribute("aria-pressed", on);
    if (this.story) this.waterfall.place(true);
  }

  /** Keys: along the pane that has the focus; the other one follows. */
  key(name) {
    if (!this.story) return false;
    const inLadder = document.activeElement === this.ladder.rows;
    switch (name) {
      case "t": this.setLinear(!this.waterfall.linear); return true;
      case "e": return this.nextFailure();
      case "j": case "ArrowDown": return this.step(1, inLadder);
      case "k": case "ArrowUp": return this.step(-1, inLadder);
      case "Home": return this.step(-Infinity, inLadder);
      case "End": return this.step(Infinity, inLadder);
      case "h": case "ArrowLeft": return this.cross(this.waterfall.rows);
      case "l": case "ArrowRight": return this.cross(this.ladder.rows);
      case "Enter": return this.enter(inLadder);
      case "Escape": return this.leave();
      default: return false;
    }
  }

  step(by, inLadder) {
    const all = inLadder ? this.story.messages : this.story.rows;
    if (!all.length) return true;
    const at = inLadder ? all.findIndex((message) => message.n === this.message)
      : all.findIndex((span) => span.span_id === this.span);
    const next = all[Math.max(0, Math.min(all.length - 1, at + by))];
    if (inLadder) this.chooseMessage(next.n);
    else {
      this.waterfall.rows.focus({ preventScroll: true });
      this.chooseSpan(next.span_id);
    }
    return true;
  }

  /** Go to the other side, to what belongs to what is chosen here. */
  cross(rows) {
    rows.focus({ preventScroll: true });
    if (rows === this.ladder.rows && this.message === null) this.enter(false);
    return true;
  }

  enter(inLadder) {
    if (inLadder) {
      this.messagePanel.querySelector("pre")?.focus();
      return true;
    }
    const span = this.span && this.story.spans.get(this.span);
    if (!span?.messages.length) return false;
    this.ladder.rows.focus({ preventScroll: true });
    this.chooseMessage(span.messages[0].n);
    return true;
  }

  nextFailure() {
    const failed = this.story.rows.filter((span) => span.failed);
    if (!failed.length) {
      announce("Nothing failed in this call");
      return true;
    }
    const at = failed.findIndex((span) => span.span_id === this.span);
    this.waterfall.rows.focus({ preventScroll: true });
    this.chooseSpan(failed[(at + 1) % failed.length].span_id);
    return true;
  }

  leave() {
    if (this.span === null && this.message === null) return false;
    this.chooseSpan(null);
    return true;
  }
}

const present = (children) => children.filter((child) => child !== null);

