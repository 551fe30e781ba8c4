"""`sipproxy demo`: a real call by SIPp through a real proxy on loopback, and its trace in the terminal."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path

from ..b2bua.settings import RouteSettings, TrunkSettings
from ..config import Loaded, Settings
from ..errors import StartError
from ..serve import Server
from ..telemetry.export import MemorySink
from ..telemetry.tree import render

HOST = "127.0.0.1"
NUMBER = "+4915550002222"
CALL_S = 20  # seconds after which SIPp gives up


async def demo(*, once: bool) -> int:
    """Run the call, print the trace; unless `once`, go on serving until Ctrl-C. Gives the exit code."""
    if shutil.which("sipp") is None:
        raise StartError("the demo needs SIPp: apt-get install sip-tester")
    caller, agent = _free_port(), _free_port()
    settings = replace(
        Settings(),
        listen=(f"udp:{HOST}:0", f"tcp:{HOST}:0"),
        trunks={
            "customer": TrunkSettings(address=f"{HOST}:{caller}", match=(f"{HOST}:{caller}",)),
            "agent": TrunkSettings(address=f"{HOST}:{agent}", match=(f"{HOST}:{agent}",)),
        },
        routes=(RouteSettings(source="customer", to=("agent",)),),
    )
    sink = MemorySink()
    server = Server(Loaded(settings), sink=sink)
    await server.start()
    listener = server.transports.listeners[0]
    print(f"sipproxy listens on {listener}; SIPp calls through it: customer -> sipproxy -> agent")
    try:
        failed = await _call(caller, agent, listener.port)
    finally:
        if once:
            server.stop()
        else:
            server.watch_signals()
    if failed:
        server.stop()
        await server.wait()
        print(f"the call failed:\n{failed}")
        return 1
    print(f"\nThe call's trace ({len(sink.records)} spans):\n")
    print(render(sink.records), flush=True)
    if not once:
        print(f"\nThe proxy goes on, on {listener}; Ctrl-C ends it.", flush=True)
    await server.wait()
    return 0


async def _call(caller: int, agent: int, proxy: int) -> str:
    """Play both ends; gives what went wrong, or nothing."""
    with tempfile.TemporaryDirectory(prefix="sipproxy-demo-") as place, as_file(files(__package__)) as folder:
        callee = await _sipp(folder / "uas.xml", agent, place, "")
        customer = await _sipp(folder / "uac.xml", caller, place, f"{HOST}:{proxy}")
        outputs = await asyncio.gather(customer.communicate(), callee.communicate())
        if customer.returncode or callee.returncode:
            errors = [path.read_text("utf-8", "replace") for path in Path(place).glob("*errors.log")]
            texts = [output[1].decode("utf-8", "replace") for output in outputs]
            return "\n".join([*texts, *errors]).strip() or "SIPp gave no reason"
    return ""


async def _sipp(scenario: Path, port: int, place: str, target: str) -> asyncio.subprocess.Process:
    arguments = [
        "sipp",
        *([target] if target else []),
        "-sf",
        str(scenario),
        "-i",
        HOST,
        "-p",
        str(port),
        "-m",
        "1",
    ]
    arguments += ["-nostdin", "-timeout", str(CALL_S), "-timeout_error", "-trace_err", "-s", NUMBER]
    return await asyncio.create_subprocess_exec(
        *arguments, cwd=place, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
