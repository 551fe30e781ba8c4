"""What may stand between the bytes of a connection and whole messages: WebSocket, TLS, or both.

A layer has the face of sip/framing.py: `feed` gives whole messages, and raises once nothing more can come.
Besides it writes: what it has to say by itself stands in `output`, messages leave through `wrap`.
"""

from __future__ import annotations

from typing import Protocol

from ..errors import RemoteProtocolError


class Closed(RemoteProtocolError):
    """The peer has said that nothing more comes from it."""


class Refused(RemoteProtocolError):
    """We do not speak WebSocket with this client; it has been told why."""


class TlsError(RemoteProtocolError):
    """No TLS with this peer; the reason is in words."""


class Layer(Protocol):
    """One connection, without its socket."""

    open: bool  # hands are shaken: messages may leave
    pongs: int  # keep-alives that were answered
    names: tuple[str, ...]  # whom the peer's verified certificate names

    @property
    def heard(self) -> bool:
        """Whether the peer has said something behind that."""

    @property
    def lost(self) -> RemoteProtocolError | None:
        """What the next `feed` will raise."""

    @property
    def pending(self) -> bytes:
        """What has arrived of a message that is not whole yet."""

    @property
    def more(self) -> bool:
        """Whether another turn is due, with nothing new."""

    def begin(self) -> bytes:
        """What the side that connects says first."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes of the wire, give whole messages. Raises RemoteProtocolError when nothing more can come;
        messages that came before that are given first.
        """

    def output(self) -> bytes:
        """What is to be written to the wire."""

    def wrap(self, data: bytes) -> bytes:
        """A message, as bytes for the wire; nothing when none may leave any more."""

    def forget(self) -> None:
        """The connection is gone, and nothing more is asked of this."""

    def ping(self) -> bytes:
        """A sign of life that the peer answers, where the protocol has one; bytes for the wire."""

    def close(self) -> bytes:
        """The last that is to be written."""
