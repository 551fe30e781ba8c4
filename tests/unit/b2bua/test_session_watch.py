"""Who refreshes a session in time keeps it (RFC 4028): one watch, and the moments at which it ends a call."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.session_watch import LONGEST_SESSION_S, SessionWatch
from sipproxy.b2bua.shared import Shared
from tests.unit.b2bua.talking import engine_room, talking


class Watched:
    """A call that is watched."""

    def __init__(self) -> None:
        self.shared: Shared = engine_room()
        leg, _ = talking(self.shared)
        self.call = leg.call
        self.watch = SessionWatch(self.call, self.shared.endpoint.timers)

    def lives_at(self, now: float) -> bool:
        """Let time pass; whether the call is still on."""
        self.shared.endpoint.expire(now)
        return self.call.talking


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_nobody_refreshes(watched: Watched) -> None:
    watched.watch.refreshed(90, 0.0)
    assert watched.lives_at(89.9)
    assert not watched.lives_at(90.0)
    assert watched.shared.counts == {"session_expired": 1}
    assert watched.call.end == "session_expired"
    assert [transmit.data[:4] for transmit in watched.shared.endpoint.outbox] == [b"BYE ", b"BYE "]


def test_a_refresh_counts_from_when_it_comes(watched: Watched) -> None:
    watched.watch.refreshed(90, 0.0)
    watched.watch.refreshed(90, 60.0)
    assert watched.lives_at(90.0)
    assert watched.lives_at(149.9)
    assert not watched.lives_at(150.0)


def test_many_refreshes_keep_one_timer(watched: Watched) -> None:
    for now in range(100):
        watched.watch.refreshed(1800, float(now))
    assert len(watched.shared.endpoint.timers) == 1


@pytest.mark.parametrize(("interval_s", "at"), [(90, 100.0), (1800, 1810.0)])
def test_the_newest_interval_counts(watched: Watched, interval_s: int, at: float) -> None:
    watched.watch.refreshed(600, 0.0)
    watched.watch.refreshed(interval_s, 10.0)
    for now in range(0, int(at), 50):
        assert watched.lives_at(float(now))
    assert watched.lives_at(at - 0.1)
    assert not watched.lives_at(at)


def test_without_an_interval_it_lives_for_ever(watched: Watched) -> None:
    watched.watch.refreshed(90, 0.0)
    watched.watch.refreshed(0, 60.0)
    assert watched.lives_at(1e6)
    watched.watch.refreshed(90, 1e6)
    assert watched.lives_at(1e6 + 89.9)
    assert not watched.lives_at(1e6 + 90.0)


def test_a_session_of_years_lasts_a_day(watched: Watched) -> None:
    watched.watch.refreshed(2**31, 0.0)
    assert watched.lives_at(LONGEST_SESSION_S - 1.0)
    assert not watched.lives_at(float(LONGEST_SESSION_S))


def test_a_watch_that_is_dropped_ends_nothing(watched: Watched) -> None:
    watched.watch.refreshed(90, 0.0)
    watched.watch.drop()
    assert watched.lives_at(1000.0)
