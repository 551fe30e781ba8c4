"""A caller's INVITE looks for a trunk: who is passed over, who is tried next, and what the caller hears."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import Routed
from sipproxy.b2bua.hunting import FAILOVER, LONGEST_PAUSE_S
from sipproxy.b2bua.routing import Trunk
from sipproxy.b2bua.settings import TrunkLimits, TrunkSettings
from sipproxy.b2bua.setup import Setup
from sipproxy.sip.build import respond_to
from sipproxy.sip.flow import UDP, Flow
from sipproxy.sip.message import Request, Response, parse
from sipproxy.sip.transaction import InviteServerTransaction
from tests.unit.b2bua.messages import request
from tests.unit.b2bua.talking import call_in, engine_room

FIRST, SECOND, THIRD = "192.0.2.11", "192.0.2.12", "192.0.2.13"
CALLER = Flow(UDP, "192.0.2.1", 5060, 0, 0)


class Hunted:
    """One call and the trunks that may take it."""

    def __init__(self, *addresses: str, limits: TrunkLimits | None = None) -> None:
        self.shared = engine_room()
        self.trunks = [
            Trunk(f"trunk-{address}", TrunkSettings(address, limits=limits or TrunkLimits()))
            for address in addresses
        ]
        self.call = call_in(self.shared)

    def starts(self) -> list[str]:
        """The INVITE comes; where it goes, and what the caller hears."""
        invite = request("Max-Forwards: 70", "Contact: <sip:a@192.0.2.1>")
        tx = InviteServerTransaction(invite, reliable=False)
        tx.flow = tx.source = CALLER
        tx.local_tag = "us"
        setup = Setup(self.call, tx, invite, None, 0.0)
        setup.start(self.trunks, None, 0.0)
        return self.seen()

    def seen(self) -> list[str]:
        """Since the last time: `host` for an INVITE there, a status for a response to the caller."""
        sent, self.shared.endpoint.outbox = self.shared.endpoint.outbox, []
        words = []
        for transmit in sent:
            message = parse(transmit.data)
            if isinstance(message, Response):
                words.append(str(message.status))
            elif message.method == "INVITE":
                self.invite, self.flow = message, transmit.flow
                words.append(transmit.flow.host)
        return words

    def answers(self, status: int, now: float = 1.0, **headers: str) -> list[str]:
        """Whoever was tried last answers."""
        response = respond_to(self.invite, status, to_tag="callee")
        for name, value in headers.items():
            response.headers.add(name.replace("_", "-"), value)
        self.shared.endpoint.receive(response.encode(), self.flow, now)
        return self.seen()

    def waits(self, until: float) -> list[str]:
        """Time passes; whom the call went to, repeats left out."""
        words: list[str] = []
        for now in range(int(until * 2) + 1):
            self.shared.endpoint.expire(now / 2)
            words += [word for word in self.seen() if word not in words[-1:]]
        return words

    invite: Request
    flow: Flow


def test_the_first_that_can_takes_the_call() -> None:
    hunted = Hunted(FIRST, SECOND)
    assert hunted.starts() == ["100", FIRST]
    (routed,) = [fact for fact in hunted.shared.facts if isinstance(fact, Routed)]
    assert routed.trunks == (f"trunk-{FIRST}", f"trunk-{SECOND}")
    assert [trunk.calls for trunk in hunted.trunks] == [1, 0]


@pytest.mark.parametrize("why", ["down", "asked us to wait", "full", "out of reach"])
def test_who_cannot_is_passed_over(why: str) -> None:
    address = "2001:db8::1" if why == "out of reach" else FIRST  # there is no IPv6 socket
    hunted = Hunted(f"[{address}]:5060" if ":" in address else address, SECOND, limits=TrunkLimits(calls=1))
    trunk = hunted.trunks[0]
    if why == "down":
        trunk.down = True
    elif why == "asked us to wait":
        trunk.closed_until = 60.0
    elif why == "full":
        assert trunk.admit(0.0)
    before = trunk.calls
    assert hunted.starts() == ["100", SECOND]
    assert [trunk.calls for trunk in hunted.trunks] == [before, 1]


@pytest.mark.parametrize("why", ["down", "full", "out of reach"])
def test_nobody_can(why: str) -> None:
    hunted = Hunted("[2001:db8::1]:5060" if why == "out of reach" else FIRST, limits=TrunkLimits(calls=1))
    hunted.trunks[0].down = why == "down"
    if why == "full":
        assert hunted.trunks[0].admit(0.0)
    assert hunted.starts() == ["100", "503"]
    assert hunted.trunks[0].calls == (why == "full")


@pytest.mark.parametrize("status", [400, 404, 408, 480, 486, 488, 500, 501, 502, 503, 504, 600, 603])
def test_which_refusals_another_trunk_may_not_share(status: int) -> None:
    hunted = Hunted(FIRST, SECOND)
    hunted.starts()
    assert hunted.answers(status) == ([SECOND] if status in FAILOVER else [str(status)])
    assert hunted.shared.counts.get("failover", 0) == (status in FAILOVER)
    assert [trunk.calls for trunk in hunted.trunks] == ([0, 1] if status in FAILOVER else [0, 0])


def test_the_last_ones_refusal_is_the_callers() -> None:
    hunted = Hunted(FIRST, SECOND, THIRD)
    hunted.starts()
    assert hunted.answers(503) == [SECOND]
    assert hunted.answers(500) == [THIRD]
    assert hunted.answers(504) == ["504"]
    assert [trunk.calls for trunk in hunted.trunks] == [0, 0, 0]


def test_silence_is_followed_by_the_next_and_at_last_by_408() -> None:
    hunted = Hunted(FIRST, SECOND)
    hunted.starts()
    patience = hunted.shared.timeouts.first_response_s
    assert hunted.waits(patience - 0.5) == [FIRST]
    assert SECOND in hunted.waits(patience)
    assert "408" in hunted.waits(patience + 32.0)


def test_who_rings_is_not_passed_over() -> None:
    hunted = Hunted(FIRST, SECOND)
    hunted.starts()
    hunted.answers(180)
    assert hunted.waits(60.0) == []


@pytest.mark.parametrize(("asked_s", "pause_s"), [("60", 60.0), ("86400", float(LONGEST_PAUSE_S))])
def test_who_asks_us_to_wait_is_left_alone(asked_s: str, pause_s: float) -> None:
    hunted = Hunted(FIRST, SECOND)
    hunted.starts()
    assert hunted.answers(503, now=1.0, Retry_After=asked_s) == [SECOND]
    assert not hunted.trunks[0].usable(1.0 + pause_s - 0.1)
    assert hunted.trunks[0].usable(1.0 + pause_s)


# Names


def found(hunted: Hunted, *hosts: str) -> list[str]:
    """The name of the first trunk resolves to these."""
    (lookup,) = hunted.shared.lookups
    hunted.shared.lookups.clear()
    hunted.shared.located(lookup.token, [Flow(UDP, host, 5060) for host in hosts], 0.1)
    return hunted.seen()


def test_each_target_of_a_trunk_is_tried_before_the_next_trunk() -> None:
    hunted = Hunted("sbc.example", THIRD)
    assert hunted.starts() == ["100"]
    assert found(hunted, FIRST, SECOND) == [FIRST]
    assert hunted.answers(503) == [SECOND]
    assert [trunk.calls for trunk in hunted.trunks] == [1, 0]
    assert hunted.answers(503) == [THIRD]
    assert [trunk.calls for trunk in hunted.trunks] == [0, 1]


def test_a_trunk_that_asks_us_to_wait_speaks_for_all_its_targets() -> None:
    hunted = Hunted("sbc.example", THIRD)
    hunted.starts()
    found(hunted, FIRST, SECOND)
    assert hunted.answers(503, Retry_After="60") == [THIRD]


def test_a_name_that_does_not_resolve() -> None:
    hunted = Hunted("sbc.example", SECOND)
    hunted.starts()
    assert found(hunted) == [SECOND]
    assert hunted.shared.counts == {"unresolved": 1}


def test_the_only_name_does_not_resolve() -> None:
    hunted = Hunted("sbc.example")
    hunted.starts()
    assert found(hunted) == ["503"]
    assert hunted.trunks[0].calls == 0


def test_the_caller_gives_up_while_a_name_is_looked_up() -> None:
    hunted = Hunted("sbc.example", SECOND)
    hunted.starts()
    setup = hunted.call.setup
    assert setup is not None
    setup.give_up(487, "", 0.05)
    assert hunted.seen() == ["487"]
    assert found(hunted, FIRST) == []
