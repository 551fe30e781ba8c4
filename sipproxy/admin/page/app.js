/** Routes, keys, the state of the connection, the token: what all views share. */

import { onTokenWanted } from "./api.js";
import { state, subscribe } from "./calls.js";
import { announce, h } from "./dom.js";
import { isUtc, setUtc } from "./format.js";

const main = document.getElementById("main");
const VIEWS = {
  live: async () => new (await import("./live.js")).LiveView(),
  search: async () => new (await import("./search.js")).SearchView(),
  call: async () => new (await import("./call.js")).CallView(),
  propagation: async () => new (await import("./propagation.js")).PropagationView(),
};
const views = {}; // those that have been asked for: promises
let stale = false; // a part of the page could not be had; the browser does not ask for it again by itself

function viewOf(name) {
  views[name] ??= VIEWS[name]().catch((error) => {
    if (!(error instanceof TypeError)) throw error;
    stale = true;
    return null;
  });
  return views[name];
}
let current = null;
let routed = 0;
let cameFrom = "#/live"; // the list to which Escape leads back
let focusNext = false; // the search field, once its view is there

async function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [name, ...rest] = path.split("/");
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch { /* a stray per cent sign: as it stands */ }
  if (!Object.hasOwn(VIEWS, name) || (name === "call" && !id)) {
    history.replaceState(null, "", "#/live");
    route();
    return;
  }
  const mine = (routed += 1);
  const view = await viewOf(name);
  if (mine !== routed) return; // meanwhile somebody went elsewhere
  if (view === null) {
    main.replaceChildren(h("p", { class: "empty" }, "sipproxy does not answer. The page tries again by itself."));
    return;
  }
  if (name === "live" || name === "search") cameFrom = location.hash;
  const same = view === current;
  current?.hide();
  current = view;
  if (!same) main.replaceChildren(view.element);
  document.title = `${view.title} · sipproxy`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  view.show(id, query);
  if (focusNext) view.focusSearch();
  else if (!same && !main.contains(document.activeElement)) main.focus({ preventScroll: true });
  focusNext = false;
}

const GO = { 1: "#/live", 2: "#/search", 3: "#/propagation" };
const help = document.getElementById("help");

/** Keys that belong to the control that has the focus, not to the page. */
function isTaken(event) {
  const { target, key } = event;
  if (target.closest("dialog")) return true;
  if (target.matches("input, select, textarea")) return true;
  if (target.matches("button, a:not(.row), summary") && (key === "Enter" || key === " ")) return true;
  return target.matches("pre, .matrix") && key.startsWith("Arrow");
}

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === "Escape" && target.matches("input, select, textarea") && !target.closest("dialog")) {
    target.blur();
    return;
  }
  if (current === null || isTaken(event)) return;
  if (!press(key)) return;
  event.preventDefault();
});

function press(key) {
  if (key === "/") {
    if (current.list) current.focusSearch();
    else {
      focusNext = true;
      location.hash = "#/search";
    }
  } else if (key === "?") help.showModal();
  else if (GO[key]) location.hash = GO[key];
  else if (key === "u") toggleZone();
  else if (current.key(key)) return true;
  else if (key === "Escape" && !current.list) location.hash = cameFrom;
  else return false;
  return true;
}

const zone = document.getElementById("zone");

function toggleZone() {
  setUtc(!isUtc());
  location.reload();
}

zone.textContent = isUtc() ? "UTC" : "Local time";
zone.addEventListener("click", toggleZone);
document.getElementById("showhelp").addEventListener("click", () => help.showModal());

const connection = document.getElementById("connection");

/** Not before somebody answers: the browser's own error page would stay for ever. */
async function reloadOnceThere() {
  stale = false;
  try {
    if ((await fetch("/", { cache: "no-store" })).ok) location.reload();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    stale = true; // the connection is not as live as it seemed
  }
}

function showConnection() {
  if (stale && state.connection === "live") reloadOnceThere();
  const text = state.connection + (state.draining ? ", draining" : state.reasons.length ? ", degraded" : "");
  if (connection.dataset.text === text) return;
  const before = connection.dataset.state;
  const troubled = state.draining || state.reasons.length > 0;
  Object.assign(connection.dataset, { state: state.connection, text, troubled });
  connection.lastElementChild.textContent = text;
  connection.title = state.connection === "live" ? ["What is shown is as it is now", ...state.reasons].join("\n")
    : "No connection to sipproxy's observer. Calls are not touched by that; the page tries again by itself.";
  if (before && before !== "connecting") announce(`Connection: ${text}`);
}

const asking = document.getElementById("token");
onTokenWanted((wrong) => new Promise((resolve) => {
  const field = asking.querySelector("input");
  asking.querySelector(".wrong").hidden = !wrong;
  field.value = "";
  if (!asking.open) asking.showModal();
  asking.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    if (!field.value) return;
    asking.close();
    resolve(field.value);
  };
}));
asking.addEventListener("cancel", (event) => event.preventDefault()); // without it there is nothing to see

for (const [keys, text] of [
  ["/", "search, or the filter of the list"], ["1 2 3", "live calls, search, propagation"],
  ["j k ↓ ↑", "down and up in a list, among spans, among messages"],
  ["h l ← →", "from the spans to the messages, and back"],
  ["Enter", "open a call; from a span to its first message; from a message to its text"],
  ["Esc", "let go of what is chosen; then back to the list"], ["space", "hold the live list still, and let it go on"],
  ["t", "time to scale, or with long waits drawn short"], ["e", "the next span that failed"],
  ["u", "UTC or local time"], ["?", "this help"],
]) {
  const caps = keys.split(" ").map((key) => h("kbd", null, key));
  help.querySelector("dl").append(h("dt", null, caps), h("dd", null, text));
}
help.querySelector("button").addEventListener("click", () => help.close());

addEventListener("hashchange", route);
subscribe(showConnection);
showConnection();
route().then(() => setTimeout(() => Object.keys(VIEWS).forEach(viewOf), 300)); // so that the others are there
