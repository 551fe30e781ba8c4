"""The main lines of a transfer, message by message."""

from __future__ import annotations

import pytest

from .ladder import check
from .transfers import KINDS, MODES, MakeLab, cast, consults, together


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_a_transfer_by_the_callee(make_lab: MakeLab, mode: str, kind: str) -> None:
    lab, alice, bob, carol = cast(make_lab, mode, by="callee")
    if kind == "attended":
        consults(bob, alice, carol)
    lab.network.log.clear()
    bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None)
    if kind == "blind":
        carol.rings()
        carol.answers()
    assert together(alice, carol)
    check(f"{kind}-{mode}", lab.ladder())


def test_a_transfer_that_fails_after_the_target_has_answered(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by="callee")
    alice.replies["INVITE"] = 488
    lab.network.log.clear()
    bob.refers(alice, to=carol)
    carol.answers()
    assert together(alice, bob)
    check("blind-local-refused", lab.ladder())
