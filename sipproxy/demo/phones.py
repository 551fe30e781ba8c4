"""The phones of the demo: one SIPp process for each of the cast, at a port of its own on loopback."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib.resources import as_file, files
from pathlib import Path

from ..errors import StartError
from .story import NUMBERS, Act

HOST = "127.0.0.1"
CALL_S = 20  # seconds after which the caller gives up; the others wait longer, so that it tells why
LONGER_S = 5
START_S = 5.0
_TURN_S = 0.01


def free_ports(names: Sequence[str]) -> dict[str, int]:
    """A port for each."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in names]
    try:
        for probe in sockets:
            probe.bind((HOST, 0))
        return {name: probe.getsockname()[1] for name, probe in zip(names, sockets, strict=True)}
    finally:
        for probe in sockets:
            probe.close()


async def perform(act: Act, ports: dict[str, int], proxy: int) -> str:
    """Let the cast play their parts; gives what went wrong, or nothing."""
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sipproxy-demo-")))
        scenarios = stack.enter_context(as_file(files(__package__))) / act.folder
        phones: list[asyncio.subprocess.Process] = []
        for name in reversed(act.cast):  # who is called listens before somebody calls
            phone = await _phone(scenarios / f"{name}.xml", act, ports[name], proxy, place)
            phones.append(phone)
            stack.push_async_callback(_end, phone)
            if name != act.cast[0]:
                await _listening(phone, ports[name])
        said = [asyncio.ensure_future(_wait(phone)) for phone in phones]
        await asyncio.wait(said, return_when=asyncio.FIRST_EXCEPTION)
        faults = [str(one.exception()) for one in said if one.done() and one.exception() is not None]
        for one in said:
            one.cancel()
        await asyncio.gather(*said, return_exceptions=True)
        logs = [path.read_text("utf-8", "replace") for path in sorted(place.glob("*errors.log"))]
    return "\n".join([*faults, *logs]).strip() if faults else ""


async def _phone(scenario: Path, act: Act, port: int, proxy: int, place: Path) -> asyncio.subprocess.Process:
    caller, transferor, target = act.cast
    patience_s = CALL_S if scenario.stem == caller else CALL_S + LONGER_S
    command = ["sipp", f"{HOST}:{proxy}", "-sf", str(scenario), "-i", HOST, "-p", str(port), "-m", "1"]
    command += ["-s", NUMBERS[transferor], "-key", "target", NUMBERS[target]]
    command += ["-nostdin", "-timeout", str(patience_s), "-timeout_error", "-trace_err"]
    return await asyncio.create_subprocess_exec(
        *command, cwd=place, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )


async def _listening(phone: asyncio.subprocess.Process, port: int) -> None:
    """Return once SIPp has bound its port, or has ended."""
    for _ in range(round(START_S / _TURN_S)):
        if f":{port:04X} " in Path("/proc/net/udp").read_text() or phone.returncode is not None:
            return
        await asyncio.sleep(_TURN_S)
    raise StartError(f"SIPp did not start within {START_S:.0f} s")


async def _wait(phone: asyncio.subprocess.Process) -> None:
    _, said = await phone.communicate()
    if phone.returncode:
        text = said.decode("utf-8", "replace").strip()
        raise StartError(text or f"SIPp ended with {phone.returncode} and gave no reason")


async def _end(phone: asyncio.subprocess.Process) -> None:
    if phone.returncode is None:
        phone.kill()
    await phone.wait()
