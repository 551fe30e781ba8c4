/** What the API tells of a call, in the order and shape in which it is drawn. */

const HUES = 6; // of calls, in style.css

/** {lanes, rows, spans, messages, parties, joins, start, end, open} of an answer of /api/traces/ID. */
export function storyOf(answer, now) {
  const spans = new Map(answer.spans.map((span) =>
    [span.span_id, { ...span, messages: [], isOpen: span.end_us === null }]));
  const messages = answer.messages.map((message, at) => ({ ...message, at }));
  messages.sort((one, other) => one.at_us - other.at_us || one.n - other.n);
  messages.forEach((message, at) => { message.at = at; });
  const instants = [...messages.map((message) => message.at_us), ...answer.spans.map((span) => span.start_us)];
  const isOpen = [...spans.values()].some((span) => span.isOpen);
  const start = instants.length ? Math.min(...instants) : now;
  const end = Math.max(start, ...instants, ...answer.spans.map((span) => span.end_us ?? 0),
    isOpen ? now : start);
  for (const message of messages) {
    message.spans = message.spans.filter((id) => spans.has(id));
    for (const id of message.spans) spans.get(id).messages.push(message);
  }
  const lanes = lanesOf(answer, spans);
  findRepeats(messages);
  const laneOf = new Map(lanes.map((lane) => [lane.id, lane]));
  for (const message of messages) message.lane = laneOf.get(message.call) ?? lanes[0];
  const story = { answer, lanes, spans, messages, parties: partiesOf(messages), joins: joinsOf(lanes, spans),
    rows: lanes.flatMap((lane) => lane.rows), start, end, isOpen };
  advance(story, end);
  return story;
}

/** Time goes on: what is open lasts until now. */
export function advance(story, now) {
  if (story.isOpen) story.end = Math.max(story.end, now);
  for (const span of story.spans.values()) span.stop = span.isOpen ? story.end : span.end_us;
}

/** Each call is a lane, the first to begin on top, with its spans as a tree. */
function lanesOf(answer, spans) {
  const known = new Map(answer.calls.map((call) => [call.id, { id: call.id, call, began: call.began_us, rows: [] }]));
  for (const span of spans.values()) {
    if (!known.has(span.call)) known.set(span.call, { id: span.call, call: null, began: span.start_us, rows: [] });
  }
  const lanes = [...known.values()].sort((one, other) => one.began - other.began);
  lanes.forEach((lane, at) => {
    lane.number = at + 1;
    lane.hue = (at % HUES) + 1;
    const own = [...spans.values()].filter((span) => span.call === lane.id)
      .sort((one, other) => one.start_us - other.start_us || (one.parent_id === other.span_id ? 1 : -1));
    const here = new Set(own.map((span) => span.span_id));
    const below = byParent(own);
    const add = (span, depth) => {
      if (span.lane) return; // a parent that is its own descendant: somebody sent nonsense
      Object.assign(span, { lane, depth });
      lane.rows.push(span);
      for (const child of below.get(span.span_id) ?? []) add(child, depth + 1);
    };
    for (const span of own) if (!here.has(span.parent_id)) add(span, 0);
    for (const span of own) add(span, 0);
    lane.root = own.find((span) => span.span_id === lane.id) ?? null;
    const parent = lane.root && spans.get(lane.root.parent_id);
    lane.cause = parent && parent.call !== lane.id ? parent : null; // the transfer that this call comes of
  });
  return lanes;
}

function byParent(spans) {
  const groups = new Map();
  for (const span of spans) {
    const group = groups.get(span.parent_id);
    if (group) group.push(span);
    else groups.set(span.parent_id, [span]);
  }
  return groups;
}

/** From call to call: what a transfer caused, and what has a link to what. Each pair once. */
function joinsOf(lanes, spans) {
  const joins = [];
  for (const lane of lanes) if (lane.cause) joins.push({ from: lane.cause, to: lane.root, caused: true });
  const known = new Set(joins.map((join) => `${join.from.span_id} ${join.to.span_id}`));
  for (const span of spans.values()) {
    for (const link of span.links) {
      const other = spans.get(link.span_id);
      if (!other || other.lane === span.lane) continue;
      if (known.has(`${span.span_id} ${other.span_id}`) || known.has(`${other.span_id} ${span.span_id}`)) continue;
      known.add(`${span.span_id} ${other.span_id}`);
      joins.push({ from: other, to: span, caused: false });
    }
  }
  return joins;
}

/** The columns of the ladder: the caller, sipproxy, then everybody as they appear. */
function partiesOf(messages) {
  const parties = [];
  const known = new Map();
  const us = { name: "sipproxy", addresses: new Set(), us: true };
  for (const message of messages) {
    const [ours, theirs] = message.sent ? [message.from, message.to] : [message.to, message.from];
    const name = message.sent ? message.to_name : message.from_name;
    const key = name ? `${name} ${theirs.replace(/:\d+$/, "")}` : theirs;
    if (!known.has(key)) {
      const party = { name: name || "unknown", addresses: new Set(), us: false };
      known.set(key, party);
      parties.push(party);
    }
    us.addresses.add(ours);
    message.party = known.get(key);
    message.party.addresses.add(theirs);
    message.us = us;
  }
  parties.splice(Math.min(1, parties.length), 0, us);
  parties.forEach((party, at) => { party.column = at; });
  return parties;
}

/** A request or response that came or left before with the same words is a retransmission. */
function findRepeats(messages) {
  const known = new Set();
  for (const message of messages) {
    const key = [message.sent, message.from, message.to, message.cseq, message.method, message.text].join(" ");
    message.repeated = known.has(key);
    known.add(key);
  }
}

/** The span that says most of a message: the one that lasted least, and then the deepest. */
export function closest(story, message) {
  const spans = message.spans.map((id) => story.spans.get(id));
  spans.sort((one, other) => one.stop - one.start_us - (other.stop - other.start_us) || other.depth - one.depth);
  return spans[0] ?? null;
}
