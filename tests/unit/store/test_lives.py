"""Random lives of calls, cut into random parcels, sent again, interrupted: the store is always the same."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sipproxy.b2bua.events import Fact, Linked, Milestone, Transacted
from sipproxy.propagation.context import TraceContext
from sipproxy.store import Query
from sipproxy.telemetry.parcel import Parcel
from tests.unit.store.support import CALLEE_CALL_ID, Observer, Worker, exported, joined, ladder
from tests.unit.telemetry.facts import Call, request, span_id
from tests.unit.telemetry.transfers import Transfer

Steps = list[tuple[list[Fact], list[Any], float]]  # facts, messages, when

_LIVES = ("basic", "busy", "abandoned", "transferred", "outlasting", "changed", "elsewhere", "open")

_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # no disk is waited for


def life(kind: str, number: int) -> Steps:
    """What one call does, from beginning to end (`open`: it does not end)."""
    interaction_id = f"INT-{number}" if number % 2 else ""
    first = request(call_id=f"call-{number}@192.0.2.1")
    call = Call(trace_id=f"{number + 1:032x}", interaction_id=interaction_id, request=first)
    if number % 3 == 0:
        call.origin.links = [TraceContext(f"{number:032x}", span_id(), 1)]
    until = [*zip(call.until_answered(), ladder(call), [0.0, 0.1, 0.5, 2.0, 2.1], strict=False)]
    steps: Steps = [(facts, [*seen], at) for facts, seen, at in until]
    if kind in ("busy", "abandoned"):
        status = 486 if kind == "busy" else 487
        ends = call.concludes(call.attempt, status, 1.0), call.concludes(call.root, status, 1.0)
        if kind == "busy":
            return [*steps[:3], ([*ends, call.is_forgotten()], [], 1.0)]
        return [*steps[:3], ([ends[1], call.is_forgotten()], [], 1.0), ([ends[0]], [], 1.5)]
    if kind in ("transferred", "outlasting"):
        transfer = Transfer(call)
        steps.append(([transfer.begins(3.0)], [], 3.0))
        steps.append(([transfer.calls_target(3.2)], [], 3.2))
        ends_ = [transfer.ends(at=6.0)]
        concluded = [call.concludes(transfer.attempt, 200, 5.0, settled=True)]
        steps.append((concluded, [], 5.0))
        if kind == "outlasting":
            return [*steps, (call.hangs_up(5.5), [], 5.5), (ends_, [], 6.0)]
        steps.append((ends_, [], 6.0))
    if kind == "changed":
        change = call.caller_dialog.child(span_id())
        leg = "UPDATE", "caller", "sbc", call.request.call_id, 8
        steps.append(([Transacted(call.root, call.caller_dialog, change, None, 4.0, *leg)], [], 4.0))
        steps.append(([call.concludes(change, 200, 4.1)], [], 4.1))
    if kind == "elsewhere":
        other = TraceContext("f" * 32, span_id(), 1)
        steps.append(([Linked(call.caller_dialog.span_id, other)], [], 4.0))
        steps.append(([Milestone(call.caller_dialog.span_id, "INFO", 4.0)], [], 4.0))
    if kind == "open":
        return steps
    return [*steps, (call.hangs_up(10.0), ladder(call)[-1], 10.0)]


def with_call_ids(steps: Steps, number: int) -> Steps:
    """Of the other leg: in facts.py all calls have the same, in life no two at a time."""
    other = CALLEE_CALL_ID[:-4] + f"{number:04}"
    for facts, messages, _ in steps:
        for fact in facts:
            if getattr(fact, "call_id", None) == CALLEE_CALL_ID:
                fact.call_id = other  # type: ignore[union-attr]
        messages[:] = [
            m._replace(data=m.data.replace(CALLEE_CALL_ID.encode(), other.encode())) for m in messages
        ]
    return steps


@dataclass(frozen=True)
class Lives:
    """Calls that go on at once, and whose turn it is to go a step on: drawn, and shown when a test fails."""

    kinds: tuple[str, ...]
    turns: tuple[int, ...]

    def parcels(self) -> list[Parcel]:
        """The smallest, in the order in which they come."""
        left = [with_call_ids(life(kind, number), number) for number, kind in enumerate(self.kinds)]
        turns = iter(self.turns)
        worker, parcels = Worker(), []
        while left:
            steps = left[next(turns, 0) % len(left)]
            facts, messages, at = steps.pop(0)
            parcels.append(worker(*facts, at=at, messages=messages))
            left = [steps for steps in left if steps]
        return parcels


LIVES = st.builds(
    Lives,
    st.lists(st.sampled_from(_LIVES), min_size=1, max_size=4).map(tuple),
    st.lists(st.integers(0, 3), max_size=40).map(tuple),
)


def stored(observer: Observer, folder: Path) -> object:
    """All that can be seen of the store, and what was exported."""
    calls = observer.reader.search(Query(limit=200)).calls
    stories = []
    for call in calls:
        story = observer.reader.story(call.root_id)
        assert story is not None
        spans = sorted(story.spans, key=lambda span: span.span_id)
        seen = sorted(
            (m.at_ns, m.start, m.method, m.cseq, m.sent, m.root_id, m.spans) for m in story.messages
        )
        together = sorted(other.root_id for other in story.calls)
        call.number = 0  # who is told of first has the lower one
        # What waited comes behind what is told again; the caller's stand first all the same.
        for name in ("trunks", "traces", "call_keys", "call_ids"):
            first, *others = getattr(call, name)
            setattr(call, name, (first, *sorted(others)))
        stories.append((call, spans, seen, sorted(story.traces), together))
    told = sorted(exported(folder))
    assert len(told) == len(set(told))
    return sorted(stories, key=lambda story: story[0].root_id), told


def one_by_one(parcels: list[Parcel]) -> object:
    """The plainest way: each parcel a commit, no trouble."""
    with tempfile.TemporaryDirectory(dir=_MEMORY) as name:
        folder = Path(name)
        observer = Observer(folder)
        observer.begin()
        for parcel in parcels:
            observer.stores(parcel)
        found = stored(observer, folder)
        observer.close()
        return found


@dataclass(frozen=True)
class Move:
    """What befalls the observer before the next parcel. It dies behind the commit, if there is one."""

    commits: bool = True
    dies: bool = False
    unheard: int = 0  # acknowledgements that did not arrive
    made_meanwhile: int = 0  # parcels


def with_trouble(parcels: list[Parcel], sizes: list[int], moves: list[Move]) -> object:
    """Cut anew; observers die between and behind commits, and parcels come again."""
    cut: list[Parcel] = []
    size = iter(sizes)
    while parcels:
        count = next(size, 1)
        cut.append(joined(parcels[:count]))
        parcels = parcels[count:]
    with tempfile.TemporaryDirectory(dir=_MEMORY) as name:
        folder = Path(name)
        observer = Observer(folder)
        last = observer.begin().last
        acknowledged, number, made = 0, 1, 0
        ahead = iter(moves)
        while acknowledged < len(cut):
            move = next(ahead, Move())
            if number > len(cut) or move.commits:
                assert observer.keeper.commit()
                acknowledged = number - 1
            if move.dies:
                last = observer.restarts().last
                acknowledged = max(0, acknowledged - move.unheard)
                number = acknowledged + 1
                made = min(len(cut), made + move.made_meanwhile)
                observer.takes(open_of(cut[:made]), 0)
            if number <= len(cut):
                made = max(made, number)
                if number > last:  # as the observer does: LiveCalls does not see what the store has
                    assert observer.takes(cut[number - 1], number)
                else:
                    nothing = observer.live.take(Parcel([], [], [], []))
                    assert not observer.keeper.keep("first", number, cut[number - 1], nothing)
                number += 1
        found = stored(observer, folder)
        observer.close()
        return found


def open_of(parcels: list[Parcel]) -> Parcel:
    """What the signalling process tells a new observer: all that is open, though parcels may still wait."""
    told = joined(parcels)
    ended = {span.span_id for span in told.finished}
    return Parcel([span for span in told.opened if span.span_id not in ended], [], [], [])


MOVES = st.builds(
    Move, st.booleans(), st.integers(0, 4).map(lambda roll: roll == 4), st.integers(0, 2), st.integers(0, 2)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LIVES, st.lists(st.integers(1, 4), max_size=20), st.lists(MOVES, max_size=20))
@example(  # told again in one life of the observer; opened and ended by one parcel in the next
    Lives(("basic", "busy"), ()),
    [1, 4, 4],
    [Move(False), Move(False, True, 0, 2), Move(False), Move(True, True, 0, 1), Move(False)],
)
def test_whatever_happens_the_same_is_in_the_store(lives: Lives, sizes: list[int], moves: list[Move]) -> None:
    parcels = lives.parcels()
    assert with_trouble(parcels, sizes, moves) == one_by_one(parcels)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LIVES, st.integers(0, 40))
def test_each_span_ends_once_whenever_the_signalling_process_dies(lives: Lives, upto: int) -> None:
    parcels = lives.parcels()[:upto]
    told = joined(parcels)
    begun = {span.span_id for span in (*told.opened, *told.finished)}
    with tempfile.TemporaryDirectory(dir=_MEMORY) as name:
        folder = Path(name)
        observer = Observer(folder)
        observer.begin()
        for parcel in parcels:
            observer.stores(parcel)
        observer.restarts("second")
        ended = [span for _, span in exported(folder)]
        assert sorted(ended) == sorted(begun)
        calls = observer.reader.search(Query(limit=200)).calls
        assert all(call.state == "over" and call.outcome for call in calls)
        assert sum(call.spans for call in calls) == len(begun)
        observer.close()
