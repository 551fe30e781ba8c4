"""`sipproxy demo`: SIPp calls through a real proxy on loopback, transfers, and sees the traces of it.

Its store is a temporary folder. Spans go to a collector where an OTEL_EXPORTER_OTLP_* variable names one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from ..admin.settings import AdminSettings
from ..b2bua.settings import RouteSettings, TrunkSettings
from ..config import Loaded, Settings
from ..errors import StartError
from ..serve import Server
from ..telemetry.export import MemorySink
from ..telemetry.masking import Masker
from ..telemetry.record import SpanRecord
from ..telemetry.settings import Exporter
from ..telemetry.tree import render
from .phones import HOST, free_ports, perform
from .story import ACTS, NUMBERS, TRUNKS

SETTLE_S = 3.0  # after the last BYE, until no call is left
PAGE_S = 10.0  # until the observer has its page
_TURN_S = 0.01


async def demo(*, once: bool) -> int:
    """Perform the acts, print their traces; unless `once`, serve on until Ctrl-C. Gives the exit code."""
    if shutil.which("sipp") is None:
        raise StartError("the demo needs SIPp: apt-get install sip-tester")
    with tempfile.TemporaryDirectory(prefix="sipproxy-demo-") as store:
        return await _demo(_settings(free_ports(TRUNKS), store), once=once)


async def _demo(settings: Settings, *, once: bool) -> int:
    ports = {name: int(str(trunk.address).rpartition(":")[2]) for name, trunk in settings.trunks.items()}
    sink = MemorySink()
    server = Server(Loaded(settings), sink=sink)
    await server.start()
    listener = server.transports.listeners[0]
    print(f"sipproxy listens on {listener}; SIPp plays {', '.join(TRUNKS)}, each behind it.")
    fault = ""
    for number, act in enumerate(ACTS, 1):
        print(f"\n{number}. {act.title}\n", *act.ladder(), sep="\n", flush=True)
        known = len(sink.records)
        fault = await perform(act, ports, listener.port)
        await _settled(server)
        records = sink.records[known:]
        fault = fault or _fault(records)
        if fault:
            break
        print(f"\n   {act.moral}\n\n{render(records)}", flush=True)
    if fault:
        masker = Masker(settings.privacy)
        print("\nthat went wrong:", *map(masker.mask_text, fault.splitlines()), sep="\n")
        server.stop()
        server.stop()  # what hangs is not waited for
    else:
        await _show_page(server, sink.records)
        if once:
            server.stop()
        else:
            server.watch_signals()
            print(f"\nThe proxy goes on, on {listener}; Ctrl-C ends it.", flush=True)
    await server.wait()
    return 1 if fault else 0


async def _show_page(server: Server, records: Sequence[SpanRecord]) -> None:
    """Where the calls can be seen, the transferred ones first."""
    with suppress(TimeoutError):
        page = await asyncio.wait_for(asyncio.shield(server.page), PAGE_S)
        print(f"\nThe page with these calls, waterfall and ladder side by side: {page}/")
        transferred = dict.fromkeys(span.trace_id for span in records if span.name == "transfer")
        for act, trace_id in zip(ACTS, transferred, strict=False):
            print(f"   {act.folder:<9} {page}/#/call/{trace_id}")
        print(f"In a terminal: sipproxy trace --url {page} {next(iter(transferred), '')}", flush=True)


def _settings(ports: dict[str, int], store: str) -> Settings:
    """The embedded defaults, with a trunk for each of the cast and a route to each number."""
    usual = Settings()
    exported = any(name.startswith("OTEL_EXPORTER_OTLP") for name in os.environ)
    return replace(
        usual,
        store=replace(usual.store, path=store),
        admin=replace(usual.admin, listen=usual.admin.listen if _is_free(usual.admin) else f"{HOST}:0"),
        tracing=replace(usual.tracing, exporter=None if exported else Exporter.NONE),
        listen=(f"udp:{HOST}:0", f"tcp:{HOST}:0"),
        trunks={
            name: TrunkSettings(address=f"{HOST}:{port}", match=(f"{HOST}:{port}",))
            for name, port in ports.items()
        },
        routes=tuple(
            RouteSettings(user=f"^\\+{number[1:]}$", to=(name,)) for name, number in NUMBERS.items()
        ),
    )


def _is_free(admin: AdminSettings) -> bool:
    """Whether nobody has the page's usual port."""
    host, _, port = (admin.address or "").rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True


async def _settled(server: Server) -> None:
    """Wait until the proxy, too, is through with the calls."""
    for _ in range(round(SETTLE_S / _TURN_S)):
        if not server.engine.calls:
            return
        await asyncio.sleep(_TURN_S)


def _fault(records: Sequence[SpanRecord]) -> str:
    """What the trace says that must not be; nothing if the transfer came to its end."""
    outcomes = [span.attributes.get("sip.transfer.outcome") for span in records if span.name == "transfer"]
    return "" if outcomes == ["completed"] else f"transfers in the trace: {outcomes or 'none'}"
