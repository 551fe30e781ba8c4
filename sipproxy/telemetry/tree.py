"""A trace as text: its spans as a tree, when each began, how long it took, and what happened meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from .record import Event, SpanRecord

_SHOWN = (
    *("error.type", "sip.trunk", "sip.call_id", "sip.from.user", "sip.to.user", "sip.request_uri.user"),
    *("sip.trace.carrier", "sip.trace.decision", "sip.trace.rejected", "sip.trace.previous_id"),
    *("sip.proxy.delay_us", "sip.peer.rtt_ms", "sip.ring_ms", "sip.talk_ms", "sip.dialog.end"),
    *("sip.transfer.kind", "sip.transfer.mode", "sip.transfer.outcome", "sip.transfer.stage"),
)
_OF_THE_CALL = ("interaction.id", "session.id")  # the same on all of its spans
_TIMES = 26  # columns of offset and duration
_GAP = "  "


def render(records: Iterable[SpanRecord], width: int = 80) -> str:
    """All traces among the records, one below the other. They came masked, and nothing else is known here."""
    traces: dict[str, list[SpanRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.start_ns):
        traces[record.trace_id].append(record)
    return "\n\n".join("\n".join(_Trace(spans, width).lines()) for spans in traces.values())


class _Trace:
    """The spans of one trace, oldest first."""

    def __init__(self, spans: list[SpanRecord], width: int) -> None:
        self._width = width
        self._began_ns = spans[0].start_ns
        self._trace_id = spans[0].trace_id
        known = {span.span_id for span in spans}
        self._roots = [span for span in spans if span.parent_id not in known]
        self._children: dict[str, list[SpanRecord]] = defaultdict(list)
        for span in spans:
            self._children[span.parent_id].append(span)

    def lines(self) -> Iterator[str]:
        yield f"trace {self._trace_id}"
        for root in self._roots:
            if root.parent_id:
                yield f"under {root.parent_id}, which came from outside"
            yield from self._span(root, "", "")

    def _span(self, span: SpanRecord, first: str, others: str) -> Iterator[str]:
        """A span and all below it; `first` stands in front of its own line, `others` in front of the rest."""
        children = self._children[span.span_id]
        status = span.attributes.get("sip.response.status_code")
        title = f"{first}{span.name} {span.kind}{f' {status}' if status else ''}"
        if span.failed:
            title += " ERROR"
        took_ms = (span.end_ns - span.start_ns) / 1e6
        times = f"{self._since(span.start_ns):>12}{took_ms:>11.1f} ms"
        yield f"{title:<{self._width - _TIMES}}{times:>{_TIMES}}"
        details = others + ("│  " if children else "   ")
        shown = _SHOWN if others else (*_SHOWN, *_OF_THE_CALL)
        attributes = [f"{name}={span.attributes[name]}" for name in shown if name in span.attributes]
        yield from self._wrapped(details, attributes)
        yield from self._wrapped(details, map(self._event, span.events))
        for trace_id, span_id, _ in span.links:
            yield f"{details}link to {trace_id} {span_id}"
        for child in children[:-1]:
            yield from self._span(child, others + "├─ ", others + "│  ")
        for child in children[-1:]:
            yield from self._span(child, others + "└─ ", others + "   ")

    def _event(self, event: Event) -> str:
        name, at_ns, attributes = event
        more = "".join(f" ({count})" for count in (attributes or {}).values())
        return f"● {name}{more} {self._since(at_ns)}"

    def _since(self, at_ns: int) -> str:
        return f"+{(at_ns - self._began_ns) / 1e6:.1f} ms"

    def _wrapped(self, indent: str, pieces: Iterable[str]) -> Iterator[str]:
        """As many pieces on a line as fit."""
        line = ""
        room = self._width - len(indent)
        for piece in pieces:
            if len(piece) > room:
                piece = piece[: room - 1] + "…"
            if line and len(line) + len(_GAP) + len(piece) > room:
                yield indent + line
                line = ""
            line = f"{line}{_GAP}{piece}" if line else piece
        if line:
            yield indent + line
