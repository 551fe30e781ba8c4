"""A part of a page in docs/ that is made from the code: it stands between two marks.

A tool with such a part calls `main`, and so understands

    TOOL            print the part
    TOOL --write    put it into the page, between its marks
    TOOL --check    exit code 1 where the page does not have it
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def begin(tool: str) -> str:
    """The mark before the part that a tool makes."""
    return f"<!-- made by tools/{tool}: begin -->"


def end(tool: str) -> str:
    """The mark behind it."""
    return f"<!-- made by tools/{tool}: end -->"


def page_with(text: str, tool: str, part: str) -> str:
    """The page's text with the part between its marks. Raises ValueError where these are missing."""
    before, first, rest = text.partition(begin(tool))
    _, last, after = rest.partition(end(tool))
    if not first or not last:
        raise ValueError(f"the marks around what {tool} makes are missing")
    return f"{before}{first}\n\n{part}\n{last}{after}"


def main(tool: str, page: Path, make: Callable[[], str], arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    name = f"docs/{page.relative_to(DOCS)}"
    parser = argparse.ArgumentParser(prog=tool, description=f"The part of {name} that comes from the code.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", action="store_true", help=f"put it into {name}")
    choice.add_argument("--check", action="store_true", help="fail where it is not there")
    options = parser.parse_args(arguments)
    part = make()
    if not options.write and not options.check:
        print(part, end="")
        return 0
    old = page.read_text("utf-8")
    new = page_with(old, tool, part)
    if options.write:
        page.write_text(new, "utf-8")
    elif new != old:
        print(f"{name} is not up to date: run tools/{tool} --write", file=sys.stderr)
        return 1
    return 0
