/** Times, durations and counts as text. All times of the API are microseconds since 1970. */

const ZONE = "sipproxy.utc";
let utc = localStorage.getItem(ZONE) === "1";
let skew = 0; // microseconds that the server's clock is ahead of ours

export const isUtc = () => utc;

export function setUtc(on) {
  utc = on;
  localStorage.setItem(ZONE, on ? "1" : "0");
}

/** Learn from a response how far the two clocks are apart; the header has whole seconds. */
export function learnClock(date) {
  const apart = Date.parse(date) + 500 - Date.now();
  if (Number.isFinite(apart)) skew = Math.abs(apart) > 1500 ? apart * 1000 : 0;
}

/** The server's present. */
export const nowUs = () => Date.now() * 1000 + skew;

const two = (number) => String(number).padStart(2, "0");

function parts(us) {
  const date = new Date(us / 1000);
  return utc
    ? [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(),
      date.getUTCSeconds(), date.getUTCMilliseconds()]
    : [date.getFullYear(), date.getMonth(), date.getDate(), date.getHours(), date.getMinutes(),
      date.getSeconds(), date.getMilliseconds()];
}

/** 14:03:22, or with `.120` behind it. */
export function clock(us, millis = false) {
  const [, , , hours, minutes, seconds, ms] = parts(us);
  return `${two(hours)}:${two(minutes)}:${two(seconds)}${millis ? `.${String(ms).padStart(3, "0")}` : ""}`;
}

/** 2026-11-22, the order that sorts. */
export function day(us) {
  const [year, month, date] = parts(us);
  return `${year}-${two(month + 1)}-${two(date)}`;
}

/** The day as well, unless it is today. */
export function when(us, millis = false) {
  return day(us) === day(nowUs()) ? clock(us, millis) : `${day(us)} ${clock(us, millis)}`;
}

/** The whole instant, for a tooltip. */
export const exact = (us) => new Date(us / 1000).toISOString();

/** 0.34 ms, 8.1 ms, 812 ms, 42.3 s, 12 m 05 s, 2 h 03 m. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 0.005) return "0 ms";
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  const minutes = Math.floor(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} m`;
}

/** 0:42, 12:05, 2:03:10: what a telephone's display shows, for lists. */
export function stopwatch(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return seconds < 3600 ? rest.replace(/^0(?=\d:)/, "") : `${Math.floor(seconds / 3600)}:${rest}`;
}

/** Seconds behind the beginning, to the millisecond: 0.000, 42.318, 1:02:03.120. */
export function offset(us) {
  const ms = Math.round(us / 1000);
  if (ms < 3600_000) return (ms / 1000).toFixed(3);
  const seconds = Math.floor(ms / 1000);
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${String(ms % 1000).padStart(3, "0")}`;
  return `${Math.floor(seconds / 3600)}:${rest}`;
}

const grouped = new Intl.NumberFormat("en-GB");

/** 12,345 */
export const count = (number) => grouped.format(number);

/** "1 call", "2 calls". */
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** The ends of an id, where there is no room for all of it. */
export const short = (id) => (id.length > 14 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id);

/** Cut what is too long for its place. */
export const cut = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text);
