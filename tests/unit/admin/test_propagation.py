"""The health of propagation, as JSON and as text."""

from __future__ import annotations

from typing import Any

from sipproxy.admin.propagation import matrix, table
from sipproxy.b2bua.events import Counted
from sipproxy.propagation.settings import Accept, TrunkTrace
from sipproxy.telemetry.meter import Meter
from tests.lab.core import trunk
from tests.lab.referral import WAITS
from tests.lab.transfers import cast
from tests.unit.telemetry.facts import Call
from tests.unit.telemetry.metered import MeteredLab

QUIET: dict[str, Any] = {"arrived": {}, "rejected": {}, "returned": {}}


def of(*meters: Meter) -> dict[str, Any]:
    return matrix([{"meter": meter.snapshot()} for meter in meters])["trunks"]


def test_a_transfers_carriers_come_back() -> None:
    lab, alice, bob, carol = cast(MeteredLab, "relay", by="callee")
    assert isinstance(lab, MeteredLab)
    alice.style.keeps = frozenset(("marker", "referred-by"))
    bob.refers(alice, to=carol, then=WAITS)
    carol.answers()
    trunks = of(lab.meter)
    assert trunks["alice"]["arrived"] == {"traceparent": {"adopted": 1}, "marker": {"recovered": 1}}
    assert trunks["alice"]["returned"] == {"marker": 1, "referred-by": 1}
    assert trunks["bob"] == trunks["carol"] == trunks["dave"] == QUIET


def test_what_is_refused_says_why() -> None:
    ignored = trunk("carol", trace=TrunkTrace(accept=Accept.IGNORE))
    lab = MeteredLab(trunks={"carol": ignored})
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    for headers in ({"traceparent": "nonsense"}, {"traceparent": f"00-{'0' * 32}-{'1' * 16}-01"}):
        alice.calls("bob", headers=headers)
        bob.refuses(486)
    carol.calls("bob")
    bob.refuses(486)
    trunks = of(lab.meter)
    assert trunks["alice"] == {
        "arrived": {"none": {"new": 2}},
        "rejected": {"bad_format": 1, "zero_id": 1},
        "returned": {},
    }
    assert trunks["carol"] == {"arrived": {"none": {"new": 1}}, "rejected": {"untrusted": 1}, "returned": {}}


def test_workers_are_added_up_and_words_stand_in_their_order() -> None:
    meters = [Meter({"sbc": trunk("192.0.2.1:5060")}) for _ in range(2)]
    for carrier, decision in (("none", "new"), ("marker", "recovered"), ("traceparent", "adopted")):
        for meter in meters:
            meter.take([Call(carrier=carrier, decision=decision).arrives()], 0.0)
    (trunks,) = [of(*meters)]
    assert trunks["sbc"]["arrived"] == {
        "traceparent": {"adopted": 2},
        "marker": {"recovered": 2},
        "none": {"new": 2},
    }
    assert [*trunks["sbc"]["arrived"]] == ["traceparent", "marker", "none"]


def test_before_a_worker_has_told_anything_there_are_no_trunks() -> None:
    assert matrix([]) == {"trunks": {}}


def test_the_text() -> None:
    meter = Meter({"sbc": trunk("192.0.2.1:5060"), "carrier-a": trunk("192.0.2.2:5060")})
    meter.take([Call().arrives() for _ in range(12)], 0.0)
    refused = Call(carrier="none", decision="new")
    refused.origin.rejected = "duplicate"
    meter.take([refused.arrives(), *(Counted("refer_carriers", "sbc", "marker") for _ in range(3))], 0.0)
    assert (
        table(matrix([{"meter": meter.snapshot()}]))
        == """\
trunk          carrier               adopted recovered  linked     new came back
sbc            traceparent                12         -       -       -         -
               marker                      -         -       -       -         3
               none                        -         -       -       1
               refused duplicate           1
carrier-a      none                        -         -       -       -
"""
    )


def test_the_text_fits_a_terminal_whatever_the_names_and_numbers() -> None:
    counts = {"adopted": 123_456_789_012, "recovered": 99_999, "linked": 100_000, "new": 10**18}
    body = {
        "trunks": {
            "a-trunk-with-a-very-long-name": {
                "arrived": {"x-a-header-with-a-very-long-name": counts},
                "rejected": {"a-reason-with-a-very-long-name": 10**18},
                "returned": {"previous-trace-id": 10**18},
            }
        }
    }
    lines = table(body).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines[1:]] == [
        ["a-trunk-with-~", "previous-trace-id", "-", "-", "-", "-", "1000P"],
        ["x-a-header-with-a-~", "123G", "99999", "100k", "1000P"],
        ["refused", "a-reason-w~", "1000P"],
    ]
