"""The answers of the HTTP API. What a handler cannot do it refuses, with the reason as JSON."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping

from ..store import MOST_ROWS, Query
from ..store.reader import Reader
from ..store.summary import OUTCOMES, live_row, row
from ..telemetry.logs import LEVELS
from .answers import Answer, Asked, Refused, encode
from .context import context_of
from .query import Parameters, fields, identifier
from .settings import AdminSettings
from .shapes import Json, story_shape
from .sources import Sources

FRESH_S = 5.0  # a worker that said nothing for longer is not well
MOST_LIVE = 10_000  # calls in one list
_SLICE = 250  # of them, encoded before others have a turn
_SEARCH = ("id", "trunk", "outcome", "slower_than_ms", "transferred", "since", "until", "limit", "before")
_DEFAULT_ROWS = 50


class Api:
    """One method for each path. `seq` is the number of the last event that was told of the live calls."""

    def __init__(
        self,
        settings: AdminSettings,
        sources: Sources,
        *,
        seq: Callable[[], int],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._seq = seq
        self._now_ns = now_ns
        self._raw = settings.raw and bool(settings.token)

    # Health

    async def healthz(self, asked: Asked) -> Answer:
        """Whether we and the worker live."""
        del asked
        age_s = self._sources.state().age_s
        if age_s is None or age_s > FRESH_S:
            told = "said nothing yet" if age_s is None else f"said nothing for {age_s:.1f} s"
            return _status(503, "failed", f"the signalling process {told}")
        return _status(200, "alive")

    async def readyz(self, asked: Asked) -> Answer:
        """Whether new calls are taken. What costs no call makes us degraded, and still ready."""
        del asked
        state = self._sources.state()
        if state.draining:
            return _status(503, "draining", "a drain is under way")
        if not state.listening:
            return _status(503, "starting", "the signalling process does not listen yet")
        if state.age_s is None or state.age_s > FRESH_S:
            return _status(503, "failed", "the signalling process is silent")
        return _status(200, "degraded" if state.degraded else "ready", *state.degraded)

    def state(self) -> Json:
        """What the event stream tells of all of us."""
        state = self._sources.state()
        status = "draining" if state.draining else "degraded" if state.degraded else "ready"
        return {
            "draining": state.draining,
            "calls": len(self._sources.live()),
            "status": status,
            "reasons": list(state.degraded),
        }

    async def metrics(self, asked: Asked) -> Answer:
        """For Prometheus."""
        accept = asked.headers.get("Accept", "")
        body, kind = await asyncio.to_thread(self._sources.metrics, accept)  # of many trunks it is much
        return Answer(body, type=kind)

    # Calls

    async def calls(self, asked: Asked) -> Answer:
        """The live calls, oldest first."""
        given = Parameters(asked.query, ("limit",))
        limit = given.whole("limit", least=0, most=MOST_LIVE)
        live = self._sources.live()
        chosen = list(live.calls())[: MOST_LIVE if limit is None else limit]
        seq, total = self._seq(), len(live)
        parts = []
        for start in range(0, len(chosen), _SLICE):
            # A call that changes meanwhile is told as it then is; the event of that change comes after `seq`.
            parts.append(encode([live_row(call) for call in chosen[start : start + _SLICE]])[1:-1])
            await asyncio.sleep(0)
        now_us = self._now_ns() // 1000
        told = b'{"calls":[%s],"total":%d,"seq":%d,"now_us":%d}'
        return Answer(told % (b",".join(parts), total, seq, now_us))

    async def context(self, asked: Asked) -> Answer:
        """The trace context to go on with in a live call."""
        Parameters(asked.query, ())
        found = context_of(self._sources.live(), self._sources.keys, identifier(asked.ids[0]))
        if found is None:
            raise Refused(404, "no live call has that id", "id")
        return Answer(encode(found))

    async def traces(self, asked: Asked) -> Answer:
        """Search."""
        now_ns = self._now_ns()
        given = Parameters(asked.query, _SEARCH)
        query = Query(
            id=given.text("id"),
            trunk=given.text("trunk"),
            outcome=given.one_of("outcome", OUTCOMES),
            slower_than_ms=given.whole("slower_than_ms", least=0, most=10**9),
            transferred=given.truth("transferred"),
            since_ns=given.moment("since", now_ns),
            until_ns=given.moment("until", now_ns),
            before=given.text("before"),
            limit=given.whole("limit", least=1, most=MOST_ROWS) or _DEFAULT_ROWS,
        )
        try:
            found = await self._sources.readers.ask(lambda reader: reader.search(query))
        except ValueError:
            raise Refused(400, "no cursor of ours: take `next` of the page before", "before") from None
        return Answer(encode({"calls": [row(call) for call in found.calls], "next": found.next}))

    async def story(self, asked: Asked) -> Answer:
        """All of a call, and of those that belong to it."""
        Parameters(asked.query, ())
        ident = identifier(asked.ids[0])
        links, raw = self._settings.links, self._raw

        def tell(reader: Reader) -> bytes | None:  # in the reader's thread: 500 messages are not little
            story = reader.story(ident)
            return None if story is None else encode(story_shape(ident, story, links, raw=raw))

        body = await self._sources.readers.ask(tell)
        if body is None:
            raise Refused(404, "nothing is known of that id", "id")
        return Answer(body)

    async def raw(self, asked: Asked) -> Answer:
        """A message as it was on the wire. Whoever looks at one leaves a line in the log."""
        Parameters(asked.query, ())
        if not self._raw:
            raise Refused(403, "only with admin.raw and admin.token")
        ident, number = identifier(asked.ids[0]), asked.ids[1]
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            raise Refused(400, "not the number of a message", "n")

        def look(reader: Reader) -> tuple[bytes, Json] | None:
            data, story = reader.raw(ident, int(number)), reader.story(ident)
            messages = story.messages if data is not None and story is not None else ()
            message = next((message for message in messages if message.n == int(number)), None)
            if data is None or story is None or message is None:
                return None
            trace_id = next((call.trace_id for call in story.calls if call.root_id == message.root_id), "")
            return data, {"trace_id": trace_id, "span_id": message.root_id, "call_id": message.call_id}

        found = await self._sources.readers.ask(look)
        if found is None:
            raise Refused(404, "no such message is kept as it was", "n")
        data, whose = found
        self._sources.log.warning("raw message shown", n=int(number), **whose, peer=asked.peer)
        return Answer(data, type="text/plain; charset=utf-8")

    async def propagation(self, asked: Asked) -> Answer:
        """What became of trace contexts, by trunk."""
        Parameters(asked.query, ())
        return Answer(encode(self._sources.matrix()))

    # What changes something

    async def drain(self, asked: Asked) -> Answer:
        """Let the worker do what SIGTERM does."""
        Parameters(asked.query, ())
        _body(asked, ())
        self._command({"drain": True})
        self._sources.log.info("drain asked for", peer=asked.peer)
        return Answer(encode({"draining": True}), 202)

    async def log_level(self, asked: Asked) -> Answer:
        """Change how much is logged, from now on."""
        Parameters(asked.query, ())
        level = _body(asked, ("level",)).get("level")
        if level not in LEVELS:
            raise Refused(400, f"none of {', '.join(LEVELS)}", "level")
        self._command({"log_level": level})
        self._sources.log.info("log level changed", to=level, peer=asked.peer)
        return Answer(encode({"level": level}))

    def _command(self, command: dict[str, object]) -> None:
        if not self._sources.command(command):
            raise Refused(503, "the signalling process cannot be reached")


def _status(status: int, word: str, *reasons: str) -> Answer:
    return Answer(encode({"status": word, "reasons": list(reasons)}), status)


def _body(asked: Asked, known: tuple[str, ...]) -> Mapping[str, object]:
    """The JSON object that was sent; nothing at all is an empty one."""
    if not asked.body.strip():
        return {}
    try:
        body = json.loads(asked.body)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "the body is no JSON object")
    fields(body, known)
    return body
