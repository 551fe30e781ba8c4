"""A WebSocket client by hand, for frames that no library would send (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
import os
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = base64.b64encode(b"sixteen bytes ok").decode()


def upgrade(
    *, subprotocol: str | None = "sip", origin: str | None = None, path: str = "/", **headers: str | None
) -> bytes:
    """A client's request. A header's name is written with `_`; None leaves it out."""
    lines = {
        "Host": "proxy.example",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": subprotocol,
        "Origin": origin,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    written = [f"{name}: {value}" for name, value in lines.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *written, "", ""]).encode()


def accepted(response: bytes) -> bool:
    """Whether a response grants the upgrade, with the proof that belongs to our key."""
    proof = base64.b64encode(hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = response.lower()
    return (
        head.startswith(b"http/1.1 101 ")
        and b"sec-websocket-accept: " + proof.lower() + b"\r\n" in head
        and b"sec-websocket-protocol: sip\r\n" in head
    )


def frame(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, masked: bool = True, length: int | None = None
) -> bytes:
    """One frame; `length` is what it claims to have."""
    size = len(payload) if length is None else length
    mask = 0x80 if masked else 0
    if size < 126:
        shown = struct.pack("!B", mask | size)
    elif size < 65536:
        shown = struct.pack("!BH", mask | 126, size)
    else:
        shown = struct.pack("!BQ", mask | 127, size)
    start = struct.pack("!B", (0x80 if fin else 0) | opcode) + shown
    if not masked:
        return start + payload
    key = os.urandom(4)
    return start + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


class Frames:
    """Takes apart what a server sends."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(opcode, payload) of each whole frame; a server neither masks nor splits here."""
        self._buffer += data
        found = []
        while (end := self._end()) and len(self._buffer) >= end[1]:
            found.append((self._buffer[0] & 0x0F, self._buffer[end[0] : end[1]]))
            self._buffer = self._buffer[end[1] :]
        return found

    def _end(self) -> tuple[int, int] | None:
        """Where the payload of the first frame begins and ends."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        assert buffer[0] & 0x80, "a server's message in one frame"
        assert not buffer[0] & 0x70, "no extension was agreed"
        assert not buffer[1] & 0x80, "a server masks nothing"
        size, start = buffer[1], 2
        if size == 126 and len(buffer) >= 4:
            size, start = struct.unpack_from("!H", buffer, 2)[0], 4
        elif size == 127 and len(buffer) >= 10:
            size, start = struct.unpack_from("!Q", buffer, 2)[0], 10
        elif size > 125:
            return None
        return start, start + size


def close_code(payload: bytes) -> int | None:
    """The code of a close frame."""
    return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
