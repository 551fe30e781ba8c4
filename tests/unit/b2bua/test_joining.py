"""Two legs that are connected by re-INVITEs: every input in every phase (RFC 3725 section 4.1).

Carol has been talking to Bob in one call, and makes the offer; Alice, of another call, answers it.
"""

from __future__ import annotations

import pytest

from sipproxy.b2bua.call import Call
from sipproxy.b2bua.events import Attempted, Concluded
from sipproxy.b2bua.joining import BUSY_S, PATIENCE_S, Join, JoinUser, Phase, is_busy
from sipproxy.b2bua.leg import Leg
from sipproxy.b2bua.transfer import Transfer
from sipproxy.sip.build import respond_to
from sipproxy.sip.message import Request, Response, parse
from sipproxy.sip.refer import ReferTo
from sipproxy.sip.timers import TRANSACTION_TIMEOUT
from sipproxy.sip.transaction import InviteServerTransaction
from tests.unit.b2bua.messages import request
from tests.unit.b2bua.talking import engine_room, talking

pytestmark = pytest.mark.interpreted  # a stand-in for whoever joins

OFFER, ANSWER = b"v=0 offer", b"v=0 answer"


class Listener(JoinUser):
    """Notes what it is told."""

    def __init__(self, transfer: Transfer, owner: Call) -> None:
        super().__init__(transfer, owner)
        self.heard: list[str] = []

    def joined(self, join: Join, now: float) -> None:
        self.heard.append("joined")

    def unjoined(self, join: Join, leg: Leg, status: int, error: str, now: float) -> None:
        words = ("unjoined", leg.trunk_name, str(status), error, "lost" if join.lost else "")
        self.heard.append(" ".join(word for word in words if word))

    def stranded(self, join: Join, now: float) -> None:
        self.heard.append("stranded")

    def late_offer(self, join: Join, offer: Response, cseq: int, now: float) -> None:
        self.heard.append("late offer")
        join.offerer.send_ack(None, cseq, join.offerer.context, now)


class Joined:
    """The two legs, the join, and what leaves for each of the phones."""

    def __init__(self) -> None:
        self.shared = engine_room()
        self.alice, _ = talking(self.shared, "alice", "bob")
        _, self.carol = talking(self.shared, "bob", "carol", number=2)
        transfer = Transfer(self.alice.call, ReferTo.parse("<sip:carol@h>"), 0.0)
        self.user = Listener(transfer, self.alice.call)
        self.join = Join(self.user, self.carol, self.alice, 0.0)
        self.invites: list[Request] = []
        self.now = 0.0

    def seen(self) -> list[str]:
        """What has left since the last time: `carol INVITE`, with `+` where there is a body."""
        sent, self.shared.endpoint.outbox = self.shared.endpoint.outbox, []
        words = []
        for transmit in sent:
            message = parse(transmit.data)
            assert isinstance(message, Request)
            name = next(leg.trunk_name for leg in (self.alice, self.carol) if leg.flow == transmit.flow)
            if message.method == "INVITE":
                self.invites.append(message)
            words.append(f"{name} {message.method}{'+' if message.body else ''}")
        return words

    def answers(self, status: int, body: bytes = b"", *, invite: Request | None = None) -> list[str]:
        """The phone that was asked last answers."""
        asked = invite or self.invites[-1]
        tag = "carol2" if "carol" in asked.uri else "alice1"
        response = respond_to(asked, status, to_tag=tag)
        if body:
            response.headers.add("Content-Type", "application/sdp")
        response = Response(status, response.reason, response.headers, body)
        flow = self.carol.flow if tag == "carol2" else self.alice.flow
        self.shared.endpoint.receive(response.encode(), flow, self.now)
        return self.seen()

    def waits(self, seconds: float) -> list[str]:
        """Time passes; repeats of what has left before are left out."""
        words: list[str] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.1, end)
            self.shared.endpoint.expire(self.now)
            known = len(self.invites)
            for word in self.seen():
                if word.endswith("INVITE") or word.endswith("INVITE+"):
                    newest = self.invites[-1]
                    if any(newest.encode() == older.encode() for older in self.invites[:known]):
                        continue
                words.append(word)
        return words

    def until(self, phase: Phase) -> Joined:
        """Come to that phase in the shortest way."""
        self.join.ask(self.now)
        assert self.seen() == ["carol INVITE"]
        if phase >= Phase.OFFERING:
            assert self.answers(200, OFFER) == ["alice INVITE+"]
        if phase is Phase.DESERTED:
            self.join.left(self.carol, self.now)
            assert self.seen() == ["carol ACK"]
        assert self.join.phase is phase
        return self


# Answers


@pytest.mark.parametrize(
    ("phase", "status", "body", "leaves", "heard", "then"),
    [
        (Phase.ASKING, 100, b"", [], [], Phase.ASKING),
        (Phase.ASKING, 200, OFFER, ["alice INVITE+"], [], Phase.OFFERING),
        (Phase.ASKING, 200, b"", ["carol ACK"], ["unjoined carol 488"], Phase.OVER),
        (Phase.ASKING, 488, b"", ["carol ACK"], ["unjoined carol 488"], Phase.OVER),
        (Phase.ASKING, 481, b"", ["carol ACK"], ["unjoined carol 481 lost"], Phase.OVER),
        (Phase.ASKING, 408, b"", ["carol ACK"], ["unjoined carol 408 lost"], Phase.OVER),
        (Phase.ASKING, 491, b"", ["carol ACK"], [], Phase.ASKING),
        (Phase.OFFERING, 100, b"", [], [], Phase.OFFERING),
        (Phase.OFFERING, 200, ANSWER, ["alice ACK", "carol ACK+"], ["joined"], Phase.OVER),
        (Phase.OFFERING, 200, b"", ["alice ACK"], ["unjoined alice 488"], Phase.OVER),
        (Phase.OFFERING, 488, b"", ["alice ACK"], ["unjoined alice 488"], Phase.OVER),
        (Phase.OFFERING, 481, b"", ["alice ACK"], ["unjoined alice 481 lost"], Phase.OVER),
        (Phase.OFFERING, 491, b"", ["alice ACK"], [], Phase.OFFERING),
        (Phase.DESERTED, 100, b"", [], [], Phase.DESERTED),
        (Phase.DESERTED, 200, ANSWER, ["alice ACK"], ["stranded"], Phase.OVER),
        (Phase.DESERTED, 488, b"", ["alice ACK"], ["unjoined carol 488"], Phase.OVER),
        (Phase.DESERTED, 408, b"", ["alice ACK"], ["unjoined alice 408 lost"], Phase.OVER),
        (Phase.DESERTED, 481, b"", ["alice ACK"], ["unjoined alice 481 lost"], Phase.OVER),
        (Phase.DESERTED, 491, b"", ["alice ACK"], ["unjoined carol 491"], Phase.OVER),
    ],
)
def test_each_answer_in_each_phase(
    phase: Phase, status: int, body: bytes, leaves: list[str], heard: list[str], then: Phase
) -> None:
    joined = Joined().until(phase)
    assert joined.answers(status, body) == leaves
    assert joined.user.heard == heard
    assert joined.join.phase is then


IN_EACH_PHASE = pytest.mark.parametrize(
    ("phase", "asked", "heard"),
    [
        (Phase.ASKING, "carol", "unjoined carol 408 timeout"),
        (Phase.OFFERING, "alice", "unjoined alice 408 timeout"),
        (Phase.DESERTED, "alice", "unjoined alice 408 timeout"),
    ],
)


@IN_EACH_PHASE
def test_silence_in_each_phase(phase: Phase, asked: str, heard: str) -> None:
    joined = Joined().until(phase)
    assert joined.waits(TRANSACTION_TIMEOUT - 0.1) == []
    assert joined.user.heard == []
    assert joined.waits(0.2) == []
    assert joined.user.heard == [f"unjoined {asked} 408 timeout lost"]  # whose dialog is gone
    assert joined.join.phase is Phase.OVER


@pytest.mark.parametrize(
    ("phase", "asked", "heard"),
    [
        (Phase.ASKING, "carol", "unjoined carol 408 timeout"),
        (Phase.OFFERING, "alice", "unjoined alice 408 timeout"),
        (Phase.DESERTED, "alice", "unjoined carol 408 timeout"),
    ],
)
def test_no_final_answer_in_each_phase(phase: Phase, asked: str, heard: str) -> None:
    """Whoever says 100 is still there, but is not waited for for ever."""
    joined = Joined().until(phase)
    joined.answers(100)
    assert joined.waits(PATIENCE_S - 0.1) == []
    assert joined.user.heard == []
    assert joined.waits(0.2) == [f"{asked} CANCEL"]
    assert joined.user.heard == [heard]
    assert joined.join.phase is Phase.OVER


def test_what_is_not_wanted_is_withdrawn_as_soon_as_somebody_speaks() -> None:
    joined = Joined().until(Phase.ASKING)
    joined.join.stop(joined.now)
    assert joined.seen() == []
    assert joined.answers(180) == ["carol CANCEL"]


@pytest.mark.parametrize(("phase", "asked"), [(Phase.ASKING, "carol"), (Phase.OFFERING, "alice")])
def test_491_is_tried_again(phase: Phase, asked: str) -> None:
    joined = Joined().until(phase)
    body = "+" if phase is Phase.OFFERING else ""
    joined.answers(491)
    leg = joined.join.asked
    soonest, latest = (2.1, 4.0) if leg.dialled else (0.0, 2.0)  # RFC 3261 section 14.1
    if soonest:
        assert joined.waits(soonest - 0.1) == []
    assert joined.waits(latest - soonest + 0.3) == [f"{asked} INVITE{body}"]
    assert joined.invites[-1].body == (OFFER if body else b"")
    joined.answers(200, ANSWER if body else OFFER)
    assert joined.join.phase > phase
    assert joined.user.heard == (["joined"] if body else [])


def test_491_is_not_tried_for_ever() -> None:
    joined = Joined().until(Phase.ASKING)
    for _ in range(100):
        if joined.user.heard:
            break
        joined.answers(491)
        joined.waits(4.2)
    assert joined.user.heard == ["unjoined carol 491"]
    assert BUSY_S < joined.now < BUSY_S + 10.0


# Who leaves


@pytest.mark.parametrize(
    ("phase", "who", "leaves", "heard", "then"),
    [
        (Phase.ASKING, "carol", [], ["unjoined carol 487"], Phase.OVER),
        (Phase.ASKING, "alice", [], ["unjoined alice 487"], Phase.OVER),
        (Phase.OFFERING, "carol", ["carol ACK"], [], Phase.DESERTED),
        (Phase.OFFERING, "alice", [], ["unjoined alice 487"], Phase.OVER),
        (Phase.DESERTED, "alice", [], ["unjoined alice 487"], Phase.OVER),
    ],
)
def test_who_leaves_in_each_phase(
    phase: Phase, who: str, leaves: list[str], heard: list[str], then: Phase
) -> None:
    joined = Joined().until(phase)
    joined.join.left(joined.alice if who == "alice" else joined.carol, joined.now)
    assert joined.seen() == leaves
    assert joined.user.heard == heard
    assert joined.join.phase is then


def test_the_offerer_leaves_between_two_tries() -> None:
    """Alice has said 491: nothing is open to her, so that nothing is awaited from her."""
    joined = Joined().until(Phase.OFFERING)
    joined.answers(491)
    joined.join.left(joined.carol, joined.now)
    assert joined.seen() == ["carol ACK"]
    assert joined.user.heard == ["unjoined carol 487"]
    assert joined.waits(5.0) == []


@pytest.mark.parametrize("phase", [Phase.ASKING, Phase.OFFERING])
def test_what_is_stopped_tells_nobody(phase: Phase) -> None:
    joined = Joined().until(phase)
    joined.answers(100)
    joined.join.stop(joined.now)
    assert joined.seen() == [f"{'carol' if phase is Phase.ASKING else 'alice'} CANCEL"]
    joined.join.left(joined.alice, joined.now)
    joined.waits(PATIENCE_S + 5.0)
    assert joined.user.heard == []


# What comes late


@pytest.mark.parametrize(
    ("phase", "leaves", "heard"),
    [
        (Phase.ASKING, ["carol ACK"], "late offer"),
        (Phase.OFFERING, ["alice ACK"], "stranded"),
        (Phase.DESERTED, ["alice ACK"], "stranded"),
    ],
)
def test_a_2xx_that_is_not_waited_for_any_more(phase: Phase, leaves: list[str], heard: str) -> None:
    joined = Joined().until(phase)
    joined.join.stop(joined.now)
    assert joined.answers(200, ANSWER) == leaves
    assert joined.user.heard == [heard]
    assert joined.answers(200, ANSWER) == leaves  # the ACK got lost
    assert joined.user.heard == [heard]


def test_both_acks_are_repeated_after_the_join() -> None:
    joined = Joined().until(Phase.OFFERING)
    joined.answers(200, ANSWER)
    to_carol, to_alice = joined.invites
    assert joined.answers(200, OFFER, invite=to_carol) == ["carol ACK+"]
    assert joined.answers(200, ANSWER, invite=to_alice) == ["alice ACK"]
    assert joined.user.heard == ["joined"]


def test_the_offer_again_while_its_answer_is_awaited() -> None:
    """There is no answer yet that an ACK could hold."""
    joined = Joined().until(Phase.OFFERING)
    assert joined.answers(200, OFFER, invite=joined.invites[0]) == []
    assert joined.join.phase is Phase.OFFERING


# No way, no time


def test_no_way_to_a_leg() -> None:
    joined = Joined()
    joined.carol.dialog.remote_target = "sip:carol@carol.example"
    joined.join.ask(0.0)
    (lookup,) = joined.shared.lookups
    joined.shared.located(lookup.token, [], 0.1)
    assert joined.user.heard == ["unjoined carol 503 dns"]


def test_the_way_is_found_when_it_is_not_needed_any_more() -> None:
    joined = Joined()
    joined.carol.dialog.remote_target = "sip:carol@carol.example"
    joined.join.ask(0.0)
    joined.join.stop(0.1)
    (lookup,) = joined.shared.lookups
    joined.shared.located(lookup.token, [joined.carol.flow], 0.2)
    assert joined.seen() == ["carol INVITE"]
    assert joined.answers(100) == ["carol CANCEL"]
    assert joined.user.heard == []


def test_a_leg_that_is_busy_is_waited_for() -> None:
    joined = Joined()
    joined.carol.invite_in = InviteServerTransaction(request(), reliable=False)
    assert is_busy(joined.carol)
    joined.join.ask(0.0)
    assert joined.waits(5.0) == []
    joined.carol.invite_in = None
    assert joined.waits(4.2) == ["carol INVITE"]


def test_a_leg_that_stays_busy() -> None:
    joined = Joined()
    joined.carol.invite_in = InviteServerTransaction(request(), reliable=False)
    joined.join.ask(0.0)
    joined.waits(BUSY_S + 5.0)
    assert joined.user.heard == ["unjoined carol 491"]


# What is left behind


@pytest.mark.parametrize("end", ["joined", "refused", "left", "stopped"])
def test_the_legs_are_free_again(end: str) -> None:
    joined = Joined()
    assert joined.alice.join is joined.join
    joined.until(Phase.OFFERING)
    if end == "joined":
        joined.answers(200, ANSWER)
    elif end == "refused":
        joined.answers(488)
    elif end == "left":
        joined.join.left(joined.alice, joined.now)
    else:
        joined.join.stop(joined.now)
    for leg in (joined.alice, joined.carol):
        assert leg.join is None
        assert leg.invite_out is None
        assert not is_busy(leg)


def test_each_re_invite_is_a_span_under_the_transfer() -> None:
    joined = Joined().until(Phase.ASKING)
    joined.answers(491)
    joined.waits(4.2)
    joined.answers(200, OFFER)
    joined.answers(200, ANSWER)
    facts = joined.shared.facts
    began = [fact for fact in facts if isinstance(fact, Attempted)]
    ended = [fact for fact in facts if isinstance(fact, Concluded)]
    assert [(fact.trunk, fact.leg, fact.method) for fact in began] == [
        ("carol", "callee", "re-INVITE"),
        ("carol", "callee", "re-INVITE"),
        ("alice", "caller", "re-INVITE"),
    ]
    assert {fact.parent for fact in began} == {joined.user.transfer.context}
    assert [(fact.span_id, fact.status) for fact in ended] == [
        (began[0].context.span_id, 491),
        (began[1].context.span_id, 200),
        (began[2].context.span_id, 200),
    ]


def test_somebody_else_may_answer_the_offer() -> None:
    """The transferee has left: Carol's old partner gets her back."""
    joined = Joined().until(Phase.ASKING)
    bob = joined.carol.peer
    assert bob is not None
    assert joined.join.takes(joined.carol, joined.carol.call)
    other = Listener(joined.user.transfer, joined.carol.call)
    joined.join.turn_to(other, bob)
    assert joined.alice.join is None
    assert bob.join is joined.join
    assert not joined.join.takes(joined.carol, joined.carol.call)
    joined.answers(488)
    assert (joined.user.heard, other.heard) == ([], ["unjoined carol 488"])
