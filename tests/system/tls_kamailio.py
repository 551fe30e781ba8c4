"""Kamailio as the session border controller between phones that speak UDP and a proxy that speaks TLS.

It shows its certificate both ways, and wants the proxy's. What comes by TLS goes to the one phone.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pytest

from tests.interop.programs import require
from tests.support.collectors import Identity
from tests.support.ports import is_listening

_START_S = 10.0
_PARTING = "receive_fd(): EOF"  # its children say so of each other when all are stopped
_OPTIONS = ["-DD", "-E", "-m", "48", "-M", "8"]
_CONFIG = """\
#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
enable_tls=yes
listen=udp:{udp}
listen=tls:{tls}

loadmodule "tls.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"

modparam("tls", "config", "{folder}/tls.cfg")
modparam("rr", "enable_full_lr", 1)

request_route {{
    force_rport();
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) t_relay();
        else if (!is_method("ACK")) sl_send_reply("404", "Not In The Route");
        exit;
    }}
    record_route();
    if (proto == TLS) $du = "sip:{phone}";
    else $du = "sip:{proxy};transport=tls";
    t_relay();
}}
"""
_PAGE = Path(__file__).parents[2] / "docs/transports.md"
_TLS = re.compile(r"^```text\n(\[server:default\].*?)^```", re.MULTILINE | re.DOTALL)


class TlsKamailio:
    """One Kamailio: a main process and its children."""

    def __init__(self, folder: Path, *, udp: str, tls: str, phone: str, proxy: str, shows: Identity) -> None:
        program = require("kamailio", "kamailio")
        if not any(Path("/usr/lib").glob("*/kamailio/modules/tls.so")):
            missing = "Kamailio has no TLS here (Debian: apt-get install kamailio-tls-modules)"
            if os.environ.get("CI") == "true":
                pytest.fail(missing, pytrace=False)
            pytest.skip(missing)
        folder.mkdir()
        (folder / "tls.cfg").write_text(_documented(shows))
        places = {"udp": udp, "tls": tls, "phone": phone, "proxy": proxy, "folder": folder}
        (folder / "kamailio.cfg").write_text(_CONFIG.format(**places))
        self.udp, self._tls = udp, tls
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [program, *_OPTIONS, "-Y", str(folder), "-f", str(folder / "kamailio.cfg")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a group of its own: the main process could leave children behind
        )
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    @property
    def complaints(self) -> list[str]:
        """What it held to be wrong."""
        unhappy = (line for line in self.lines if " ERROR: " in line or " CRITICAL: " in line)
        return [line for line in unhappy if _PARTING not in line]

    def __enter__(self) -> Self:
        host, _, port = self._tls.rpartition(":")
        for _ in range(int(_START_S / 0.02)):
            if is_listening(host, int(port), "tcp"):
                return self
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            break
        self._stop()
        raise AssertionError("kamailio does not listen:\n" + "\n".join(self.lines))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if kind is not None:
            print("\n".join(self.lines))

    def _read(self, stream: IO[str]) -> None:
        with stream:
            self.lines.extend(line.rstrip("\n") for line in stream)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_START_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join()


def _documented(shows: Identity) -> str:
    """The tls.cfg of docs/transports.md, with these files."""
    found = _TLS.search(_PAGE.read_text())
    assert found is not None, "docs/transports.md shows no tls.cfg"
    text = found[1]
    for name, file in (
        ("sbc.pem", shows.certificate),
        ("sbc.key", shows.key),
        ("trusted.pem", shows.authority),
    ):
        assert f"/etc/kamailio/tls/{name}" in text
        text = text.replace(f"/etc/kamailio/tls/{name}", str(file))
    return text
