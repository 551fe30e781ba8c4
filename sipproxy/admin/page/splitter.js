/** The bar between the panes and the details: dragged, or moved with the arrow keys. */

import { h } from "./dom.js";

const KEPT = "sipproxy.details";
const STEP = 24;

export function splitter(owner) {
  let height = Number(localStorage.getItem(KEPT)) || 250;
  const bar = h("div", { class: "splitter", role: "separator", tabindex: 0, "aria-orientation": "horizontal",
    "aria-label": "Height of the details", "aria-valuemin": 80 });
  const set = (wanted) => {
    height = Math.round(Math.max(80, Math.min(wanted, (owner.clientHeight || 640) - 180)));
    owner.style.setProperty("--details", `${height}px`);
    bar.setAttribute("aria-valuenow", height);
    localStorage.setItem(KEPT, height);
  };
  owner.style.setProperty("--details", `${height}px`);
  bar.setAttribute("aria-valuenow", height);
  bar.addEventListener("pointerdown", (event) => {
    const from = event.clientY + height;
    bar.setPointerCapture(event.pointerId);
    bar.onpointermove = (moved) => set(from - moved.clientY);
    bar.onpointerup = bar.onpointercancel = () => { bar.onpointermove = null; };
  });
  bar.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    set(height + (event.key === "ArrowUp" ? STEP : -STEP));
    event.preventDefault();
    event.stopPropagation();
  });
  return bar;
}
