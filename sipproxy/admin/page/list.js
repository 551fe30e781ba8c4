/**
 * A list of any length: only the rows that can be seen are in the document, and those are used again.
 *
 * It is a grid with one active row; keys come from the page (`move`, `open`), the mouse from here.
 */

import { h } from "./dom.js";

const SPARE = 6; // rows beyond each edge
let numbered = 0;

export class List {
  /**
   * columns: [{name, class, title}]; fill(cells, item, row) writes a row; href(item) is where it leads;
   * nearEnd() is called when the last rows come into view.
   */
  constructor({ name, label, columns, fill, href, nearEnd = () => {} }) {
    this.items = [];
    this.active = null; // id of the active item: it stays active when it moves
    this.prefix = `list${(numbered += 1)}-`;
    this.columns = columns;
    this.fill = fill;
    this.href = href;
    this.nearEnd = nearEnd;
    this.rows = [];
    this.due = 0;
    this.head = h("div", { class: "row head", role: "row", "aria-rowindex": 1 }, columns.map((column) =>
      h("span", { role: "columnheader", class: column.class, title: column.title }, column.name)));
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.element = h("div", { class: `list ${name}`, role: "grid", tabindex: 0, "aria-label": label,
      onscroll: () => this.draw(), onclick: (event) => this.clicked(event) },
    h("div", { role: "rowgroup", class: "headgroup" }, this.head), this.body);
    new ResizeObserver(() => this.resized()).observe(this.element);
  }

  resized() {
    const height = parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
    if (height && height !== this.rowHeight) {
      this.rowHeight = height;
      for (const row of this.rows) row.at = -1;
    }
    this.draw();
  }

  /** Show these; what was active stays so. */
  show(items) {
    this.items = items;
    this.drawNow();
  }

  /** Draw with the next frame, once, however often it is asked for. */
  draw() {
    this.due ||= requestAnimationFrame(() => {
      this.due = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const { element, items, rowHeight } = this;
    if (!rowHeight || !element.isConnected) return;
    element.setAttribute("aria-rowcount", items.length + 1);
    const height = `${items.length * rowHeight}px`;
    if (this.body.style.height !== height) this.body.style.height = height;
    const first = Math.max(0, Math.floor(element.scrollTop / rowHeight) - SPARE);
    const end = Math.min(items.length, Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + SPARE);
    let activeRow = null;
    for (let at = first; at < end; at += 1) {
      const row = this.rowFor(at - first);
      const item = items[at];
      if (row.at !== at) {
        row.at = at;
        row.element.style.transform = `translateY(${at * rowHeight}px)`;
        row.element.setAttribute("aria-rowindex", at + 2);
      }
      const isActive = item.id === this.active;
      if (row.id !== item.id) {
        row.id = item.id;
        row.element.setAttribute("href", this.href(item));
      }
      row.element.setAttribute("aria-selected", isActive);
      if (row.element.hidden) row.element.hidden = false;
      this.fill(row.cells, item, row.element);
      if (isActive) activeRow = row.element.id;
    }
    for (let at = end - first; at < this.rows.length; at += 1) this.rows[at].element.hidden = true;
    if (activeRow === null) element.removeAttribute("aria-activedescendant");
    else element.setAttribute("aria-activedescendant", activeRow);
    if (items.length && end === items.length) this.nearEnd();
  }

  rowFor(number) {
    const known = this.rows[number];
    if (known) return known;
    const cells = this.columns.map((column) => h("span", { role: "gridcell", class: column.class }));
    const element = h("a", { class: "row", role: "row", id: this.prefix + number, tabindex: -1 }, cells);
    this.body.append(element);
    return (this.rows[number] = { element, cells, at: -1, id: null });
  }

  clicked(event) {
    const row = event.target.closest("a.row");
    const known = this.rows.find((each) => each.element === row);
    if (known) this.active = known.id; // the link does the rest
  }

  /** Make the next (or the one before) active, and bring it into view. */
  move(step) {
    const { items } = this;
    if (!items.length) return;
    const at = items.findIndex((item) => item.id === this.active);
    this.choose(at < 0 ? (step > 0 ? 0 : items.length - 1) : at + step);
  }

  /** Make the row at this place active, or the nearest that there is. */
  choose(place) {
    const { items } = this;
    const next = Math.max(0, Math.min(items.length - 1, place));
    if (!items.length) return;
    this.active = items[next].id;
    const top = next * this.rowHeight;
    const { element } = this;
    const room = element.clientHeight - this.head.offsetHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + this.rowHeight > element.scrollTop + room) element.scrollTop = top + this.rowHeight - room;
    element.focus({ preventScroll: true });
    this.draw();
  }

  /** How many rows a page has. */
  get page() {
    return Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight) - 2);
  }

  /** Go where the active row leads. */
  open() {
    const item = this.items.find((each) => each.id === this.active);
    if (item) location.hash = this.href(item);
    return item !== undefined;
  }

  /** What the list does with a key; false: nothing. */
  key(name) {
    switch (name) {
      case "j": case "ArrowDown": this.move(1); return true;
      case "k": case "ArrowUp": this.move(-1); return true;
      case "PageDown": this.move(this.page); return true;
      case "PageUp": this.move(-this.page); return true;
      case "Home": this.choose(0); return true;
      case "End": this.choose(this.items.length - 1); return true;
      case "Enter": return this.open();
      default: return false;
    }
  }
}
