"""The names that this machine knows without asking: hosts(5), and localhost (RFC 6761 section 6.3)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

_LOCALHOST: Final = ["127.0.0.1", "::1"]


class HostsFile:
    """Reads the file again when it changes; one that is missing or unreadable is empty."""

    def __init__(self, path: str = "/etc/hosts") -> None:
        self._path = Path(path)
        self._version: tuple[int, int] | None = None
        self._names: dict[str, list[str]] = {}

    def addresses(self, name: str) -> list[str]:
        """Give the addresses of a lower-case name, IPv4 first."""
        self._refresh()
        found = self._names.get(name)
        if found is None:
            return [*_LOCALHOST] if name == "localhost" or name.endswith(".localhost") else []
        return [*found]

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
            version = (state.st_mtime_ns, state.st_size)
            if version == self._version:
                return
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            version, text = None, ""
        self._version = version
        names: dict[str, list[str]] = {}
        for name, address in _entries(text):
            known = names.setdefault(name, [])
            if address not in known:
                known.append(address)
        self._names = {
            name: sorted(known, key=lambda address: ":" in address) for name, known in names.items()
        }


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            canonical = str(ip_address(address))
        except ValueError:
            continue
        for name in names:
            yield name.lower().rstrip("."), canonical
