"""A telephone and a carrier of a few lines each, whose calls go wrong in known ways: what dashboards are for.

The carrier answers by the user that is called: `busy` 486, `error` 503, `silent` nothing until CANCEL.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tests.support.prometheus import HOST

Headers = Mapping[str, str]

PATIENCE_S = 10.0
NONE: Headers = {}
_COPIED = ("via", "from", "to", "call-id", "cseq")
_REASONS = {"busy": "486 Busy Here", "error": "503 Service Unavailable"}
_REQUEST = """\
{method} sip:{user}@{proxy} SIP/2.0
Via: SIP/2.0/UDP {us};branch=z9hG4bK{call}
Max-Forwards: 70
From: <sip:alice@{us}>;tag=a{call}
To: <sip:{user}@{proxy}>{tag}
Call-ID: {call}@desk.example
CSeq: 1 {method}
Contact: <sip:alice@{us}>
{more}Content-Length: 0

"""


def _wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def _listening(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((HOST, port))
    made.settimeout(PATIENCE_S)
    return made


class Carrier:
    """A thread that answers, until `close`."""

    def __init__(self, port: int) -> None:
        self._socket = _listening(port)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.repeated = threading.Event()  # an INVITE that got no answer has come again

    def _run(self) -> None:
        silent: set[str] = set()
        while True:
            data, peer = self._socket.recvfrom(65535)
            if not data:
                return
            head, _, _ = data.decode().partition("\r\n\r\n")
            first, *lines = head.split("\r\n")
            (pair,) = re.findall(r"^(\w+) sip:(\w*)", first)
            method, user = pair
            copied = [line for line in lines if line.partition(":")[0].lower() in _COPIED]
            if method == "INVITE" and user in _REASONS:
                self._answer(_REASONS[user], copied, peer)
            elif method == "INVITE":
                (call_id,) = (line for line in copied if line.lower().startswith("call-id"))
                if call_id in silent:
                    self.repeated.set()
                    # Now that it is heard of, a CANCEL can be sent to it (RFC 3261 section 9.1).
                    self._answer("100 Trying", copied, peer)
                silent.add(call_id)
            elif method == "CANCEL":
                self._answer("200 OK", copied, peer)
                invite = [re.sub(r"(?i)^(cseq: \d+) CANCEL$", r"\1 INVITE", line) for line in copied]
                self._answer("487 Request Terminated", invite, peer)
            elif method != "ACK":
                self._answer("200 OK", copied, peer)

    def _answer(self, status: str, copied: list[str], peer: tuple[str, int]) -> None:
        tagged = [
            f"{x};tag=c" if re.match(r"(?i)to:(?!.*;tag=)", x) and status[:3] != "100" else x for x in copied
        ]
        self._socket.sendto(
            _wire("\n".join([f"SIP/2.0 {status}", *tagged, "Content-Length: 0", "", ""])), peer
        )

    def close(self) -> None:
        """An empty datagram ends it."""
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


class Telephone:
    """Calls, and waits for the final response. From port 0 it is a stranger."""

    def __init__(self, proxy: str, port: int = 0) -> None:
        self._socket = _listening(port)
        self._proxy = proxy
        host, _, number = proxy.rpartition(":")
        self._peer = (host, int(number))
        self._us = f"{HOST}:{self._socket.getsockname()[1]}"
        self._call = ""

    def sends(self, method: str, user: str, tag: str = "", headers: Headers = NONE) -> bytes:
        """A request of the current call; gives its bytes, so that they can be repeated."""
        more = "".join(f"{name}: {value}\n" for name, value in headers.items())
        made = _wire(
            _REQUEST.format(
                method=method, user=user, proxy=self._proxy, us=self._us, call=self._call, tag=tag, more=more
            )
        )
        self._socket.sendto(made, self._peer)
        return made

    def calls(self, user: str, headers: Headers = NONE) -> int:
        """INVITE, final response, ACK; gives the status."""
        self.begins(user, headers)
        return self.hears(user)

    def begins(self, user: str, headers: Headers = NONE, *, twice: bool = False) -> None:
        """INVITE; twice, as if the answer had been lost."""
        self._call = secrets.token_hex(8)
        made = self.sends("INVITE", user, headers=headers)
        if twice:
            self._socket.sendto(made, self._peer)

    def hears(self, user: str) -> int:
        """Wait for the final response of the current call, and acknowledge it."""
        while True:
            text = self._socket.recv(65535).decode()
            status = int(text.split()[1])
            if status >= 200 and re.search(r"(?im)^cseq: *1 INVITE\r?$", text):
                tag = re.search(r"(?im)^to:.*(;tag=[^;\s]+)", text)
                self.sends("ACK", user, tag[1] if tag else "")
                return status

    def babbles(self) -> None:
        """What is no SIP."""
        self._socket.sendto(b"hello, is anybody there?\r\n\r\n", self._peer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
