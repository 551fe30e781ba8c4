"""Every scenario of `sipp-scenarios/`: real SIPp, the real proxy, its spans at a real OTLP receiver."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.support.ports import has_ipv6
from tests.support.story import Story, all_stories
from tests.support.theatre import Theatre

# What the scenarios say that nobody but the two parties may know: numbers, names, SDP, bodies, credentials.
SECRETS = [
    "4915550001234",
    "4930555098765",
    "4915550007777",
    "4915550003333",
    "Sommerfeld",
    "Winterberg",
    "offer-of-alice",
    "answer-of-bob",
    "offer-of-carol",
    "answer-of-carol",
    "m=audio",
    "rtpmap",
    "rhododendron",
    "lilac",
    "Signal=5",
    "f84f1cec41e6cbe5aea9c8e88d359",
    "Digest",
]
NO_IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
STORIES = all_stories()


@pytest.fixture(scope="session")
def theatre(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    if shutil.which("sipp") is None and os.environ.get("CI") != "true":
        pytest.skip("SIPp is not installed (Debian: apt-get install sip-tester)")
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    found = [call.params.get("story") for call in calls if call is not None]
    wanted = [story for story in found if isinstance(story, Story)]  # others have parameters of that name too
    possible = [story for story in wanted or STORIES if has_ipv6() or not story.needs_ipv6]
    theatre = Theatre(possible, tmp_path_factory.mktemp("scenarios"))
    yield theatre
    theatre.close()


@pytest.mark.parametrize(
    "story",
    [pytest.param(story, id=story.name, marks=[NO_IPV6] if story.needs_ipv6 else []) for story in STORIES],
)
def test_what_the_scenario_says_is_seen(story: Story, theatre: Theatre) -> None:
    performance = theatre.performance(story)
    if performance.failures:
        pytest.fail(performance.report(), pytrace=False)


def test_nothing_private_leaves_the_proxy_but_by_sip(theatre: Theatre) -> None:
    performances = theatre.performances()
    casts = (each.seen.values() for each in performances.values())
    sip = "".join(message.text for cast in casts for messages in cast for message in messages)
    for secret in SECRETS:
        assert secret in sip, f"no scenario says {secret!r}: this test would prove nothing"
        for name, performance in performances.items():
            assert secret not in performance.output, f"{name}: {secret!r} in the proxy's log"
            for body in performance.requests:
                assert secret.encode() not in body, f"{name}: {secret!r} in a span"
