/** The live calls, kept up by the stream of events; whoever wants to know is told once per frame. */

import { ApiError, follow, get } from "./api.js";
import { nowUs } from "./format.js";

const LINGER_MS = 5000; // an ended call stays in sight for this long

export const calls = new Map(); // id -> Live, or an ended Row with `leaves` (ms) while it lingers
export const state = { connection: "connecting", draining: false, reasons: [], loaded: false, error: "", beyond: 0 };

const listeners = new Set();
let due = 0;
let early = null; // events that came before the whole list did
let seq = 0; // of the last event that the whole list has in it
let joined = 0; // of the first event of this stream: an older list lacks what came between
let wasLost = false;
let isFresh = true; // the stream has told nothing yet

/** Call back after changes: callback(ids of changed calls, or null for all). Gives what ends that. */
export function subscribe(callback) {
  listeners.add(callback);
  return () => listeners.delete(callback);
}

let touched = new Set();

function tell(ids) {
  if (ids === null) touched = null;
  else if (touched !== null) for (const id of ids) touched.add(id);
  due ||= requestAnimationFrame(() => {
    const changed = touched;
    due = 0;
    touched = new Set();
    for (const callback of listeners) callback(changed);
  });
}

function take({ added = [], changed = [], ended = [] }, id) {
  if (id && id <= seq) return;
  for (const call of added) calls.set(call.id, call);
  for (const call of changed) calls.set(call.id, call);
  const leaves = performance.now() + LINGER_MS;
  for (const call of ended) {
    if (calls.has(call.id)) calls.set(call.id, { ...call, state: "over", leaves });
  }
  if (ended.length) setTimeout(sweep, LINGER_MS + 50);
  tell([...added, ...changed, ...ended].map((call) => call.id));
}

function sweep() {
  const now = performance.now();
  const gone = [];
  for (const [id, call] of calls) {
    if (call.leaves !== undefined && call.leaves <= now) {
      calls.delete(id);
      gone.push(id);
    }
  }
  if (gone.length) tell(gone);
}

async function load() {
  early = [];
  try {
    const answer = await get("calls");
    calls.clear();
    for (const call of answer.calls) calls.set(call.id, call);
    seq = answer.seq ?? 0;
    state.beyond = answer.total - answer.calls.length;
    for (const event of early) take(...event);
    state.loaded = true;
    state.error = "";
  } catch (error) {
    state.error = error.message;
  } finally {
    early = null;
  }
  tell(null);
  loadWhatIsMissing();
}

/** The newest of them, which the store has at hand: a list of 10,000 takes the observer a while. */
async function loadNewest() {
  try {
    const answer = await get("traces?limit=60");
    if (state.loaded) return;
    for (const call of answer.calls) if (call.state !== "over") calls.set(call.id, call);
    tell(null);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error; // the whole list says what is wrong
  }
}

function loadWhatIsMissing() {
  if (early !== null || state.error || joined <= seq) return;
  joined = 0;
  load();
}

// At once, while the rest of the page is still on its way, and all together.
if (/^(#\/live|#?$)/.test(location.hash)) loadNewest();
load();
follow({
  open() {
    state.connection = "live";
    isFresh = true;
    if (wasLost || state.error) load();
    else tell([]);
  },
  lost() {
    state.connection = "reconnecting";
    joined = 0;
    wasLost = true;
    tell(null);
  },
  event(name, data, id) {
    if (isFresh) {
      isFresh = false;
      joined = id;
      loadWhatIsMissing();
    }
    if (name === "calls") {
      if (early !== null) early.push([data, id]);
      else take(data, id);
    } else if (name === "state") {
      state.draining = Boolean(data.draining);
      state.reasons = data.reasons ?? [];
      tell([]);
    }
  },
});

/** Milliseconds that a call has lasted, or did. */
export const lasted = (call) => ((call.ended_us ?? nowUs()) - call.began_us) / 1000;

/** Since the answer; null before. */
export const talked = (call) =>
  (call.answered_us ? ((call.ended_us ?? nowUs()) - call.answered_us) / 1000 : null);

/** The newest first. */
export const newestFirst = (one, other) => other.began_us - one.began_us || (one.id < other.id ? -1 : 1);
