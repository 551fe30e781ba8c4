/** What the person at the desk sees and presses. */

import { Phone } from "./phone.js";

const line = document.getElementById("line");
const dial = document.getElementById("dial");
const calls = document.getElementById("calls");
const notes = document.getElementById("notes");
const template = document.getElementById("call");
let phone = null;

// ?server=wss://sip.example:443&target=... fills the fields in, for a link from another application
for (const [name, value] of new URLSearchParams(location.search)) {
  const field = line.elements[name] ?? dial.elements[name];
  if (field instanceof HTMLInputElement && field.type === "text") field.value = value;
}

line.addEventListener("submit", (event) => {
  event.preventDefault();
  phone?.leave();
  phone = new Phone({
    server: line.elements.server.value,
    uri: line.elements.uri.value,
    traced: line.elements.traced.checked,
    connected: (is) => { line.elements.state.value = is ? "connected" : "not connected"; },
    changed: draw,
    note,
  });
});

dial.addEventListener("submit", (event) => {
  event.preventDefault();
  const call = phone?.call(dial.elements.target.value, dial.elements.interaction.value);
  if (call) dial.elements.trace.value = phone.traced ? call.span.traceId : "";
});

// A reload ends the calls: nobody else at this desk could.
window.addEventListener("pagehide", () => phone?.leave());

function draw() {
  const talking = phone.calls.filter((call) => !call.over);
  calls.replaceChildren(...phone.calls.map((call) => {
    const row = template.content.cloneNode(true).querySelector("li");
    row.querySelector(".state").textContent = call.state;
    row.querySelector(".peer").textContent = call.peer;
    const other = talking.find((each) => each !== call);
    press(row, "hangup", !call.over, () => call.hangUp());
    press(row, "transfer", call.talking, () => call.transfer(dial.elements.target.value));
    press(row, "join", call.talking && Boolean(other?.talking),
      () => call.transfer(other.session.remote_identity.uri.toString(), other));
    return row;
  }));
}

function press(row, name, possible, then) {
  const button = row.querySelector(`[name=${name}]`);
  button.hidden = !possible;
  button.addEventListener("click", then);
}

function note(text) {
  const row = document.createElement("li");
  row.textContent = text;
  notes.append(row);
}
