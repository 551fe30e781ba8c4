"""TLS over one connection, without I/O, around the framing of what it carries.

shaking hands   feed             its answers are in `output`                      shaking hands
shaking hands   both are done    the peer's names are checked; `open`, or WSS:    open
                                 its upgrade is next
shaking hands   a fault          TlsError says whose; an alert is in `output`     lost
open            feed             whole messages                                   open
open            close_notify     Closed, behind the messages                      lost
open            a fault, alert   TlsError, behind the messages                    lost

Nothing is renegotiated, so writing never waits for reading.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..errors import RemoteProtocolError
from ..sip.framing import StreamFramer
from .identities import Described
from .layer import Closed, TlsError
from .websocket import WebSocketFramer

_PIECE: Final = 65536
# What is wrong with the peer's certificate, by OpenSSL's number.
_CERTIFICATE: Final = {
    9: "is not valid yet",
    10: "has expired",
    18: "is self-signed, and not trusted",
    19: "comes from an authority that is not trusted",
    20: "comes from an authority that is not trusted",
    21: "comes from an authority that is not trusted",
    23: "is revoked",
    26: "is not for this purpose",
}
_REASON: Final = {
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS",
    "HTTP_REQUEST": "the peer does not speak TLS",
    "HTTPS_PROXY_REQUEST": "the peer does not speak TLS",
    "PACKET_LENGTH_TOO_LONG": "the peer does not speak TLS",
    "RECORD_LAYER_FAILURE": "the peer does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "no TLS version in common",
    "NO_SHARED_CIPHER": "no cipher in common",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer showed no certificate",
}


class Secured:
    """One TLS session. `check` gives the names of a verified certificate, or raises TlsError."""

    __slots__ = (
        "_begun", "_check", "_ended", "_fault", "_framer", "_in", "_object", "_out", "_shaken", "_web",
        "heard", "names", "open", "pongs",
    )  # fmt: skip

    def __init__(
        self,
        context: ssl.SSLContext,
        framer: StreamFramer | WebSocketFramer,
        check: Callable[[Described], tuple[str, ...]],
        *,
        serving: bool,
        name: str | None = None,
    ) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_side=serving, server_hostname=name)
        self._framer = framer
        self._web = framer if isinstance(framer, WebSocketFramer) else None
        self._check = check
        self._begun = False  # the peer has said anything at all
        self._shaken = False
        self._ended = False
        self._fault: RemoteProtocolError | None = None
        self.open = False
        self.heard = False
        self.pongs = 0
        self.names: tuple[str, ...] = ()

    @property
    def lost(self) -> RemoteProtocolError | None:
        """What the next `feed` will raise."""
        return self._framer.lost or self._fault

    @property
    def shaking(self) -> bool:
        """Whether the peer has begun to shake hands, and we are not through."""
        return self._begun and not self._shaken

    @property
    def pending(self) -> bytes:
        """What has arrived of a message that is not whole yet; something, while hands are shaken."""
        return self._framer.pending if self._shaken else b"."

    @property
    def more(self) -> bool:
        """Whether another turn is due, with nothing new."""
        return self._web is not None and self._web.more

    def begin(self) -> bytes:
        """What the side that connects says first."""
        self._shake()
        return self._out.read()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes of the wire, give whole messages. Raises RemoteProtocolError."""
        if self._fault is not None:
            raise self._fault
        self._begun = True
        self._in.write(data)
        if not self._shaken and not self._shake():
            return []
        messages = self._framer.feed(self._read())
        self._answer()
        if self._ended and self._fault is None and not self.more:
            self._fault = Closed("the peer has ended TLS")
        if self._fault is not None and not messages:
            raise self._fault
        return messages

    def output(self) -> bytes:
        """What is to be written to the wire."""
        if self._web is not None:
            self._write(self._web.output())
        return self._out.read()

    def wrap(self, data: bytes) -> bytes:
        """A message, as bytes for the wire; nothing when none may leave any more."""
        self._write(self._web.wrap(data) if self._web is not None else data)
        return self._out.read()

    def forget(self) -> None:
        """The connection is gone, and nothing more is asked of this."""
        if self._web is not None:
            self._web.forget()

    def ping(self) -> bytes:
        """A ping, as bytes for the wire."""
        if self._web is not None:
            self._write(self._web.ping())
        return self._out.read()

    def close(self) -> bytes:
        """The last that is to be written."""
        if self._web is not None:
            self._write(self._web.close())
        # The peer has not said so yet, or hands were not shaken: what there is to say is written anyway.
        with suppress(ssl.SSLError, ValueError):
            self._object.unwrap()
        return self._out.read()

    def _shake(self) -> bool:
        hook, sys.unraisablehook = sys.unraisablehook, _quiet
        try:
            self._object.do_handshake()
            self.names = self._check(self._object.getpeercert() or {})
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            self._fault = TlsError(in_words(error))
            raise self._fault from None
        except TlsError as error:
            self._fault = error
            raise
        except ValueError:  # a name in no encoding
            self._fault = TlsError("the peer's certificate cannot be read")
            raise self._fault from None
        finally:
            sys.unraisablehook = hook
        self._shaken = True
        self.open = self._web is None
        return True

    def _read(self) -> bytes:
        """What the peer says. Who has nothing more to say, or breaks off, is heard first."""
        read = self._object.read
        pieces = []
        try:
            while piece := read(_PIECE):
                pieces.append(piece)
            self._ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            self._fault = TlsError(in_words(error))
        self.heard = self.heard or bool(pieces)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _answer(self) -> None:
        framer = self._framer
        if self._web is not None:
            self.open = self._web.open
        elif framer.pongs:
            self._write(b"\r\n" * framer.pongs)
        self.pongs += framer.pongs
        framer.pongs = 0

    def _write(self, data: bytes) -> None:
        try:
            if data:
                self._object.write(data)
        except ssl.SSLError as error:
            self._fault = self._fault or TlsError(in_words(error))


def _quiet(fault: sys.UnraisableHookArgs) -> None:
    """Who asks for a host by bytes that are no text is refused; `ssl` would write that to stderr besides."""
    if not isinstance(fault.exc_value, UnicodeDecodeError):
        sys.__unraisablehook__(fault)


def in_words(error: ssl.SSLError) -> str:
    """Say what OpenSSL says, without its numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        found = _CERTIFICATE.get(error.verify_code, f"is not good: {error.verify_message}")
        return f"the peer's certificate {found}"
    reason = error.reason or ""
    _, alert, said = reason.partition("ALERT_")
    if alert:
        return f"the peer refuses our TLS: {said.replace('_', ' ').lower()}"
    return _REASON.get(reason) or f"TLS failed: {reason.replace('_', ' ').lower() or 'unknown fault'}"
