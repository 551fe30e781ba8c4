"""An OTLP back end that others wrote shows a transferred call as one tree, whichever way it got there.

The call is real, and so is the proxy: two destinations, a receiver of ours, with which the scenario is
checked, and Arize Phoenix, which must then have the same.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.otlp import HttpReceiver
from tests.support.phoenix import Phoenix, PhoenixSpan, phoenix
from tests.support.proxy import ROOT
from tests.support.spans import Span
from tests.support.stage import Stage
from tests.support.story import Story, all_stories, merged

pytestmark = pytest.mark.slow
STATUS = {"unset": "UNSET", "error": "ERROR"}

if shutil.which("sipp") is None and os.environ.get("CI") != "true":
    pytest.skip("the calls need SIPp (apt install sip-tester)", allow_module_level=True)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phoenix]:
    made = subprocess.run(
        [sys.executable, ROOT / "tools" / "phoenix_venv.py"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        assert os.environ.get("CI") != "true", made.stderr
        pytest.skip(f"arize-phoenix cannot be installed here: {made.stderr[-300:]}")
    with phoenix(Path(made.stdout.strip()), tmp_path_factory.mktemp("phoenix")) as backend:
        yield backend


def story_of(name: str, destination: dict[str, object]) -> Story:
    story = next(story for story in all_stories() if story.folder.name == name)  # of several takes the first
    exported = {"tracing": {"destinations": {"phoenix": destination}}}
    return dataclasses.replace(story, proxy=merged(story.proxy, exported))


@pytest.mark.parametrize(
    ("protocol", "packing", "name"),
    [
        ("http/protobuf", "none", "47-blind-relay-by-callee"),
        ("http/protobuf", "gzip", "52-attended-relay-by-caller"),
        ("grpc", "none", "52-attended-relay-by-caller"),
        ("grpc", "gzip", "47-blind-relay-by-callee"),
    ],
)
def test_a_transferred_call_is_the_same_tree_there(
    backend: Phoenix, tmp_path: Path, protocol: str, packing: str, name: str
) -> None:
    endpoint = backend.grpc if protocol == "grpc" else backend.http
    story = story_of(name, {"endpoint": endpoint, "protocol": protocol, "compression": packing})
    with HttpReceiver() as receiver:
        performance = Stage(story, receiver, tmp_path).perform()
    assert not performance.failures, performance.report()
    ours = {span.span_id: span for span in performance.spans}
    backend.until("all spans are there", lambda: ours.keys() <= backend.spans().keys())
    theirs = backend.spans()
    for span_id, span in ours.items():
        assert_same(span, theirs[span_id])
    assert sum(span.name == "transfer" for span in ours.values()) == 1
    assert tree_of([theirs[span_id] for span_id in ours]) == tree_of([*ours.values()])


def assert_same(span: Span, there: PhoenixSpan) -> None:
    assert (there.trace_id, there.parent_id) == (span.trace_id, span.parent_id)
    assert (there.name, there.status) == (span.name, STATUS[span.status])
    assert there.events == [event.name for event in span.events]
    assert flat(there.attributes) == span.attributes


def flat(attributes: dict[str, object], before: str = "") -> dict[str, object]:
    """It makes a tree of names with dots."""
    found: dict[str, object] = {}
    for name, value in attributes.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{name}.")
        else:
            found[before + name] = value
    return found


def tree_of(spans: list[Span] | list[PhoenixSpan]) -> list[str]:
    """Each span's way from its root, in names."""
    known = {span.span_id: span for span in spans}

    def way(span: Span | PhoenixSpan) -> str:
        parent = known.get(span.parent_id)
        return span.name if parent is None else f"{way(parent)}/{span.name}"

    return sorted(map(way, spans))
