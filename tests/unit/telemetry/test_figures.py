"""What is counted besides, under which labels, and that these are bounded."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from random import Random

import pytest

from sipproxy.b2bua.events import (
    Concluded,
    Consulted,
    Counted,
    DialogEnded,
    Disconnected,
    Established,
    Progressed,
    RequestArrived,
    TransferEnded,
)
from sipproxy.b2bua.settings import Health
from sipproxy.propagation.settings import Accept, TrunkTrace
from sipproxy.telemetry.families import FAMILIES, FAMILY, OTHER, Kind
from sipproxy.telemetry.meter import Meter
from tests.lab.core import HOSTS, trunk
from tests.lab.referral import WAITS
from tests.lab.transfers import cast, consults, hang_up, together
from tests.unit.telemetry.facts import Call
from tests.unit.telemetry.metered import MeteredLab, metered_labs

SDT = "sip_session_duration_seconds"
TRUNKS = {"sbc": trunk("192.0.2.1:5060"), "carrier-a": trunk("192.0.2.2:5060")}


def arrival(call: Call, trunk: str) -> RequestArrived:
    fact = call.arrives()
    assert isinstance(fact, RequestArrived)
    return replace(fact, trunk=trunk)


@pytest.fixture
def make_lab() -> Iterator[Callable[..., MeteredLab]]:
    with metered_labs() as make:
        yield make


# Transfers and trace contexts


def test_a_relayed_transfer(make_lab: Callable[..., MeteredLab]) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by="callee")
    assert isinstance(lab, MeteredLab)
    bob.refers(alice, to=carol, then=WAITS)
    carol.answers()
    assert together(alice, carol)
    assert lab.values("sip_transfers_total") == {("blind", "relay", "completed", "answered"): 1}
    returned = lab.values("sip_trace_refer_carriers_total")
    assert returned["alice", "marker"] == 1
    assert {trunk for trunk, _ in returned} == {"alice"}  # the one that placed the new call
    assert lab.value("sip_trace_contexts_total", "alice", "traceparent", "adopted", "none") >= 1
    assert lab.value("sip_calls_total", "alice", "answered") == 2  # the first call, and the one it caused


def test_an_attended_transfer_that_we_do_ourselves(make_lab: Callable[..., MeteredLab]) -> None:
    lab, alice, bob, carol = cast(make_lab, "local", by="callee")
    assert isinstance(lab, MeteredLab)
    consults(bob, alice, carol)
    lab.run(30.0)
    bob.refers(alice, to=carol, replaces=carol)
    assert together(alice, carol)
    lab.run(60.0)
    hang_up(alice, carol)
    assert lab.values("sip_transfers_total") == {("attended", "local", "completed", "answered"): 1}
    assert lab.counted(SDT, "alice", "caller") == (1, 90.0)  # 30 s with Bob or on hold, 60 s with Carol
    assert lab.counted(SDT, "bob", "callee") == (1, 30.0)  # what Alice called
    assert lab.counted(SDT, "bob", "caller") == (1, 30.0)  # what Bob called


def test_a_refused_transfer(make_lab: Callable[..., MeteredLab]) -> None:
    lab, alice, bob, carol = cast(make_lab, "relay", by="callee")
    assert isinstance(lab, MeteredLab)
    alice.style.answer = 603
    bob.refers(alice, to=carol)
    assert lab.values("sip_transfers_total") == {("blind", "relay", "refused", "refused"): 1}


def test_where_contexts_come_from(make_lab: Callable[..., MeteredLab]) -> None:
    links = trunk("carol", trace=TrunkTrace(accept=Accept.LINK, aliases=("X-Trace-Of-Ours",)))
    lab = make_lab(trunks={"carol": links})
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    alice.calls("bob")
    bob.refuses(486)
    alice.calls("bob", headers={"traceparent": "nonsense"})
    bob.refuses(486)
    carol.calls("bob", headers={"traceparent": "", "X-Trace-Of-Ours": f"00-{'a' * 32}-{'b' * 16}-01"})
    bob.refuses(486)
    assert lab.values("sip_trace_contexts_total") == {
        ("alice", "traceparent", "adopted", "none"): 1,
        ("alice", "none", "new", "bad_format"): 1,
        ("carol", "x-trace-of-ours", "linked", "none"): 1,
    }


# Counters


def counters(*facts: Counted) -> dict[str, dict[tuple[str, ...], float]]:
    meter = Meter(TRUNKS)
    meter.take([*facts], 0.0)
    return meter.snapshot()["values"]


def test_what_we_refuse_and_what_goes_wrong() -> None:
    values = counters(
        Counted("overload", "sbc"),
        Counted("overload", "sbc"),
        Counted("no_route", ""),
        Counted("malformed", ""),
        Counted("token_replayed", "carrier-a"),
        Counted("refer_carriers", "sbc", "marker"),
        Counted("transfers", "", "completed"),
    )
    rejected = {labels: count for labels, count in values["sip_rejected_total"].items() if count}
    assert rejected == {("overload",): 2, ("no_route",): 1}
    assert values["sip_parse_errors_total"] == {(): 1}
    assert values["sip_incidents_total"] == {("token_replayed", "carrier-a"): 1}
    assert values["sip_trace_refer_carriers_total"] == {("sbc", "marker"): 1}
    assert values["sip_transfers_total"] == {}  # TransferEnded tells of it


def test_a_source_that_is_nobodys_is_unknown() -> None:
    call = Call()
    meter = Meter(TRUNKS)
    meter.take([arrival(call, "unknown"), call.concludes(call.root, 403, 0.0)], 0.0)
    meter.take([Counted("stray_ack", "")], 0.0)
    values = meter.snapshot()["values"]
    assert values["sip_calls_total"] == {("unknown", "failed"): 1}
    assert values["sip_incidents_total"] == {("stray_ack", "unknown"): 1}


def test_a_trunk_is_up_until_it_is_down(make_lab: Callable[..., MeteredLab]) -> None:
    lab = make_lab(trunks={"bob": trunk("bob", health=Health(options_every_s=10.0, down_after=1))})
    bob = lab.phone("bob")
    lab.run(11.0)
    assert lab.value("sipproxy_trunk_up", "bob") == 1
    bob.dead = True
    lab.run(60.0)
    assert lab.value("sipproxy_trunk_up", "bob") == 0
    assert lab.value("sipproxy_trunk_up", "alice") == 1
    bob.dead = False
    lab.run(60.0)
    assert lab.value("sipproxy_trunk_up", "bob") == 1


def test_a_reload_keeps_the_figures_and_knows_the_new_trunks() -> None:
    meter = Meter(TRUNKS)
    meter.take(
        [Counted("failover", "sbc"), Counted("trunk_down", "sbc"), Counted("trunk_down", "carrier-a")], 0.0
    )
    meter.know({"sbc": TRUNKS["sbc"], "carrier-a": trunk("192.0.2.99:5060"), "new": trunk("192.0.2.3:5060")})
    values = meter.snapshot()["values"]
    # What was down at another address need not be down here.
    assert values["sipproxy_trunk_up"] == {("sbc",): False, ("carrier-a",): True, ("new",): True}
    meter.know({"new": trunk("192.0.2.3:5060")})
    values = meter.snapshot()["values"]
    assert values["sipproxy_trunk_up"] == {("new",): True}
    assert values["sip_incidents_total"] == {("failover", "sbc"): 1}


def test_the_routing_webhook() -> None:
    call = Call()
    meter = Meter(TRUNKS)
    meter.take([Consulted(call.root, "1", "2", 0.0, 0.3, result) for result in ("ok", "ok", "timeout")], 0.3)
    asked = {
        labels: count
        for labels, count in meter.snapshot()["values"]["sipproxy_webhook_total"].items()
        if count
    }
    assert asked == {("ok",): 2, ("timeout",): 1}


def test_messages_are_added_by_who_sees_them() -> None:
    meter = Meter(TRUNKS)
    meter.messages["INVITE", False, "sbc"] = 3
    meter.messages["2xx", True, ""] = 2
    assert meter.snapshot()["values"]["sip_messages_total"] == {
        ("INVITE", "received", "sbc"): 3,
        ("2xx", "sent", "unknown"): 2,
    }


# Bounds


def most_series(trunks: int, carriers: int) -> dict[str, int]:
    """What the table allows: for each label its values and `_OTHER`; a trunk may be `unknown` too."""
    most: dict[str, int] = {}
    for family in FAMILIES:
        count = 1
        for label in family.labels:
            values = trunks + 1 if label.name == "trunk" else len(label.values)
            count *= values + 1 + (carriers if label.name == "carrier" else 0)
        most[family.name] = count
    return most


def test_whatever_peers_say_the_number_of_series_is_bounded() -> None:
    """Facts with words from nowhere, as a mistake in the core or a clever peer might cause."""
    random = Random(4)
    meter = Meter(TRUNKS)
    for number in range(3000):
        word = f"made-up-{number}"
        call = Call(carrier=random.choice((word, "traceparent")), decision=random.choice((word, "new")))
        call.origin.rejected = random.choice(("", word))
        established = call.dialog("caller", 0.3)
        assert isinstance(established, Established)
        status = random.randrange(0, 1000)
        meter.take(
            [
                arrival(call, random.choice((word, "sbc"))),
                call.is_tried(trunk=word),
                Progressed(call.root.span_id, status, 0.1),
                Concluded(call.attempt.span_id, status, word, 0.2, 3, None, False),
                Concluded(call.root.span_id, random.randrange(0, 1000), word, 0.3, 1, 300, False),
                replace(established, trunk=word, leg=random.choice((word, "caller"))),
                DialogEnded(call.caller_dialog.span_id, word, 1.0, 700, call.root, word),
                Disconnected(call.root, word, 0.1, status, 1.0),
                TransferEnded(call.root.span_id, word, word, word, 0, word, 1.0, word, word, word, call.root),
                Consulted(call.root, word, word, 0.0, 0.1, word),
                Counted(word, word, word),
                Counted("refer_carriers", word, word),
                Counted("trunk_down", word),
            ],
            1.0,
        )
        meter.messages[random.choice((word, "INVITE")), True, random.choice((word, "sbc"))] = 1
        if number % 2:
            meter.take([call.is_forgotten()], 1.0)
    snapshot = meter.snapshot()
    most = most_series(len(TRUNKS), 0)
    values, histograms = snapshot["values"], snapshot["histograms"]
    found = {name: [*counter] for name, counter in values.items()}
    found |= {name: [*pictures] for name, pictures in histograms.items()}
    for name, series in found.items():
        assert len(series) <= most[name], name
        labels = FAMILY[name].labels
        for values_of_one in series:
            for label, value in zip(labels, values_of_one, strict=True):
                allowed = (*(label.values or TRUNKS), "unknown", OTHER)
                assert value in allowed, (name, label.name, value)


def test_a_reload_without_end_adds_trunks_up_to_a_bound() -> None:
    meter = Meter({})
    for number in range(5000):
        meter.know({f"trunk-{number}": trunk("192.0.2.1:5060")})
    meter.take([Counted("failover", f"trunk-{number}") for number in range(5000)], 0.0)
    names = {name for _, name in meter.snapshot()["values"]["sip_incidents_total"]}
    assert 4000 < len(names) <= 4096
    assert OTHER in names


# The picture


def test_the_snapshot_is_plain_and_names_families_of_the_table() -> None:
    meter = Meter(TRUNKS)
    for facts in Call().basic():
        meter.take(facts, 1.0)
    snapshot = meter.snapshot()
    assert marshal.loads(marshal.dumps(dict(snapshot))) == snapshot
    assert all(FAMILY[name].kind in (Kind.COUNTER, Kind.GAUGE) for name in snapshot["values"])
    assert all(FAMILY[name].kind is Kind.HISTOGRAM for name in snapshot["histograms"])
    for name, pictures in snapshot["histograms"].items():
        for counts, _, exemplars in pictures.values():
            assert len(counts) == len(exemplars) == len(FAMILY[name].bounds) + 1


def test_a_snapshot_stays_as_it_was_taken() -> None:
    meter, call, other = Meter(TRUNKS), Call(), Call()
    for facts in call.basic():
        meter.take(facts, 1.0)
    snapshot = meter.snapshot()
    kept = deepcopy(snapshot)
    for facts in other.basic():
        meter.take(facts, 1.0)
    assert snapshot == kept


def test_all_trunks_of_the_configuration_are_there_before_the_first_call() -> None:
    assert Meter({name: trunk(name) for name in HOSTS}).snapshot()["values"]["sipproxy_trunk_up"] == {
        (name,): True for name in HOSTS
    }
