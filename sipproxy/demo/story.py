"""What the demo performs: who is on the line, and what happens in which act, as it is told to the reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# The last two digits tell them apart in what the proxy prints; nothing else of a number leaves it.
NUMBERS = {"agent": "+4915550002222", "colleague": "+4915550003333", "expert": "+4915550004444"}
TRUNKS = ("customer", *NUMBERS)


@dataclass(frozen=True, slots=True)
class Act:
    """One call with a transfer. `cast[0]` calls, `cast[1]` answers and transfers to `cast[2]`."""

    folder: str
    title: str
    cast: tuple[str, str, str]
    steps: tuple[tuple[str, str, str, str], ...]  # from, message, to, what it is for
    moral: str

    def ladder(self) -> Iterator[str]:
        """The steps as lines of text."""
        for sender, message, receiver, purpose in self.steps:
            arrow = f" {message} ".ljust(11, "─")
            yield f"   {sender:<9} ──{arrow}▶ {receiver:<9}  {purpose}"


ACTS = (
    Act(
        "blind",
        "A blind transfer. The customer's phone knows REFER, so the proxy relays it.",
        ("customer", "agent", "colleague"),
        (
            ("customer", "INVITE", "agent", "the customer calls and talks to the agent"),
            ("agent", "REFER", "customer", '"call my colleague instead"'),
            ("customer", "INVITE", "colleague", "a new call, by a phone that copies no header"),
            ("customer", "NOTIFY", "agent", '"I talk to your colleague"'),
            ("agent", "BYE", "customer", "the agent hangs up"),
            ("customer", "BYE", "colleague", "at the end the customer does"),
        ),
        "One trace: the new call is known by the marker that the proxy put into Refer-To.",
    ),
    Act(
        "attended",
        "An attended transfer. This customer's phone knows no REFER: the proxy does it.",
        ("customer", "agent", "expert"),
        (
            ("customer", "INVITE", "agent", "the customer calls and talks to the agent"),
            ("agent", "INVITE", "expert", "in a second call the agent asks the expert"),
            ("agent", "REFER", "sipproxy", '"connect these two", with Replaces'),
            ("sipproxy", "re-INVITE", "expert", "gives an offer for the customer ..."),
            ("sipproxy", "re-INVITE", "customer", "... who answers it: now they talk"),
            ("sipproxy", "BYE", "agent", "on both of the agent's lines"),
            ("customer", "BYE", "expert", "at the end the customer hangs up"),
        ),
        "Two traces: the customer's goes on, and the agent's question to the expert is linked to it.",
    ),
)
