"""The table of span attributes in docs/telemetry.md, made from `sipproxy/telemetry/attributes.py`.

python tools/telemetry_reference.py            print the table
python tools/telemetry_reference.py --write    put it into the page, between its two marks
python tools/telemetry_reference.py --check    exit code 1 where the page does not have it
"""

from __future__ import annotations

import sys

from sipproxy.telemetry.attributes import ROWS, Masking, Place, Row
from tools.page_part import DOCS, main

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


def _row(row: Row) -> str:
    places = ", ".join(place for place in Place if place in row.places)
    cells = (f"`{row.name}`", _TYPES[row.type], places, row.text, _MASKED[row.masking])
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    sys.exit(main("telemetry_reference.py", DOCS / "telemetry.md", table))
