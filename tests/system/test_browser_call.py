"""A browser in the trace: examples/webrtc in Chromium begins it, calls through the proxy by WebSocket, and
is transferred, or transfers.

What the page counts for is its own span `call`: whatever comes of it, in the proxy and at the agents, hangs
below.
"""

# ruff: noqa: F811 - fixtures are imported

from __future__ import annotations

import json
import os
import shutil
import textwrap

import pytest

from tests.support.pages import DOCS
from tests.support.sipp import Cast

from .browser_desk import Desk
from .browser_floor import (  # noqa: F401
    ANSWERS,
    IS_TOLD,
    OFFER,
    OFFERS_IN_ITS_ANSWER,
    TWO_CALLS,
    WHOLE_EXAMPLE,
    Floor,
    floor,
    follows,
    ours,
    plain,
    secure,
)
from .browser_house import PATIENCE_S, Play, outline
from .browser_line import Line
from .browser_web import EXAMPLE
from .page_browser import CHROMIUM

_MISSING = [name for name in ("sipp", "npm") if shutil.which(name) is None]
_MISSING += [] if CHROMIUM else ["chromium"]
if _MISSING and os.environ.get("CI") != "true":
    pytest.skip(f"not on this machine: {', '.join(_MISSING)}", allow_module_level=True)


# Whoever the desk's REFER goes to, places a call that hangs below the transfer.
SENT_BY_THE_DESK = """
    call client desk
      INVITE server desks
        INVITE client agent
        dialog client agent
        dialog server desks
        route internal agent
        transfer internal desks
          INVITE server agent
            INVITE client colleague
            dialog client colleague
            dialog server agent
            route internal colleague
    """


def outlined(tree: str) -> str:
    """As `outline` gives it."""
    return textwrap.dedent(tree).strip()


def test_the_desk_is_transferred_and_all_is_one_trace(floor: Floor, ours: Desk) -> None:
    """The agent sends the desk on. The page places that call, as a child of the transfer's span."""
    with Cast() as cast:
        agents = floor.house.enter(cast, WHOLE_EXAMPLE)
        trace_id = ours.calls("sip:agent@desk.example", "visit-7f3a-2")
        ours.is_over(0)
        ours.is_talking(1)
        ours.hangs_up(1)
        cast.finish()
    spans = floor.house.trace(trace_id, 13)
    assert outline(spans) == outlined("""
        call client desk
          INVITE server desks
            INVITE client agent
            dialog client agent
            dialog server desks
            route internal agent
            transfer internal agent
              call client desk
                INVITE server desks
                  INVITE client colleague
                  dialog client colleague
                  dialog server desks
                  route internal colleague
        """)
    assert {span.attributes.get("interaction.id") for span in spans} == {"visit-7f3a-2"}
    (second,) = agents["colleague"].messages[:1]
    assert second.values("Referred-By") == ["<sip:agent@desk.example>"]
    (page,) = [span for span in spans if span.name == "call" and span.parent_id]
    assert second.values("tracestate") == [f"desk={page.span_id}"]


def test_the_desk_transfers_and_all_is_one_trace(floor: Floor, secure: Desk) -> None:
    """The desk sends the agent on. The agent's phone places that call, out of the desk's sight."""
    with Cast() as cast:
        colleague: list[Play] = [("answers", {"offer": OFFER}), "is-hung-up-on"]
        agent = follows("traceparent: [$traceparent]")
        floor.house.enter(cast, {"colleague": colleague, "agent": agent})
        trace_id = secure.calls("sip:agent@desk.example")
        secure.transfers("sip:colleague@desk.example")
        secure.is_over()
        cast.finish()
    assert outline(floor.house.trace(trace_id, 12)) == outlined(SENT_BY_THE_DESK)


def test_the_proxy_moves_the_desk_to_somebody_else(floor: Floor, plain: Desk) -> None:
    """A trunk without REFER: the browser gets a re-INVITE with the colleague's offer."""
    refers: Play = ("refers", {"to": floor.house.uri("colleague")})
    with Cast() as cast:
        clerk = [ANSWERS, refers, ("hears", {"status": 202}), *IS_TOLD, "is-hung-up-on"]
        agents = floor.house.enter(cast, {"colleague": OFFERS_IN_ITS_ANSWER, "clerk": clerk})
        trace_id = plain.calls("sip:clerk@desk.example")
        assert agents["clerk"].wait(PATIENCE_S) == 0, agents["clerk"].report()
        plain.is_talking()
        plain.hangs_up()
        cast.finish()
    assert outline(floor.house.trace(trace_id, 11)) == outlined("""
        call client desk
          INVITE server desks
            INVITE client clerk
            dialog client clerk
            dialog server desks
            route internal clerk
            transfer internal clerk
              INVITE client colleague
              dialog client colleague
              re-INVITE client desks
              route internal colleague
        """)


def test_the_proxy_moves_the_agent_to_somebody_else(floor: Floor, secure: Desk) -> None:
    """The desk refers an agent who knows no REFER: the desk is out, and the two others talk."""
    with Cast() as cast:
        clerk: list[Play] = [("answers", {"offer": OFFER}), ("is-reinvited", {"offer": OFFER}), "hangs-up"]
        floor.house.enter(cast, {"colleague": OFFERS_IN_ITS_ANSWER, "clerk": clerk})
        trace_id = secure.calls("sip:clerk@desk.example")
        secure.transfers("sip:colleague@desk.example")
        secure.is_over()
        cast.finish()
    assert outline(floor.house.trace(trace_id, 11)) == outlined("""
        call client desk
          INVITE server desks
            INVITE client clerk
            dialog client clerk
            dialog server desks
            route internal clerk
            transfer internal desks
              INVITE client colleague
              dialog client colleague
              re-INVITE client clerk
              route internal colleague
        """)


def test_the_desk_connects_the_two_it_talks_with(floor: Floor, plain: Desk) -> None:
    """The desk calls the agent, asks the colleague, and leaves: two traces meet, and are linked."""
    with Cast() as cast:
        agent = follows("Replaces: [$replaces]", "Require: replaces", "Referred-By: [$referred_by]")
        floor.house.enter(cast, {"colleague": TWO_CALLS, "agent": agent})
        trace_id = plain.calls("sip:agent@desk.example")
        second = plain.calls("sip:colleague@desk.example")
        plain.joins(0)
        plain.is_over(0)
        plain.is_over(1)
        cast.finish()
    assert outline(floor.house.trace(trace_id, 12)) == outlined(SENT_BY_THE_DESK)
    linked = {link.trace_id for span in floor.house.trace(second, 6) for link in span.links}
    assert linked == {trace_id}


def test_a_page_that_knows_nothing_of_traces(floor: Floor, secure: Desk) -> None:
    """JsSIP gives back nothing of the REFER. It is known by its connection."""
    with Cast() as cast:
        agents = floor.house.enter(cast, WHOLE_EXAMPLE)
        secure.connects(floor.house.server("wss"), traced=False)
        secure.calls("sip:agent@desk.example")
        secure.is_over(0)
        secure.is_talking(1)
        secure.hangs_up(1)
        cast.finish()
    secure.connects(floor.house.server("wss"))
    (context,) = agents["colleague"].messages[0].values("traceparent")
    spans = floor.house.trace(context.split("-")[1], 11)
    assert outline(spans) == outlined("""
        INVITE server desks
          INVITE client agent
          dialog client agent
          dialog server desks
          route internal agent
          transfer internal agent
            INVITE server desks
              INVITE client colleague
              dialog client colleague
              dialog server desks
              route internal colleague
        """)
    assert "connection" in {span.attributes.get("sip.trace.carrier") for span in spans}


def test_a_reload_hangs_up(floor: Floor, secure: Desk) -> None:
    with Cast() as cast:
        floor.house.enter(cast, {"agent": [ANSWERS, "is-hung-up-on"]})
        trace_id = secure.calls("sip:agent@desk.example")
        secure.connects(floor.house.server("wss"))
        cast.finish()
    dialogs = [span for span in floor.house.trace(trace_id, 6) if span.name == "dialog"]
    assert {span.attributes["sip.dialog.end"] for span in dialogs} == {"caller_bye"}


def test_the_connection_breaks_and_the_call_goes_on(floor: Floor, plain: Desk) -> None:
    """JsSIP comes back after two seconds. The agent then reaches the page by the new connection."""
    with Line(floor.house.proxy.address("ws")) as line, Cast() as cast:
        agents = floor.house.enter(
            cast, {"agent": [ANSWERS, ("is-signalled", {"method": "OPTIONS"}), "hangs-up"]}
        )
        plain.connects(f"ws://{line.address}")
        trace_id = plain.calls("sip:agent@desk.example")
        line.cut()
        plain.is_connected(False)
        plain.is_talking()
        assert agents["agent"].wait(PATIENCE_S) == 0, agents["agent"].report()
        plain.is_over()
        cast.finish()
    dialogs = [span for span in floor.house.trace(trace_id, 6) if span.name == "dialog"]
    assert {span.attributes["sip.dialog.end"] for span in dialogs} == {"callee_bye"}


def test_the_connection_breaks_while_it_rings(floor: Floor, plain: Desk) -> None:
    """JsSIP gives up its INVITE then. Nobody is to ring for nobody."""
    with Line(floor.house.proxy.address("ws")) as line, Cast() as cast:
        floor.house.enter(cast, {"agent": [("rings", {"offer": OFFER}), "is-cancelled"]})
        plain.connects(f"ws://{line.address}")
        plain.dials("sip:agent@desk.example")
        plain.is_ringing()
        line.cut()
        plain.is_over()
        cast.finish()


def test_a_page_from_elsewhere_is_turned_away(floor: Floor) -> None:
    """`localhost` is not among `websocket.origins`, though it is the same page from the same server."""
    desk = Desk(floor.browser, floor.origins["ws"].replace("127.0.0.1", "localhost"))
    with desk.page.expect_console_message(lambda message: "403" in message.text):
        desk.tries(floor.house.server("ws"))
    desk.is_connected(False)
    desk.close()


def test_the_page_about_it_names_the_version_that_is_tried() -> None:
    version = json.loads((EXAMPLE / "package.json").read_text())["dependencies"]["jssip"]
    assert f"| JsSIP {version} |" in (DOCS / "webrtc.md").read_text()
