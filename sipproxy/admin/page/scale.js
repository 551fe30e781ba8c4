/**
 * Time as a length. A call is a few bursts of milliseconds between waits of seconds or hours; drawn to scale the
 * bursts vanish. So a stretch in which nothing happens grows with its length up to the knee, and beyond that
 * with its logarithm. `linear` draws to scale.
 */

import { duration } from "./format.js";

const LETTER = 6.2; // about, of the small type on the axis
const MOST_TICKS_PER_PX = 1 / 64;
const SQUEEZED = 6; // how many times shorter than the knee's scale a wait must be to be marked as one

export class Scale {
  constructor(instants, width, linear) {
    const points = [...new Set(instants)].sort((one, other) => one - other);
    if (points.length < 2) points.push((points[0] ?? 0) + 1000);
    const gaps = points.slice(1).map((point, at) => point - points[at]);
    const sorted = [...gaps].sort((one, other) => one - other);
    const knee = linear ? Infinity : Math.min(1e6, Math.max(400, sorted[Math.floor(sorted.length * 0.7)]));
    const lengths = gaps.map((gap) => (gap <= knee ? gap : knee * (1 + Math.log(gap / knee))));
    const total = lengths.reduce((sum, length) => sum + length, 0);
    this.points = points;
    this.width = width;
    this.linear = linear;
    this.places = [0];
    for (const length of lengths) this.places.push(this.places.at(-1) + (length / total) * width);
    this.waits = gaps.map((gap, at) => ({ gap, from: this.places[at], to: this.places[at + 1], length: lengths[at] }))
      .filter((wait) => wait.gap > SQUEEZED * wait.length && wait.to - wait.from > 14);
  }

  /** Where an instant lies, in pixels. */
  x(us) {
    const { points, places } = this;
    if (us <= points[0]) return 0;
    let low = 0;
    let high = points.length - 1;
    if (us >= points[high]) return places[high];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle] <= us) low = middle;
      else high = middle;
    }
    return places[low] + ((us - points[low]) / (points[high] - points[low])) * (places[high] - places[low]);
  }

  /** [{x, text}]: round times when linear, else the instants before and after the longest waits. */
  ticks() {
    const most = Math.max(2, Math.floor(this.width * MOST_TICKS_PER_PX));
    const start = this.points[0];
    if (this.linear) {
      const step = roundStep((this.points.at(-1) - start) / most);
      const ticks = [];
      for (let us = 0; us <= this.points.at(-1) - start; us += step) ticks.push(this.tick(this.x(start + us), us));
      return ticks;
    }
    const gaps = this.points.slice(1).map((point, at) => ({ at: at + 1, gap: point - this.points[at] }));
    gaps.sort((one, other) => other.gap - one.gap);
    const chosen = [this.tick(0, 0)];
    for (const { at } of [{ at: this.points.length - 1 }, ...gaps]) {
      const tick = this.tick(this.places[at], this.points[at] - start);
      if (chosen.every((other) => tick.from > other.to + 8 || tick.to < other.from - 8)) chosen.push(tick);
      if (chosen.length > most) break;
    }
    return chosen;
  }

  /** A label begins at its place, or ends there if it would not fit. */
  tick(x, us) {
    const text = us === 0 ? "0" : duration(us / 1000);
    const room = text.length * LETTER;
    const ends = x + room > this.width + 8;
    return { x, text, ends, from: ends ? x - room : x, to: ends ? x : x + room };
  }
}

function roundStep(us) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, us)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= us) ?? us;
}
