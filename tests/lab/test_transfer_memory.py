"""What a transfer leaves behind: nothing that only the collector finds."""

from __future__ import annotations

import pytest

from .core import HOSTS
from .lab import trunk
from .referral import LEAVES, STAYS
from .session import Called
from .test_hostile import garbage
from .transfers import KINDS, MODES, MakeLab, consults


@pytest.mark.parametrize("end", ["done", "left", "busy", "refused", "cancelled"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_what_is_over_goes_without_the_collector(make_lab: MakeLab, mode: str, kind: str, end: str) -> None:
    lab = make_lab(trunks={name: trunk(name, refer=mode) for name in HOSTS})
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    with garbage() as found:
        lab.talking("alice", "bob")
        if kind == "attended":
            consults(bob, alice, carol)
        if end in ("busy", "refused"):
            carol.replies["INVITE"] = alice.replies["INVITE"] = 488 if end == "refused" else None
            alice.style.answer = 603 if end == "refused" else 202
            carol.style.replaces = "ignores"
        replaces = carol if kind == "attended" else None
        bob.refers(alice, to=carol, replaces=replaces, then=LEAVES if end == "left" else STAYS)
        if end == "cancelled":
            for usage in list(alice.usages.values()):
                usage.hang_up()
        elif any(isinstance(session, Called) and session.open for session in carol.sessions):
            if end == "busy":
                carol.refuses(486)
            else:
                carol.answers()
        lab.finish()
        assert not len(lab.engine.endpoint.timers)
    assert found == []
