"""What an operator hears of a destination: the log, when something has changed, and no more often."""

from __future__ import annotations

from ..telemetry.answers import Fault, Partial, Refusal
from ..telemetry.logs import Log

_EVENTS = {
    Fault.AWAY: "collector unreachable",
    Fault.SETUP: "collector refuses us",  # a credential, an address, a redirect: somebody has to look
    Fault.DATA: "collector refuses every span",
    Fault.SIZE: "collector refuses every span",
}


class Bulletin:
    """Of one destination."""

    def __init__(self, log: Log, destination: str, endpoint: str) -> None:
        self.failures = 0  # requests that failed
        self.reason = ""  # of the last one; "" while all is well
        self._log = log
        self._where = {"destination": destination, "endpoint": endpoint}
        self._trouble = ""  # what was told last; "" while all is well
        self._trouble_at = 0.0
        self._said = ("", "")  # by the collector, of spans
        self._store_is_away = False
        self._dropped: int | None = None  # spans; None: not known yet
        self._told_of_dropped = False

    def failed(self, refusal: Refusal, now: float) -> None:
        """Nothing arrives."""
        self.failures += 1
        self.reason = refusal.reason
        event = _EVENTS[refusal.fault]
        if event == self._trouble:
            return
        if not self._trouble:
            self._trouble_at = now
        self._trouble = event
        self._log.warning(event, reason=refusal.reason, **self._where)

    def succeeded(self, now: float) -> None:
        """Spans arrived."""
        self.reason = ""
        self._told_of_dropped = False
        if self._trouble:
            self._trouble = ""
            self._log.info("collector is back", after_s=round(now - self._trouble_at, 1), **self._where)

    def taken_in_part(self, answer: Partial) -> None:
        """The collector threw spans away, or has something to say."""
        if answer.rejected:
            self._say("collector threw spans away", answer.message, spans=answer.rejected)
        else:
            self._say("collector warns", answer.message)

    def set_aside(self, aside: list[tuple[bytes, str]]) -> None:
        """Spans that the collector refuses while it takes others."""
        self._say("collector refuses spans", aside[0][1], spans=len(aside))

    def dropped(self, spans: int) -> None:
        """There was no room for so many by now."""
        if self._dropped is not None and spans > self._dropped and not self._told_of_dropped:
            self._told_of_dropped = True
            self._log.warning(
                "spans are dropped", reason="store.unsent_mb is used up, or rows are damaged", **self._where
            )
        self._dropped = spans

    def store_failed(self, error: Exception) -> None:
        """The store cannot be read, or what arrived cannot be written down."""
        if not self._store_is_away:
            self._store_is_away = True
            self._log.warning("store cannot be used", reason=str(error), **self._where)

    def broke(self, error: Exception) -> None:
        """What nobody foresaw."""
        self.failures += 1
        self.reason = repr(error)
        if self._trouble != "internal error":
            self._trouble = "internal error"
            self._log.error("internal error", error=repr(error), **self._where)

    def store_succeeded(self) -> None:
        """It can."""
        if self._store_is_away:
            self._store_is_away = False
            self._log.info("store is back", **self._where)

    def ended(self, queued: int) -> None:
        """Nothing is sent any more."""
        if queued:
            self._log.info("spans wait in the store", spans=queued, **self._where)

    def _say(self, event: str, reason: str, **facts: int) -> None:
        """Once, until the collector says something else."""
        if (event, reason) != self._said:
            self._said = (event, reason)
            self._log.warning(event, reason=reason, **facts, **self._where)
