"""Where the page's calls are made: the real proxy amid the demo's cast, or an observer that hears of many."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self

from sipproxy.demo.story import ACTS, NUMBERS, TRUNKS
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.sipp import Cast, Role
from tests.support.station import Station

HOST = "127.0.0.1"
RINGS_MS, TALKS_MS = 1500, 3000
_PATIENCE_S = 60.0
_BATCH = 500


class House:
    """A proxy; customer, agent, colleague and expert are trunks of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ports = {name: free_port(HOST) for name in TRUNKS}
        self.proxy = Proxy(
            {
                "listen": [f"udp:{HOST}:0"],
                "trunks": {
                    name: {"address": f"{HOST}:{port}", "match": [f"{HOST}:{port}"]}
                    for name, port in self.ports.items()
                },
                "routes": [{"user": rf"^\+{NUMBERS[name][1:]}$", "to": [name]} for name in NUMBERS],
                "store": {"path": str(folder / "store")},
                "admin": {
                    "listen": f"{HOST}:{free_port(HOST)}",  # the same after a restart
                    "links": {"Jaeger": "http://jaeger.example/trace/{trace_id}"},
                },
                "tracing": {"exporter": "none"},
                "timeouts": {"drain_s": 2},
            },
            folder / "proxy",
        )

    @property
    def observer(self) -> int:
        """Its process id."""
        tasks = Path(f"/proc/{self.proxy.pid}/task").iterdir()
        return next(int(child) for task in tasks for child in (task / "children").read_text().split())

    def performs(self, folder: str) -> None:
        """One of the demo's acts, to its end."""
        act = next(act for act in ACTS if act.folder == folder)
        _, transferor, target = act.cast
        with Cast() as cast:
            for name in reversed(act.cast):  # who is called listens before somebody calls
                caller = name == act.cast[0]
                role = Role(
                    name,
                    Path(str(files("sipproxy.demo"))) / folder / f"{name}.xml",
                    HOST,
                    self.ports[name],
                    calls_at=self.proxy.address("udp") if caller else None,
                    dials=NUMBERS[transferor],
                    keys={"target": NUMBERS[target]},
                    args=() if caller else (f"{HOST}:{self.proxy.address('udp').rpartition(':')[2]}",),
                )
                cast.enter(role, self._folder / folder)
            cast.finish()

    def calls(self, cast: Cast) -> None:
        """The customer calls the agent, who lets it ring for a while; they talk for a while."""
        agent = Role("agent", self._scenario("uas"), HOST, self.ports["agent"])
        cast.enter(agent, self._folder / "talk")
        customer = Role(
            "customer",
            self._scenario("uac"),
            HOST,
            self.ports["customer"],
            calls_at=self.proxy.address("udp"),
            dials=NUMBERS["agent"],
            args=("-d", str(TALKS_MS)),
        )
        cast.enter(customer, self._folder / "talk")

    def _scenario(self, name: str) -> Path:
        """SIPp's own; the one that is called takes its time."""
        file = self._folder / f"{name}.xml"
        text = subprocess.run(["sipp", "-sd", name], capture_output=True, check=False).stdout.decode()
        text = text.replace('milliseconds="4000"', 'milliseconds="10"')
        if name == "uas":
            before, answer = text.split("SIP/2.0 200 OK", 1)
            at = before.rindex("<send")
            text = f'{before[:at]}<pause milliseconds="{RINGS_MS}"/>\n  {before[at:]}SIP/2.0 200 OK{answer}'
        file.write_text(text)
        return file


class Crowd:
    """A real observer that has been told of so many live calls. Its worker is a thread here."""

    def __init__(self, folder: Path, calls: int) -> None:
        self._folder, self._calls = folder, calls
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._there = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._enough: asyncio.Event | None = None
        self.address = ""

    async def _run(self) -> None:
        self._loop, self._enough = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with Station(self._folder) as station:
                for _ in range(0, self._calls, _BATCH):
                    station.begins(_BATCH)
                    await station.everything_is_stored()
                await station.until(lambda: station.page)
                self.address = station.page
                self._there.set()
                await self._enough.wait()
        finally:
            self._there.set()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._there.wait(_PATIENCE_S) or not self.address:
            raise AssertionError("the observer has no page")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._enough is not None:
            self._loop.call_soon_threadsafe(self._enough.set)
        self._thread.join()
