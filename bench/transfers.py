"""What a transfer costs: the proxy's CPU for a call that is transferred, beside that for one that is not.

All of them are played by the same parties at the same rate, each kind against a proxy of its own:

    basic            INVITE, answer, BYE, as in the other figures
    blind-relay      the REFER goes on to the caller, who calls the target and tells of it
    blind-local      the proxy calls the target, and offers the caller what the target offers
    attended-local   the callee calls the target first, then the proxy connects caller and target
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from . import otlp, systems
from .measure import BASE_RATE, SETTLE_S, SPARE_RUNS, WARM_UP_S, Bench, Figures, Plan
from .parties import HOST, ROWS, UNTRACED, Dialog, Line, Message, Party, Script, Unexpected, wanted
from .playing import Play, play
from .process import SYSTEM_CORE, Pinned, free_port
from .sipp import GRACE_S, Ports
from .systems import Launch, Running, System

BASIC, BLIND_RELAY, BLIND_LOCAL, ATTENDED_LOCAL = "basic", "blind-relay", "blind-local", "attended-local"
CALLEE, RELAYING, LOCAL, TARGET = (f"+44163296096{last}" for last in range(1, 5))
PENDING_S = 180.0  # the longest that pending.py may take
FRAG_ROWS = ["Event: refer", "Content-Type: message/sipfrag;version=2.0"]


@dataclass(frozen=True, slots=True)
class Places:
    """Who listens where. The callee that transfers has a trunk of its own for each mode."""

    system: int
    caller: int
    callee: int
    relaying: int
    local: int
    target: int

    def uri(self, user: str) -> str:
        return f"sip:{user}@{HOST}:{self.system};user=phone"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of call: whom the caller dials, and who does what."""

    name: str
    dials: str
    caller: Callable[[Line, str], Script]
    callee: Callable[[Line, str], Script]
    target: Callable[[Line], Script] | None = None

    def parties(self, places: Places) -> list[Party]:
        """Sit down at the ports, the caller first."""
        at = {CALLEE: places.callee, RELAYING: places.relaying, LOCAL: places.local}[self.dials]
        callee, target = places.uri(self.dials), places.uri(TARGET)
        made = [
            Party(places.caller, lambda line: self.caller(line, callee)),
            Party(at, lambda line: self.callee(line, target)),
        ]
        if self.target is not None:
            made.append(Party(places.target, self.target))
        return made


# What the caller does


def _calls(line: Line, uri: str) -> Script:
    dialog = line.dials(uri)
    yield from dialog.invite(ROWS)
    yield from dialog.hang_up()


def _calls_whom_refer_names(line: Line, uri: str) -> Script:
    first = line.dials(uri)
    yield from first.invite(ROWS)
    refer = yield from wanted("REFER")
    first.respond(refer, 202)
    yield from tells(first, "SIP/2.0 100 Trying", "active;expires=60")
    bare = refer.headers["refer-to"].partition("<")[2].partition(">")[0].partition("?")[0]
    second = line.dials(bare, second=True)
    yield from second.invite(UNTRACED)
    yield from tells(first, "SIP/2.0 200 OK", "terminated;reason=noresource")
    first.respond((yield from wanted("BYE")), 200)
    yield from second.hang_up()


def _takes_an_offer(line: Line, uri: str) -> Script:
    dialog = line.dials(uri)
    yield from dialog.invite(ROWS)
    yield from dialog.accept((yield from wanted("INVITE")))
    yield from dialog.hang_up()


# What the callee does


def _is_called(line: Line, _uri: str = "") -> Script:
    invite = yield from wanted("INVITE")
    dialog = line.answers(invite)
    yield from dialog.answer(invite)
    dialog.respond((yield from wanted("BYE")), 200)


def _refers(line: Line, uri: str) -> Script:
    invite = yield from wanted("INVITE")
    dialog = line.answers(invite)
    yield from dialog.answer(invite)
    yield from asks(dialog, f"<{uri}>")
    for _ in range(2):
        dialog.respond((yield from wanted("NOTIFY")), 200)
    yield from dialog.hang_up()


def _refers_and_is_dropped(line: Line, uri: str) -> Script:
    invite = yield from wanted("INVITE")
    dialog = line.answers(invite)
    yield from dialog.answer(invite)
    yield from asks(dialog, f"<{uri}>")
    yield from _is_told_until_dropped(dialog, dialogs=1)


def _consults_and_refers(line: Line, uri: str) -> Script:
    invite = yield from wanted("INVITE")
    first = line.answers(invite)
    yield from first.answer(invite)
    second = line.dials(uri, second=True)
    yield from second.invite(ROWS)
    to_tag = second.them.rpartition(";tag=")[2]
    call_id = second.call_id.replace("@", "%40")
    yield from asks(first, f"<{uri}?Replaces={call_id}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3D{second.tag}>")
    yield from _is_told_until_dropped(first, dialogs=2)


# What the target does


def _is_consulted(line: Line) -> Script:
    invite = yield from wanted("INVITE")
    dialog = line.answers(invite)
    yield from dialog.answer(invite)
    yield from dialog.accept((yield from wanted("INVITE")))
    dialog.respond((yield from wanted("BYE")), 200)


# Parts of it


def asks(dialog: Dialog, refer_to: str) -> Generator[None, Message, None]:
    dialog.request("REFER", [f"Refer-To: {refer_to}", f"Referred-By: {dialog.us.partition(';tag=')[0]}"])
    yield from wanted("202 REFER")


def tells(dialog: Dialog, fragment: str, state: str) -> Generator[None, Message, None]:
    dialog.request("NOTIFY", [*FRAG_ROWS, f"Subscription-State: {state}"], f"{fragment}\r\n")
    yield from wanted("200 NOTIFY")


def _is_told_until_dropped(dialog: Dialog, dialogs: int) -> Generator[None, Message, None]:
    """Answer NOTIFY as often as it comes, and a BYE in each dialog."""
    told = ""
    while dialogs:
        message = yield
        if message.what == "NOTIFY":
            told = message.body
        elif message.what == "BYE":
            dialogs -= 1
        else:
            raise Unexpected(f"{message.what} instead of NOTIFY or BYE")
        dialog.respond(message, 200)
    if not told.startswith("SIP/2.0 200"):
        raise Unexpected(f"BYE after NOTIFY {told[:11]!r}")


KINDS = [
    Kind(BASIC, CALLEE, _calls, _is_called),
    Kind(BLIND_RELAY, RELAYING, _calls_whom_refer_names, _refers, _is_called),
    Kind(BLIND_LOCAL, LOCAL, _takes_an_offer, _refers_and_is_dropped, _is_called),
    Kind(ATTENDED_LOCAL, LOCAL, _takes_an_offer, _consults_and_refers, _is_consulted),
]


# The measurement


def cost(bench: Bench, system: System, plan: Plan, figures: Figures) -> None:
    """Take CPU per call of each kind: the median of some runs."""
    for kind in KINDS:
        with _started(bench, system) as (running, places):
            _run(kind, places, WARM_UP_S)
            time.sleep(SETTLE_S)
            spans_before, calls = otlp.spans_so_far(bench.receiver_port), 0
            costs: list[float] = []
            for _ in range(plan.cpu_runs + SPARE_RUNS):
                before_s = running.cpu_s()
                outcome = _run(kind, places, plan.cpu_run_s)
                time.sleep(SETTLE_S)
                calls += outcome.calls
                if outcome.fault:
                    figures.faults.append(f"{kind.name}: {outcome.fault}")
                if outcome.usable:
                    costs.append((running.cpu_s() - before_s) / outcome.calls * 1e6)
                    figures.transfer_datagrams[kind.name] = (
                        outcome.sent / outcome.calls,
                        (outcome.received / outcome.calls),
                    )
                if len(costs) == plan.cpu_runs:
                    figures.transfer_us[kind.name] = statistics.median(costs)
                    break
            figures.transfer_spans[kind.name] = (
                otlp.spans_so_far(bench.receiver_port) - spans_before
            ) / calls


def pending(bench: Bench, system: System, figures: Figures) -> None:
    """Take what transfers hold that wait, and how long all stands still when they expire (pending.py)."""
    log = bench.folder() / "pending.log"
    path = {"PYTHONPATH": f"{system.package}{os.pathsep}{systems.ROOT}"}
    command = [sys.executable, "-P", "-m", f"{__package__}.pending"]
    with Pinned(command, core=SYSTEM_CORE, log=log, cwd=log.parent, env=path) as process:
        ended = process.wait(PENDING_S)
    said = log.read_text(errors="replace").strip().splitlines() or ["(said nothing)"]
    if ended != 0:
        figures.faults.append(f"pending: {'took too long' if ended is None else said[-1]}")
        return
    found = json.loads(said[-1])
    figures.pending_bytes = found["held_bytes"]
    figures.pending_stall_s, figures.pending_together_s = found["stall_s"], found["together_s"]


def _run(kind: Kind, places: Places, seconds: float) -> Play:
    calls = round(seconds * BASE_RATE)
    return play(kind.parties(places), places.system, calls, BASE_RATE, GRACE_S)


@contextmanager
def _started(bench: Bench, system: System) -> Iterator[tuple[Running, Places]]:
    """Run the proxy with a trunk for each party."""
    relaying, local, target = free_port(), free_port(), free_port()
    seats: list[Places] = []

    def launch(ports: Ports, folder: Path, receiver_port: int) -> Launch:
        places = Places(ports.system, ports.caller, ports.callee, relaying, local, target)
        seats.append(places)
        usual = system.launch(ports, folder, receiver_port)
        systems.rewrite(folder, _configuration(places))
        return usual

    with systems.started(replace(system, launch=launch), bench.folder(), bench.receiver_port) as running:
        yield running, seats[0]


def _configuration(places: Places) -> dict[str, object]:
    """What differs from the basic figures' configuration."""
    peers = {"caller": places.caller, "callee": places.callee, "relaying": places.relaying}
    peers |= {"local": places.local, "target": places.target}
    trunks: dict[str, dict[str, object]] = {
        name: {"address": f"{HOST}:{port}", "match": [f"{HOST}:{port}"]} for name, port in peers.items()
    }
    trunks["relaying"]["refer"] = "relay"
    trunks["local"]["refer"] = "local"
    dialled = {CALLEE: "callee", RELAYING: "relaying", LOCAL: "local", TARGET: "target"}
    routes = [{"user": f"^\\{user}$", "to": [name]} for user, name in dialled.items()]
    return {"trunks": trunks, "routes": routes}
