"""Traces as text: spans as a tree, when each began, how long it took, what happened, what it is linked with.

A span that has not ended is `open`. One at either end of a link has a number in brackets behind its name.
Traces that are linked stand one below the other, and their times count from the beginning of the first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from .attributes import Value
from .record import PARENT_IS_REMOTE, Event, SpanRecord

_SHOWN = (
    *("error.type", "sip.trunk", "sip.call_id", "sip.from.user", "sip.to.user", "sip.request_uri.user"),
    *("sip.trace.carrier", "sip.trace.decision", "sip.trace.rejected", "sip.trace.previous_id"),
    *("sip.proxy.delay_us", "sip.peer.rtt_ms", "sip.ring_ms", "sip.talk_ms", "sip.dialog.end"),
    *("sip.transfer", "sip.transfer.kind", "sip.transfer.mode"),
    *("sip.transfer.outcome", "sip.transfer.outcome_source", "sip.transfer.stage"),
)
_OF_THE_CALL = ("interaction.id", "session.id")  # the same on all of its spans
_TIMES = 26  # columns of offset and duration
_NARROWEST = 40  # columns that are left for text, however deep the tree: a name and a word of ours
_ENOUGH = 8  # digits of a trace-id that stands in full above its spans
_GAP = "  "

_Key = tuple[str, str]  # trace-id, span-id


def render(records: Iterable[SpanRecord], width: int = 80) -> str:
    """All traces among the records, one below the other. They came masked, and nothing else is known here."""
    traces: dict[str, list[SpanRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.start_ns):
        traces[record.trace_id].append(record)
    links = _Links(traces)
    texts = []
    for group in links.groups:
        began_ns = min(traces[trace_id][0].start_ns for trace_id in group)
        for trace_id in group:
            head = f"trace {trace_id}" if trace_id == group[0] else f"trace {trace_id}, linked to the above"
            trace = _Trace(traces[trace_id], links, began_ns, width)
            texts.append("\n".join((head, *trace.lines())))
    return "\n\n".join(texts)


class _Links:
    """The links among all spans, from both of their ends."""

    def __init__(self, traces: dict[str, list[SpanRecord]]) -> None:
        self._spans = {_key(span): span for spans in traces.values() for span in spans}
        self._to: dict[_Key, list[_Key]] = {}
        self._from: dict[_Key, list[_Key]] = defaultdict(list)
        for key, span in self._spans.items():
            self._to[key] = list(dict.fromkeys((trace_id, span_id) for trace_id, span_id, _ in span.links))
            for other in self._to[key]:
                self._from[other].append(key)
        self.groups = list(self._grouped(list(traces)))
        ends = {key for key in self._spans if self._from[key] or self._spans.keys() & self._to[key]}
        ordered = (_key(span) for group in self.groups for trace_id in group for span in traces[trace_id])
        self._numbers = {key: n for n, key in enumerate((key for key in ordered if key in ends), 1)}

    def _grouped(self, trace_ids: list[str]) -> Iterator[list[str]]:
        """The ids of traces that are linked, also by way of others, in the order in which they came."""
        linked: dict[str, set[str]] = defaultdict(set)
        for here, there in ((here, there) for here, others in self._to.items() for there in others):
            linked[here[0]].add(there[0])
            linked[there[0]].add(here[0])
        left = dict.fromkeys(trace_ids)
        while left:
            group, reached = set[str](), {next(iter(left))}
            while reached:
                group |= reached
                reached = {other for trace_id in reached for other in linked[trace_id]} - group
            yield [trace_id for trace_id in left if trace_id in group]
            left = {trace_id: None for trace_id in left if trace_id not in group}

    def number(self, span: SpanRecord) -> str:
        """What stands behind the name of a span that others speak of, or that speaks of others."""
        number = self._numbers.get(_key(span))
        return "" if number is None else f" [{number}]"

    def of(self, span: SpanRecord) -> Iterator[list[str]]:
        """Each link that begins or ends here, in pieces."""
        here = _key(span)
        sources = self._from[here]
        for other in dict.fromkeys((*self._to[here], *sources)):
            way = "from" if other not in self._to[here] else "to and from" if other in sources else "to"
            known = self._spans.get(other)
            if known is None:  # of another proxy, or not finished yet
                yield [f"link {way} trace {other[0]}", f"span {other[1]}"]
            else:
                pieces = [f"link {way}{self.number(known)} {known.name} {known.kind}"]
                trace = f"in trace {known.trace_id[:_ENOUGH]}…"
                yield pieces if known.trace_id == span.trace_id else [*pieces, trace]


class _Trace:
    """The spans of one trace, oldest first."""

    def __init__(self, spans: list[SpanRecord], links: _Links, began_ns: int, width: int) -> None:
        self._links = links
        self._began_ns = began_ns
        self._width = width
        known = {span.span_id for span in spans}
        self._roots = [span for span in spans if span.parent_id not in known]
        self._children: dict[str, list[SpanRecord]] = defaultdict(list)
        for span in spans:
            self._children[span.parent_id].append(span)

    def lines(self) -> Iterator[str]:
        for root in self._roots:
            if root.parent_id:
                remote = root.flags & PARENT_IS_REMOTE
                yield f"under {root.parent_id}, which {'came from outside' if remote else 'is not here'}"
            yield from self._span(root, "", "")

    def _span(self, span: SpanRecord, first: str, others: str) -> Iterator[str]:
        """A span and all below it; `first` stands in front of its own line, `others` in front of the rest."""
        children = self._children[span.span_id]
        details = others + ("│  " if children else "   ")
        yield from self._title(span, first, details)
        shown = _SHOWN if others else (*_SHOWN, *_OF_THE_CALL)
        attributes = [f"{name}={_text(span.attributes[name])}" for name in shown if name in span.attributes]
        yield from self._wrapped(details, attributes)
        yield from self._wrapped(details, map(self._event, span.events))
        for pieces in self._links.of(span):
            yield from self._wrapped(details, pieces)
        for child in children[:-1]:
            yield from self._span(child, others + "├─ ", others + "│  ")
        for child in children[-1:]:
            yield from self._span(child, others + "└─ ", others + "   ")

    def _title(self, span: SpanRecord, first: str, details: str) -> Iterator[str]:
        status = span.attributes.get("sip.response.status_code")
        title = f"{first}{span.name} {span.kind}{f' {status}' if status else ''}"
        title += f"{' ERROR' if span.failed else ''}{self._links.number(span)}"
        took = f"{(span.end_ns - span.start_ns) / 1e6:.1f} ms" if span.end_ns else "open"
        times = f"{self._since(span.start_ns):>12}{took:>14}"
        room = self._width - _TIMES
        if len(title) > room:
            yield title
            title = details
        yield f"{title:<{room}}{times:>{_TIMES}}"

    def _event(self, event: Event) -> str:
        name, at_ns, attributes = event
        more = "".join(f" ({count})" for count in (attributes or {}).values())
        return f"● {name}{more} {self._since(at_ns)}"

    def _since(self, at_ns: int) -> str:
        return f"+{(at_ns - self._began_ns) / 1e6:.1f} ms"

    def _wrapped(self, indent: str, pieces: Iterable[str]) -> Iterator[str]:
        """As many pieces on a line as fit."""
        line = ""
        room = max(self._width - len(indent), _NARROWEST)
        for piece in pieces:
            if len(piece) > room:
                piece = piece[: room - 1] + "…"
            if line and len(line) + len(_GAP) + len(piece) > room:
                yield indent + line
                line = ""
            line = f"{line}{_GAP}{piece}" if line else piece
        if line:
            yield indent + line


def _key(span: SpanRecord) -> _Key:
    return span.trace_id, span.span_id


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
