"""docs/propagation.md tells the truth: its ladders are those of real calls, its tables what the core does.

#### Blind, relay     the ladder below this heading is drawn from a run of the lab, line by line; what
                      stands behind a line is a remark
| what comes back ... each row of such a table is acted out
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

import pytest

from sipproxy.b2bua.events import Counted, Linked, TransferBegan
from sipproxy.b2bua.settings import TransferSettings
from sipproxy.propagation.settings import Accept, TrunkTrace
from sipproxy.telemetry.attributes import ROWS
from tests.lab.lab import Lab, trunk
from tests.lab.network import Packet
from tests.lab.phone import Phone
from tests.lab.referral import STAYS, WAITS
from tests.lab.seen import Seen
from tests.lab.styles import CARRIERS
from tests.lab.transfers import cast as staged
from tests.lab.transfers import caused, consults, still_talking, together, transfers
from tests.support import pages
from tests.support.pages import ROOT, words

TEXT = (ROOT / "docs/propagation.md").read_text()
CORE = "\n".join(path.read_text() for path in (ROOT / "sipproxy/b2bua").glob("*.py"))
WIDTH = 17
NOT_SHOWN = ("200 NOTIFY", "200 BYE", "200 CANCEL")


def cast(mode: str, accept: Accept = Accept.ADOPT) -> tuple[Lab, Phone, Phone, Phone]:
    """Alice and Bob talk, and Carol waits; the one who transfers is Bob."""
    alice = trunk("alice", refer=mode, trace=TrunkTrace(accept=accept))
    no_limit = TransferSettings(refer_to_octets=0)  # else some names give way in an attended transfer
    return staged(Lab, mode, by="callee", trunks={"alice": alice}, transfer=no_limit)


def table(title: str) -> list[list[str]]:
    """The rows of the page's table whose first row begins so."""
    return pages.table(TEXT, title)


# Ladders


def blind(mode: str) -> tuple[Lab, int]:
    lab, alice, bob, carol = cast(mode)
    start = len(lab.network.log)
    bob.refers(alice, to=carol, then=WAITS if mode == "relay" else STAYS)
    carol.rings()
    carol.answers()
    assert together(alice, carol)
    return lab, start


def attended(mode: str) -> tuple[Lab, int]:
    lab, alice, bob, carol = cast(mode)
    consults(bob, alice, carol)
    start = len(lab.network.log)
    bob.refers(alice, to=carol, replaces=carol, then=WAITS if mode == "relay" else STAYS)
    assert together(alice, carol)
    return lab, start


def busy() -> tuple[Lab, int]:
    lab, alice, bob, carol = cast("local")
    start = len(lab.network.log)
    bob.refers(alice, to=carol)
    carol.rings()
    carol.refuses(486)
    bob.resumes(alice)
    assert together(alice, bob)
    return lab, start


def rolled_back() -> tuple[Lab, int]:
    lab, alice, bob, carol = cast("local")
    consults(bob, alice, carol)
    start = len(lab.network.log)
    alice.replies["INVITE"] = 488
    bob.refers(alice, to=carol, replaces=carol)
    alice.replies.clear()
    assert bob.hears(carol)
    assert carol.hears(bob)
    return lab, start


def picked_up() -> tuple[Lab, int]:
    lab = Lab()
    carol, bob = lab.ringing("carol", "bob")
    desk = lab.phone("desk", at="192.0.2.2", port=5070)
    dialog = bob.called.usages[""].dialog
    value = f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag};early-only"
    desk.calls("carol", headers={"Replaces": value, "Require": "replaces", "traceparent": ""})
    assert together(carol, desk)
    return lab, 0


STORIES: dict[str, Callable[[], tuple[Lab, int]]] = {
    "Blind, relay": lambda: blind("relay"),
    "Blind, local": lambda: blind("local"),
    "Attended, relay": lambda: attended("relay"),
    "Attended, local": lambda: attended("local"),
    "The target is busy": busy,
    "A consultation that is rolled back": rolled_back,
    "A ringing call is picked up": picked_up,
}


def shown(seen: Seen) -> str:
    """A message as the page names it."""
    if seen.label == "INVITE" and seen.to_tag:
        return "re-INVITE"
    return f"NOTIFY {seen.body.split()[1]}" if seen.label == "NOTIFY" else seen.label


def drawn(packets: list[Packet], columns: list[str]) -> list[str]:
    """The rows of a ladder."""
    rows: list[str] = []
    for packet in packets:
        seen = Seen(packet.data, packet.at)
        if seen.status == 100 or seen.label in NOT_SHOWN:
            continue
        start, stop = columns.index(packet.sender), columns.index(packet.receiver)
        left, right = sorted((start, stop))
        cells = list(("|" + " " * (WIDTH - 1)) * (len(columns) - 1) + "|")
        text = f" {shown(seen)} ".center((right - left) * WIDTH - 2, "-")
        cells[left * WIDTH + 1 : right * WIDTH] = text + ">" if stop > start else "<" + text
        rows.append("".join(cells))
    return rows


def test_each_ladder_has_its_story() -> None:
    assert re.findall(r"^#### (.*)$", TEXT, re.MULTILINE) == list(STORIES)


@pytest.mark.parametrize("title", STORIES)
def test_ladder(title: str) -> None:
    below = TEXT.partition(f"\n#### {title}\n")[2].partition("\n#")[0]
    head, *rows = [line[4:] for line in below.splitlines() if line.startswith("    ")]
    lab, start = STORIES[title]()
    real = drawn(lab.network.log[start:], head.split())
    length = len(real[0])
    assert [row[:length] for row in rows] == real
    assert all(row[length : length + 2].isspace() for row in rows if len(row) > length), (
        "a remark stands apart"
    )
    lab.finish()


# Tables

SURVIVES = {
    "everything": "all",
    "`traceparent` alone": "traceparent",
    "`traceparent` alone, still in the Request-URI": "uri",
    "the marker alone": "marker",
    "Replaces alone (attended)": "replaces",
    "Referred-By alone": "referred-by",
    "`previous-trace-id` alone": "previous-trace-id",
    "nothing": "none",
}
LEFT = {
    row[0]: dict(zip(("adopt", "link", "ignore"), row[1:], strict=True)) for row in table("what comes back")
}


@pytest.mark.parametrize("kind", ["blind", "attended"])
@pytest.mark.parametrize("accept", ["adopt", "link", "ignore"])
@pytest.mark.parametrize("left", LEFT)
def test_what_you_still_get(left: str, accept: str, kind: str) -> None:
    if "(attended)" in left:
        kind = "attended"
    lab, alice, bob, carol = cast("relay", Accept(accept))
    alice.style.keeps = CARRIERS[SURVIVES[left]]
    if kind == "attended":
        consults(bob, alice, carol)
    bob.refers(alice, to=carol, replaces=carol if kind == "attended" else None)
    if not carol.hears(alice):
        carol.answers()
    lab.run(10.0)
    (transfer,) = transfers(lab)
    arrived = caused(lab)
    root, parent = arrived.origin.root, arrived.origin.parent
    there = transfer.span_id in {link.span_id for link in arrived.origin.links}
    back = (transfer.span_id, root.span_id) in {
        (fact.span_id, fact.context.span_id) for fact in lab.facts_of(Linked)
    }
    if parent is not None and parent.span_id == transfer.span_id:
        found = "same trace"
    else:
        assert there == back
        found = "linked" if there else "new"
    assert LEFT[left][accept] == found
    assert transfer.attributes["sip.transfer.outcome"] == "completed"
    source = "reported" if found == "new" else None
    assert transfer.attributes.get("sip.transfer.outcome_source") == source
    assert bool(carol.got("INVITE").header("Replaces")) == (kind == "attended" and found != "new")
    lab.finish()


def settings(cell: str) -> list[str | None]:
    """What a cell of the table of modes stands for."""
    everything: dict[str, list[str | None]] = {"any": ["relay", "local", "reject", None]}
    return everything.get(cell) or [word.strip("` ").replace("null", "") or None for word in cell.split(",")]


MODES = [
    (own, other, row[2])
    for row in table("Bob's")
    for own, other in product(settings(row[0]), settings(row[1]))
]


def test_the_table_of_modes_is_whole() -> None:
    assert len({(own, other) for own, other, _ in MODES}) == len(MODES) == 16


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize(("own", "other", "told"), MODES)
def test_who_decides(own: str | None, other: str | None, told: str, knows: bool) -> None:
    lab = Lab(trunks={"bob": trunk("bob", refer=own), "alice": trunk("alice", refer=other)})
    alice, bob, carol = lab.cast("alice", "bob", "carol")
    alice.allow = alice.allow if knows else alice.allow.replace(", REFER", "")
    lab.talking("alice", "bob")
    referral = bob.refers(alice, to=carol)
    if "Allow" in told:
        told = "relay" if knows else "local"
    assert told == ("603" if referral.answered == 603 else "relay" if alice.all("REFER") else "local")
    lab.finish()


OUTCOMES = {
    int(status): (words(row[1])[0], words(row[2])[0], row[3])
    for row in table("what the new call got")
    for status in re.findall(r"\b[4-6]\d\d\b", row[0])
}
OUTCOMES |= {status: ("failed", "failed", "yes") for status in (403, 488, 500, 606)}  # any other


@pytest.mark.parametrize("mode", ["relay", "local"])
@pytest.mark.parametrize("status", OUTCOMES)
def test_outcome(status: int, mode: str) -> None:
    lab, alice, bob, carol = cast(mode)
    bob.refers(alice, to=carol, then=STAYS)
    carol.refuses(status)
    (transfer,) = transfers(lab)
    found = transfer.attributes
    assert OUTCOMES[status] == (
        found["sip.transfer.outcome"],
        found["sip.transfer.stage"],
        "yes" if transfer.failed else "no",
    )
    assert found.get("error.type") == (str(status) if transfer.failed else None)
    still_talking(alice, bob)
    lab.finish()


def test_the_words_are_those_of_the_code() -> None:
    said = {word for row in table("what the new call got") for word in words(row[1])}
    (meant,) = (row.text for row in ROWS if row.name == "sip.transfer.outcome")
    assert said == set(words(meant))
    assert {row[0].strip("`") for row in table("attribute")} <= {row.name for row in ROWS}


@pytest.mark.parametrize("row", table("counter"), ids=lambda row: row[0].strip("`"))
def test_counter(row: list[str]) -> None:
    (name,) = words(row[0])
    assert f'"{name}"' in CORE
    if name == "refer_carriers":
        assert all(f'"{kind}"' in CORE for kind in words(row[2]))


def test_what_is_counted_of_a_transfer() -> None:
    lab, _ = attended("relay")
    kinds = {fact.which for fact in lab.facts_of(Counted) if fact.what == "refer_carriers"}
    (row,) = (row for row in table("counter") if row[0] == "`refer_carriers`")
    assert kinds == set(words(row[2])) - {"uri-header", "connection"}
    assert [fact.which for fact in lab.facts_of(Counted) if fact.what == "transfers"] == ["completed"]
    assert len(lab.facts_of(TransferBegan)) == 1
    lab.finish()
