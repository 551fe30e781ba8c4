"""What systemd is told of this service (sd_notify), where a unit with Type=notify started us.

One datagram of KEY=VALUE lines to the socket that NOTIFY_SOCKET names:

    ready       READY=1                                calls are taken
    reloading   RELOADING=1, MONOTONIC_USEC=...        SIGHUP was heard; `ready` again when it is through
    stopping    STOPPING=1                             a drain began
    status      STATUS=...                             one line for `systemctl status`
    alive       WATCHDOG=1                             the loop runs; within WATCHDOG_USEC, or we are killed

Without NOTIFY_SOCKET nothing happens. A socket that is full or gone is no reason for a call to suffer: what
cannot be told at once is not told. systemd's library is not needed for so little.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

_USEC = 1_000_000


class Notifier:
    """Of one process; `environment` is where systemd says how it wants to be told."""

    def __init__(
        self, environment: Mapping[str, str], *, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._clock_ns = clock_ns
        self.watchdog_s = None if self._address is None else _half_of_the_watchdog(environment)
        """How often `alive` has to be called, in seconds; None: never."""

    def ready(self) -> None:
        """Calls are taken: after the start, and after each reload, be it that the old configuration stays."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again. Type=notify-reload wants to know since when."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={self._clock_ns() // 1000}")

    def stopping(self) -> None:
        """A drain began: from now on TimeoutStopSec counts."""
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """One line, shown by `systemctl status`."""
        self._tell(f"STATUS={' '.join(text.split())}")

    def alive(self) -> None:
        """The loop that has the calls runs."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto("\n".join(lines).encode(), self._address)
        except OSError:  # nobody reads, or it is gone: it will see how we are by itself
            return


def _address(name: str) -> str | None:
    """A path, or an abstract name, which begins with a zero byte where the variable has an `@`."""
    if name.startswith("@") and len(name) > 1:
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _half_of_the_watchdog(environment: Mapping[str, str]) -> float | None:
    """Half the time that systemd waits, as sd_watchdog_enabled(3) advises; None where it does not mean us."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environment.get("WATCHDOG_USEC", "")
    return int(usec) / _USEC / 2 if usec.isascii() and usec.isdigit() and int(usec) > 0 else None
