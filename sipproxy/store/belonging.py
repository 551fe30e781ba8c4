"""Which spans a SIP message belongs to.

    its request's span       same Call-ID, CSeq number and method (that of an ACK and a CANCEL is INVITE), and
                             the same side: a request that we sent and its responses are CLIENT
    a transfer               REFER, NOTIFY, SUBSCRIBE of that call within its time
    a dialog                 of that Call-ID within its time, but for the INVITE that made it

Where several fit, as when a number is used again, the one nearest in time. Whatever a peer sends or a store
holds, nothing here raises.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ..telemetry.record import CLIENT, SERVER, SpanRecord
from . import StoredMessage
from .told import DIALOG, TRANSFER

_EVER_NS = 1 << 63
_BEFORE_NS = 50_000_000  # a span and what began it are not told with the same clock reading
_AFTER_NS = 40_000_000_000  # retransmissions and their answers: 64*T1 and some
_OF_INVITE = frozenset({"ACK", "CANCEL"})
_OF_TRANSFER = frozenset({"REFER", "NOTIFY", "SUBSCRIBE"})


class Belonging:
    """The spans of a story, ready to be asked."""

    def __init__(self, spans: Iterable[SpanRecord]) -> None:
        self._requests: dict[tuple[int, object, object, str], list[SpanRecord]] = defaultdict(list)
        self._dialogs: dict[int, list[SpanRecord]] = defaultdict(list)
        self._transfers: dict[str, list[SpanRecord]] = defaultdict(list)
        for span in spans:
            if span.name == DIALOG:
                self._dialogs[span.call_key].append(span)
            elif span.name == TRANSFER:
                self._transfers[span.root_id].append(span)
            elif span.call_key:
                attributes = span.attributes
                cseq, method = attributes.get("sip.cseq"), attributes.get("sip.request.method")
                self._requests[span.call_key, cseq, method, span.kind].append(span)

    def of(self, message: StoredMessage) -> tuple[str, ...]:
        """Span ids, the narrowest first."""
        key, at_ns = message.call_key, message.at_ns
        method = "INVITE" if message.method in _OF_INVITE else message.method
        side = CLIENT if message.sent == (message.status == 0) else SERVER
        request = _nearest(self._requests.get((key, message.cseq, method, side)), at_ns)
        found = [] if request is None else [request]
        if method in _OF_TRANSFER:
            transfer = _nearest(self._transfers.get(message.root_id), at_ns)
            if transfer is not None:
                found.append(transfer)
        dialog = _nearest(self._dialogs.get(key), at_ns)
        if dialog is not None and (request is None or request.start_ns >= dialog.start_ns):
            found.append(dialog)
        return tuple([span.span_id for span in found])


def _nearest(spans: list[SpanRecord] | None, at_ns: int) -> SpanRecord | None:
    """The one in whose time it was; of several the last that had begun."""
    best: SpanRecord | None = None
    least = (_EVER_NS, 0)
    for span in spans or ():
        end_ns = span.end_ns or _EVER_NS
        if span.start_ns - _BEFORE_NS <= at_ns <= end_ns + _AFTER_NS:
            rank = (max(0, span.start_ns - at_ns, at_ns - end_ns), -span.start_ns)
            if rank < least:
                best, least = span, rank
    return best
