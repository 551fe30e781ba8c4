"""What systemd hears of us: real datagrams, to a path and to an abstract name."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sipproxy.notify import Notifier

Say = Callable[[Notifier], None]


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self.environment = {"NOTIFY_SOCKET": name}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """One datagram, its lines."""
        return self._socket.recv(4096).decode().split("\n")

    def heard_nothing(self) -> bool:
        try:
            self._socket.recv(4096)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["a path", "an abstract name"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    name = str(tmp_path / "notify") if request.param == "a path" else f"@sipproxy-test-{uuid.uuid4()}"
    there = Systemd(name)
    yield there
    there.close()


@pytest.mark.parametrize(
    ("say", "lines"),
    [
        (Notifier.ready, ["READY=1"]),
        (Notifier.stopping, ["STOPPING=1"]),
        (Notifier.alive, ["WATCHDOG=1"]),
        (lambda notifier: notifier.status("12 calls"), ["STATUS=12 calls"]),
        (lambda notifier: notifier.status("two\nlines\tare one"), ["STATUS=two lines are one"]),
    ],
    ids=["ready", "stopping", "alive", "status", "status stays one line"],
)
def test_each_word_is_one_datagram(systemd: Systemd, say: Say, lines: list[str]) -> None:
    say(Notifier(systemd.environment))
    assert systemd.heard() == lines
    assert systemd.heard_nothing()


def test_a_reload_tells_when_it_began_on_the_monotonic_clock(systemd: Systemd) -> None:
    Notifier(systemd.environment, clock_ns=lambda: 1_234_567_890).reloading()
    assert systemd.heard() == ["RELOADING=1", "MONOTONIC_USEC=1234567"]


@pytest.mark.parametrize("name", ["", "relative", "@", "vsock:2:1234"])
def test_without_a_socket_that_we_know_nothing_happens(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"})
    notifier.ready()
    assert notifier.watchdog_s is None


def test_a_socket_that_is_gone_is_not_our_trouble(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()


def test_a_systemd_that_does_not_read_is_not_waited_for(systemd: Systemd) -> None:
    notifier = Notifier(systemd.environment)
    for _ in range(10_000):  # more than the kernel keeps for anybody
        notifier.alive()
    assert systemd.heard() == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
    ],
)
def test_half_of_the_watchdogs_time(said: dict[str, str], seconds: float | None, tmp_path: Path) -> None:
    assert Notifier({"NOTIFY_SOCKET": str(tmp_path / "s"), **said}).watchdog_s == seconds
