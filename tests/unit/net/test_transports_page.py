"""docs/transports.md against the code: the reasons that an operator reads, and the limits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sipproxy.net import certificates, connection, secured, tls, websocket
from sipproxy.net.limits import TcpLimits

PAGE = (Path(__file__).parents[3] / "docs/transports.md").read_text()
SOURCES = [Path(str(module.__file__)).read_text() for module in (secured, tls, connection, certificates)]
REASONS = PAGE.partition("| reason, after")[2].partition("\n\n")[0]
LIMITS = TcpLimits()


@pytest.mark.parametrize(
    "words",
    [
        words
        for row in REASONS.splitlines()[2:]
        for words in re.findall(r"`([^`]+)`", row.split("|")[1])
        if not re.search(r"\.example|refuses|bad certificate|timed out", words)  # a peer says so
    ],
)
def test_a_reason_on_the_page_is_one_that_is_said(words: str) -> None:
    said = words.removeprefix("the peer's certificate ").removeprefix("the peer closed ")
    assert any(said.removesuffix(" the TLS handshake") in source for source in SOURCES)


def test_every_reason_of_ours_for_a_certificate_stands_on_the_page() -> None:
    ours = re.findall(r"^    \d+: \"([^\"]+)\",", SOURCES[0], re.MULTILINE)
    assert ours
    assert [words for words in dict.fromkeys(ours) if words not in REASONS] == ["is revoked"]


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ("connections from one address", f"{LIMITS.per_source}"),
        ("incoming connections in all", f"{LIMITS.total:,}"),
        ("handshake and upgrade of who connects", f"{LIMITS.first_message_s:.0f} s"),
        ("connecting to a trunk, handshake included", f"{LIMITS.connect_s:.0f} s"),
        ("messages that wait for it", f"{LIMITS.waiting_bytes >> 10} kB"),
        ("what a peer has not read", f"{LIMITS.unread_bytes >> 20} MB"),
        ("silence", f"{LIMITS.idle_s / 60:.0f} minutes"),
    ],
)
def test_the_limits_on_the_page_are_those_in_force(row: str, value: str) -> None:
    assert re.search(rf"^\| {row} \| {value}[ ,|]", PAGE, re.MULTILINE)


def test_the_page_knows_the_size_of_an_upgrade() -> None:
    assert f"more than {websocket.LONGEST_REQUEST >> 10} kB of headers" in PAGE.replace("\n  ", " ")
