"""The table of span attributes in docs/telemetry.md, made from `sipproxy/telemetry/attributes.py`.

python tools/telemetry_reference.py            print the table
python tools/telemetry_reference.py --write    put it into the page, between its two marks
python tools/telemetry_reference.py --check    exit code 1 where the page does not have it
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sipproxy.telemetry.attributes import ROWS, Masking, Place, Row

PAGE = Path(__file__).parent.parent / "docs/telemetry.md"
BEGIN = "<!-- made by tools/telemetry_reference.py: begin -->"
END = "<!-- made by tools/telemetry_reference.py: end -->"

_TYPES = {str: "string", int: "integer", float: "double", bool: "boolean"}  # OTLP's words
_MASKED = {
    Masking.NONE: "",
    Masking.USER: "user",
    Masking.ID: "id",
    Masking.TEXT: "text",
    Masking.REFERENCE: "reference",
}


def table() -> str:
    """All attributes, a row each, in the order of the code."""
    head = "| attribute | type | stands on | value | masked as |\n|---|---|---|---|---|\n"
    return head + "".join(_row(row) for row in ROWS)


def page_with(text: str, made: str) -> str:
    """The page's text with the table between its marks. Raises ValueError where these are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name}: the marks around the table are missing")
    return f"{before}{BEGIN}\n\n{made}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="The table of span attributes, from the code.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", action="store_true", help=f"put it into docs/{PAGE.name}")
    choice.add_argument("--check", action="store_true", help="fail where it is not there")
    options = parser.parse_args(arguments)
    if not options.write and not options.check:
        print(table(), end="")
        return 0
    old = PAGE.read_text()
    new = page_with(old, table())
    if options.write:
        PAGE.write_text(new)
    elif new != old:
        print(
            f"docs/{PAGE.name} is not up to date: run tools/telemetry_reference.py --write", file=sys.stderr
        )
        return 1
    return 0


def _row(row: Row) -> str:
    places = ", ".join(place for place in Place if place in row.places)
    cells = (f"`{row.name}`", _TYPES[row.type], places, row.text, _MASKED[row.masking])
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    sys.exit(main())
