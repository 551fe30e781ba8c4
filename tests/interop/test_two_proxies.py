"""Two proxies in a row, as where two regions or two operators meet; and in a circle, as nobody wants them."""

from __future__ import annotations

from pathlib import Path

from tests.support.otlp import HttpReceiver, Receiver
from tests.support.proxy import Proxy
from tests.support.sipp import Cast
from tests.support.spans import by_start, children, roots

from .people import (
    ALICE,
    ALICES_SPAN,
    BOB,
    HOSTS,
    TRACE_ID,
    TRACEPARENT,
    heard,
    nothing_is_left,
    only,
    party,
    place,
    settings,
    traceparent_of,
)
from .script import Script

HEADERS = [f"traceparent: {TRACEPARENT}"]


def test_one_trace_runs_through_both(tmp_path: Path) -> None:
    alice_at, bob_at, second_at = place("alice"), place("bob"), place("next")
    first_trunks = {
        "alice": {"address": alice_at, "match": [HOSTS["alice"]]},
        "second": {"address": second_at},
    }
    second_trunks = {
        "first": {"address": HOSTS["proxy"], "match": [HOSTS["proxy"]]},
        "bob": {"address": bob_at},
    }
    with HttpReceiver() as of_first, HttpReceiver() as of_second:
        first = settings(of_first, first_trunks, [{"from": "alice", "to": ["second"]}])
        second = settings(
            of_second, second_trunks, [{"from": "first", "to": ["bob"]}], listen=[f"udp:{second_at}"]
        )
        with (
            Proxy(first, tmp_path / "first") as first_proxy,
            Proxy(second, tmp_path / "second") as second_proxy,
            Cast() as cast,
        ):
            bob = cast.enter(party(BOB, tmp_path, bob_at), tmp_path)
            at = first_proxy.address("udp")
            cast.enter(party(ALICE, tmp_path, alice_at, calls_at=at, headers=HEADERS), tmp_path)
            cast.finish()
    first_root, first_attempt = only(of_first.spans, "INVITE server"), only(of_first.spans, "INVITE client")
    second_root, second_attempt = (
        only(of_second.spans, "INVITE server"),
        only(of_second.spans, "INVITE client"),
    )
    assert {span.trace_id for span in [*of_first.spans, *of_second.spans]} == {TRACE_ID}
    assert first_root.parent_id == ALICES_SPAN
    assert second_root.parent_id == first_attempt.span_id
    [invite] = heard(bob.messages, "INVITE")
    assert invite.values("traceparent") == [traceparent_of(second_attempt)]
    [bye] = heard(bob.messages, "BYE")
    assert bye.values("traceparent") == [traceparent_of(only(of_second.spans, "dialog client"))]
    assert len(roots([*of_first.spans, *of_second.spans])) == 1
    assert nothing_is_left(first_proxy)
    assert nothing_is_left(second_proxy)


def test_a_circle_ends_when_the_hops_are_used_up(tmp_path: Path, receiver: Receiver) -> None:
    """Each leg is a call of its own, so it is Max-Forwards that ends it (RFC 7332)."""
    alice_at, places = place("alice"), [place("proxy"), place("next")]
    configs = []
    for here, there in (places, places[::-1]):
        trunks = {
            "alice": {"address": alice_at, "match": [HOSTS["alice"]]},
            "other": {"address": there, "match": [there]},
        }
        routes = [{"from": "alice", "to": ["other"]}, {"from": "other", "to": ["other"]}]
        configs.append(settings(receiver, trunks, routes, listen=[f"udp:{here}"]))
    script = Script("alice").calls().trying().is_refused(483)
    with (
        Proxy(configs[0], tmp_path / "first") as first,
        Proxy(configs[1], tmp_path / "second") as second,
        Cast() as cast,
    ):
        cast.enter(party(script, tmp_path, alice_at, calls_at=places[0], headers=HEADERS), tmp_path)
        cast.finish()
    invites = by_start(span for span in receiver.spans if span.title == "INVITE server")
    assert len(invites) == 71  # Max-Forwards 70, 69, ... 0
    assert {span.attributes["sip.response.status_code"] for span in invites} == {483}
    [root] = roots(receiver.spans)
    assert root.trace_id == TRACE_ID
    depth = 0
    while below := [s for s in children(receiver.spans, root) if s.name == "INVITE"]:
        [root] = below
        depth += 1
    assert depth == 140  # every attempt below its call, every call below the attempt that led to it
    assert nothing_is_left(first)
    assert nothing_is_left(second)
