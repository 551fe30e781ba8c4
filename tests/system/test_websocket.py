"""WebSocket clients written by hand at the real proxy: each call is one trace, and goes by one connection."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.phone import Dialog, Phone
from tests.support.certificates import identity
from tests.support.otlp import HttpReceiver
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.system.stream_phones import SPAN_ID, WebPhone, assert_one_trace
from tests.system.web_front import WebFront

ORIGIN = "https://desk.example"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e48{:02x}"


class Desk:
    """One proxy for browsers, and an agent behind it who has a telephone."""

    def __init__(self, folder: Path, receiver: HttpReceiver) -> None:
        self.receiver = receiver
        udp = f"127.0.0.1:{free_port('127.0.0.1')}"
        self.agent = Phone("agent", "127.0.0.1", udp)
        self.own = own = identity(folder, "proxy")
        self.trusting = ssl.create_default_context(cafile=str(own.authority))
        self.proxy = Proxy(
            {
                "listen": [f"udp:{udp}", "ws:127.0.0.1:0", "wss:127.0.0.1:0"],
                "tls": {
                    "certificates": [{"certificate": str(own.certificate), "key": str(own.key)}],
                    "clients": "required",  # which is no question for browsers
                    "ca": str(own.authority),
                },
                "websocket": {"origins": [ORIGIN]},
                "trunks": {
                    "desks": {"match": ["ws", "wss"]},
                    "agents": {"address": self.agent.at, "match": [self.agent.at]},
                },
                "routes": [{"from": "desks", "to": ["agents"]}],
                "tracing": {"exporter": "otlp", "endpoint": receiver.endpoint, "every_ms": 50},
                "timeouts": {"drain_s": 2},
            },
            folder / "proxy",
        )
        self._calls = 0

    def page(
        self, transport: str, *, origin: str | None = ORIGIN, subprotocol: str | None = "sip"
    ) -> WebPhone:
        """A phone in a page."""
        context = self.trusting if transport == "wss" else None
        at = self.proxy.address(transport)
        return WebPhone("alice", context, outbound=at, origin=origin, subprotocol=subprotocol)

    def call(self, page: WebPhone) -> tuple[Dialog, Dialog, str]:
        """A call that is part of a trace of the page's own, as it rings at the agent; with the trace's id."""
        self._calls += 1
        trace_id = TRACE_ID.format(self._calls)
        call = page.calls("agent", headers=[f"traceparent: 00-{trace_id}-{SPAN_ID}-01"])
        rung = self.agent.is_called()
        rung.rings()
        call.hears("180")
        return call, rung, trace_id


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with HttpReceiver() as receiver:
        desk = Desk(tmp_path_factory.mktemp("desk"), receiver)
        with desk.agent, desk.proxy:
            yield desk


@pytest.mark.parametrize("transport", ["ws", "wss"])
def test_a_call_from_a_page_is_one_trace_and_all_of_it_goes_by_one_connection(
    desk: Desk, transport: str
) -> None:
    with desk.page(transport) as page:
        call, answered, trace_id = desk.call(page)
        answered.answers()
        answer = call.is_answered()
        answered.hears("ACK")
        assert ";transport=ws" in answer.values("Contact")[0].lower()  # also by WSS: RFC 7118 section 5.2
        invite = answered.invite
        assert invite is not None
        assert "invalid" not in invite.values("Contact")[0]  # the page's own address is none
        answered.sends("INFO")
        info = call.hears("INFO")
        assert info.values("Via")[0].startswith(f"SIP/2.0/{transport.upper()} ")
        answered.hears("200 INFO")
        answered.sends("INVITE", offer=True)  # hold
        call.invite = call.hears("re-INVITE")
        call.answers()
        answered.is_answered()
        call.hears("ACK")
        answered.hangs_up()
        call.hears("BYE")
        assert page.connections == 1
    assert_one_trace(desk.receiver, trace_id, invite)


def test_nginx_may_end_the_tls(desk: Desk, tmp_path: Path) -> None:
    with WebFront(tmp_path / "nginx", desk.proxy.address("ws"), desk.own) as front:
        page = WebPhone("bob", desk.trusting, outbound=front.at, path="/sip", origin=ORIGIN)
        page.transport = "WS"  # as the proxy sees it
        with page:
            call, answered, _ = desk.call(page)
            answered.answers()
            call.is_answered()
            answered.hears("ACK")
            answered.hangs_up()
            call.hears("BYE")


def test_a_page_that_takes_its_call_back_is_heard_at_once(desk: Desk) -> None:
    with desk.page("ws") as page:
        call, rung, _ = desk.call(page)
        call.takes_back()
        cancelled = rung.hears("CANCEL")
        desk.agent.responds(cancelled, "200 OK")
        assert rung.invite is not None
        desk.agent.responds(rung.invite, "487 Request Terminated", to=rung.local)
        call.is_refused(487)


def test_a_page_that_is_closed_while_it_rings_leaves_no_ringing_behind(desk: Desk) -> None:
    with desk.page("wss") as page:
        _, rung, _ = desk.call(page)
        page.hangs_up_the_line()
        cancelled = rung.hears("CANCEL")
        desk.agent.responds(cancelled, "200 OK")
        assert rung.invite is not None
        desk.agent.responds(rung.invite, "487 Request Terminated", to=rung.local)
        rung.hears("ACK")


@pytest.mark.parametrize(
    ("origin", "subprotocol", "status"),
    [
        ("https://evil.example", "sip", "403"),
        (None, "sip", "403"),
        (ORIGIN, "chat", "400"),
        (ORIGIN, None, "400"),
    ],
)
def test_who_is_no_page_of_ours_or_speaks_no_sip_is_refused(
    desk: Desk, origin: str | None, subprotocol: str | None, status: str
) -> None:
    with desk.page("ws", origin=origin, subprotocol=subprotocol) as page:
        assert page.refusal.startswith(f"HTTP/1.1 {status} ".encode())
