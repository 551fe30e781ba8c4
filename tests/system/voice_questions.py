"""Questions to the applications of examples/, as sipproxy asks them, and what is known beforehand.

with placed("python", tmp_path) as place:
    status, answer, trace_id = ask(place.app, asked(GOLD))
    place.trace(trace_id, 3)      # its spans
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.support.otlp import HttpReceiver
from tests.support.spans import Span
from tests.system.voice_apps import Database, VoiceApp

GOLD, BLOCKED, NOBODY, LINE = "+441632960001", "+441632960002", "+441632960003", "+441632960100"
NUMBERS = (GOLD, BLOCKED, NOBODY, LINE)


@dataclass(slots=True)
class Place:
    """An application, its database, and where its spans go."""

    app: VoiceApp
    database: Database
    receiver: HttpReceiver

    def trace(self, trace_id: str, count: int) -> list[Span]:
        """The spans of one question, once there are so many."""
        self.receiver.wait_for(lambda spans: sum(span.trace_id == trace_id for span in spans) >= count)
        return [span for span in self.receiver.spans if span.trace_id == trace_id]

    def numbers_told(self) -> list[str]:
        """Those that stand in its spans or its log, in whatever form."""
        told = [self.app.log.encode(), *self.receiver.requests]
        forms = [form for number in NUMBERS for form in (number[1:], f"%2B{number[1:]}")]
        return [form for form in forms if any(form.encode() in each for each in told)]


@contextmanager
def placed(kind: str, folder: Path) -> Iterator[Place]:
    """A running one."""
    database = Database(folder / "customers.db")
    database.add([(GOLD, "gold", 0), (BLOCKED, "silver", 1)], [(LINE, "office")])
    with HttpReceiver() as receiver, VoiceApp(kind, folder, receiver.endpoint) as app:
        yield Place(app, database, receiver)


_numbers = iter(range(1, 100_000))


def new_trace() -> str:
    """One that no other question is in."""
    return f"{next(_numbers):032x}"


def asked(number: str = GOLD, *, interaction: str = "visit-7f3a-2", **others: Any) -> dict[str, Any]:
    """A question of the proxy's."""
    return {
        "call_id": "1-4711@192.0.2.20",
        "from": f"sip:{number}@example.com",
        "to": f"sip:{LINE}@example.com",
        "uri": f"sip:{LINE}@192.0.2.100:5060",
        "trunk": "sbc",
        "interaction_id": interaction,
        "headers": {"X-Tenant": "acme"},
        **others,
    }


def ask(
    app: VoiceApp, body: Any, *, path: str = "/route", method: str = "POST", **headers: str
) -> tuple[int, Any, str]:
    """Status, decoded answer, trace-id."""
    trace_id = new_trace()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = HTTPConnection("127.0.0.1", app.port, timeout=10)
    try:
        sent = {
            "Content-Type": "application/json",
            "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01",
            **headers,
        }
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        return response.status, json.loads(response.read()), trace_id
    finally:
        connection.close()
