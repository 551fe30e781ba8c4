"""What transfers that wait for their new call hold, and for how long all stands still when they expire.

The core and its book of spans alone, without sockets and with a clock of its own. `python -m bench.pending`
prints the figures as JSON; with PYTHONPATH=.compiled first they are those of the compiled core.
"""

import gc
import json
import os
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from sipproxy.b2bua.engine import Engine
from sipproxy.b2bua.events import Fact, TransferEnded
from sipproxy.b2bua.routing import Router
from sipproxy.b2bua.settings import Refer, RouteSettings, TransferSettings, TrunkSettings
from sipproxy.sip.flow import UDP, Flow, Listener
from sipproxy.sip.ids import Ids
from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.sampling import sampler
from sipproxy.telemetry.settings import PrivacySettings, TracingSettings
from sipproxy.telemetry.spans import SpanBook

from . import parties, transfers
from .parties import HOST, ROWS, Dialog, Line, Party, Script, wanted

PENDING = TransferSettings().pending
PROXY, CALLER, CALLEE = 5060, 5070, 5080
TARGET = f"<sip:+441632960964@{HOST}:{PROXY}>"
QUIET_S = 40.0  # RFC 3261's transaction timers end after 32 s
TICK = 0.010  # seconds by which the driver is late on purpose: what falls due meanwhile shares the wake-up
PACE_S = 0.0002  # from REFER to REFER: faster than the proxy can be
LONG_S = 300.0  # by then a transfer and all that it began is over


@dataclass(slots=True)
class Found:
    """The figures. `together_s` is the stall when all were asked for at one moment."""

    held_bytes: int
    stall_s: float
    together_s: float


class Rig:
    """The core between a caller's and a callee's user agent."""

    def __init__(self) -> None:
        self.now = 0.0
        self.dialogs: list[Dialog] = []  # of the callee, which transfers
        self.ended = 0
        self._wire: deque[tuple[bytes, int]] = deque()
        ports = {"caller": CALLER, "callee": CALLEE}
        trunks = {
            name: TrunkSettings(f"{HOST}:{port}", match=(f"{HOST}:{port}",), refer=Refer.RELAY)
            for name, port in ports.items()
        }
        self._engine = Engine(
            [Listener(0, UDP, HOST, PROXY, f"{HOST}:{PROXY}")],
            Ids(os.urandom),
            Router.of(trunks, (RouteSettings(to=("callee",), source="caller"),)),
            sample=sampler(TracingSettings(sample_ratio=1.0)),
        )
        self._book = SpanBook(Masker(PrivacySettings()), 0.0)
        self._scripts: dict[str, Callable[[Line], Script]] = {"caller": _is_referred, "callee": self._refers}
        self.parties = {
            port: Party(port, self._scripts[name], partial(self._put, port)) for name, port in ports.items()
        }

    def _refers(self, line: Line) -> Script:
        """Answer; whoever takes the dialog from `dialogs` sends REFER."""
        invite = yield from wanted("INVITE")
        dialog = line.answers(invite)
        yield from dialog.answer(invite)
        self.dialogs.append(dialog)
        while True:
            message = yield
            if message.what == "NOTIFY":
                dialog.respond(message, 200)

    def _put(self, port: int, data: bytes) -> None:
        self._wire.append((data, port))

    def carry(self) -> None:
        """Carry datagrams to and fro until nothing more comes of them."""
        while self._wire:
            data, port = self._wire.popleft()
            self._engine.receive(data, Flow(UDP, HOST, port), self.now)
            self._take()

    def _take(self) -> None:
        sends, _, facts = self._engine.take()
        self._book.take(facts, self.now)
        self._look(facts)
        for send in sends:
            self.parties[send.flow.port].receive(send.data)

    def _look(self, facts: list[Fact]) -> None:
        self.ended += sum(isinstance(fact, TransferEnded) for fact in facts)

    def wait(self, seconds: float) -> float:
        """Let time pass as the driver does; gives the CPU time of the longest wake-up."""
        longest_s = 0.0
        until = self.now + seconds
        while (at := self._engine.next_at) is not None and at + TICK <= until:
            self.now = max(self.now, at) + TICK
            began_at = time.thread_time()
            self._engine.expire(self.now)
            sends, _, facts = self._engine.take()
            self._book.take(facts, self.now)
            longest_s = max(longest_s, time.thread_time() - began_at)
            self._look(facts)
            for send in sends:
                self.parties[send.flow.port].receive(send.data)
            self.carry()
        self.now = until
        return longest_s

    def refer(self, pause_s: float) -> None:
        """Send REFER in each call."""
        for dialog in self.dialogs:
            dialog.request("REFER", [f"Refer-To: {TARGET}", f"Referred-By: <sip:agent@{HOST}>"])
            self.carry()
            self.now += pause_s


def _is_referred(line: Line) -> Script:
    """Call, and be told again and again to call somebody else, which never happens."""
    dialog = line.dials(f"sip:+441632960961@{HOST}:{PROXY}")
    yield from dialog.invite(ROWS)
    while True:
        refer = yield from wanted("REFER")
        dialog.respond(refer, 202)
        yield from transfers.tells(dialog, "SIP/2.0 100 Trying", "active;expires=120")


def measure() -> Found:
    """Transfer all calls at a pace, then at one moment; then weigh it with calls that are new."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # as the process has it
    rig = _with_calls()
    stalls: list[float] = []
    for pause_s in (PACE_S, 0.0):
        rig.refer(pause_s)
        rig.wait(QUIET_S)
        _check(rig, PENDING * len(stalls))
        stalls.append(rig.wait(LONG_S))
        _check(rig, PENDING * len(stalls))
    del rig
    tracemalloc.start()  # not before: it makes all that follows slower, also once it has been stopped
    rig = _with_calls()
    before = _held_by_the_core()
    rig.refer(PACE_S)
    rig.wait(QUIET_S)
    _check(rig, 0)
    return Found(_held_by_the_core() - before, *stalls)


def _with_calls() -> Rig:
    rig = Rig()
    for _ in range(PENDING):
        rig.parties[CALLER].call()
        rig.carry()
        rig.now += PACE_S
    rig.wait(LONG_S)
    return rig


def _held_by_the_core() -> int:
    """What was allocated, but for what the parties keep."""
    gc.collect()
    ours = [tracemalloc.Filter(False, module.__file__ or "") for module in (parties, transfers, tracemalloc)]
    snapshot = tracemalloc.take_snapshot().filter_traces(ours)
    return sum(trace.size for trace in snapshot.traces)


def _check(rig: Rig, expected: int) -> None:
    if rig.ended != expected:
        raise SystemExit(f"{rig.ended} transfers have ended instead of {expected}")


def main() -> int:
    print(json.dumps(asdict(measure())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
