"""linphonec, told what to do on its standard input; it plays files instead of using a sound card.

    with Linphone("carol", "127.0.0.5:20010", folder, domain="127.0.0.1:5060") as carol:
        number = carol.is_called()
        carol.answer(number)

It numbers its calls, and says what becomes of each in a line of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from functools import partial
from pathlib import Path

from tests.support.foreign import ForeignProcess
from tests.support.ports import free_port, is_listening
from tests.support.programs import require
from tests.support.wire import Message, parse

_CONFIG = """\
[sip]
bind_address={host}
sip_port={port}
sip_tcp_port=0
sip_tls_port=0
contact=sip:{who}@{host}
guess_hostname=0
use_ipv6=0
register_only_when_network_is_up=0
media_encryption=none
default_proxy={default}
[rtp]
bind_address={host}
audio_rtp_port={rtp}
[video]
enabled=0
capture=0
display=0
"""
_ACCOUNT = """\
[proxy_0]
reg_proxy=<sip:{registrar}>
reg_route=<sip:{registrar};lr>
reg_identity=sip:{who}@{domain}
reg_expires=60
reg_sendregister=1
"""
_MESSAGE = re.compile(
    rb"(?:message (?P<sent>sent) to|received \[(?P<received>\d+)\] new bytes from) "
    rb"\[(?P<transport>\w+)://[^\n]*?(?:size: \[(?P<size>\d+)\] bytes|:)\n"
)


class Linphone(ForeignProcess):
    """One linphonec."""

    def __init__(self, who: str, at: str, folder: Path, *, domain: str, registrar: str | None = None) -> None:
        program = require("linphonec", "linphone-cli")
        self._host, _, port = at.rpartition(":")
        self._port = int(port)
        self._domain = domain
        (folder / ".local" / "share" / "linphone").mkdir(parents=True)  # without it, it does not listen
        default = -1 if registrar is None else 0
        config = _CONFIG.format(
            who=who, host=self._host, port=port, default=default, rtp=free_port(self._host)
        )
        if registrar is not None:
            config += _ACCOUNT.format(who=who, domain=domain, registrar=registrar)
        (folder / "config").write_text(config)
        source, sink = os.pipe()
        command = [program, "-c", str(folder / "config"), "-d", "6", "-l", f"/dev/fd/{sink}"]
        super().__init__(who, command, folder, environment=_environment(folder), pass_fds=(sink,))
        os.close(sink)
        self._log = b""
        self._log_reader = threading.Thread(target=self._read_log, args=(source,), daemon=True)
        self._log_reader.start()

    # What it is told

    def call(self, whom: str) -> int:
        """Call somebody of its domain; the call's number."""
        self.write(f"call sip:{whom}@{self._domain}")
        return self._number(f"to sip:{whom}@")

    def is_called(self, by: str) -> int:
        """The number of a call that rings here."""
        return self._number(f"from sip:{by}@")

    def answer(self, call: int) -> None:
        """Take it; until the caller has acknowledged that, nothing else can be asked for."""
        acks = self._acks()
        self.write(f"answer {call}")
        self.wait_until_talking(call)
        self.wait_for_acks(acks + 1)

    def refuse(self, call: int) -> None:
        """Do not."""
        self.write(f"terminate {call}")

    def hold(self, call: int) -> None:
        """Until the other side has agreed; earns 491 while the ACK of an answer of ours is on its way."""
        held = self._count(call, "is now paused")
        self.write(f"pause {call}")
        self.wait_until(lambda: self._count(call, "is now paused") > held, f"pause of {call}")

    def resume(self, call: int) -> None:
        """Take it back from hold."""
        talking = self._talking(call)
        self.write(f"resume {call}")
        self.wait_until_talking(call, talking + 1)

    def transfer(self, call: int, to: str) -> None:
        """Blind."""
        self.write(f"transfer {call} sip:{to}@{self._domain}")

    def join(self, call: int, other: int) -> None:
        """Attended: the far end of the one is to replace us in the other."""
        self.write(f"transfer {call} --to-call {other}")

    def hang_up(self, call: int) -> None:
        """End it."""
        self.write(f"terminate {call}")

    # What it tells

    def wait_until_talking(self, call: int, times: int = 1) -> None:
        """Return once its audio has been set up so often."""
        self.wait_until(lambda: self._talking(call) >= times, f"audio of {call} ({times})")

    def wait_for_acks(self, count: int) -> None:
        """Return once so many INVITEs that it answered, the first ones included, have been acknowledged."""
        self.wait_until(lambda: self._acks() >= count, f"ACK ({count})")

    def wait_until_told(self, status: int) -> None:
        """Return once a NOTIFY has said that a transfer ended so."""
        start = f"SIP/2.0 {status} "
        self.wait_until(
            lambda: any(
                m.received and m.kind == "NOTIFY" and m.body.startswith(start) for m in self.messages
            ),
            f"NOTIFY of {status}",
        )

    def wait_until_ended(self, call: int) -> None:
        """Return once it is over."""
        self.wait_until(lambda: self._count(call, " ended ") > 0, f"end of {call}")

    @property
    def messages(self) -> list[Message]:
        """All that it sent and received so far, in order."""
        log = self._log
        found = []
        for entry in _MESSAGE.finditer(log):
            end = entry.end() + int(entry["size"] or entry["received"])
            raw = log[entry.end() : end]
            if end <= len(log) and raw.strip():  # all of it is there, and it is not what keeps a port open
                received, transport = entry["received"] is not None, entry["transport"].decode()
                found.append(parse(raw, received=received, transport=transport))
        return found

    def wait_until_ready(self) -> None:
        """Return once it can be called."""
        self.write("soundcard use files")
        self.wait_for_line("Using wav files")
        self.wait_until(lambda: is_listening(self._host, self._port, "udp"), "socket")

    def quit(self) -> None:
        """Ask it to end, unless it has done so by itself."""
        with contextlib.suppress(BrokenPipeError):
            self.write("quit")

    def _stop(self) -> None:
        super()._stop()
        self._log_reader.join()

    def _read_log(self, source: int) -> None:
        with open(source, "rb", buffering=0) as stream:
            while data := stream.read(65536):
                self._notice(partial(self._add, data))

    def _add(self, data: bytes) -> None:
        self._log += data

    def _acks(self) -> int:
        acks = [m for m in self.messages if m.received and m.kind == "ACK"]
        return len({(m.values("Call-ID")[0], m.values("CSeq")[0]) for m in acks})

    def _number(self, text: str) -> int:
        pattern = re.compile(rf"{re.escape(text)}.*, assigned id (\d+)")
        found: list[int] = []

        def look() -> bool:
            found[:] = [int(match[1]) for match in map(pattern.search, self.lines) if match]
            return bool(found)

        self.wait_until(look, f"call {text}")
        return found[-1]

    def _talking(self, call: int) -> int:
        return sum(f"for call {call} (audio)" in line for line in self.lines)

    def _count(self, call: int, text: str) -> int:
        return sum(f"Call {call} " in line and text in line for line in self.lines)


def _environment(folder: Path) -> dict[str, str]:
    """Whoever runs this may have a sound server of his own: it is left alone."""
    return {"PULSE_SERVER": "none", "PULSE_RUNTIME_PATH": str(folder), "XDG_CONFIG_HOME": str(folder)}
