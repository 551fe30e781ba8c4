/** #/propagation: how trace context gets across, trunk by trunk and carrier by carrier. */

import { ApiError, get } from "./api.js";
import { h } from "./dom.js";
import { count, plural } from "./format.js";

const EVERY_MS = 5000;

/** Carriers in the order in which a request is asked for them, and what each is. */
const CARRIERS = new Map([
  ["traceparent", "the W3C header"],
  ["x-traceparent", "the same under a name that stacks let pass"],
  ["pai", "a parameter in P-Asserted-Identity"],
  ["marker", "the parameter that we put into Refer-To's URI"],
  ["uri-header", "a header in the URI, left where Refer-To had it"],
  ["retry", "the same call again, after 401 or 407"],
  ["replaces", "Replaces names a dialog of ours"],
  ["session-id", "Session-ID (RFC 7989) of a call of ours"],
  ["referred-by", "Referred-By, and a transfer that waits for it"],
  ["connection", "a browser's WebSocket, and a transfer that waits for it"],
  ["subscription", "NOTIFY, known by its Call-ID"],
  ["previous-trace-id", "our second header: a new trace with a link"],
  ["none", "nothing came: the trace begins here"],
]);
const ALWAYS = ["traceparent", "marker", "replaces", "none"];
const RETURNED = ["traceparent", "uri-header", "marker", "replaces", "referred-by", "connection",
  "previous-trace-id"];
const DECISIONS = new Map([
  ["adopted", "the sender's span is the parent"],
  ["recovered", "known again by what we had stamped or keep"],
  ["linked", "a new trace with a link to the old one"],
  ["new", "a new trace, joined to nothing"],
]);
const REASONS = new Map([
  ["duplicate", "two values, or two names that disagree"],
  ["bad_version", "version ff"],
  ["bad_format", "not what W3C writes"],
  ["zero_id", "an id of zeros"],
  ["too_long", "something behind the value"],
  ["untrusted", "the trunk says: ignore"],
]);

const sum = (counts) => Object.values(counts ?? {}).reduce((total, number) => total + number, 0);

export class PropagationView {
  constructor() {
    this.title = "Propagation";
    this.place = h("div", { class: "matrix", tabindex: 0, role: "region", "aria-label": "Trunks and carriers" });
    this.empty = h("p", { class: "empty", hidden: true });
    this.element = h("section", { class: "view propagation", "aria-label": "Propagation" },
      h("div", { class: "bar" }, h("h1", null, "What trace context gets across"),
        h("p", { class: "quiet" }, "since sipproxy began, by trunk")), this.empty, this.place, legend());
  }

  show() {
    this.load();
    this.ticking = setInterval(() => this.load(), EVERY_MS);
  }

  hide() {
    clearInterval(this.ticking);
  }

  async load() {
    try {
      this.render((await get("propagation")).trunks);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (!this.shown) this.say(`The counts cannot be read: ${error.message}.`);
    }
  }

  say(text) {
    this.empty.textContent = text;
    this.empty.hidden = !text;
  }

  render(trunks) {
    const words = JSON.stringify(trunks);
    if (words === this.shown) return;
    this.shown = words;
    const names = Object.keys(trunks);
    this.say(names.length ? "" : "No call has come yet, so there is nothing to compare.");
    this.place.hidden = !names.length;
    const seen = new Set(ALWAYS);
    for (const trunk of Object.values(trunks)) for (const name of Object.keys(trunk.arrived ?? {})) seen.add(name);
    const arrived = [...CARRIERS.keys()].filter((name) => seen.has(name))
      .concat([...seen].filter((name) => !CARRIERS.has(name)).sort());
    const back = new Set(RETURNED);
    for (const trunk of Object.values(trunks)) for (const name of Object.keys(trunk.returned ?? {})) back.add(name);
    const scroll = this.place.scrollLeft;
    this.place.replaceChildren(h("table", null,
      h("caption", { class: "unseen" }, "Calls by the carrier that gave their trace context, per trunk"),
      h("thead", null,
        h("tr", null, h("th", { rowspan: 2, scope: "col", class: "corner" }, "Trunk"),
          h("th", { rowspan: 2, scope: "col", class: "share" }, "In a trace"),
          h("th", { colspan: arrived.length, scope: "colgroup", class: "group" }, "Calls that came, known by"),
          h("th", { rowspan: 2, scope: "col", class: "group rejected" }, "Rejected"),
          h("th", { colspan: back.size, scope: "colgroup", class: "group" }, "Transferred calls that came back with")),
        h("tr", null, arrived.map((name, at) => columnHead(name, at === 0)),
          [...back].map((name, at) => columnHead(name, at === 0)))),
      h("tbody", null, names.sort().map((name) => trunkRow(name, trunks[name], arrived, [...back])))));
    this.place.scrollLeft = scroll;
  }

  key(name) {
    const by = { j: 40, k: -40, ArrowDown: 40, ArrowUp: -40 }[name];
    if (by) this.element.scrollTop += by;
    return Boolean(by);
  }
}

function columnHead(name, first) {
  const title = CARRIERS.get(name) ?? "a name that a trunk's aliases give";
  return h("th", { scope: "col", class: `carrier${first ? " first" : ""}`, title }, name);
}

function trunkRow(name, trunk, arrived, back) {
  const all = Object.values(trunk.arrived ?? {}).reduce((total, decisions) => total + sum(decisions), 0);
  const joined = Object.values(trunk.arrived ?? {})
    .reduce((total, decisions) => total + (decisions.adopted ?? 0) + (decisions.recovered ?? 0), 0);
  const rejected = Object.entries(trunk.rejected ?? {}).filter(([, number]) => number);
  const most = Math.max(1, ...Object.values(trunk.returned ?? {}));
  return h("tr", null,
    h("th", { scope: "row" }, name || "unknown source"),
    shareCell(joined, all),
    arrived.map((carrier, at) => arrivedCell(name, carrier, trunk.arrived?.[carrier] ?? {}, all, at === 0)),
    h("td", { class: `first rejected${rejected.length ? " some" : ""}` }, rejected.length
      ? rejected.map(([reason, number]) => h("span", { class: "reason", title: REASONS.get(reason) ?? reason },
        h("b", null, count(number)), ` ${reason}`)) : h("span", { class: "nil" }, "–")),
    back.map((carrier, at) => {
      const number = trunk.returned?.[carrier] ?? 0;
      const title = `${name}: ${plural(number, "transferred call")} came back with ${carrier}`;
      return h("td", { class: `heat${level(number / most)}${at === 0 ? " first" : ""}`, title },
        number ? count(number) : h("span", { class: "nil" }, "–"));
    }));
}

/** 0 to 4: how dark a cell is. */
const level = (share) => (share <= 0 ? 0 : Math.min(4, Math.ceil(share * 4)));

function shareCell(joined, all) {
  const share = all ? Math.round((joined / all) * 1000) / 10 : null;
  const verdict = share === null ? "" : share >= 90 ? "good" : share >= 40 ? "partly" : joined ? "weak" : "none";
  const gauge = h("meter",
    { min: 0, max: 100, low: 40, high: 90, optimum: 100, value: share ?? 0, "aria-hidden": "true" });
  const title = `${count(joined)} of ${plural(all, "call")} stand in the trace that they belong to`;
  return h("td", { class: "share", title },
    share === null ? h("span", { class: "nil" }, "no calls") : [h("b", null, `${share} %`), ` ${verdict}`, gauge]);
}

function arrivedCell(trunk, carrier, decisions, all, first) {
  const total = sum(decisions);
  const parts = [...DECISIONS.keys()].filter((name) => decisions[name])
    .concat(Object.keys(decisions).filter((name) => !DECISIONS.has(name)));
  const told = parts.map((name) => `${count(decisions[name])} ${name}`);
  const classes = [`heat${level(all ? total / all : 0)}`, carrier === "none" && "lost", first && "first"];
  return h("td", { class: classes.filter(Boolean).join(" "), title: `${trunk}, ${carrier}: ${told.join(", ") || "none"}` },
    total ? [h("b", null, count(total)), (told.length > 1 ? told : parts).map((text) =>
      h("span", { class: "decision" }, text))] : h("span", { class: "nil" }, "–"));
}

function legend() {
  const list = (title, entries) => h("div", null, h("h2", null, title),
    h("dl", null, [...entries].map(([name, text]) => [h("dt", null, name), h("dd", null, text)])));
  return h("div", { class: "legend" }, list("Carriers", CARRIERS), list("Decisions", DECISIONS),
    list("Why a context is rejected", REASONS));
}
