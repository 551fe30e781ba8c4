/** #/live: the calls that are going on. */

import { calls, lasted, newestFirst, state, subscribe, talked } from "./calls.js";
import { h, mark, setText } from "./dom.js";
import { clock, count, exact, plural, stopwatch } from "./format.js";
import { List } from "./list.js";

const ORDER = ["calling", "ringing", "talking", "transferring"];
export const TELLING = { calling: "Calling", ringing: "Ringing", talking: "Talking",
  transferring: "Transferring", over: "Ended" };

const COLUMNS = [
  { name: "State", class: "state" },
  { name: "Since", class: "time", title: "When the INVITE came" },
  { name: "Lasts", class: "time lasts", title: "Since the INVITE" },
  { name: "From", class: "who" },
  { name: "To", class: "who" },
  { name: "Way", class: "way", title: "Trunk in, trunks out" },
  { name: "Transfers", class: "few", title: "Transfers so far" },
  { name: "Interaction", class: "id" },
];

/** The cells that live calls and found ones share. */
export function fillState(cell, word, title) {
  if (cell.dataset.state === `${word}/${title}`) return;
  cell.dataset.state = `${word}/${title}`;
  cell.replaceChildren(mark(word), h("span", null, title));
}

export const way = (call) => call.trunks.join(" → ") || "unknown source";

function fill(cells, call, row) {
  const [stateCell, since, lasts, from, to, trunks, transfers, interaction] = cells;
  const over = call.leaves !== undefined;
  row.dataset.state = call.state;
  fillState(stateCell, over ? call.outcome || "over" : call.state,
    over ? `Ended, ${call.outcome || "over"}` : TELLING[call.state] ?? call.state);
  setText(since, clock(call.began_us));
  since.title = exact(call.began_us);
  setText(lasts, stopwatch(lasted(call)));
  const talk = talked(call);
  lasts.title = talk === null ? "not answered" : `talking for ${stopwatch(talk)}`;
  setText(from, call.from || "anonymous");
  setText(to, call.to || "");
  setText(trunks, way(call));
  trunks.title = way(call);
  setText(transfers, call.transfers ? String(call.transfers) : "");
  setText(interaction, call.interaction_id || "");
}

export class LiveView {
  constructor() {
    this.title = "Live calls";
    this.paused = false;
    this.waiting = 0;
    this.list = new List({ name: "live", label: "Live calls, newest first", columns: COLUMNS, fill,
      href: (call) => `#/call/${encodeURIComponent(call.id)}` });
    this.totals = new Map(ORDER.map((name) => [name, h("b", null, "0")]));
    this.total = h("b", { class: "total" }, "0");
    this.beyond = h("span");
    this.filter = h("input", { type: "search", id: "live-filter", placeholder: "Filter: user, trunk, id",
      "aria-label": "Filter the live calls by user, trunk, state or id", autocomplete: "off", spellcheck: "false",
      oninput: () => this.changed(null) });
    this.pause = h("button", { type: "button", "aria-pressed": "false", title: "Hold the list still (space)",
      onclick: () => this.setPaused(!this.paused) }, "Pause");
    this.empty = h("p", { class: "empty", hidden: true });
    this.element = h("section", { class: "view liveview", "aria-label": "Live calls" },
      h("div", { class: "bar" },
        h("p", { class: "totals" }, h("span", { class: "figure" }, this.total, this.beyond),
          ORDER.map((name) => h("span", { class: "figure", "data-state": name }, mark(name),
            this.totals.get(name), ` ${name}`))),
        h("div", { class: "tools" }, this.filter, this.pause)),
      this.empty, this.list.element);
  }

  show() {
    this.unsubscribe = subscribe((ids) => this.changed(ids));
    this.ticking = setInterval(() => this.list.draw(), 1000);
    this.changed(null);
    if (this.scrolled) this.list.element.scrollTop = this.scrolled;
  }

  hide() {
    this.unsubscribe();
    clearInterval(this.ticking);
    this.scrolled = this.list.element.scrollTop;
  }

  setPaused(on) {
    this.paused = on;
    this.waiting = 0;
    this.pause.setAttribute("aria-pressed", on);
    this.pause.textContent = on ? "Go on" : "Pause";
    if (!on) this.changed(null);
  }

  changed(ids) {
    this.count();
    if (this.paused) {
      this.waiting += ids === null ? 0 : ids.size;
      this.pause.textContent = this.waiting ? `Go on (${plural(this.waiting, "change")})` : "Go on";
      return;
    }
    const wanted = this.filter.value.trim().toLowerCase();
    const items = wanted ? [...calls.values()].filter((call) => matches(call, wanted)) : [...calls.values()];
    items.sort(newestFirst);
    this.list.show(items);
    this.explain(items.length, wanted);
    if (!this.measured && items.length) this.measure();
  }

  count() {
    const found = Object.fromEntries(ORDER.map((name) => [name, 0]));
    let total = 0;
    for (const call of calls.values()) {
      if (call.leaves !== undefined) continue;
      total += 1;
      if (call.state in found) found[call.state] += 1;
    }
    setText(this.total, state.loaded ? count(total) : "…");
    setText(this.beyond, state.beyond > 0 ? ` live, ${count(state.beyond)} more are not listed` : " live");
    for (const [name, element] of this.totals) setText(element, state.loaded ? count(found[name]) : "…");
  }

  explain(shown, wanted) {
    let text = "";
    if (shown) text = "";
    else if (state.error) text = `The live calls cannot be read: ${state.error}.`;
    else if (!state.loaded) text = state.connection === "reconnecting" ? "" : "Asking for the live calls …";
    else if (wanted) text = `None of ${plural(calls.size, "live call")} matches “${this.filter.value}”.`;
    else text = "No call is going on. A new one appears here by itself; past ones are under Search.";
    setText(this.empty, text);
    this.empty.hidden = text === "";
  }

  /** How long it took until the first calls could be seen; read by the tests. */
  measure() {
    this.measured = true;
    performance.mark("sipproxy:first-calls");
  }

  focusSearch() {
    this.filter.focus();
    this.filter.select();
  }

  key(name) {
    if (name === " ") this.setPaused(!this.paused);
    else return this.list.key(name);
    return true;
  }
}

function matches(call, wanted) {
  return [call.from, call.to, call.interaction_id, call.trace_id, call.state, call.id, way(call), ...call.call_ids]
    .some((text) => text && text.toLowerCase().includes(wanted));
}
