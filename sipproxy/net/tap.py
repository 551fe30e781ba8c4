"""Sees every SIP message that comes and goes: counts it, and keeps a copy for the observer.

The copy is as it was on the wire: masking costs more than a whole call may, so the observer does it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from ..b2bua.routing import is_ip
from ..sip.flow import Flow, Listener, join_host
from ..telemetry.parcel import Message

Counts = dict[tuple[str, bool, str], int]  # word, sent by us, trunk

MOST_BYTES = 4 << 20  # that wait to be taken; more are counted alone
OTHER = "_OTHER"
_METHODS = {
    method.encode(): method
    for method in (
        *("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO", "REFER"),
        *("NOTIFY", "SUBSCRIBE", "MESSAGE", "PUBLISH"),
    )
}
_CLASSES = {str(digit).encode(): f"{digit}xx" for digit in range(1, 7)}
_LONGEST_METHOD = 10

place = lru_cache(4096)(join_host)


class Tap:
    """`trunk_of` gives the name of the trunk that a flow belongs to; `copies`: whether anybody reads them.
    `wall_offset` and the core's `now` together are the seconds since 1970.
    """

    __slots__ = (
        "_copies",
        "_counts",
        "_ours",
        "_trunk_of",
        "_waiting",
        "_wall_offset",
        "bytes",
        "dropped",
    )

    def __init__(
        self,
        counts: Counts,
        trunk_of: Callable[[Flow], str],
        listeners: list[Listener],
        *,
        wall_offset: Callable[[], float],
        copies: bool,
    ) -> None:
        self._counts = counts
        self._trunk_of = trunk_of
        self._ours = [_address_of(listener) for listener in listeners]
        self._copies = copies
        self._wall_offset = wall_offset
        self._waiting: list[tuple[float, bool, Flow, bytes]] = []
        self.bytes = 0  # that wait
        self.dropped = 0  # copies that nobody took in time

    def saw(self, data: bytes, flow: Flow, now: float, *, sent: bool) -> None:
        """One message; `sent` by us."""
        if data[:8] == b"SIP/2.0 ":
            word = _CLASSES.get(data[8:9], OTHER)
        else:
            word = _METHODS.get(data[: max(data.find(b" ", 0, _LONGEST_METHOD), 0)], OTHER)
        counts, key = self._counts, (word, sent, self._trunk_of(flow))
        counts[key] = counts.get(key, 0) + 1
        if not self._copies:
            return
        if self.bytes > MOST_BYTES:
            self.dropped += 1
            return
        self.bytes += len(data)
        self._waiting.append((now, sent, flow, data))

    def taken(self) -> list[Message]:
        """What has gathered since the last time."""
        offset_ns = int(self._wall_offset() * 1e9)
        waiting, self._waiting, self.bytes = self._waiting, [], 0
        ours = self._ours
        return [
            Message(
                int(now * 1e9) + offset_ns,
                sent,
                flow.transport,
                place(flow.host, flow.port),
                ours[flow.listener],
                data,
            )
            for now, sent, flow, data in waiting
        ]


def _address_of(listener: Listener) -> str:
    """host:port with an address, also where we are known by a name; a wildcard says nothing."""
    host = listener.sent_by.rpartition(":")[0]
    bound = place(listener.host, listener.port)
    return listener.sent_by if is_ip(host.strip("[]")) or bound.startswith(("0.0.0.0:", "[::]:")) else bound
