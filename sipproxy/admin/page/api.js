/** The HTTP API: JSON with the token where one is asked for, and the stream of events that connects again. */

import { learnClock } from "./format.js";

const TOKEN = "sipproxy.token";
const SILENCE_MS = 40_000; // a comment comes every 15 s
const RETRY_MS = [300, 600, 1000, 2000, 3000];

/** What the server said instead of an answer; `status` 0: it said nothing. */
export class ApiError extends Error {
  constructor(status, message, parameter = "") {
    super(message);
    this.status = status;
    this.parameter = parameter;
  }
}

/** Who asks the operator for the token is told here: (wrong: boolean) => Promise<string>. */
export let onTokenWanted;
const asker = new Promise((resolve) => { onTokenWanted = resolve; });
let asking = null;

function wantToken(used) {
  if (sessionStorage.getItem(TOKEN) !== used) return Promise.resolve(); // somebody has just typed it
  asking ??= asker.then((ask) => ask(used !== null)).then((token) => {
    sessionStorage.setItem(TOKEN, token);
    asking = null;
  });
  return asking;
}

async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = { ...options.headers };
    if (token !== null) headers.Authorization = `Bearer ${token}`;
    let response;
    try {
      response = await fetch(path, { cache: "no-store", ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "sipproxy does not answer");
    }
    if (response.status !== 401) return response;
    await wantToken(token);
  }
}

async function failure(response) {
  let said = {};
  try {
    said = await response.json();
  } catch { /* no JSON: the status has to do */ }
  return new ApiError(response.status, said.error || `HTTP ${response.status}`, said.parameter);
}

/** GET api/PATH as JSON. */
export async function get(path, signal) {
  const response = await request(`api/${path}`, { signal });
  if (!response.ok) throw await failure(response);
  learnClock(response.headers.get("Date"));
  return response.json();
}

/** GET api/PATH as text. */
export async function getText(path) {
  const response = await request(`api/${path}`);
  if (!response.ok) throw await failure(response);
  return response.text();
}

async function* events(stream, heard) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      let name = "message";
      let id = 0;
      const data = [];
      for (const line of block.split(/\r?\n/)) {
        if (line.startsWith("event:")) name = line.slice(6).trim();
        else if (line.startsWith("id:")) id = Number(line.slice(3));
        else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      }
      if (data.length) yield [name, JSON.parse(data.join("\n")), id];
    }
  }
}

/**
 * Follow /api/events for ever. `on.open` is called each time that the stream stands, `on.lost` when it breaks
 * or does not come about, `on.event(name, data, id)` in between.
 */
export async function follow(on) {
  for (let failures = 0; ;) {
    const controller = new AbortController();
    let alarm = 0;
    const heard = () => {
      clearTimeout(alarm);
      alarm = setTimeout(() => controller.abort(), SILENCE_MS);
    };
    try {
      heard();
      const response = await request("api/events", { signal: controller.signal });
      if (!response.ok) throw await failure(response);
      failures = 0;
      on.open();
      for await (const event of events(response.body, heard)) on.event(...event);
    } catch (error) {
      if (!(error instanceof ApiError || error.name === "AbortError" || error instanceof TypeError)) throw error;
    } finally {
      clearTimeout(alarm);
    }
    on.lost();
    await new Promise((resolve) => { setTimeout(resolve, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]); });
    failures += 1;
  }
}
