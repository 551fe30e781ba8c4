"""Who follows the journal of the book knows at every moment what is open, whatever calls and transfers do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from sipproxy.b2bua.events import CallForgotten, Fact, RequestArrived
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.parcel import OVER, RINGING, Note
from sipproxy.telemetry.record import SpanRecord
from sipproxy.telemetry.settings import PrivacySettings
from sipproxy.telemetry.spans import SpanBook

from .core import HOSTS, asks, route, trunk
from .lab import Lab
from .transfers import KINDS, MODES, SIDES, MakeLab, consults, together

AT_ONCE = {"route", "dns", "webhook"}  # told when they are over


class Followed:
    """Stands where the core keeps its book: the book, and an observer that hears all it says."""

    def __init__(self) -> None:
        self.book = SpanBook(Masker(PrivacySettings()), 0.0, journal=True)
        self.known: dict[str, SpanRecord] = {}
        self.ended: list[SpanRecord] = []
        self.notes: list[Note] = []

    def take(self, facts: list[Fact], sent_at: float) -> list[SpanRecord]:
        finished = self.book.take(facts, sent_at)
        opened, notes = self.book.gathered()
        self.known |= {record.span_id: record for record in opened}
        self.notes += notes
        for record in finished:
            opening = self.known.pop(record.span_id, None)
            assert (opening is None) == (record.name in AT_ONCE), record
            assert opening is None or opening.start_ns == record.start_ns
        self.ended += finished
        assert self.known.keys() == {record.span_id for record in self.book.openings()}
        return finished

    def __len__(self) -> int:
        return len(self.book)


@pytest.fixture
def book() -> Followed:
    return Followed()


def check(lab: Lab, book: Followed) -> None:
    """All is over, and each call has had its last word, once."""
    lab.finish()
    assert book.known == {}
    roots = {fact.root.span_id for fact in lab.facts_of(RequestArrived)}
    assert {record.root_id for record in book.ended} == roots
    over = [root_id for kind, root_id, _ in book.notes if kind == OVER]
    assert sorted(over) == sorted(fact.root.span_id for fact in lab.facts_of(CallForgotten))
    assert {root_id for kind, root_id, _ in book.notes if kind == RINGING} <= roots


@pytest.mark.parametrize(("mode", "kind", "by"), list(product(MODES, KINDS, SIDES)))
def test_a_transfer(make_lab: MakeLab, book: Followed, mode: str, kind: str, by: str) -> None:
    lab = make_lab(trunks={name: trunk(name, refer=mode) for name in HOSTS})
    lab.book = book
    alice, bob = lab.cast("alice", "bob")
    carol = lab.phone("carol", at=HOSTS["carol"])
    lab.talking(*(("bob", "alice") if by == "caller" else ("alice", "bob")))
    if kind == "attended":
        consults(bob, alice, carol)
    bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None)
    if kind == "blind":
        carol.rings()
        carol.answers()
    assert together(alice, carol)
    check(lab, book)


def given_up(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    lab.loses("CANCEL", receiver="bob", times=2)
    alice.cancels()
    assert bob.sessions


def forked(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    alice.calls("bob")
    bob.rings(fork="1")
    bob.rings(fork="2")
    bob.answers(fork="2")


def failed_over(lab: Lab) -> None:
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    alice.calls("both")
    bob.refuses(503)
    carol.refuses(486)


def changed(lab: Lab) -> None:
    alice, bob = lab.talking("alice", "bob")
    alice.reinvites()
    bob.updates()
    bob.dead = True
    alice.hangs_up()
    lab.run(40.0)


def asked(lab: Lab) -> None:
    alice, bob = lab.cast("alice", "bob")
    lab.application = lambda question: {"to": ["bob"]}
    alice.calls("asked")
    bob.answers()


def never_acknowledged(lab: Lab) -> None:
    alice, bob = lab.ringing("alice", "bob")
    alice.withholds.add("ACK")
    bob.answers()
    lab.run(40.0)


def sent_a_message(lab: Lab) -> None:
    alice, _ = lab.cast("alice", "bob")
    alice.asks("MESSAGE", "bob")


def ended_from_here(lab: Lab) -> None:
    lab.talking("alice", "bob")
    lab.ringing("carol", "dave")
    lab.does(lab.engine.end_all)


STORIES = (given_up, forked, failed_over, changed, asked, never_acknowledged, sent_a_message, ended_from_here)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_call(make_lab: MakeLab, book: Followed, story: Callable[[Lab], None]) -> None:
    lab = make_lab(routes=[route("bob", "carol", user="both"), asks("carol", user="asked")])
    lab.book = book
    story(lab)
    check(lab, book)
