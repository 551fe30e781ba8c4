"""A Refer-To that a baresip has no room for makes it dial nobody: what can be left out gives way to the
marker.
"""

from __future__ import annotations

import pytest

from sipproxy.b2bua.settings import TransferSettings

from .core import HOSTS, trunk
from .transfers import MakeLab, cast, consults, refer_to, together


@pytest.mark.parametrize(
    ("octets", "left"),
    [
        (0, ["traceparent", "previous-trace-id", "Replaces"]),
        (300, ["traceparent", "Replaces"]),
        (200, ["Replaces"]),
        (10, ["Replaces"]),
    ],
)
def test_what_gives_way(make_lab: MakeLab, octets: int, left: list[str]) -> None:
    settings = TransferSettings(refer_to_octets=octets)
    _, alice, bob, carol = cast(make_lab, "relay", by="callee", transfer=settings)
    consults(bob, alice, carol)
    bob.refers(alice, to=carol, replaces=carol)
    uri, headers = refer_to(alice)
    assert "sipproxy-ref=" in uri
    assert list(headers) == left
    assert alice.got("REFER").header("previous-trace-id")
    assert together(alice, carol)


def test_nothing_gives_way_where_there_is_no_marker(make_lab: MakeLab) -> None:
    """Without it these names are all that there is."""
    settings = TransferSettings(refer_to_octets=100)
    trunks = {name: trunk(name, refer="relay", anchor=False) for name in HOSTS}
    _, alice, bob, carol = cast(make_lab, "relay", by="callee", transfer=settings, trunks=trunks)
    bob.refers(alice, to=carol)
    assert list(refer_to(alice)[1]) == ["traceparent", "previous-trace-id"]
    carol.answers()
    assert together(alice, carol)
