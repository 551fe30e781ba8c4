"""TLS without a socket: bytes cut anywhere, spoilt ones, and what is said behind the last message."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from sipproxy.errors import RemoteProtocolError
from sipproxy.net.layer import Closed, TlsError
from sipproxy.net.secured import Secured
from sipproxy.net.settings import TlsSettings
from sipproxy.net.tls import Tls
from sipproxy.net.websocket import WebSocketFramer
from sipproxy.sip.flow import TLS, WSS, Flow
from sipproxy.sip.framing import StreamFramer
from tests.support.websocket import frame, upgrade
from tests.unit.net.conftest import Certificates
from tests.unit.net.support import message
from tests.unit.net.tls_peers import with_certificates

Spoil = Callable[[bytes], bytes]


class Pair:
    """Both ends of a connection, ours twice."""

    def __init__(self, tls: Tls, domain: str = "localhost") -> None:
        self.server = tls.accept(Flow(TLS, "127.0.0.1", 1), StreamFramer(65535))
        self.client = tls.connect(Flow(TLS, "127.0.0.1", 1, domain=domain), StreamFramer(65535))
        self.received: list[bytes] = []

    def shakes_hands(self, *, piece: int = 65536, spoil: Spoil = bytes) -> None:
        """Let each hear the other, in pieces of that size."""
        to_server, to_client = self.client.begin(), b""
        while to_server or to_client:
            to_client += self._hears(self.server, spoil(to_server), piece)
            to_server = self._hears(self.client, spoil(to_client), piece)
            to_client = b""

    def _hears(self, side: Secured, data: bytes, piece: int) -> bytes:
        answer = b""
        for at in range(0, len(data), piece):
            self.received += side.feed(data[at : at + piece])
            answer += side.output()
        return answer


@pytest.fixture
def tls(certificates: Certificates) -> Tls:
    return Tls(with_certificates(certificates.proxy), listening="tls:127.0.0.1:5061")


@pytest.mark.parametrize("piece", [1, 100, 65536])
def test_bytes_may_be_cut_anywhere(tls: Tls, piece: int) -> None:
    pair = Pair(tls)
    pair.shakes_hands(piece=piece)
    assert pair.server.open
    assert pair.client.open
    assert pair.client.names == ("localhost", "127.0.0.1")
    wire = pair.client.wrap(message("1")) + pair.client.wrap(message("2", size=40_000))
    found = []
    for at in range(0, len(wire), piece):
        found += pair.server.feed(wire[at : at + piece])
    assert found == [message("1"), message("2", size=40_000)]


def test_what_comes_behind_the_handshake_at_once_is_not_lost(tls: Tls) -> None:
    pair = Pair(tls)
    pair.server.feed(pair.client.begin())
    pair.client.feed(pair.server.output())
    finished = pair.client.output()
    assert pair.server.feed(finished + pair.client.wrap(message("1"))) == [message("1")]


def test_the_end_is_told_behind_the_last_message(tls: Tls) -> None:
    pair = Pair(tls)
    pair.shakes_hands()
    assert pair.server.feed(pair.client.wrap(message("1")) + pair.client.close()) == [message("1")]
    assert isinstance(pair.server.lost, Closed)
    with pytest.raises(Closed):
        pair.server.feed(b"")


def test_a_fault_is_told_behind_the_last_message(tls: Tls) -> None:
    pair = Pair(tls)
    pair.shakes_hands()
    good, bad = pair.client.wrap(message("1")), bytearray(pair.client.wrap(message("2")))
    bad[-1] ^= 1
    assert pair.server.feed(good + bad) == [message("1")]
    with pytest.raises(TlsError, match=r"^TLS failed: decryption failed or bad record mac$"):
        pair.server.feed(b"")
    assert pair.server.output()  # an alert
    assert pair.server.wrap(message("3")) == b""


def test_a_name_that_is_another_is_a_fault_of_the_handshake(tls: Tls) -> None:
    pair = Pair(tls, "other.example")
    with pytest.raises(TlsError, match=r"for localhost, 127\.0\.0\.1, not for other\.example$"):
        pair.shakes_hands()
    assert not pair.client.open


@pytest.mark.parametrize("domain", ["LOCALHOST.", "127.0.0.1", ""])
def test_a_name_may_be_written_in_its_ways(tls: Tls, domain: str) -> None:
    pair = Pair(tls, domain)
    pair.shakes_hands()
    assert pair.client.open


@pytest.mark.parametrize(
    "domain", [".", "-", "a..b", "a" * 64 + ".example", "zoë.example", "a b", "*.example"]
)
def test_a_name_that_is_none_is_nobodys(tls: Tls, domain: str) -> None:
    with pytest.raises(TlsError, match="not for"):
        Pair(tls, domain).shakes_hands()


def test_a_host_that_is_no_text_is_refused_in_silence(tls: Tls, capfd: pytest.CaptureFixture[str]) -> None:
    pair = Pair(tls)
    with pytest.raises(TlsError):
        pair.server.feed(pair.client.begin().replace(b"localhost", b"localhos\x85"))
    assert pair.server.output()  # an alert
    assert capfd.readouterr() == ("", "")


def test_spoilt_handshakes_end_in_words(tls: Tls) -> None:
    """A byte here and there: hands are shaken or not, and nothing else is raised."""
    rng = random.Random(5246)

    def spoil(data: bytes) -> bytes:
        changed = bytearray(data)
        if rng.random() < 0.7:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)

    reasons = set()
    for _ in range(150):
        try:
            Pair(tls).shakes_hands(spoil=spoil)
        except TlsError as error:
            reasons.add(error.reason)
    assert len(reasons) > 5
    assert all(reason == reason.strip() and "_" not in reason for reason in reasons)


def test_whoever_stands_in_the_file_is_trusted_be_it_no_authority(certificates: Certificates) -> None:
    """As of a peer that has one that it made itself; or one from an authority that we do not trust."""
    for peer in (certificates.self_signed, certificates.sbc):
        server = Tls(with_certificates(peer, clients="off"), listening="tls:127.0.0.1:5061")
        client = Tls(TlsSettings(ca=str(peer.certificate)))
        pair = Pair(server)
        pair.client = client.connect(Flow(TLS, "127.0.0.1", 1, domain="sbc.example"), StreamFramer(65535))
        pair.shakes_hands()
        assert pair.client.open


def test_a_websocket_opens_behind_the_handshake(tls: Tls) -> None:
    pair = Pair(tls)
    pair.server = tls.accept(Flow(WSS, "127.0.0.1", 1), WebSocketFramer(65535))
    pair.shakes_hands()
    assert not pair.server.open
    assert pair.server.feed(pair.client.wrap(upgrade())) == []
    assert pair.server.open
    with pytest.raises(RemoteProtocolError):  # no SIP: it is the HTTP of the upgrade
        pair.client.feed(pair.server.output())
    assert pair.server.feed(pair.client.wrap(frame(message("1")))) == [message("1")]
