"""The Markdown pages of the project, read by the tests that hold them to the truth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"


def pages() -> list[Path]:
    """The README, the changelog, and all of docs/."""
    return [README, ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


class Block(NamedTuple):
    """A fenced block."""

    page: str  # its path in the repository
    line: int  # of its first line
    language: str
    text: str

    @property
    def id(self) -> str:
        """For the name of a test."""
        return f"{self.page}:{self.line}"


_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[^\n`]*)\n", re.MULTILINE)


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, those in lists too."""
    text = page.read_text("utf-8")
    found: list[Block] = []
    at = 0
    while opened := _FENCE.search(text, at):
        indent = re.escape(opened["indent"])
        closed = re.compile(rf"^{indent}{opened['fence']} *$", re.MULTILINE).search(text, opened.end())
        if closed is None:
            raise AssertionError(f"{page}: a block that does not end: {opened[0]!r}")
        inner = re.sub(rf"^{indent}", "", text[opened.end() : closed.start()], flags=re.MULTILINE)
        line = text.count("\n", 0, opened.end()) + 1
        name = page.relative_to(ROOT).as_posix()
        found.append(Block(name, line, opened["language"].strip(), inner))
        at = closed.end()
    return found


def prose(page: Path) -> str:
    """A page's text without its fenced blocks, line for line."""
    lines = page.read_text("utf-8").splitlines()
    for block in blocks(page):
        height = block.text.count("\n")
        lines[block.line - 2 : block.line + height] = [""] * (height + 2)
    return "\n".join(lines) + "\n"


def words(text: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`\n]+)`", text)


def tables(text: str, title: str) -> list[list[list[str]]]:
    """The rows of each table whose first row begins so, as plain words."""
    found = re.findall(rf"^\| {re.escape(title)}.*\n\|[-:| ]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[_cells(row) for row in rows.splitlines()] for rows in found]


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))]


def table(text: str, title: str) -> list[list[str]]:
    """The rows of the only one."""
    (found,) = tables(text, title)
    return found


def section(text: str, heading: str) -> str:
    """What stands below a heading (`## Title`), until the next one."""
    return text.partition(f"\n{heading}\n")[2].partition("\n#")[0]


def anchors(page: Path) -> set[str]:
    """What a link can point to in a page, as GitHub and our site name it."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """The targets of all links of a page."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))
