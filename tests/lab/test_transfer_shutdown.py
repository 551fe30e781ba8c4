"""What becomes of a transfer that is under way when the proxy ends."""

from __future__ import annotations

from .referral import LEAVES
from .transfers import MakeLab, cast, outcome


def test_a_transfer_that_nobody_placed_does_not_hold_the_process_up(make_lab: MakeLab) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by="callee")
    alice.style.dials_after_s = 100.0
    bob.refers(alice, to=carol, then=LEAVES)
    lab.engine.drain()
    assert lab.engine.busy
    lab.does(lab.engine.end_all)
    assert not lab.engine.busy
    assert outcome(lab) == ("unknown", "expired", "")
    assert not len(lab.engine.shared.pending)
    lab.finish()
