"""docs/peers: each page has the same sections and asks the same questions, each statement says how we know,
and the index tells the same as the pages.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sipproxy import config
from tests.support.pages import DOCS, blocks, section, table, words

FOLDER = DOCS / "peers"
INDEX = (FOLDER / "README.md").read_text()
PEERS = sorted(page for page in FOLDER.glob("*.md") if page.name != "README.md")
SECTIONS = ["What passes", "What to switch on", "What to set here", "Prove it", "Sources"]
MARKS = {row[0].partition(" ")[0] for row in table(INDEX, "mark")}
QUESTIONS = [row[0] for row in table(PEERS[0].read_text(), "part of the message")]

_MARK = r"(?:(?:documentation|source|issue) \d+(?:, \d+)*|run|assumed|sipproxy)"
_MARKS = re.compile(rf"{_MARK}(?:[,;] {_MARK})*")


@pytest.fixture(params=PEERS, ids=lambda page: page.stem)
def page(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def items(text: str) -> list[str]:
    """The items of all lists, each as one line."""
    found = re.findall(r"^- (.*(?:\n  .*)*)", text, re.MULTILINE)
    return [" ".join(item.split()) for item in found]


def test_sections(page: Path) -> None:
    assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == SECTIONS


def test_questions(page: Path) -> None:
    assert [row[0] for row in table(page.read_text(), "part of the message")] == QUESTIONS


def test_each_statement_says_how_it_is_known(page: Path) -> None:
    text = page.read_text()
    marks = [row[2] for row in table(text, "part of the message")]
    for heading in ("What to switch on", "What to set here"):
        for item in items(section(text, f"## {heading}")):
            ending = re.search(r"\(([^()]*)\)$", item)
            assert ending, item
            marks.append(ending[1])
    assert [mark for mark in marks if not _MARKS.fullmatch(mark)] == []
    assert {word for mark in marks for word in re.findall(r"[a-z]+", mark)} <= MARKS


def test_sources_are_there_and_used(page: Path) -> None:
    text = page.read_text()
    listed = re.findall(r"^(\d+)\. \S", section(text, "## Sources"), re.MULTILINE)
    assert listed == [str(number) for number in range(1, len(listed) + 1)]
    above = text.partition("\n## Sources\n")[0]
    named = re.findall(r"\b(?:documentation|source|issue) (\d+(?:, \d+)*)", above)
    assert {number for each in named for number in each.split(", ")} == set(listed)


def test_what_was_not_run_says_so(page: Path) -> None:
    """A reader sees at the top whether anybody has tried it."""
    text = page.read_text()
    intro = " ".join(text.partition("\n## ")[0].split())
    was_run = any(re.search(r"\brun\b", row[2]) for row in table(text, "part of the message"))
    assert ("othing on this page was run" in intro) != was_run


def test_the_index_says_the_same(page: Path, tmp_path: Path) -> None:
    (row,) = [row for row in table(INDEX, "peer") if f"({page.name})" in row[0]]
    (block,) = [block for block in blocks(page) if block.language == "yaml"]
    file = tmp_path / "sipproxy.yaml"
    file.write_text(block.text)
    trunk = next(iter(config.load(file).trunks.values()))
    begin = words(row[3])
    assert f"refer: {trunk.refer}" in begin
    for setting in begin:
        if setting.startswith("accept"):
            assert setting == f"accept: {trunk.trace.accept}"
        if setting.startswith("send"):
            first = re.findall(r"[\w-]+", setting.partition(":")[2])
            assert [str(name) for name in trunk.trace.send][: len(first)] == first
    title = re.findall(r"^# (.*)$", page.read_text(), re.MULTILINE)[0]
    assert re.findall(r"\[([^]]*)\]", row[0])[0].split()[0] in title
    assert (row[4] == "yes") == ("othing on this page was run" not in page.read_text().replace("\n", " "))


def test_each_proves_it_with_the_probe(page: Path) -> None:
    below = section(page.read_text(), "## Prove it")
    assert "$ sipproxy probe " in below
    assert "Expected:" in below
