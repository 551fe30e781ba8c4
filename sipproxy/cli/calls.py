"""`sipproxy calls`: the live calls, once or as they change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from ..admin.shapes import Json
from ..config import Settings
from ..errors import SipProxyError
from .client import Client, NoProxyError, client_of
from .terminal import Board, Terminal, lasted
from .trace import cleaned

PATIENCE_S = 10.0  # for a proxy, or its observer, that starts again
DRAINED_S = 2.0  # the same while it drains: then it is more likely that it has ended
_PAUSE_S = 0.5

ADDED, CHANGED, ENDED, STATE = "added", "changed", "ended", "state"
Event = tuple[str, Json]  # one of these, and the call, or the state


def calls(settings: Settings, *, url: str | None, follow: bool, as_json: bool) -> None:
    """Print the live calls. Raises SipProxyError."""
    client, terminal = asked(settings, url), Terminal()
    if follow:
        _follow(client, terminal, as_json=as_json)
        return
    found = [*client.get("calls")["calls"]]
    if as_json:
        for call in found:
            terminal.json(call)
    elif found:
        terminal.calls([cleaned(call) for call in found], time.time())
    else:
        terminal.line("no calls")


def asked(settings: Settings, url: str | None) -> Client:
    """The client for what only a running proxy can tell."""
    client = client_of(settings.admin, url)
    if client is None:
        raise SipProxyError("admin.listen is off: there is nobody to ask")
    return client


class Calls:
    """What is known of the live calls, from lists and events; gives what is new in each."""

    def __init__(self) -> None:
        self.known: Json = {}
        self.state: Json = {}
        self._seq = 0

    def listed(self, body: Json) -> Iterator[Event]:
        """The body of /api/calls: events up to its number are in it."""
        self._seq = body["seq"]
        now = {call["id"]: call for call in body["calls"]}
        for ident in [ident for ident in self.known if ident not in now]:
            yield ENDED, self.known.pop(ident)
        for ident, call in now.items():
            yield from self._put(ident, call)

    def told(self, name: str, seq: int, data: Json) -> Iterator[Event]:
        """An event of the stream."""
        if name == STATE:
            self.state = data
            yield STATE, data
        elif name == "calls" and seq > self._seq:
            for call in (*data[ADDED], *data[CHANGED]):
                yield from self._put(call["id"], call)
            for call in data[ENDED]:
                self.known.pop(call["id"], None)
                yield ENDED, call

    def _put(self, ident: str, call: Json) -> Iterator[Event]:
        before = self.known.get(ident)
        self.known[ident] = call
        if before != call:
            yield CHANGED if before else ADDED, call


def events(client: Client, calls: Calls, *, draining: bool = False) -> Iterator[Event]:
    """What happens, over restarts of the observer too. Ends when the proxy has drained and gone; raises
    NoProxyError when it is gone without.
    """
    silent_since: float | None = None
    while True:
        try:
            listed = False
            for name, seq, data in client.events():
                yield from calls.told(name, seq, data)
                if not listed:  # now no event can be missed any more
                    listed = True
                    yield from calls.listed(client.get("calls"))
                silent_since = None
                yield "", {}
        except NoProxyError:
            now = time.monotonic()
            silent_since = silent_since or now
            draining = draining or bool(calls.state.get("draining"))
            if now - silent_since > (DRAINED_S if draining else PATIENCE_S):
                if draining:
                    return
                raise
        time.sleep(_PAUSE_S)


def _follow(client: Client, terminal: Terminal, *, as_json: bool) -> None:
    known = Calls()
    try:
        if as_json:
            for what, data in events(client, known):
                if what:
                    terminal.json({"event": what, "state" if what == STATE else "call": data})
        elif terminal.interactive:
            with terminal.board() as board:
                _draw(client, known, board)
        else:
            _print(client, known, terminal)
    except KeyboardInterrupt:
        return


def _draw(client: Client, known: Calls, board: Board) -> None:
    for what, _ in events(client, known):
        if not what:  # all of an event has been taken
            board.show([cleaned(call) for call in known.known.values()], cleaned(known.state))


def _print(client: Client, known: Calls, terminal: Terminal) -> None:
    """A line for each call that begins, ends, or does something else."""
    told: dict[str, tuple[str, int]] = {}
    for what, data in events(client, known):
        if what == STATE:
            terminal.line(_line(what, cleaned(data)))
        elif what:
            now = data["state"], data["transfers"]
            if what == ENDED:
                told.pop(data["id"], None)
            elif told.get(data["id"]) == now:
                continue
            else:
                told[data["id"]] = now
            terminal.line(_line(what, cleaned(data)))


def _line(what: str, data: Json) -> str:
    if what == STATE:
        reasons = ": " + ", ".join(data["reasons"]) if data["reasons"] else ""
        return f"{_now()}  {data['status']}{reasons}, {data['calls']} calls"
    between = f"{data['from']} ▶ {data['to']}  {' ▶ '.join(data['trunks'])}"
    state = data["state"]
    if what == ENDED:
        state = f"over {data['outcome']}" if data.get("outcome") else "over"
        end_us = data.get("ended_us") or data["began_us"]
        between += f"  {lasted((end_us - data['began_us']) / 1e6)}"
    return f"{_now()}  {data['id']}  {state}  {between}"


def _now() -> str:
    return datetime.now(UTC).strftime("%H:%M:%S")
