"""baresip without a screen and without a sound card, told what to do over its `ctrl_tcp`.

    with Baresip("alice", "127.0.0.2:20010", folder, domain="127.0.0.4", outbound="127.0.0.4:5060") as alice:
        alice.dial("bob")
        alice.wait_for("CALL_ESTABLISHED")

Commands and events are JSON in netstrings on one TCP connection.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.foreign import PATIENCE_S, ForeignProcess
from tests.support.ports import free_port, is_listening
from tests.support.programs import require
from tests.support.wire import Message, parse

_MODULES = Path("/usr/lib/baresip/modules")
# No stdio module: it wants a terminal. `aubridge,nil` is a sound card that needs none.
_CONFIG = """\
sip_listen {host}:{port}
net_interface {host}
audio_player aubridge,nil
audio_source aubridge,nil
audio_alert aubridge,nil
ausrc_srate 8000
auplay_srate 8000
call_max_calls 4
module_path {modules}
module g711.so
module aubridge.so
module ctrl_tcp.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
ctrl_tcp_listen {host}:{control}
"""
_TRACED = "#"  # what -s writes before each message
_LENGTH = re.compile(r"^Content-Length: (\d+)", re.MULTILINE)


class Baresip(ForeignProcess):
    """One baresip with one account."""

    def __init__(
        self, who: str, at: str, folder: Path, *, domain: str, outbound: str, registers: bool = False
    ) -> None:
        program = require("baresip", "baresip-core")
        host, _, port = at.rpartition(":")
        self.at = at
        self._control = (host, free_port(host))
        folder.mkdir(parents=True)
        config = _CONFIG.format(host=host, port=port, modules=_MODULES, control=self._control[1])
        (folder / "config").write_text(config)
        account = f'<sip:{who}@{domain}>;outbound="sip:{outbound}";regint={60 if registers else 0}'
        (folder / "accounts").write_text(account + "\n")
        (folder / "contacts").write_text("")
        self.events: list[dict[str, Any]] = []
        self._answers: dict[str, dict[str, Any]] = {}
        self._sock: socket.socket | None = None
        self._ears: threading.Thread | None = None
        self._tokens = 0
        self._domain = domain
        super().__init__(who, [program, "-f", str(folder), "-s"], folder)

    # What it is told

    def dial(self, whom: str) -> None:
        """Call somebody of its domain."""
        self.tell("dial", f"sip:{whom}@{self._domain}")

    def answer(self) -> None:
        """Take the call that rings."""
        self.tell("accept")

    def transfer(self, to: str) -> None:
        """Send the other end of the current call to somebody of its domain."""
        self.tell("transfer", f"sip:{to}@{self._domain}")

    def hang_up(self) -> None:
        """End the current call."""
        self.tell("hangup")

    def tell(self, command: str, params: str = "") -> str:
        """A command, and what it says to it."""
        assert self._sock is not None
        self._tokens += 1
        token = str(self._tokens)
        order = json.dumps({"command": command, "params": params, "token": token}).encode()
        self._sock.sendall(b"%d:%s," % (len(order), order))
        self.wait_until(lambda: token in self._answers, f"answer to {command}")
        answer = self._answers.pop(token)
        assert answer["ok"], f"{self.who}: {command} {params}: {answer}\n{self.report()}"
        return str(answer["data"])

    # What it tells

    def count(self, kind: str) -> int:
        """How many events of that type there were."""
        return sum(event["type"] == kind for event in self.events)

    def wait_for(self, kind: str, count: int = 1, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The event of that type, once there were so many."""
        self.wait_until(lambda: self.count(kind) >= count, f"{kind} ({count})", timeout_s)
        return [event for event in self.events if event["type"] == kind][count - 1]

    @property
    def messages(self) -> list[Message]:
        """All that it sent and received, in order."""
        found: list[Message] = []
        block: list[str] = []
        for line in [*self.lines, _TRACED]:
            if line != _TRACED:
                block.append(line)
                continue
            if block and (message := self._message(block)) is not None:
                found.append(message)
            block = []
        return found

    def _message(self, block: list[str]) -> Message | None:
        transport, source, arrow, *_ = [*block[0].split(), "", "", ""]
        if arrow != "->":
            return None
        head, _, rest = "\r\n".join([*block[1:], ""]).partition("\r\n\r\n")
        length = _LENGTH.search(head)
        body = rest[: int(length[1])] if length else ""  # what it says for itself follows without a break
        text = f"{head}\r\n\r\n{body}"
        return parse(text.encode(), received=source != self.at, transport=transport)

    # How it is spoken with

    def wait_until_ready(self) -> None:
        """Return once it can be called and told what to do."""
        host, port = self._control
        self.wait_for_line("baresip is ready")
        assert is_listening(host, port, "tcp"), self.report()
        self._sock = socket.create_connection(self._control, PATIENCE_S)
        self._sock.settimeout(None)
        self._ears = threading.Thread(target=self._listen, args=(self._sock,), daemon=True)
        self._ears.start()
        self.tell("listcalls")

    def quit(self) -> None:
        """End it."""
        if self._sock is not None and self._ears is not None:
            self._sock.shutdown(socket.SHUT_RDWR)
            self._ears.join()
            self._sock.close()
        super().quit()

    def _listen(self, sock: socket.socket) -> None:
        waiting = b""
        while data := sock.recv(65536):
            waiting += data
            while b":" in waiting:
                length, _, rest = waiting.partition(b":")
                size = int(length)
                if len(rest) <= size:
                    break
                content, waiting = json.loads(rest[:size]), rest[size + 1 :]
                self._notice(partial(self._take, content))

    def _take(self, content: dict[str, Any]) -> None:
        if content.get("event"):
            self.events.append(content)
        elif "token" in content:
            self._answers[content["token"]] = content
