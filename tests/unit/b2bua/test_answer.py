"""A 2xx that is sent again until its ACK comes: every input in every state, and the rhythm."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from sipproxy.b2bua.answer import Answer
from sipproxy.propagation.context import TraceContext
from sipproxy.sip.endpoint import Transmit
from sipproxy.sip.flow import UDP, Flow
from sipproxy.sip.message import Headers, Request
from tests.unit.b2bua.support import CONTEXT, UDP4, shared_with

pytestmark = pytest.mark.interpreted  # a stand-in for the leg

if TYPE_CHECKING:
    from sipproxy.b2bua.leg import Leg

OK = Transmit(b"SIP/2.0 200 OK", Flow(UDP, "192.0.2.1", 5060))
ACK = Request("ACK", "sip:us", Headers())


class Stage:
    """Leg, its peer and its call in one; `seen` says what the answer did with them."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.shared = shared_with(UDP4)
        self.call = self
        self.peer: Stage | None = self
        self.ack: Transmit | None = OK
        self.ack_cseq = 0
        self.answer: Answer | None = Answer(
            cast("Leg", self), OK, cseq=1, peer_cseq=7, peer_context=CONTEXT, span_ids=("s",), now=0.0
        )

    def send_ack(self, ack: Request | None, cseq: int, context: TraceContext, now: float) -> None:
        self.seen.append(f"ACK {cseq}{' crosses' if ack else ''}")
        self.ack_cseq = cseq
        assert context is CONTEXT

    def acknowledged(self, leg: Stage, answer: Answer, heard: bool, now: float) -> None:
        self.seen.append("heard" if heard else "not heard")

    def unacknowledged(self, leg: Stage, answer: Answer, now: float) -> None:
        self.seen.append("unacknowledged")
        answer.acknowledged(None, now)

    def at(self, now: float) -> int:
        """Let time pass; how often the 2xx was sent again."""
        self.shared.endpoint.expire(now)
        sent, self.shared.endpoint.outbox = self.shared.endpoint.outbox, []
        assert all(transmit is OK for transmit in sent)
        return len(sent)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def answer_of(stage: Stage) -> Answer:
    assert stage.answer is not None
    return stage.answer


def test_it_is_sent_again_after_half_a_second_and_then_ever_more_rarely(stage: Stage) -> None:
    moments = [n / 2 for n in range(64) if stage.at(n / 2)]
    assert moments == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert stage.seen == []


def test_the_ack_crosses_and_ends_the_repeating(stage: Stage) -> None:
    answer = answer_of(stage)
    answer.acknowledged(ACK, 0.1)
    assert stage.seen == ["ACK 7 crosses", "heard"]
    assert stage.answer is None
    assert stage.at(31.0) == 0
    assert not answer.waiting


def test_only_the_first_ack_counts(stage: Stage) -> None:
    answer = answer_of(stage)
    answer.acknowledged(ACK, 0.1)
    answer.acknowledged(ACK, 0.2)
    assert stage.seen == ["ACK 7 crosses", "heard"]


def test_without_an_ack_the_call_ends_and_the_other_side_gets_one(stage: Stage) -> None:
    stage.at(31.9)
    stage.at(32.0)
    assert stage.seen == ["unacknowledged", "ACK 7", "not heard"]
    assert stage.at(100.0) == 0


def test_the_other_side_can_be_settled_first_and_the_repeating_goes_on(stage: Stage) -> None:
    answer = answer_of(stage)
    answer.settle_peer(None, 0.1)
    assert stage.seen == ["ACK 7"]
    assert stage.at(0.5) == 1
    answer.acknowledged(ACK, 0.6)
    assert stage.seen == ["ACK 7", "heard"]
    assert stage.at(31.0) == 0


def test_our_ack_on_the_other_leg_is_forgotten_when_nobody_can_ask_for_it_again(stage: Stage) -> None:
    answer_of(stage).acknowledged(ACK, 0.1)
    stage.at(31.9)
    assert stage.ack is OK
    stage.at(32.0)
    assert stage.ack is None


def test_a_newer_ack_on_the_other_leg_is_kept(stage: Stage) -> None:
    answer_of(stage).acknowledged(ACK, 0.1)
    stage.ack_cseq = 8
    stage.at(32.0)
    assert stage.ack is OK


def test_a_leg_without_a_peer_is_settled_all_the_same(stage: Stage) -> None:
    stage.peer = None
    answer_of(stage).acknowledged(ACK, 0.1)
    assert stage.seen == ["heard"]
    assert stage.at(40.0) == 0
