"""Parameters of the API, read strictly: what is unknown or makes no sense is refused, with its name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from .answers import Refused

LONGEST = 512  # characters of a value
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO = re.compile(r"([0-9]{1,9})([smhd])")
_LOST_PLUS = re.compile(r"(?<=[T0-9]) (?=[0-9]{2}:?[0-9]{2}\Z)")  # a `+` that nobody escaped came as a blank
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class Parameters:
    """The parameters of one request. `what` reads each, and gives None for one that is not there."""

    def __init__(self, given: Sequence[tuple[str, str]], known: Sequence[str]) -> None:
        self._values: dict[str, str] = {}
        for name, value in given:
            if name not in known:
                some = f"; there are {', '.join(known)}" if known else "; there are none"
                raise Refused(400, f"unknown parameter{some}", printable(name))
            if name in self._values:
                raise Refused(400, "given more than once", name)
            self._values[name] = identifier(value, name)

    def text(self, name: str) -> str | None:
        """As it is."""
        return self._values.get(name)

    def whole(self, name: str, *, least: int, most: int) -> int | None:
        """A whole number."""
        value = self._values.get(name)
        if value is None:
            return None
        if not re.fullmatch("[0-9]{1,15}", value) or not least <= int(value) <= most:
            raise Refused(400, f"not a whole number from {least} to {most}", name)
        return int(value)

    def truth(self, name: str) -> bool | None:
        """`true` or `false`."""
        value = self.one_of(name, ("true", "false"))
        return None if value is None else value == "true"

    def one_of(self, name: str, words: Sequence[str]) -> str | None:
        """One of these words."""
        value = self._values.get(name)
        if value is not None and value not in words:
            raise Refused(400, f"none of {', '.join(words)}", name)
        return value

    def moment(self, name: str, now_ns: int) -> int | None:
        """Nanoseconds since 1970."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return moment(value, now_ns)
        except ValueError as error:
            raise Refused(400, str(error), name) from None


def moment(text: str, now_ns: int) -> int:
    """Nanoseconds since 1970 of `15m`, `2h`, `3d` (ago), or of ISO 8601 (UTC if it does not say). Raises
    ValueError.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return max(0, now_ns - int(ago[1]) * _UNITS[ago[2]] * 10**9)
    try:
        at = datetime.fromisoformat(_LOST_PLUS.sub("+", text))
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("neither ISO 8601, such as 2026-01-31T09:30:00Z, nor 15m, 2h, 3d") from None
    if not datetime(1970, 1, 1, tzinfo=UTC) <= at < _LATEST:
        raise ValueError(f"not between 1970 and {_LATEST.year}")
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


def identifier(text: str, name: str = "id") -> str:
    """A value that can be looked for: not empty, not endless, characters alone. Raises Refused."""
    if not text:
        raise Refused(400, "empty", name)
    if len(text) > LONGEST:
        raise Refused(400, f"longer than {LONGEST} characters", name)
    if not text.isprintable():
        raise Refused(400, "it holds what is no printable character", name)
    return text


def printable(text: str) -> str:
    """A name that is not ours, as it can be told."""
    return "".join(char if char.isprintable() else "?" for char in text[:64])


def fields(body: Mapping[str, object], known: Sequence[str]) -> None:
    """Refuse a JSON body with other keys than these."""
    for name in body:
        if name not in known:
            raise Refused(400, f"unknown; there are {', '.join(known) or 'none'}", printable(name))
