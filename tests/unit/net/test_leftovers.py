"""What goes without the collector of cycles, which comes seldom in a process that has calls."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from sipproxy.net.tls import Tls
from sipproxy.net.websocket import WebSocketFramer
from tests.unit.net.conftest import Certificates
from tests.unit.net.tls_peers import with_certificates

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: sip\r\n\r\n"
)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_certificates_that_were_replaced(certificates: Certificates, no_collector: None) -> None:
    tls = Tls(with_certificates(certificates.proxy), listening="tls:127.0.0.1:5061")
    gone = weakref.ref(tls)
    del tls
    assert gone() is None


def test_a_websocket_that_is_gone(no_collector: None) -> None:
    framer = WebSocketFramer(65535)
    assert framer.feed(UPGRADE) == []
    assert framer.open
    gone = weakref.ref(framer._protocol)
    framer.forget()
    del framer
    assert gone() is None
