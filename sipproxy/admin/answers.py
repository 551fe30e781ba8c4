"""What is asked of the admin listener and what it answers, without HTTP's machinery."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. Header names are looked up without regard to case."""

    method: str
    path: str  # as it came, still escaped
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]] = ()
    ids: tuple[str, ...] = ()  # what stands in the path's places, decoded
    body: bytes = b""
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; the listener adds the headers that all have."""

    body: bytes
    status: int = 200
    type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """Ends a request with a status and the reason. `parameter` names the one that is at fault."""

    def __init__(
        self, status: int, error: str, parameter: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.parameter = parameter
        self.headers = headers or {}

    def answer(self) -> Answer:
        """The reason as JSON."""
        told = {"error": self.error}
        if self.parameter:
            told["parameter"] = self.parameter
        return Answer(encode(told), self.status, headers=self.headers)


def encode(value: object) -> bytes:
    """JSON in ASCII: no character of it can break out of where it is put."""
    return json.dumps(value, separators=(",", ":")).encode()
