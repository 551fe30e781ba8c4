"""config/kamailio in front of two proxies, as an operator has it: the files as they are, but for addresses.

    with House(folder, receiver) as house:
        alice, bob = house.phone("alice"), house.phone("bob")      # each is a trunk of its own

Kamailio tells what it sends on (`Hop`), in a few lines that are added to its file.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.kamailio import KamailioProcess, sockets_of
from tests.support.otlp import Receiver
from tests.support.ports import free_port
from tests.support.proxy import ROOT

from .people import HOSTS, settings
from .phone import Dialog, Phone
from .prompter import TalkativeProxy

CONFIG = ROOT / "config/kamailio"
PEOPLE = ("alice", "bob", "carol")
SETS = {who: number for number, who in enumerate(PEOPLE, 2)}  # of dispatcher.list; set 1 are the proxies
_PROXY_HOSTS = {"first": HOSTS["proxy"], "second": HOSTS["next"]}
_DESK_HOST = HOSTS["sbc"]
_SHOWN = "192.0.2.10"  # Kamailio's address in the files
_TELL = """
onsend_route {
    xlog("L_NOTICE", "HOP $rm $si:$sp $sndto(ip):$sndto(port) $ci\\n");
}
"""
_HOP = re.compile(r"HOP (\S+) (\S+) (\S+) (\S+)$")


@dataclass(frozen=True, slots=True)
class Hop:
    """A request that Kamailio sent on."""

    method: str
    source: str  # host:port
    target: str
    call_id: str


class FrontDesk(KamailioProcess):
    """Kamailio on the files of config/kamailio; phones call `outside`, the proxies `inside`."""

    def __init__(
        self,
        folder: Path,
        *,
        outside: str,
        inside: Mapping[str, str],
        proxies: Mapping[str, str],
        phones: Mapping[str, Phone],
    ) -> None:
        folder.mkdir(parents=True)
        host = outside.rpartition(":")[0]
        text = (CONFIG / "kamailio.cfg").read_text() + _TELL
        text = _changed(text, r"listen=(udp|tcp):192\.0\.2\.10:5060", rf"listen=\1:{outside}", 2)
        sockets = [f'listen=udp:{inside[who]} name "trunk{number}"' for who, number in SETS.items()]
        text = _changed(text, r"listen=udp:192\.0\.2\.10:507\d name \"trunk\d\"\n", "", 2)
        text = _changed(text, r"##!define WITH_(REAL_IP|PIKE)\n", r"#!define WITH_\1\n", 2)
        text = text.replace("\ndebug=1\n", "\n" + "\n".join(sockets) + "\ndebug=1\n")
        text = text.replace("/etc/kamailio/dispatcher.list", str(folder / "dispatcher.list"))
        text = re.sub(r"(?m)^(tcp_)?children=\d+$", r"\1children=1", text)
        text = text.replace('"ds_ping_interval", 2', '"ds_ping_interval", 1')
        text = text.replace("log_stderror=no", "log_stderror=yes").replace(_SHOWN, host)
        rows = [f"1 sip:{at} 8 0 duid={name};sockname=trunk2" for name, at in proxies.items()]
        rows += [f"{SETS[who]} sip:{phone.at} 0 0" for who, phone in phones.items()]
        (folder / "dispatcher.list").write_text("\n".join(rows) + "\n")
        bound = [each for who in SETS for each in sockets_of(inside[who], "udp")]
        bound += sockets_of(outside, "udp", "tcp")
        super().__init__(folder, text, sockets=bound, memory=(64, 4))

    @property
    def hops(self) -> list[Hop]:
        """All that it sent on, in order."""
        return [Hop(*match.groups()) for match in map(_HOP.search, self.lines) if match]


class House:
    """Kamailio, two proxies, three telephones, each of them a neighbour (`trunk`) of its own."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._receiver = receiver
        self._call_ids: dict[str, list[str]] = {name: [] for name in _PROXY_HOSTS}
        self._learned = count()
        self.at = {name: f"{host}:{free_port(host)}" for name, host in _PROXY_HOSTS.items()}
        self.outside = f"{_DESK_HOST}:{free_port(_DESK_HOST)}"
        self.inside = {who: f"{_DESK_HOST}:{free_port(_DESK_HOST)}" for who in PEOPLE}
        self.phones: dict[str, Phone] = {}
        self.proxies: dict[str, TalkativeProxy] = {}

    def phone(self, who: str) -> Phone:
        """One of the telephones."""
        return self.phones[who]

    def start(self, name: str) -> None:
        """That proxy, for the first time or once more."""
        trunks = {
            who: {"address": at, "match": [at], "trace": {"respond": True}} for who, at in self.inside.items()
        }
        routes = [*({"user": f"^{who}$", "to": [who]} for who in PEOPLE), {"to": ["carol"]}]
        config = settings(self._receiver, trunks, routes, listen=[f"udp:{self.at[name]}"])
        self.proxies[name] = TalkativeProxy(config, self._folder / name)

    def kill(self, name: str) -> None:
        """SIGKILL: it says nothing any more."""
        proxy = self.proxies.pop(name)
        os.kill(proxy.pid, signal.SIGKILL)
        self._stack.callback(proxy.wait)  # its observer may take a while to notice

    def call_id_at(self, name: str) -> str:
        """A Call-ID, not used for a call so far, that leads to that proxy while both are there."""
        alice, bob = self.phone("alice"), self.phone("bob")
        while not self._call_ids[name]:
            call_id = f"call-{next(self._learned)}-alice"
            alice.asks("MESSAGE", "bob", call_id)
            bob.hears("MESSAGE")
            alice.hears("200 MESSAGE", call_id=call_id)
            self._call_ids[self._asked(call_id)].append(call_id)
        return self._call_ids[name].pop()

    def _asked(self, call_id: str) -> str:
        """The proxy that a MESSAGE went to."""

        def reached() -> list[str]:
            targets = {hop.target for hop in self.desk.hops if hop.call_id == call_id}
            return [name for name, at in self.at.items() if at in targets]

        self.desk.wait_until(lambda: bool(reached()), call_id)
        [name] = reached()
        return name

    def passed(self, dialog: Dialog, *names: str) -> None:
        """That dialog's requests went to or came from these proxies, in that order, and no other."""

        def seen() -> list[str]:
            places = [
                place
                for hop in self.desk.hops
                for place in (hop.source, hop.target)
                if hop.call_id == dialog.call_id and hop.method != "MESSAGE"
            ]
            reached = [name for place in places for name, at in self.at.items() if at == place]
            return list(dict.fromkeys(reached))

        self.desk.wait_until(lambda: seen() == list(names), f"{dialog.call_id} at {names}", timeout_s=2.0)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for who in PEOPLE:
                self.phones[who] = stack.enter_context(Phone(who, HOSTS[who], self.outside))
            stack.push(self._stop)
            for name in _PROXY_HOSTS:
                self.start(name)
            for proxy in self.proxies.values():
                proxy.wait_until_ready()
            self.desk = FrontDesk(
                self._folder / "kamailio",
                outside=self.outside,
                inside=self.inside,
                proxies=self.at,
                phones=self.phones,
            )
            stack.enter_context(self.desk)
            self._stack = stack.pop_all()
        return self

    def _stop(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for proxy in self.proxies.values():
            proxy.__exit__(kind, error, trace)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None:
            assert self.desk.complaints == []


def _changed(text: str, pattern: str, new: str, times: int) -> str:
    """The file with these lines changed, which must be there."""
    changed, count = re.subn(pattern, new, text)
    assert count == times, f"{pattern!r} stands {count} times in kamailio.cfg"
    return changed
