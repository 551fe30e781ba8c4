"""Cutting a byte stream into SIP messages (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

    between messages   CRLF CRLF     a ping: answer with CRLF        (counted in `pongs`)
                       CRLF          dropped
    head               CRLFCRLF      the header part is whole: read Content-Length
    body               n bytes       the message is whole

A message whose head is over the limit, or whose Content-Length is missing or no number, loses the framing:
nothing that follows can be trusted, so the connection has to be closed.
"""

from __future__ import annotations

import re

from ..errors import RemoteProtocolError

_CONTENT_LENGTH = re.compile(
    rb"\r\n(?:content-length|l)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)",
    re.IGNORECASE,
)


class StreamFramer:
    """Feeds on what a connection delivers. `limit` is the largest message in bytes."""

    __slots__ = ("_buffer", "_length", "_searched", "limit", "lost", "pongs")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pongs = 0
        self.lost: RemoteProtocolError | None = None
        self._buffer = b""
        self._searched = 0
        self._length = 0  # of the message at the start of the buffer, 0 while unknown

    @property
    def pending(self) -> bytes:
        """What has arrived of a message that is not whole yet."""
        return self._buffer

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, give whole messages. Raises RemoteProtocolError when the framing is lost; messages that
        came before that are given first, and `lost` says that the next call will raise.
        """
        if self.lost is not None:
            raise self.lost
        buffer = self._buffer + data if self._buffer else data
        messages: list[bytes] = []
        at = 0  # slicing off each message would copy the rest each time
        try:
            while at < len(buffer):
                if not self._length:
                    at = self._skip_keep_alives(buffer, at)
                    self._length = self._measure(buffer, at)
                if not self._length or len(buffer) - at < self._length:
                    break
                messages.append(buffer[at : at + self._length])
                at += self._length
                self._length = 0
        except RemoteProtocolError as error:
            self.lost = error
            self._buffer = buffer[at:]
            if not messages:
                raise
            return messages
        self._buffer = buffer[at:]
        return messages

    def _measure(self, buffer: bytes, start: int) -> int:
        """The length of the message that begins here; 0 as long as its head is not whole."""
        end = buffer.find(b"\r\n\r\n", start + self._searched)
        self._searched = 0 if end >= 0 else max(len(buffer) - start - 3, 0)  # a head may come byte by byte
        length = 0 if end < 0 else end - start + 4 + _content_length(buffer[start : end + 2])
        if max(length, 0 if length else len(buffer) - start) > self.limit:
            raise RemoteProtocolError("message too large", status=513)
        return length

    def _skip_keep_alives(self, buffer: bytes, at: int) -> int:
        while buffer.startswith(b"\r\n", at):
            if buffer.startswith(b"\r\n\r\n", at):
                self.pongs += 1
                at += 4
            elif len(buffer) - at < 4 and b"\r\n\r\n".startswith(buffer[at:]):
                break  # the rest of a ping may be on its way
            else:
                at += 2
        return at


def _content_length(head: bytes) -> int:
    found = _CONTENT_LENGTH.findall(head)
    if not found:
        raise RemoteProtocolError("no Content-Length on a stream")
    values = {value.strip() for value in found}
    value = values.pop()
    if values or not value.isdigit() or len(value) > 9:
        raise RemoteProtocolError("malformed Content-Length")
    return int(value)
