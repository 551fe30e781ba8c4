"""Who takes part: the proxy, Sippy B2BUA and Kamailio, each with the least it needs to pass our call on."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .process import SIPP_CORE, SYSTEM_CORE, Pinned, cpu_s, free_port, memory_bytes, pin
from .sipp import HERE, HOST, Ports

ROOT = HERE.parent
CACHE = ROOT / ".bench"  # ignores itself
COMPILED = ROOT / ".compiled"  # the package with its core compiled by mypyc (tools/compile_core.py)
CONFIG = "sipproxy.yaml"
SIPPY = "sippy==2.5.0"
SIPPY_VENV = CACHE / "sippy"
START_S = 10.0
OBSERVER = "sipproxy.observer"


class CannotStart(Exception):
    """A system is not there or ended at once; the text is its one line."""


@dataclass(slots=True)
class Launch:
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class System:
    """How to start one system and what it calls itself."""

    name: str
    launch: Callable[[Ports, Path, int], Launch]  # ports, a folder of its own, the OTLP receiver's port
    version: Callable[[], str]
    package: Path | None = None  # of sipproxy: where it lies


@dataclass(slots=True)
class Running:
    ports: Ports
    process: Pinned | None  # None: SIPp talks to SIPp

    def cpu_s(self) -> float:
        """Of the processes that carry the calls."""
        return cpu_s(self._carrying())

    def memory_bytes(self) -> int:
        """Of the processes that carry the calls."""
        return memory_bytes(self._carrying())

    def observer_cpu_s(self) -> float:
        """Of the process beside them, where there is one."""
        return cpu_s(self.observers())

    def observer_memory_bytes(self) -> int:
        """Of the process beside them, where there is one."""
        return memory_bytes(self.observers())

    def observers(self) -> list[int]:
        """The pids of sipproxy's observer: one, or none."""
        return self.process.running(OBSERVER) if self.process else []

    def _carrying(self) -> list[int]:
        if self.process is None:
            return []
        observers = self.observers()
        return [pid for pid in self.process.tree() if pid not in observers]


@contextmanager
def direct() -> Iterator[Running]:
    """SIPp against SIPp, what the others are measured against."""
    port = free_port()
    yield Running(Ports(system=port, caller=free_port(), callee=port), None)


@contextmanager
def started(system: System, folder: Path, receiver_port: int) -> Iterator[Running]:
    """Run the system until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = Ports(system=free_port(), caller=free_port(), callee=free_port())
    launch = system.launch(ports, folder, receiver_port)
    with Pinned(
        launch.command, core=SYSTEM_CORE, log=folder / "system.log", cwd=ROOT, env=launch.env
    ) as process:
        _wait_until_it_answers(process, ports)
        running = Running(ports, process)
        if system.package is not None:
            _move_the_observer(running, process)
        yield running


def _move_the_observer(running: Running, process: Pinned) -> None:
    """To the other core, as the kernel would: there it has what SIPp and the receiver leave."""
    deadline = time.monotonic() + START_S
    while not running.observers():
        if time.monotonic() > deadline:
            raise CannotStart("its observer did not start")
        process.wait(0.05)
    for pid in running.observers():
        pin(pid, SIPP_CORE)


def _wait_until_it_answers(process: Pinned, ports: Ports) -> None:
    """Send OPTIONS from the caller's port until anything comes back."""
    deadline = time.monotonic() + START_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((HOST, ports.caller))
        udp.settimeout(0.2)
        for number in range(int(START_S * 1000)):
            if process.ended() or time.monotonic() > deadline:
                said = process.log.read_text(errors="replace").strip().splitlines() or ["(said nothing)"]
                raise CannotStart(
                    said[-1][:200] if process.ended() else f"no answer to OPTIONS; last: {said[-1][:150]}"
                )
            udp.sendto(_options(ports, number), (HOST, ports.system))
            try:
                udp.recvfrom(65535)
            except (TimeoutError, ConnectionRefusedError):
                process.wait(0.1)
            else:
                return


def _options(ports: Ports, number: int) -> bytes:
    target = f"sip:{HOST}:{ports.system}"
    lines = [
        f"OPTIONS {target} SIP/2.0",
        f"Via: SIP/2.0/UDP {HOST}:{ports.caller};branch=z9hG4bK-ready-{number};rport",
        "Max-Forwards: 70",
        f"From: <sip:bench@{HOST}>;tag=ready",
        f"To: <{target}>",
        f"Call-ID: ready-{number}@{HOST}",
        "CSeq: 1 OPTIONS",
        f"Contact: <sip:bench@{HOST}:{ports.caller}>",
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _launch_interpreted(ports: Ports, folder: Path, receiver_port: int) -> Launch:
    callers, callees = f"{HOST}:{ports.caller}", f"{HOST}:{ports.callee}"
    config = {
        "listen": [f"udp:{HOST}:{ports.system}"],
        "trunks": {
            "caller": {"address": callers, "match": [callers]},
            "callee": {"address": callees, "match": [callees]},
        },
        "routes": [{"from": "caller", "to": ["callee"]}],
        "tracing": {"exporter": "otlp", "endpoint": f"http://{HOST}:{receiver_port}"},
        "store": {"path": str(folder / "store")},
        "admin": {"listen": f"{HOST}:0"},
    }
    file = folder / CONFIG
    file.write_text(json.dumps(config, indent=2))  # JSON is YAML
    return Launch(
        [sys.executable, "-P", "-m", "sipproxy", "run", "-c", str(file)], env={"PYTHONPATH": str(ROOT)}
    )


def rewrite(folder: Path, changes: dict[str, object]) -> None:
    """Change what sipproxy, launched from this folder, is going to read."""
    file = folder / CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | changes, indent=2))


def _launch_compiled(ports: Ports, folder: Path, receiver_port: int) -> Launch:
    launch = _launch_interpreted(ports, folder, receiver_port)
    launch.env["PYTHONPATH"] = str(COMPILED)
    return launch


def _launch_sippy(ports: Ports, folder: Path, receiver_port: int) -> Launch:
    script = str(SIPPY_VENV / "bin" / "b2bua_simple")
    listen = ["-f", "-l", HOST, "-p", str(ports.system), "-n", f"{HOST}:{ports.callee}"]
    return Launch([script, *listen], env={"SIPLOG_BEND": "none"})


def _launch_kamailio(ports: Ports, folder: Path, receiver_port: int) -> Launch:
    listen = ["-l", f"udp:{HOST}:{ports.system}", "-A", f'CALLEE="sip:{HOST}:{ports.callee}"']
    # Its faster allocator, and room for the transactions that it keeps for some seconds after each call.
    memory = ["-x", "fm", "-m", "1024", "-M", "16"]
    files = ["-f", str(HERE / "kamailio.cfg"), "-Y", str(folder), "-P", str(folder / "kamailio.pid")]
    return Launch([_kamailio(), "-DD", "-E", *files, *memory, *listen])


def _kamailio() -> str:
    return shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "kamailio"


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20, check=False)
    return next(
        (line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "unknown version"
    )


def _sipproxy_version() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sipproxy", "version"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=20,
        check=False,
    )
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else "sipproxy"


def sipp_version() -> str:
    return _first_line("sipp", "-v").removesuffix(".")


def missing(names: list[str]) -> list[str]:
    """Say what to install before these systems can be measured; Sippy gets its own virtual environment."""
    faults = []
    if "sipproxy" in names:
        done = subprocess.run([sys.executable, str(ROOT / "tools" / "compile_core.py")], check=False)
        if done.returncode:
            faults.append("the core does not compile (a C compiler and Python's headers are needed)")
    if not shutil.which("sipp"):
        faults.append("sipp is missing: apt-get install sip-tester")
    if "Kamailio" in names and not shutil.which(_kamailio()):
        faults.append("kamailio is missing: apt-get install kamailio")
    if "Sippy" in names and not (SIPPY_VENV / "bin" / "b2bua_simple").exists():
        fault = _install_sippy()
        if fault:
            faults.append(f"Sippy is missing, `pip install {SIPPY}` into {SIPPY_VENV} failed: {fault}")
    return faults


def _install_sippy() -> str | None:
    print(f"installing {SIPPY} into {SIPPY_VENV.relative_to(ROOT)} ...", flush=True)
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(SIPPY_VENV)],
        [
            str(SIPPY_VENV / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            SIPPY,
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            return said[-1]
    return None


SYSTEMS = [
    System("sipproxy", _launch_compiled, lambda: f"{_sipproxy_version()}, core compiled by mypyc", COMPILED),
    System(
        "interpreted",
        _launch_interpreted,
        lambda: "interpreted: the same sipproxy as it stands in the sources",
        ROOT,
    ),
    System("Sippy", _launch_sippy, lambda: f"Sippy {SIPPY.partition('==')[2]} b2bua_simple"),
    System("Kamailio", _launch_kamailio, lambda: _first_line(_kamailio(), "-v").removeprefix("version: ")),
]
