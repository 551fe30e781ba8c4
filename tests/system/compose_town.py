"""The services of docker-compose.yml without Docker: each in a network namespace of its own, on one bridge.

    with Town(tmp_path) as town:
        agents = town.start("agents")          its command, its environment, as the file has them
        with town.inside("otel-collector"):    sockets made here are at that service's address
            ...

Addresses are those of the file; names lead to them by a hosts file, which stands in for Docker's DNS. What
the file mounts is used where it is. Nothing of it has a name outside: it is gone with its processes.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from http.server import ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import namespaces, otlp
from tests.support.namespaces import run
from tools.located_yaml import Plain, read

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
_NOBODY = "65534"
_PROGRAMS = ("ip", "unshare", "setpriv", "sipp")

# A container's view: its name, the names of the others, and an empty /var/lib for volumes.
_CONTAINER = """
set -e
hostname "$1"
mount --bind "$2" /etc/hosts
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -m 755 /var/lib/sipproxy
shift 2
exec "$@"
"""


class Town:
    """All services that are started, and those that we play ourselves."""

    def __init__(self, folder: Path) -> None:
        namespaces.require_namespaces(*_PROGRAMS, packages="iproute2 util-linux sip-tester")
        content = read(COMPOSE).content
        self.services: dict[str, Plain] = content["services"]
        [ipam] = content["networks"]["voice"]["ipam"]["config"]
        self._subnet = ip_network(ipam["subnet"])
        others = ip_network(ipam["ip_range"]).hosts()
        self.addresses: dict[str, str] = {}
        for name, settings in self.services.items():
            joined = settings["networks"]
            own = isinstance(joined, dict)
            self.addresses[name] = str(joined["voice"]["ipv4_address"] if own else next(others))
        self._hosts = folder / "hosts"
        rows = [f"{address} {name}\n" for name, address in self.addresses.items()]
        self._hosts.write_text("127.0.0.1 localhost\n" + "".join(rows))
        self._stack = ExitStack()
        self._namespaces: dict[str, int] = {}

    def __enter__(self) -> Self:
        with self._stack:
            hub = namespaces.namespace(self._stack)
            with namespaces.inside(hub):
                run("ip", "link", "add", "voice0", "type", "bridge")
                run("ip", "link", "set", "voice0", "up")
            for number, (name, address) in enumerate(self.addresses.items()):
                self._namespaces[name] = self._join(hub, f"port{number}", address)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def inside(self, service: str) -> AbstractContextManager[None]:
        """This thread is in that service's network meanwhile."""
        return namespaces.inside(self._namespaces[service])

    def mounted(self, service: str, target: str) -> str:
        """Where a path of the container is here: what is mounted there, or else itself."""
        for volume in self.services[service].get("volumes") or []:
            source, place, *_ = volume.split(":")
            if source.startswith(".") and (target == place or target.startswith(f"{place}/")):
                return str(ROOT / source) + target.removeprefix(place)
        return target

    def start(
        self,
        service: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        nobody: bool = False,
    ) -> subprocess.Popen[str]:
        """Run a command as the service's container would: its name, its network, its environment."""
        given = {key: self.mounted(service, str(value)) for key, value in self._environment(service).items()}
        words = [*(["setpriv", *_less(_NOBODY)] if nobody else []), *command]
        with self.inside(service):
            process = subprocess.Popen(
                [
                    "unshare",
                    "--mount",
                    "--uts",
                    "bash",
                    "-c",
                    _CONTAINER,
                    "-",
                    service,
                    str(self._hosts),
                    *words,
                ],
                cwd="/tmp" if nobody else ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **given, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._stack.callback(_end, process)
        return process

    def is_healthy(self, service: str, test: Sequence[str]) -> bool:
        """What its health check says now."""
        words = ["sh", "-c", *test[1:]] if test[0] == "CMD-SHELL" else list(test[1:])
        with self.inside(service):
            return subprocess.run(words, capture_output=True, timeout=10, check=False).returncode == 0

    def _environment(self, service: str) -> dict[str, str]:
        return self.services[service].get("environment") or {}

    def _join(self, hub: int, port: str, address: str) -> int:
        own = namespaces.namespace(self._stack)
        with namespaces.inside(own):
            run("ip", "link", "set", "lo", "up")
            there = f"/proc/{os.getpid()}/fd/{hub}"
            run("ip", "link", "add", "name", "eth0", "type", "veth", "peer", "name", port, "netns", there)
            run("ip", "address", "add", f"{address}/{self._subnet.prefixlen}", "dev", "eth0")
            run("ip", "link", "set", "eth0", "up")
        with namespaces.inside(hub):
            run("ip", "link", "set", port, "master", "voice0", "up")
        return own


def _less(user: str) -> list[str]:
    return ["--reuid", user, "--regid", user, "--clear-groups"]


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


class Collector(otlp.HttpReceiver):
    """In the collector's place, at its address; made inside its network."""

    def __init__(self, address: str, port: int) -> None:
        otlp.Receiver.__init__(self)
        self._server = ThreadingHTTPServer((address, port), otlp._handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
