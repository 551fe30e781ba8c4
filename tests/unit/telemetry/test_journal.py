"""The journal of the book: what begins is told as well as what ends, of every call, so that an observer knows
at any moment what is open.
"""

from __future__ import annotations

import pytest

from sipproxy.b2bua.events import Consulted, Fact, Linked, LookedUp, Milestone, Transacted
from sipproxy.propagation.context import TraceContext
from sipproxy.telemetry.callkey import CallKeys
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.parcel import OVER, RINGING, Note, Parcel, pack, unpack
from sipproxy.telemetry.record import FORCED, SpanRecord
from sipproxy.telemetry.settings import Mask, PrivacySettings
from sipproxy.telemetry.spans import SpanBook
from tests.unit.telemetry.facts import CALLEE, CALLER, Call, request, span_id
from tests.unit.telemetry.telling import WALL

KEYS = CallKeys(b"k" * 32)
ELSEWHERE = TraceContext("a" * 32, "b" * 16, 1)


class Journal:
    """A book with a journal, and all that came of it."""

    def __init__(self, mask: Mask = Mask.LAST2, *, journal: bool = True) -> None:
        masker = Masker(PrivacySettings(mask, "a key of the operator"))
        self.book = SpanBook(masker, float(WALL), keys=KEYS, journal=journal)
        self.opened: list[SpanRecord] = []
        self.finished: list[SpanRecord] = []
        self.notes: list[Note] = []

    def __call__(self, *facts: Fact, sent_at: float = 0.0) -> list[tuple[str, str]]:
        """Name and kind of what began."""
        self.finished += self.book.take(list(facts), sent_at)
        opened, notes = self.book.gathered()
        self.opened += opened
        self.notes += notes
        return [(record.name, record.kind) for record in opened]

    @property
    def open(self) -> set[str]:
        """What an observer that heard everything takes to be open."""
        return {record.span_id for record in self.opened} - {record.span_id for record in self.finished}


@pytest.fixture
def tell() -> Journal:
    return Journal()


def test_each_span_of_a_call_is_told_as_it_begins(tell: Journal) -> None:
    call = Call()
    assert tell(call.arrives(), call.is_routed("carrier-a"), call.is_tried(at=0.1)) == [
        ("INVITE", "SERVER"),
        ("INVITE", "CLIENT"),
    ]
    assert tell(*call.is_answered(2.0)) == [("dialog", "SERVER"), ("dialog", "CLIENT")]
    assert tell(*call.is_acknowledged()) == []
    change = call.caller_dialog.child(span_id())
    assert tell(
        Transacted(
            call.root, call.caller_dialog, change, ELSEWHERE, 4.0, "re-INVITE", "caller", "sbc", "x", 8
        ),
        call.concludes(change, 200, 4.1, settled=True),
        *call.hangs_up(),
    ) == [("re-INVITE", "SERVER")]
    assert len(tell.opened) == 5
    assert len(tell.finished) == 6  # the route has no duration worth an opening
    assert tell.open == set()


def test_an_opening_is_what_is_known_then(tell: Journal) -> None:
    call = Call(interaction_id="visit-7f3a-2")
    tell(call.arrives(1.0), Milestone(call.root.span_id, "100", 1.0))
    (opening,) = tell.opened
    assert (opening.start_ns, opening.end_ns) == (WALL * 10**9 + 10**9, 0)
    assert (opening.span_id, opening.root_id, opening.parent_id) == (
        *(call.root.span_id, call.root.span_id),
        "00f067aa0ba902b7",
    )
    assert (opening.events, opening.failed, opening.dropped_events) == ((), False, 0)
    assert opening.attributes["interaction.id"] == "visit-7f3a-2"
    assert opening.attributes["sip.from.user"] == "***34"
    assert "sip.response.status_code" not in opening.attributes


def test_an_opening_stays_as_it_was_told(tell: Journal) -> None:
    call = Call()
    tell(call.arrives(), call.is_tried())
    before = [dict(record.attributes) for record in tell.opened]
    tell(*call.is_answered(), *call.is_acknowledged(), Linked(call.callee_dialog.span_id, ELSEWHERE))
    assert [dict(record.attributes) for record in tell.opened[:2]] == before
    assert tell.opened[3].links == ()


def test_opening_and_end_agree(tell: Journal) -> None:
    for call in (Call(), Call(sampled=False), Call(decision="new", parent=None)):
        for facts in call.basic():
            tell(*facts)
    ends = {record.span_id: record for record in tell.finished}
    for opening in tell.opened:
        end = ends[opening.span_id]
        for name in ("trace_id", "parent_id", "flags", "tracestate", "name", "kind", "start_ns", "root_id"):
            assert getattr(opening, name) == getattr(end, name), name
        assert opening.call_key == end.call_key
        assert opening.attributes.items() <= end.attributes.items()


@pytest.mark.parametrize("mask", Mask)
def test_an_opening_is_masked_as_its_end_is(mask: Mask) -> None:
    tell = Journal(mask)
    call = Call(request(call_id=f"call-of-{CALLER}@192.0.2.1"))
    for facts in call.basic():
        tell(*facts)
    said = repr(tell.opened)
    if mask is not Mask.NONE:
        assert CALLER[1:] not in said
        assert f"'{CALLEE}'" not in said


def test_both_call_ids_lead_to_the_call(tell: Journal) -> None:
    call = Call()
    for facts in call.basic():
        tell(*facts)
    theirs, ours = KEYS(call.request.call_id), KEYS("0123456789abcdef0123456789abcdef")
    assert theirs != ours
    assert {(record.name, record.kind, record.call_key) for record in tell.opened} == {
        ("INVITE", "SERVER", theirs),
        ("INVITE", "CLIENT", ours),
        ("dialog", "SERVER", theirs),
        ("dialog", "CLIENT", ours),
    }
    assert {record.root_id for record in [*tell.opened, *tell.finished]} == {call.root.span_id}


# Calls that are not sampled


def test_a_call_that_is_not_sampled_is_in_the_journal_too(tell: Journal) -> None:
    call = Call(sampled=False)
    for facts in call.basic():
        tell(*facts)
    assert len(tell.opened) == 4
    assert len(tell.finished) == 5
    assert all(not record.flags & 1 for record in [*tell.opened, *tell.finished])
    assert [kind for kind, _, _ in tell.notes] == [RINGING, OVER]
    assert len(tell.book) == 0


def test_what_was_looked_up_and_asked_for_it_is_there(tell: Journal) -> None:
    call = Call(sampled=False)
    route = span_id()
    tell(
        call.arrives(),
        LookedUp(call.root, route, span_id(), 0.0, 0.1, "carrier-a", 1),
        Consulted(call.root, route, span_id(), 0.0, 0.1, "ok"),
    )
    assert [record.name for record in tell.finished] == ["dns", "webhook"]


def test_who_asked_for_a_call_is_told_with_each_of_its_spans(tell: Journal) -> None:
    call = Call()
    arrives = call.arrives()
    arrives.logged = True  # type: ignore[union-attr]
    tell(arrives)
    for facts in call.basic()[1:]:
        tell(*facts)
    assert all(record.flags & FORCED for record in [*tell.opened, *tell.finished])


def test_without_a_journal_nothing_gathers() -> None:
    tell = Journal(journal=False)
    for call in (Call(), Call(sampled=False)):
        for facts in call.basic():
            tell(*facts)
    assert (tell.opened, tell.notes) == ([], [])
    assert len(tell.finished) == 5
    assert list(tell.book.openings()) == []


# Notes


def test_it_is_noted_when_it_rings_and_when_all_is_said(tell: Journal) -> None:
    call = Call()
    tell(call.arrives(), call.is_tried(), *call.progresses(100, call.root, call.attempt, at=0.1))
    assert tell.notes == []
    tell(*call.progresses(183, call.attempt, call.root, at=0.5), sent_at=0.6)
    assert tell.notes == [(RINGING, call.root.span_id, WALL * 10**9 + 500_000_000)]
    tell(*call.is_answered(), *call.is_acknowledged(), *call.hangs_up(), sent_at=10.0)
    assert tell.notes[1:] == [(OVER, call.root.span_id, (WALL + 10) * 10**9)]


def test_the_last_note_comes_with_the_last_spans(tell: Journal) -> None:
    """What ends behind it is an orphan: an attempt whose 487 is still to come."""
    call = Call()
    tell(call.arrives(), call.is_tried())
    tell(call.concludes(call.root, 487, 1.0), call.is_forgotten(), sent_at=1.0)
    assert [kind for kind, _, _ in tell.notes] == [OVER]
    assert tell.open == {call.attempt.span_id}
    tell(call.concludes(call.attempt, 487, 1.2), sent_at=1.2)
    assert tell.open == set()


def test_a_call_that_nobody_began_is_not_noted(tell: Journal) -> None:
    tell(Call().is_forgotten())
    assert tell.notes == []


def test_what_gathered_is_given_once(tell: Journal) -> None:
    call = Call()
    tell(call.arrives(), *call.progresses(180, call.root, at=0.5))
    assert tell.book.gathered() == ([], [])


# An observer that has just begun


def test_it_hears_what_is_open(tell: Journal) -> None:
    calls = [Call(), Call(sampled=False), Call()]
    for call in calls:
        for facts in call.until_answered():
            tell(*facts)
    tell(*calls[2].hangs_up())
    openings = list(tell.book.openings())
    assert {record.span_id for record in openings} == tell.open
    assert all(record.end_ns == 0 for record in openings)
    assert {record.root_id for record in openings} == {calls[0].root.span_id, calls[1].root.span_id}
    assert sorted(openings) == sorted(record for record in tell.opened if record.span_id in tell.open)
    assert tell.book.going() == []


def test_it_hears_that_a_call_goes_on_of_which_nothing_is_open(tell: Journal) -> None:
    """Both dialogs are over, and an attempt that was given up may still get its answer."""
    call = Call()
    for facts in call.until_answered():
        tell(*facts)
    *ended, forgotten = call.hangs_up()
    tell(*ended)
    assert list(tell.book.openings()) == []
    assert [(kind, root_id) for kind, root_id, _ in tell.book.going()] == [("going", call.root.span_id)]
    tell(forgotten)
    assert tell.book.going() == []


def test_calls_end_and_begin_while_it_hears_that(tell: Journal) -> None:
    calls = [Call() for _ in range(10)]
    for call in calls:
        tell(call.arrives(), call.is_tried(), *call.is_answered(), *call.is_acknowledged())
    openings = tell.book.openings()
    heard = [next(openings), next(openings)]
    for call in calls:
        tell(*call.hangs_up(), sent_at=11.0)
    later = Call()
    tell(later.arrives())
    heard += openings
    assert len(heard) == 2  # the others have ended meanwhile, and the later one was told
    assert tell.open == {later.root.span_id}


def test_the_end_of_the_process_ends_all_that_was_told(tell: Journal) -> None:
    call, other = Call(), Call(sampled=False)
    for facts in call.until_answered():
        tell(*facts)
    tell(other.arrives(), other.is_tried())
    tell.finished += tell.book.close_all(20.0)
    assert tell.open == set()
    assert list(tell.book.openings()) == []


def test_it_all_goes_through_a_pipe(tell: Journal) -> None:
    call = Call()
    for facts in call.basic():
        tell(*facts)
    parcel = Parcel(tell.opened, tell.finished, tell.notes, [])
    assert unpack(pack(parcel)) == parcel
