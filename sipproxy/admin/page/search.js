/** #/search?...: past and live calls by what is known of them. The address holds the filters. */

import { ApiError, get } from "./api.js";
import { announce, h, setText } from "./dom.js";
import { duration, exact, plural, when } from "./format.js";
import { List } from "./list.js";
import { TELLING, fillState, way } from "./live.js";

const PAGE = 100;
const OUTCOMES = ["answered", "busy", "declined", "cancelled", "refused", "timeout", "failed", "lost"];
const PERIODS = [["", "any time"], ["15m", "last 15 minutes"], ["1h", "last hour"], ["6h", "last 6 hours"],
  ["24h", "last 24 hours"], ["3d", "last 3 days"], ["7d", "last 7 days"], ["between", "between …"]];

const COLUMNS = [
  { name: "Outcome", class: "state" },
  { name: "Began", class: "time day" },
  { name: "Setup", class: "time", title: "From the INVITE to its final response" },
  { name: "Talk", class: "time", title: "From the answer to the end" },
  { name: "From", class: "who" },
  { name: "To", class: "who" },
  { name: "Way", class: "way", title: "Trunk in, trunks out" },
  { name: "Transfers", class: "few" },
  { name: "Interaction", class: "id" },
];

/** "busy 486", "timeout", "Talking": how a call ended, or what it does. */
export function verdict(call) {
  if (!call.outcome || call.state in TELLING && call.state !== "over") return TELLING[call.state] ?? call.state;
  const why = call.outcome === "answered" ? "" : call.status || (call.error === call.outcome ? "" : call.error);
  return why ? `${call.outcome} ${why}` : call.outcome;
}

/** The word that a mark is drawn for. */
export const standing = (call) => (call.state === "over" ? call.outcome || "over" : call.state);

function fill(cells, call, row) {
  const [outcome, began, setup, talk, from, to, trunks, transfers, interaction] = cells;
  row.dataset.state = standing(call);
  row.classList.toggle("failed", Boolean(call.failed));
  fillState(outcome, standing(call), verdict(call));
  outcome.title = call.error || "";
  setText(began, when(call.began_us));
  began.title = exact(call.began_us);
  setText(setup, duration(call.setup_ms));
  setText(talk, call.answered_us ? duration(call.talk_ms) : "");
  setText(from, call.from || "anonymous");
  setText(to, call.to || "");
  setText(trunks, way(call));
  trunks.title = way(call);
  setText(transfers, call.transfers ? String(call.transfers) : "");
  setText(interaction, call.interaction_id || "");
}

const select = (name, options) => h("select", { name, id: `by-${name}` },
  options.map(([value, text]) => h("option", { value }, text)));
const input = (name, more) => h("input", { name, id: `by-${name}`, autocomplete: "off", spellcheck: "false", ...more });
const labelled = (text, control, more) => h("label", { class: more }, h("span", null, text), control);

/** An instant, as a link from elsewhere may name it, as a field for local time wants it. */
function local(text) {
  const at = Date.parse(text);
  return Number.isNaN(at) ? "" : new Date(at - new Date(at).getTimezoneOffset() * 60000).toISOString().slice(0, 19);
}

export class SearchView {
  constructor() {
    this.title = "Search";
    this.found = [];
    this.next = null;
    this.asked = null; // the query that `found` answers
    this.trunks = h("datalist", { id: "trunks" });
    const { since, until } = { since: input("since", { type: "datetime-local", step: 1 }),
      until: input("until", { type: "datetime-local", step: 1 }) };
    this.period = select("period", PERIODS);
    this.between = h("span", { class: "between", hidden: true }, labelled("from", since), labelled("until", until));
    this.period.addEventListener("change", () => { this.between.hidden = this.period.value !== "between"; });
    this.id = input("id", { type: "search", placeholder: "Call-ID, trace-id or interaction id" });
    this.submit = h("button", { type: "submit", class: "first" }, "Search");
    this.form = h("form", { class: "filters", role: "search", "aria-label": "Filters",
      onsubmit: (event) => { event.preventDefault(); this.submitted(); } },
    labelled("Id", this.id, "wide"),
    labelled("Trunk", input("trunk", { list: "trunks", placeholder: "any" })),
    labelled("Outcome", select("outcome", [["", "any"], ...OUTCOMES.map((word) => [word, word])])),
    labelled("Setup slower than", h("span", { class: "unit" },
      input("slower_than_ms", { type: "number", min: 0, step: 1, placeholder: "any" }), " ms")),
    labelled("Transferred", select("transferred", [["", "any"], ["true", "yes"], ["false", "no"]])),
    labelled("When", this.period), this.between,
    h("div", { class: "buttons" }, this.submit,
      h("button", { type: "button", onclick: () => { location.hash = "#/search"; } }, "Clear")));
    this.list = new List({ name: "found", label: "Calls found, newest first", columns: COLUMNS, fill,
      href: (call) => `#/call/${encodeURIComponent(call.id)}`, nearEnd: () => this.more() });
    this.summary = h("p", { class: "summary" });
    this.element = h("section", { class: "view searchview", "aria-label": "Search" },
      this.form, this.trunks, this.summary, this.list.element);
  }

  show(_, query) {
    const wanted = new URLSearchParams(query);
    for (const control of this.form.elements) {
      const value = wanted.get(control.name) ?? "";
      if (control.name) control.value = control.type === "datetime-local" ? local(value) : value;
    }
    if (PERIODS.some(([value]) => value && value === wanted.get("since"))) this.period.value = wanted.get("since");
    else if (this.period.value === "" && (wanted.has("since") || wanted.has("until"))) this.period.value = "between";
    this.between.hidden = this.period.value !== "between";
    this.knowTrunks();
    if (this.asked !== query) this.search(query);
    else if (this.scrolled) this.list.element.scrollTop = this.scrolled;
    this.list.draw();
  }

  hide() {
    this.scrolled = this.list.element.scrollTop;
  }

  async knowTrunks() {
    if (this.trunks.childElementCount) return;
    try {
      const { trunks } = await get("propagation");
      this.trunks.replaceChildren(...Object.keys(trunks).map((name) => h("option", { value: name })));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // without it, the names have to be typed
    }
  }

  submitted() {
    const wanted = new URLSearchParams();
    const between = this.period.value === "between";
    for (const { name, value } of this.form.elements) {
      if (!name || !value.trim()) continue;
      if ((name === "since" || name === "until") && !between) continue;
      if (name === "period" && between) continue;
      wanted.set(name, value.trim());
    }
    const hash = `#/search${wanted.size ? `?${wanted}` : ""}`;
    if (location.hash === hash) this.search(String(wanted));
    else location.hash = hash;
  }

  /** What the API is asked: a period is its `since`, and a local time is an instant. */
  parameters(query) {
    const wanted = new URLSearchParams(query);
    for (const name of ["since", "until"]) {
      const time = wanted.get(name);
      if (time && !Number.isNaN(Date.parse(time))) wanted.set(name, new Date(time).toISOString());
    }
    if (wanted.has("period")) {
      wanted.set("since", wanted.get("period"));
      wanted.delete("period");
    }
    wanted.set("limit", PAGE);
    return wanted;
  }

  async search(query) {
    this.asked = query;
    this.found = [];
    this.next = null;
    this.list.active = null;
    this.list.element.scrollTop = 0;
    await this.fetch(query, "");
  }

  async more() {
    if (this.next !== null && !this.fetching) await this.fetch(this.asked, this.next);
  }

  async fetch(query, before) {
    const wanted = this.parameters(query);
    if (before) wanted.set("before", before);
    this.fetching?.abort();
    const fetching = (this.fetching = new AbortController());
    this.list.element.setAttribute("aria-busy", "true");
    if (!before) this.say("Searching …");
    try {
      const answer = await get(`traces?${wanted}`, fetching.signal);
      this.found = this.found.concat(answer.calls);
      this.next = answer.next;
      this.list.show(this.found);
      this.say(this.found.length ? `${plural(this.found.length, "call")}${this.next ? ", more below" : ""}`
        : "No call matches. Calls that were not answered count too; loosen a filter, or the time.");
      if (!before) announce(this.summary.textContent);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof ApiError)) throw error;
      this.next = null;
      this.list.show(this.found);
      this.say(`The search failed: ${error.message}`, true);
      this.form.elements[error.parameter]?.focus();
    } finally {
      if (this.fetching === fetching) {
        this.fetching = null;
        this.list.element.removeAttribute("aria-busy");
      }
    }
  }

  say(text, wrong = false) {
    setText(this.summary, text);
    this.summary.classList.toggle("wrong", wrong);
    if (wrong) announce(text);
  }

  focusSearch() {
    this.id.focus();
    this.id.select();
  }

  key(name) {
    return this.list.key(name);
  }
}
