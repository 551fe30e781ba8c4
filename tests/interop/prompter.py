"""Cues: what makes a story wait for an event instead of a while."""

from __future__ import annotations

import json
import socket
import threading

from tests.support.proxy import Proxy
from tests.support.sipp import Actor

_CUE = """\
INFO sip:{who} SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK-cue
From: <sip:prompter@127.0.0.1>;tag=cue
To: {to}
Call-ID: {call_id}
CSeq: 1 INFO
Content-Length: 0

"""


def cue(actor: Actor) -> None:
    """Let a SIPp go on whose script says `waits_for_cue`. It tells calls apart by Call-ID alone."""
    answer = next(m for m in reversed(actor.messages) if m.received and m.kind == "200")
    text = _CUE.format(who=actor.role.name, to=answer.values("To")[0], call_id=answer.values("Call-ID")[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(text.replace("\n", "\r\n").encode(), (actor.role.host, actor.role.port))


class TalkativeProxy(Proxy):
    """One whose log can be waited for."""

    _written: threading.Condition

    def wait_until_it_says(self, event: str, timeout_s: float = 10.0) -> None:
        """Return once that event stands in its log."""
        with self._written:
            if not self._written.wait_for(lambda: event in map(_event, self.log), timeout_s):
                raise AssertionError(f"no {event!r} within {timeout_s} s:\n{self.output}")


def _event(line: str) -> str:
    content = json.loads(line)
    return str(content["event"])
