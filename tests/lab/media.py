"""What the two ends of a dialog have agreed on: who speaks, and in which direction.

Each phone signs its descriptions in the o= line, so that a story can prove who hears whom (RFC 3264, 4566).
"""

from __future__ import annotations

from .seen import ANSWER, HOLD, OFFER

DIRECTIONS = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
HELD = {"sendrecv": "sendonly", "sendonly": "sendonly", "recvonly": "inactive", "inactive": "inactive"}


def signed(description: str, name: str) -> str:
    """The description with its phone's name in it."""
    return description.replace("o=- ", f"o={name} ", 1)


def speaker_of(description: str) -> str:
    """Who signed a description, "" for none."""
    _, _, origin = description.partition("o=")
    return origin.partition(" ")[0]


def direction_of(description: str) -> str:
    """One of the keys of DIRECTIONS."""
    named = [line[2:] for line in description.splitlines() if line[:2] == "a=" and line[2:] in DIRECTIONS]
    return named[-1] if named else "sendrecv"


class Media:
    """One dialog's. An offer counts when its answer is there, one that is refused changes nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.holds = False  # keeps the other side waiting
        self.here = ""  # our description in force
        self.there = ""  # theirs
        self._offered = ""  # ours that has no answer yet

    def offers(self, description: str) -> str:
        """What goes out as an offer."""
        self._offered = signed(description, self.name)
        return self._offered

    def offers_anew(self) -> str:
        """The offer that somebody asks for with an INVITE that has none."""
        return self.offers(HOLD if self.holds else OFFER)

    def answered(self, description: str) -> None:
        """The answer to our offer."""
        if self._offered and description:
            self._agree(self._offered, description)
            self.holds = direction_of(self.here) in ("sendonly", "inactive")

    def answers(self, offer: str) -> str:
        """What goes out as the answer to an offer."""
        direction = DIRECTIONS[direction_of(offer)]
        if self.holds:
            direction = HELD[direction]
        return self.says(ANSWER + (f"a={direction}\r\n" if direction != "sendrecv" else ""), offer)

    def says(self, description: str, offer: str) -> str:
        """What goes out as a description: the answer to an offer, or an offer where there is none."""
        if not description:
            return ""
        if not offer:
            return self.offers(description)
        self._agree(signed(description, self.name), offer)
        return self.here

    def _agree(self, here: str, there: str) -> None:
        self.here, self.there = here, there
        self._offered = ""

    @property
    def speaker(self) -> str:
        """Who is at the other end."""
        return speaker_of(self.there)

    @property
    def heard(self) -> bool:
        """Whether what the other end says is to be heard here."""
        return (
            bool(self.there)
            and direction_of(self.here) in ("sendrecv", "recvonly")
            and direction_of(self.there) in ("sendrecv", "sendonly")
        )
