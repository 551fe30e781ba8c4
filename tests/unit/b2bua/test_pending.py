"""Transfers whose new call may still come: how each is found, how long it waits, and that nothing stays."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.call import Call
from sipproxy.b2bua.events import TransferEnded
from sipproxy.b2bua.pending import PORTION, PendingTransfers, Token, referral_key, replaces_key
from sipproxy.b2bua.settings import TransferSettings
from sipproxy.b2bua.transfer import Transfer
from sipproxy.propagation.context import Previous, TraceContext
from sipproxy.sip.message import Request
from sipproxy.sip.refer import ReferTo, Replaces
from sipproxy.sip.timers import Timer
from sipproxy.sip.uri import parse_uri
from tests.unit.b2bua.messages import request
from tests.unit.b2bua.talking import call_in, engine_room

BOB = "<sip:bob@192.0.2.2>"
REPLACES = Replaces("call", "to", "from")
SEEN = Replaces("call-carol", "carol", "us")


class Waiting:
    """The table, and a call whose transfers wait in it."""

    def __init__(self, settings: TransferSettings | None = None) -> None:
        self.shared = engine_room(settings)
        self.pending: PendingTransfers = self.shared.pending
        self.call: Call = call_in(self.shared)

    def add(
        self,
        token: str = "",
        *,
        user: str = "carol",
        referred_by: str = BOB,
        transferee: str = "alice",
        forms: tuple[Replaces, ...] = (),
        subscription: str = "",
        now: float = 0.0,
    ) -> Transfer:
        transfer = Transfer(self.call, ReferTo.parse(f"<sip:{user}@192.0.2.3>"), now)
        transfer.token = token
        transfer.transferee = transferee
        transfer.referral = referral_key(referred_by, user, transferee)
        transfer.replaces_keys = tuple([replaces_key(form) for form in forms])
        transfer.subscription = subscription
        self.pending.add(transfer, now)
        return transfer

    def token(self, text: str, who: str = "call tag") -> tuple[Transfer | None, Token]:
        return self.pending.by_token(parse_uri(f"sip:carol@proxy.example;sipproxy-ref={text}"), who)

    def referred(self, by: str = BOB, to: str = "carol", trunk: str = "alice") -> Transfer | None:
        return self.pending.by_referral(new_call(f"Referred-By: {by}", to=to), trunk)

    def outcomes(self) -> list[tuple[str, str]]:
        ended = [fact for fact in self.shared.facts if isinstance(fact, TransferEnded)]
        return [(fact.outcome, fact.stage) for fact in ended]


def new_call(*rows: str, to: str = "carol") -> Request:
    invite = request(*rows)
    return Request("INVITE", f"sip:{to}@proxy.example", invite.headers)


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


def found_by_every_key(waiting: Waiting, transfer: Transfer) -> list[Transfer | None]:
    context = transfer.context
    pending = waiting.pending
    return [
        waiting.token("token")[0],
        pending.by_context(context),
        pending.by_previous(Previous(context.trace_id, context.span_id)),
        pending.by_replaces(REPLACES),
        pending.by_replaces(SEEN),
        waiting.referred(),
        pending.by_subscription("refer-call"),
    ]


def known(waiting: Waiting) -> Transfer:
    return waiting.add("token", forms=(REPLACES, SEEN), subscription="refer-call")


def test_it_is_found_by_each_key(waiting: Waiting) -> None:
    transfer = known(waiting)
    waiting.add("other", user="dave")
    assert found_by_every_key(waiting, transfer) == [transfer] * 7


@pytest.mark.parametrize("end", ["withdrawn", "expired", "crowded out"])
def test_then_it_is_found_by_none(end: str) -> None:
    waiting = Waiting(TransferSettings(pending=1))
    transfer = known(waiting)
    if end == "withdrawn":
        waiting.pending.withdraw(transfer)
        waiting.pending.withdraw(transfer)  # once more changes nothing
    elif end == "expired":
        waiting.shared.endpoint.expire(120.0)
    else:
        waiting.add("other", user="dave")
    assert found_by_every_key(waiting, transfer) == [None] * 7
    assert len(waiting.pending) == waiting.shared.awaited == (1 if end == "crowded out" else 0)
    assert transfer.over is (end != "withdrawn")


def test_of_two_that_share_keys_the_one_that_stays_is_found(waiting: Waiting) -> None:
    one, two = (waiting.add(token, forms=(REPLACES,), subscription="s") for token in ("one", "two"))
    assert waiting.pending.by_replaces(REPLACES) is two
    waiting.pending.withdraw(one)
    assert waiting.token("one") == (None, Token.UNKNOWN)
    assert waiting.token("two") == (two, Token.GOOD)
    assert waiting.pending.by_replaces(REPLACES) is two
    assert waiting.pending.by_subscription("s") is two
    assert waiting.referred() is two


def test_without_any_key_it_is_found_by_its_context_alone(waiting: Waiting) -> None:
    transfer = waiting.add(referred_by="")
    assert transfer.referral == 0
    assert waiting.pending.by_context(transfer.context) is transfer
    assert waiting.pending.by_subscription("") is None
    assert waiting.token("") == (None, Token.UNKNOWN)
    waiting.pending.withdraw(transfer)
    assert waiting.pending.by_context(transfer.context) is None


# The marker


def test_a_token_is_good_for_one_call_and_again_for_that_one(waiting: Waiting) -> None:
    transfer = waiting.add("token")
    assert waiting.token("token", "call tag") == (transfer, Token.GOOD)
    assert waiting.token("token", "another tag") == (transfer, Token.GOOD)  # nobody has come yet
    transfer.placed("call tag")
    assert waiting.token("token", "call tag") == (transfer, Token.GOOD)
    assert waiting.token("token", "another tag") == (None, Token.REPLAYED)
    transfer.concluded(200, "", 1.0)
    assert waiting.token("token", "another tag") == (None, Token.REPLAYED)


@pytest.mark.parametrize(
    ("uri", "worth"),
    [
        ("sip:carol@h", Token.NONE),
        ("sip:carol@h;x=y", Token.NONE),
        ("sip:carol;sipproxy-ref=token@h", Token.NONE),  # part of the user
        ("sip:carol@h?sipproxy-ref=token", Token.NONE),
        ("sip:carol@h;sipproxy-ref=nobody's", Token.UNKNOWN),
        ("sip:carol@h;sipproxy-ref", Token.UNKNOWN),
        ("sip:carol@h;sipproxy-ref=token", Token.GOOD),
        ("sip:carol@h;x=y;SIPPROXY-REF=token", Token.GOOD),
    ],
)
def test_what_a_request_uri_is_worth(waiting: Waiting, uri: str, worth: Token) -> None:
    transfer = waiting.add("token")
    assert waiting.pending.by_token(parse_uri(uri), "w") == (transfer if worth is Token.GOOD else None, worth)


# The context


def test_a_context_of_another_trace_or_span_is_nobodys(waiting: Waiting) -> None:
    context = waiting.add().context
    strange = TraceContext("a" * 32, context.span_id, 1)
    beside = context.child("b" * 16)
    for other in (strange, beside):
        assert waiting.pending.by_context(other) is None
        assert waiting.pending.by_previous(Previous(other.trace_id, other.span_id)) is None
    assert waiting.pending.by_context(None) is None
    assert waiting.pending.by_previous(None) is None
    assert waiting.pending.by_previous(Previous(context.trace_id, None)) is None


# Referred-By


@pytest.mark.parametrize(
    ("by", "to", "trunk", "found"),
    [
        (BOB, "carol", "alice", True),
        ("sip:bob@192.0.2.2", "carol", "alice", True),
        ('"Bob" <sip:bob@192.0.2.2;x=y>;cid="1@h"', "carol", "alice", True),
        ("<sip:dave@192.0.2.2>", "carol", "alice", False),
        ("<sip:bob@192.0.2.9>", "carol", "alice", False),
        (BOB, "dave", "alice", False),
        (BOB, "carol", "dave", False),
        ("<", "carol", "alice", False),
    ],
)
def test_who_refers_whom_and_from_where(waiting: Waiting, by: str, to: str, trunk: str, found: bool) -> None:
    transfer = waiting.add()
    assert waiting.referred(by, to, trunk) is (transfer if found else None)
    assert waiting.pending.by_referral(new_call(to=to), trunk) is None  # no word of a referrer


def test_two_transfers_alike_are_not_told_apart(waiting: Waiting) -> None:
    one, two = waiting.add("one"), waiting.add("two")
    assert waiting.referred() is None
    one.placed("call tag")
    assert waiting.referred() is two
    two.placed("another tag")
    assert waiting.referred() is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_of_three_alike_the_last_one_is_found(waiting: Waiting, order: tuple[int, ...]) -> None:
    alike = [waiting.add() for _ in range(3)]
    for index in order[:2]:
        assert waiting.referred() is None
        waiting.pending.withdraw(alike[index])
    assert waiting.referred() is alike[order[2]]
    waiting.pending.withdraw(alike[order[2]])
    assert waiting.referred() is None


# How long


def test_it_waits_for_as_long_as_it_is_told() -> None:
    waiting = Waiting(TransferSettings(expires_s=30.0))
    transfer = waiting.add("token", now=10.0)
    waiting.shared.endpoint.expire(39.9)
    assert waiting.token("token") == (transfer, Token.GOOD)
    assert waiting.shared.awaited == 1
    waiting.shared.endpoint.expire(40.0)
    assert waiting.token("token") == (None, Token.UNKNOWN)
    assert waiting.outcomes() == [("unknown", "expired")]
    assert waiting.shared.awaited == 0


def test_each_has_its_own_time(waiting: Waiting) -> None:
    for now in (0.0, 50.0, 100.0):
        waiting.add(now=now)
    for now, left in ((119.9, 3), (120.0, 2), (169.9, 2), (170.0, 1), (219.9, 1), (220.0, 0)):
        waiting.shared.endpoint.expire(now)
        assert len(waiting.pending) == left


def test_after_a_pause_the_clock_starts_again(waiting: Waiting) -> None:
    waiting.add()
    waiting.shared.endpoint.expire(120.0)
    assert len(waiting.shared.endpoint.timers) == 0
    waiting.add(now=1000.0)
    waiting.shared.endpoint.expire(1120.0)
    assert len(waiting.pending) == 0


def test_many_expire_in_portions(waiting: Waiting) -> None:
    for _ in range(10_000):
        waiting.add()
    assert len(waiting.shared.endpoint.timers) == 1
    steps, now = 0, 120.0
    while len(waiting.pending):
        before = len(waiting.pending)
        waiting.pending.expire(Timer.FORGET, now)
        assert 0 < before - len(waiting.pending) <= PORTION
        steps += 1
        now += 0.001
    assert steps == 10_000 / PORTION
    assert waiting.shared.counts == {"transfers": 10_000}
    assert waiting.shared.awaited == 0


def test_other_timers_come_in_between_the_portions(waiting: Waiting) -> None:
    for _ in range(3 * PORTION):
        waiting.add()
    waiting.shared.endpoint.expire(120.0)
    assert len(waiting.pending) == 2 * PORTION
    next_at = waiting.shared.endpoint.timers.next_at
    assert next_at is not None
    assert 120.0 < next_at < 120.1


def test_of_too_many_the_oldest_goes() -> None:
    waiting = Waiting(TransferSettings(pending=3))
    transfers = [waiting.add(str(number)) for number in range(5)]
    assert len(waiting.pending) == 3
    assert [waiting.token(str(number))[1] for number in range(5)] == [*[Token.UNKNOWN] * 2, *[Token.GOOD] * 3]
    assert [transfer.over for transfer in transfers] == [True, True, False, False, False]
    assert waiting.outcomes() == [("unknown", "expired")] * 2
    assert waiting.shared.awaited == 3


def test_a_call_that_is_being_set_up_survives_its_entry() -> None:
    waiting = Waiting(TransferSettings(pending=1))
    transfer = waiting.add("one")
    transfer.placed("call tag")
    waiting.add("two")
    assert not transfer.over
    transfer.concluded(200, "", 1.0)
    assert waiting.outcomes() == [("completed", "answered")]
