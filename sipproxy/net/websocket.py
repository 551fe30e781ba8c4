"""SIP over WebSocket, our side: that of the server (RFC 6455, RFC 7118).

upgrading   an HTTP request for the subprotocol `sip`    101                                  open
upgrading   any other, from another origin, too long     400, 403, 426, 431; Refused          lost
upgrading   no HTTP at all                               Refused                              lost
open        a whole message, text or binary              one SIP message                      open
open        CRLFCRLF alone in a message                  CRLF in a message (RFC 5626 3.5.1)   open
open        ping                                         pong                                 open
open        the client closes                            close; Closed, behind the messages   lost
open        too large, malformed, text that is no UTF-8  close 1009, 1002, 1007               lost
open        a message that is no SIP, a flood of frames  close 1008                           lost

Each turn takes a slice of what has arrived, so that tiny frames without end take the time of their own
connection alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol

from ..errors import RemoteProtocolError
from .layer import Closed, Refused

LONGEST_REQUEST: Final = 16384  # the upgrade's head; a page's cookies come with it
SLICE: Final = 1024  # bytes a turn
IDLE_FRAMES: Final = 50  # of one turn, without a message: nobody who means well
PING: Final = b"sipproxy"
_KEEP_ALIVE: Final = b"\r\n\r\n"
_SIP: Final = b"SIP/2.0"  # stands in the first line of each message
_METHOD: Final = re.compile(rb"[A-Z]*(?: |$)")
# The library's log would show what is said.
_SILENT: Final = logging.Logger("websocket", logging.CRITICAL + 1)


class WebSocketFramer:
    """One WebSocket connection without its socket. `limit` is the largest message in bytes."""

    __slots__ = (
        "_arrived", "_head", "_message", "_protocol", "_said", "_searched", "_text",
        "lost", "names", "open", "pongs",
    )  # fmt: skip

    def __init__(self, limit: int, origins: Iterable[str] = ()) -> None:
        allowed = [Origin(each.rstrip("/").lower()) for each in origins]
        self._protocol = ServerProtocol(
            origins=allowed or None, subprotocols=[Subprotocol("sip")], max_size=limit, logger=_SILENT
        )
        self.open = False  # the upgrade is done
        self.names: tuple[str, ...] = ()
        self.lost: RemoteProtocolError | None = None
        self.pongs = 0
        self._arrived = bytearray()  # not looked at yet
        self._head = b""  # of the upgrade's request
        self._said = b""  # what the library does not say by itself
        self._searched = 0
        self._message: bytearray | None = None  # the fragments of one that is under way
        self._text = False

    @property
    def pending(self) -> bytes:
        """Something, as long as a message or the upgrade is not whole."""
        return b"." if self._message is not None or self._protocol.reader.buffer or not self.open else b""

    @property
    def heard(self) -> bool:
        """A client speaks first."""
        return self.open

    @property
    def more(self) -> bool:
        """Whether there is something to look at in the next turn."""
        return bool(self._arrived) and self.lost is None

    def begin(self) -> bytes:
        """Nothing: it is the client that connects."""
        return b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, give whole messages. Raises RemoteProtocolError when nothing more can come; messages
        that came before that are given first, and `lost` says that the next call will raise.
        """
        if self.lost is not None:
            raise self.lost
        self._arrived += data
        data = bytes(self._arrived[:SLICE])
        del self._arrived[:SLICE]
        if not self.open:
            data = self._upgrade(data)
        messages: list[bytes] = []
        if data and self.lost is None:
            self._protocol.receive_data(data)
            frames = [event for event in self._protocol.events_received() if isinstance(event, Frame)]
            if not all(self._take(frame, messages) for frame in frames):
                pass  # what came behind the fault does not count
            elif len(frames) > IDLE_FRAMES and not messages:
                self._protocol.fail(CloseCode.POLICY_VIOLATION, "frames without messages")
            if self._protocol.state is not State.OPEN and self.lost is None:
                self.lost = self._end()
        if self.lost is not None and not messages:
            raise self.lost
        return messages

    def wrap(self, data: bytes) -> bytes:
        """A message for the client, as bytes for the wire: text, unless a body makes it none."""
        if self._protocol.state is not State.OPEN:
            return b""
        try:
            if not data.isascii():
                data.decode()
        except UnicodeDecodeError:
            self._protocol.send_binary(data)
        else:
            self._protocol.send_text(data)
        return self.output()

    def forget(self) -> None:
        """The connection is gone. The library's parser and its protocol hold each other: part them."""
        self._protocol.parser.close()

    def ping(self) -> bytes:
        """A ping, as bytes for the wire."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(PING)
        return self.output()

    def close(self) -> bytes:
        """The last frame, as bytes for the wire."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.GOING_AWAY)
        return self.output()

    def output(self) -> bytes:
        """What is to be written to the wire."""
        said, self._said = self._said, b""
        return said + b"".join(self._protocol.data_to_send())

    def _end(self) -> RemoteProtocolError:
        if self._protocol.close_rcvd is not None:
            return Closed("the client has closed the WebSocket")
        closed = self._protocol.close_sent
        return RemoteProtocolError(closed.reason if closed is not None else "malformed WebSocket frame")

    # The upgrade

    def _upgrade(self, data: bytes) -> bytes:
        """Take the request once it is whole, and answer; what came behind it is given back."""
        self._head += data
        end = self._head.find(b"\r\n\r\n", self._searched) + 4
        if _METHOD.match(self._head) is None:
            self._refuse(None, "no HTTP")
        elif (len(self._head) if end < 4 else end) > LONGEST_REQUEST:
            self._refuse(self._protocol.reject(431, "The request's head is too long.\n"), "request too long")
        elif end >= 4:
            head, rest, self._head = self._head[:end], self._head[end:], b""
            self._answer(head)
            return rest
        else:
            self._searched = max(len(self._head) - 3, 0)
        return b""

    def _answer(self, head: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(head)
        request = next(iter(protocol.events_received()), None)
        if not isinstance(request, Request):
            self.lost = Refused("malformed request")
            self._said = self.output() or protocol.reject(400, "This is no HTTP for us.\n").serialize()
            return
        response = protocol.accept(request)
        if response.status_code == 101:
            protocol.send_response(response)
            self.open = True
        else:
            self._refuse(response, f"upgrade refused: {response.status_code}")

    def _refuse(self, response: Response | None, reason: str) -> None:
        if response is not None:
            self._protocol.send_response(response)
        self.lost = Refused(reason)

    # Frames

    def _take(self, frame: Frame, messages: list[bytes]) -> bool:
        """One frame, in order; False: the connection failed."""
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._message, self._text = bytearray(frame.data), frame.opcode is Opcode.TEXT
        elif frame.opcode is Opcode.CONT and self._message is not None:
            self._message += frame.data
        else:
            return True
        if not frame.fin:
            return True
        whole, self._message = bytes(self._message), None
        if self._text and not whole.isascii():
            try:
                whole.decode()
            except UnicodeDecodeError:
                self._protocol.fail(CloseCode.INVALID_DATA, "text that is no UTF-8")
                return False
        if whole[:1] in (b"\r", b"\n", b""):  # a stream's habit, which some have here too
            if whole == _KEEP_ALIVE and self._protocol.state is State.OPEN:
                self.pongs += 1
                self._protocol.send_text(b"\r\n")
            whole = whole.lstrip(b"\r\n")
        if whole and _SIP not in whole.partition(b"\r\n")[0]:
            self._protocol.fail(CloseCode.POLICY_VIOLATION, "no SIP")
            return False
        if whole:
            messages.append(whole)
        return True
