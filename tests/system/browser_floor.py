"""What the stories of test_browser_call.py share: a proxy with agents, a browser, and a tab for each way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import pytest
from playwright.sync_api import Browser

from tests.support.certificates import identity
from tests.support.npm import installed
from tests.support.otlp import HttpReceiver

from .browser_desk import Desk, chromium, key_pin
from .browser_house import KNOWS_REFER, House, Play
from .browser_web import EXAMPLE, WebServer

OFFER = "a=fingerprint:sha-256"  # what shows in an SDP that it is a browser's

# What an agent does, as acts of sipp-scenarios/common/acts.
ANSWERS: Play = ("answers", {"offer": OFFER, "rows": KNOWS_REFER})
IS_TOLD: tuple[Play, ...] = (
    ("is-notified", {"says": "SIP/2.0 100"}),
    ("is-notified", {"says": "SIP/2.0 180"}),
    ("is-notified", {"says": "SIP/2.0 200", "state": "terminated"}),
)
OFFERS_IN_ITS_ANSWER: tuple[Play, ...] = (  # to an INVITE of the proxy's own
    ("rings", {"offer": "Content-Length: *0"}),
    ("picks-up-with-offer", {"ack": OFFER}),
    "is-hung-up-on",
)
TWO_CALLS: tuple[Play, ...] = (  # of which the second replaces the first
    "is-invited",
    "rings-now",
    "picks-up",
    "hangs-up-the-old",
    "is-hung-up-on",
    "goes",
    ("comes", {"label": "first"}),
    "rings-now",
    "picks-up",
    ("hears", {"status": 200}),
)
WHOLE_EXAMPLE = {name: EXAMPLE / f"{name}.xml" for name in ("colleague", "agent")}


def follows(*rows: str) -> tuple[Play, ...]:
    """Answers, is referred, and calls whom it is to call with these rows."""
    return (
        ANSWERS,
        "is-referred",
        "accepts",
        ("notifies", {"cseq": "11", "says": "SIP/2.0 100 Trying"}),
        ("invites", {"uri": "[$target]", "rows": list(rows)}),
        ("is-answered", {"answer": OFFER}),
        ("notifies", {"cseq": "12", "state": "terminated;reason=noresource"}),
        "is-hung-up-on",
        ("hangs-up", {"n": "2"}),
    )


class Floor:
    """What the stories share: a proxy with agents, a browser, and a tab for ws: and one for wss:."""

    def __init__(self, browser: Browser, house: House, origins: Mapping[str, str]) -> None:
        self.browser = browser
        self.house = house
        self.origins = origins
        self._desks = {transport: Desk(browser, origin) for transport, origin in origins.items()}

    @contextlib.contextmanager
    def desk(self, transport: str) -> Iterator[Desk]:
        """A tab, connected, for the length of a story; what the browser complains of is a failure."""
        desk, usual = self._desks[transport], (self.house.server(transport), True)
        if desk.connected != usual or desk.is_busy():  # as a story left it that failed
            desk.connects(usual[0])
        desk.begins()
        yield desk
        complaints, desk.complaints = desk.complaints, []
        assert not complaints, "the browser complains:\n" + "\n".join(complaints)


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    folder = tmp_path_factory.mktemp("browser")
    server = identity(folder, "server")
    library = installed(EXAMPLE)
    with (
        HttpReceiver() as receiver,
        WebServer(library, receiver.endpoint) as plain,
        WebServer(library, receiver.endpoint, server) as secure,
        chromium([key_pin(server.certificate)]) as browser,
    ):
        house = House(folder, receiver, server, [plain.origin, secure.origin])
        with house.proxy:
            yield Floor(browser, house, {"ws": plain.origin, "wss": secure.origin})


@pytest.fixture(params=["ws", "wss"])
def ours(floor: Floor, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A desk; the story is played over both transports."""
    with floor.desk(request.param) as one:
        yield one


@pytest.fixture
def plain(floor: Floor) -> Iterator[Desk]:
    """One that is connected by ws:."""
    with floor.desk("ws") as one:
        yield one


@pytest.fixture
def secure(floor: Floor) -> Iterator[Desk]:
    """One that is connected by wss:."""
    with floor.desk("wss") as one:
        yield one
