"""Every test of the network edge runs on uvloop, which is what the proxy uses, and on plain asyncio."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from tests.support.certificates import Authority, self_signed
from tests.support.collectors import Identity
from tests.unit.net.support import Run


@pytest.fixture(params=[uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    runner: Run = request.param
    return runner


class Certificates:
    """Made once for all tests; all but the strangers' come from one authority."""

    def __init__(self, authority: Authority, other: Authority) -> None:
        self.proxy = authority.issue("proxy", "DNS:localhost", "IP:127.0.0.1")
        self.second = authority.issue("second", "DNS:second.example", "DNS:*.wild.example")
        self.sbc = authority.issue("sbc", "URI:sip:sbc.example", "DNS:host.example", "IP:127.0.0.1")
        self.both = authority.issue("both", "DNS:a.example", "DNS:b.example")
        self.wildcard = authority.issue("wildcard", "DNS:*.sbc.example")
        self.expired = authority.issue("expired", "DNS:sbc.example", years=(2001, 2002))
        self.future = authority.issue("future", "DNS:sbc.example", years=(2040, 2041))
        self.for_clients = authority.issue("for-clients", "DNS:sbc.example", purpose="clientAuth")
        self.stranger = other.issue("stranger", "DNS:sbc.example")
        self.self_signed: Identity = self_signed(authority.folder, "self-signed", "DNS:sbc.example")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    return Certificates(Authority(folder), Authority(folder, "other"))
