"""A Kamailio on a configuration of the test's own: started, listened to, and ended with all its children.

class Front(KamailioProcess): ...          # says what it is configured as, and reads its lines

with Front(folder, HEAD + text, sockets=[("127.0.0.4", 5060, "udp")]) as front:
    front.wait_for_line("REGISTERED alice")
assert front.complaints == []
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from .foreign import ForeignProcess, Socket
from .programs import require

_PARTING = "receive_fd(): EOF"  # its children say so of each other when all are stopped
# How a configuration begins: one child of a kind, everything told to whoever started it, no names looked up.
HEAD = """\
#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
"""
_UNHAPPY = re.compile(r" (?:ERROR|CRITICAL|ALERT|BUG): ")


class KamailioProcess(ForeignProcess):
    """A main process and its children. `memory`: MB that all share, and of each. `forgiven`: no complaint."""

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        sockets: Sequence[Socket],
        memory: tuple[int, int] = (32, 4),
        unhappy: re.Pattern[str] = _UNHAPPY,
        forgiven: Sequence[str] = (),
    ) -> None:
        program = require("kamailio", "kamailio")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "kamailio.cfg"
        file.write_text(config)
        self._unhappy, self._forgiven = unhappy, (_PARTING, *forgiven)
        shared, own = map(str, memory)
        # The main process in front, log to stderr, and what it makes at run time in the folder.
        options = ["-DD", "-E", "-m", shared, "-M", own, "-Y", str(folder), "-f", str(file)]
        super().__init__("kamailio", [program, *options], folder, sockets=sockets)

    @property
    def complaints(self) -> list[str]:
        """What it held to be wrong."""
        unhappy = (line for line in self.lines if self._unhappy.search(line))
        return [line for line in unhappy if not any(part in line for part in self._forgiven)]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if kind is not None:
            print(self.report())


def sockets_of(address: str, *transports: str) -> list[Socket]:
    """Those of host:port."""
    host, _, port = address.rpartition(":")
    return [(host, int(port), transport) for transport in transports]
