"""A proxy between an SBC and carriers that speak TLS, and whoever else calls there."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
from pathlib import Path

from tests.interop.phone import Dialog, Phone
from tests.support.certificates import Authority
from tests.support.collectors import Identity
from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.system.stream_phones import SPAN_ID, TlsPhone

PATIENCE_S = 10.0
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e47{:02x}"


class Watched(Proxy):
    """One whose log can be waited for."""

    def wait_for_log(self, text: str, since: int) -> str:
        """The line with that text, behind so many."""
        with self._written:
            found = self._written.wait_for(
                lambda: next((line for line in self.log[since:] if text in line), None), PATIENCE_S
            )
        assert found is not None, f"no {text!r} in\n{self.output}"
        return found


class House:
    """One proxy; whom it trusts, and whom it calls."""

    def __init__(self, folder: Path, receiver: HttpReceiver) -> None:
        self.receiver = receiver
        self.authority = Authority(folder)
        self.first = self.authority.issue("first", "DNS:proxy.example")
        self.second = self.authority.issue("second", "DNS:proxy.example", "DNS:new.example")
        self.own = Identity(folder / "own.pem", folder / "own.key", self.authority.certificate)
        self.shows(self.first)
        self.sbc = self.authority.issue("sbc", "URI:sip:sbc.example")
        self.carol = TlsPhone("carol", self.server("carrier", "URI:sip:carrier.example"))
        self.mallory = TlsPhone("mallory", self.server("elsewhere", "DNS:elsewhere.example"))
        # A real SBC has the same trunk: it shows the same certificate, and is called at its own port.
        self.sbc_at = f"127.0.0.1:{free_port('127.0.0.1')}"
        self._calls = 0

    def shows(self, identity: Identity) -> None:
        """What the proxy will show once it has read its files again."""
        shutil.copy(identity.certificate, self.own.certificate)
        shutil.copy(identity.key, self.own.key)

    def server(self, name: str, alternative: str) -> ssl.SSLContext:
        """One that shows that name, and asks for ours."""
        identity = self.authority.issue(name, alternative, "IP:127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(identity.authority)
        return context

    def client(self, showing: Identity | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if showing is not None:
            context.load_cert_chain(showing.certificate, showing.key)
        return context

    def phone(self, who: str = "alice", showing: Identity | None = None) -> TlsPhone:
        """One that connects to the proxy, as the SBC unless it has nothing to show."""
        return TlsPhone(who, self.client(showing), outbound=self.proxy.address("tls"), name="proxy.example")

    def call(self, phone: Phone, whom: str) -> tuple[Dialog, str]:
        """A call that is part of a trace of the phone's own; with its id."""
        self._calls += 1
        trace_id = TRACE_ID.format(self._calls)
        headers = [f"traceparent: 00-{trace_id}-{SPAN_ID}-01"]
        return phone.calls(whom, headers=headers, uri=f"sip:{whom}@{self.proxy.address('tls')}"), trace_id

    def begin(self, folder: Path) -> Watched:
        self.proxy = Watched(
            {
                "listen": ["tls:127.0.0.1:0"],
                "tls": {
                    "certificates": [{"certificate": str(self.own.certificate), "key": str(self.own.key)}],
                    "ca": str(self.authority.certificate),
                    "clients": "optional",
                },
                "trunks": {
                    "sbc": {
                        "address": f"{self.sbc_at};transport=tls",
                        "match": ["sbc.example"],
                        "tls_name": "sbc.example",
                    },
                    "carrier": {
                        "address": f"{self.carol.at};transport=tls",
                        "match": ["carrier.example"],
                        "tls_name": "carrier.example",
                    },
                    "impostor": {
                        "address": f"{self.mallory.at};transport=tls",
                        "match": ["127.0.0.9"],
                        "tls_name": "carrier.example",
                    },
                },
                "routes": [
                    {"from": "sbc", "user": "^carol$", "to": ["carrier"]},
                    {"from": "sbc", "user": "^mallory$", "to": ["impostor"]},
                    {"from": "carrier", "to": ["sbc"]},
                ],
                "tracing": {"exporter": "otlp", "endpoint": self.receiver.endpoint, "every_ms": 50},
                "timeouts": {"drain_s": 2},
            },
            folder,
        )
        return self.proxy

    def tell_to_read_again(self, expected: str) -> str:
        """SIGHUP; the line of the log that this brings."""
        before = len(self.proxy.log)
        os.kill(self.proxy.pid, signal.SIGHUP)
        return self.proxy.wait_for_log(expected, before)
