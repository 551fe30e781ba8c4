"""A proxy that drains behind Kamailio: its calls go on, new ones find their way to the next proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.otlp import Receiver
from tests.support.sipp import Cast

from .kamailio import Kamailio
from .people import (
    HOSTS,
    NAMES,
    final_words,
    nothing_is_left,
    party,
    place,
    settings,
)
from .prompter import TalkativeProxy, cue
from .script import Script

ALICE = Script("alice").calls().hears_it_ring().hears_answer("bob").waits_for_cue().hangs_up()
CAROL = Script("carol").calls().hears_it_ring().hears_answer("bob").hangs_up()
BOB = Script("bob").is_called("[a-z]+").rings().answers().is_hung_up_on()


@pytest.mark.parametrize("probes", [False, True], ids=["by the 503 to a call", "by the 503 to a probe"])
def test_new_calls_go_to_the_next_proxy(tmp_path: Path, receiver: Receiver, probes: bool) -> None:
    sbc_at, bob_at = place("sbc"), place("bob")
    trunks = {"sbc": {"address": sbc_at, "match": [HOSTS["sbc"]]}, "bob": {"address": bob_at}}
    routes = [{"from": "sbc", "to": ["bob"]}]
    configs = [
        settings(receiver, trunks, routes, listen=[f"udp:{HOSTS[host]}:0"]) for host in ("proxy", "next")
    ]
    with (
        TalkativeProxy(configs[0], tmp_path / "first") as first,
        TalkativeProxy(configs[1], tmp_path / "second") as second,
        Cast() as cast,
    ):
        targets = [f"sip:{proxy.address('udp')}" for proxy in (first, second)]
        with Kamailio(sbc_at, tmp_path / "kamailio", targets=targets, probes=probes) as kamailio:
            cast.enter(party(BOB, tmp_path, bob_at, calls=2), tmp_path)
            alice = cast.enter(party(ALICE, tmp_path, place("alice"), calls_at=sbc_at), tmp_path)
            receiver.wait_for(lambda spans: any(span.title == "INVITE server" for span in spans))

            first.terminate()
            first.wait_until_it_says("draining")
            if probes:
                kamailio.wait_until_down(targets[0], timeout_s=5.0)
            carol = cast.enter(party(CAROL, tmp_path, place("carol"), calls_at=sbc_at), tmp_path)
            assert carol.wait(10.0) == 0, carol.report()

            cue(alice)
            cast.finish()
            assert first.wait() == 0
    assert kamailio.complaints == []
    ladder = [f"{NAMES[hop.source.rpartition(':')[0]]} {hop.method} {hop.target}" for hop in kamailio.hops]
    at_first, at_second = (target.removeprefix("sip:") for target in targets)
    assert ladder == [
        f"alice INVITE {at_first}",
        f"alice ACK {at_first}",
        *([] if probes else [f"carol INVITE {at_first}"]),
        f"carol INVITE {at_second}",
        f"carol ACK {at_second}",
        f"carol BYE {at_second}",
        f"alice BYE {at_first}",
    ]
    assert final_words(first)["counts"].get("draining", 0) == (0 if probes else 1)
    assert nothing_is_left(first)
    assert nothing_is_left(second)
