"""The NOTIFYs of a transfer that we do ourselves: one at a time, the newest state, and a last one.

What hears that the last one is done is a move whose transferor is out of the call: then its BYE leaves.
"""

from __future__ import annotations

import pytest

from sipproxy.b2bua.moving import Move
from sipproxy.b2bua.notifier import LAST_WITHIN_S, Notifier
from sipproxy.b2bua.referring import Referring
from sipproxy.b2bua.transfer import Transfer
from sipproxy.sip.build import respond_to
from sipproxy.sip.message import Request, Response, parse
from sipproxy.sip.refer import ReferTo
from sipproxy.sip.transaction import OtherServerTransaction
from tests.unit.b2bua.messages import request
from tests.unit.b2bua.talking import engine_room, talking


class Told:
    """A transferor who is told, and what reaches it."""

    def __init__(self, *, silent: bool = False, host: str = "") -> None:
        self.shared = engine_room()
        transferee, self.leg = talking(self.shared)
        if host:
            self.leg.dialog.remote_target = f"sip:bob@{host}"
        target = ReferTo.parse("<sip:carol@192.0.2.3>")
        transfer = Transfer(self.leg.call, target, 0.0)
        refer = OtherServerTransaction(request("Refer-To: <sip:carol@h>", method="REFER"), reliable=False)
        desk = Referring(self.leg.call)
        move = Move(desk, self.leg, transferee, self.leg, refer, transfer, target, None, 0.0)
        self.leg.departed = True
        self.notifier = Notifier(move, self.leg, 7, silent=silent, expires_at=240.0)

    def hears(self) -> list[Request | Response]:
        """Since the last time."""
        sent, self.shared.endpoint.outbox = self.shared.endpoint.outbox, []
        return [parse(transmit.data) for transmit in sent]

    def notified(self) -> Request:
        """The one NOTIFY since the last time."""
        (notify,) = self.hears()
        assert isinstance(notify, Request)
        assert notify.method == "NOTIFY"
        return notify

    def answers(self, notify: Request, status: int = 200, now: float = 1.0) -> None:
        self.shared.endpoint.receive(respond_to(notify, status).encode(), self.leg.flow, now)

    def subscribes(self, expires_s: int, now: float = 1.0) -> Response:
        subscribe = OtherServerTransaction(request(method="SUBSCRIBE"), reliable=False)
        subscribe.flow = self.leg.flow
        self.notifier.subscribed(subscribe, expires_s, now)
        response = parse(self.shared.endpoint.outbox.pop(0).data)
        assert isinstance(response, Response)
        return response

    def parted(self) -> bool:
        """Whether the transferor may go: all that it hears now is BYE."""
        return [message.method for message in self.hears() if isinstance(message, Request)] == ["BYE"]


@pytest.fixture
def told() -> Told:
    return Told()


def fragment(notify: Request) -> str:
    return notify.body.decode().rstrip()


def state(notify: Request) -> str:
    return notify.headers.text("subscription-state") or ""


def test_what_a_notify_says(told: Told) -> None:
    told.notifier.tell(100, 0.0)
    notify = told.notified()
    assert fragment(notify) == "SIP/2.0 100 Trying"
    assert notify.headers.text("event") == "refer;id=7"
    assert notify.headers.text("content-type") == "message/sipfrag;version=2.0"
    assert notify.headers.text("contact") == "<sip:proxy.example:5060>"
    assert state(notify) == "active;expires=240"


def test_the_next_waits_for_the_answer_and_the_newest_is_told(told: Told) -> None:
    told.notifier.tell(100, 0.0)
    first = told.notified()
    told.notifier.tell(180, 0.1)
    told.notifier.tell(183, 0.2)
    assert told.hears() == []
    told.answers(first, 100)
    assert told.hears() == []  # that is no answer yet
    told.answers(first, now=60.0)
    second = told.notified()
    assert fragment(second) == "SIP/2.0 183 Session Progress"
    assert state(second) == "active;expires=180"
    told.answers(second)
    assert told.hears() == []


def test_the_last_one_ends_the_subscription(told: Told) -> None:
    told.notifier.tell(200, 0.0, last=True)
    last = told.notified()
    assert fragment(last) == "SIP/2.0 200 OK"
    assert state(last) == "terminated;reason=noresource"
    told.answers(last)
    assert told.parted()
    told.shared.endpoint.expire(LAST_WITHIN_S)
    assert [message for message in told.hears() if b"NOTIFY" in message.encode()[:6]] == []


def test_the_last_one_waits_its_turn_too(told: Told) -> None:
    told.notifier.tell(100, 0.0)
    first = told.notified()
    told.notifier.tell(180, 0.1)
    told.notifier.tell(486, 0.2, last=True)
    assert told.hears() == []
    told.answers(first)
    last = told.notified()
    assert fragment(last) == "SIP/2.0 486 Busy Here"
    assert state(last).startswith("terminated")
    told.answers(last)
    assert told.parted()


@pytest.mark.parametrize("status", [400, 481, 500])
def test_a_refusal_ends_the_subscription(told: Told, status: int) -> None:
    told.notifier.tell(100, 0.0)
    told.answers(told.notified(), status)
    told.notifier.tell(180, 2.0)
    assert told.hears() == []
    told.notifier.tell(200, 3.0, last=True)
    assert told.parted()  # at once: nobody listens


def test_a_refusal_of_the_last_one_is_an_answer(told: Told) -> None:
    told.notifier.tell(200, 0.0, last=True)
    told.answers(told.notified(), 481)
    assert told.parted()


def test_a_refusal_while_the_last_one_waits(told: Told) -> None:
    told.notifier.tell(100, 0.0)
    first = told.notified()
    told.notifier.tell(200, 0.1, last=True)
    told.answers(first, 481)
    assert told.parted()


@pytest.mark.parametrize("waits", [False, True])
def test_the_answer_is_waited_for_two_seconds_at_most(told: Told, waits: bool) -> None:
    if waits:
        told.notifier.tell(100, 0.0)
    told.notifier.tell(200, 0.0, last=True)
    told.hears()
    told.shared.endpoint.expire(LAST_WITHIN_S - 0.01)
    told.hears()  # the NOTIFY again
    told.shared.endpoint.expire(LAST_WITHIN_S)
    assert [m.method for m in told.hears() if isinstance(m, Request)].count("BYE") == 1


def test_an_answer_that_comes_later_changes_nothing(told: Told) -> None:
    told.notifier.tell(200, 0.0, last=True)
    last = told.notified()
    told.shared.endpoint.expire(LAST_WITHIN_S)
    told.hears()
    told.answers(last, now=3.0)
    assert told.hears() == []


def test_nobody_can_be_reached() -> None:
    told = Told(host="bob.example")
    told.notifier.tell(100, 0.0)
    (lookup,) = told.shared.lookups
    told.shared.located(lookup.token, [], 0.1)
    told.notifier.tell(180, 0.2)
    assert told.hears() == []
    told.leg.dialog.remote_target = "sip:bob@192.0.2.2:5060"
    told.notifier.tell(200, 0.3, last=True)
    assert told.parted()


def test_silence_ends_the_subscription(told: Told) -> None:
    told.notifier.tell(100, 0.0)
    for now in range(33):
        told.shared.endpoint.expire(float(now))
    told.hears()
    told.notifier.tell(180, 33.0)
    assert told.hears() == []
    told.notifier.tell(200, 34.0, last=True)
    assert told.parted()


def test_who_wants_to_know_nothing_hears_nothing() -> None:
    told = Told(silent=True)
    told.notifier.tell(100, 0.0)
    told.notifier.tell(180, 0.0)
    assert told.hears() == []
    told.notifier.tell(200, 0.0, last=True)
    assert told.parted()


# SUBSCRIBE


def test_a_refresh_is_answered_and_told_the_state(told: Told) -> None:
    told.notifier.tell(180, 0.0)
    told.answers(told.notified())
    response = told.subscribes(600, now=10.0)
    assert (response.status, response.headers.text("expires")) == (200, "600")
    notify = told.notified()
    assert fragment(notify) == "SIP/2.0 180 Ringing"
    assert state(notify) == "active;expires=600"


def test_a_refresh_while_a_notify_is_open_is_told_behind_it(told: Told) -> None:
    told.notifier.tell(100, 0.0)
    first = told.notified()
    told.subscribes(600, now=1.0)
    assert told.hears() == []
    told.answers(first, now=1.0)
    assert state(told.notified()) == "active;expires=600"


def test_the_transferor_has_heard_enough(told: Told) -> None:
    told.notifier.tell(100, 0.0)
    told.answers(told.notified())
    assert told.subscribes(0).headers.text("expires") == "0"
    notify = told.notified()
    assert state(notify) == "terminated;reason=timeout"
    told.answers(notify)
    told.notifier.tell(180, 2.0)
    assert told.hears() == []
    told.notifier.tell(200, 3.0, last=True)
    assert told.parted()


def test_a_subscription_that_was_refreshed_once_has_to_be_again(told: Told) -> None:
    told.notifier.tell(100, 0.0)
    told.answers(told.notified())
    told.subscribes(60, now=10.0)
    told.answers(told.notified(), now=10.0)
    told.shared.endpoint.expire(69.9)
    assert told.hears() == []
    told.shared.endpoint.expire(70.0)
    assert state(told.notified()) == "terminated;reason=timeout"
    told.notifier.tell(180, 71.0)
    assert told.hears() == []


def test_a_subscription_that_is_refreshed_in_time_goes_on(told: Told) -> None:
    told.notifier.tell(100, 0.0)
    told.answers(told.notified())
    for now in (10.0, 60.0, 110.0):
        told.shared.endpoint.expire(now)
        told.subscribes(60, now=now)
        told.answers(told.notified(), now=now)
    told.shared.endpoint.expire(169.9)
    assert told.hears() == []
    told.shared.endpoint.expire(170.0)
    assert state(told.notified()) == "terminated;reason=timeout"


def test_the_transferor_has_heard_enough_while_a_notify_is_open(told: Told) -> None:
    told.notifier.tell(100, 0.0)
    first = told.notified()
    told.subscribes(0)
    assert told.hears() == []
    told.answers(first)
    assert state(told.notified()) == "terminated;reason=timeout"
