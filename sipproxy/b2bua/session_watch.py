"""Session timers (RFC 4028): the peers agree on one and refresh it; we watch, and end what nobody
refreshes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sip.timers import Reminder, Timer, TimerQueue

if TYPE_CHECKING:
    from .parting import Parting

LONGEST_SESSION_S = 86400  # seconds; a Session-Expires beyond a day promises nothing


class SessionWatch:
    """Of one call. There is one timer at a time, which is set anew when it fires early."""

    __slots__ = ("_call", "_ends_at", "_reminder", "_timer_at", "_timers")

    def __init__(self, call: Parting, timers: TimerQueue) -> None:
        self._call = call
        self._timers = timers
        self._ends_at = 0.0
        self._timer_at = 0.0
        self._reminder = Reminder(self)

    def drop(self) -> None:
        """The call is over."""
        self._reminder.drop()

    def refreshed(self, interval_s: int, now: float) -> None:
        """The session lives for so long from now; 0: for ever."""
        if not interval_s:
            self._ends_at = 0.0
            return
        self._ends_at = now + min(interval_s, LONGEST_SESSION_S)
        if self._timer_at <= now or self._ends_at < self._timer_at:
            self._start(self._ends_at)

    def expire(self, timer: Timer, now: float) -> None:
        """See whether it was refreshed."""
        if not self._ends_at:
            self._timer_at = 0.0
        elif self._ends_at <= now:
            self._call.session_expired(now)
        else:
            self._start(self._ends_at)

    def _start(self, at: float) -> None:
        self._timer_at = at
        self._timers.start(Timer.SESSION, at, self._reminder)
