"""The tools that make parts of docs/ from the code: what they read, and what they refuse."""

from __future__ import annotations

import pytest

from sipproxy.b2bua.settings import TrunkSettings
from sipproxy.config import Settings
from sipproxy.settings_index import settings_of
from tests.support.pages import DOCS, words
from tools import configuration_reference
from tools.commented_yaml import comments
from tools.page_part import page_with

COMMENTED = """\
# Of the file.

# Neighbours by name.
# At least one.
trunks:
  sbc:
    address: "a#b" # where it is; see
                   # below
    # What becomes
    #   reject   of it
    refer: null
  other: {address: b, refer: local} # a line in braces
listen: [a, b]
"""


def test_a_comment_belongs_to_the_key_beside_it_or_below_it() -> None:
    assert comments(COMMENTED) == {
        ("trunks",): ["Neighbours by name.", "At least one."],
        ("trunks", "sbc", "address"): ["where it is; see", "below"],
        ("trunks", "sbc", "refer"): ["What becomes", "  reject   of it"],
        ("trunks", "other"): ["a line in braces"],
    }


def test_a_key_without_a_meaning_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration_reference, "_commented", lambda _: [])
    monkeypatch.setattr(configuration_reference, "_beside", lambda *_: "")
    with pytest.raises(ValueError, match=r"^listen: no comment in config/sipproxy.yaml"):
        configuration_reference.tables()


def test_every_key_has_a_row() -> None:
    rows = [line.split(" | ")[0] for line in (DOCS / "configuration.md").read_text().splitlines()]
    shown = {word for row in rows if row.startswith("| `") for word in words(row)}

    def keys(section: type) -> set[str]:
        own = settings_of(section)
        return set(own).union(*(keys(setting.section) for setting in own.values() if setting.section))

    assert shown == keys(Settings)
    assert set(settings_of(TrunkSettings)) < shown


def test_bounds_and_defaults_are_those_of_the_code() -> None:
    made = configuration_reference.tables()
    for row in (
        "| `ring_s` | number, more than 0, up to 3,600 | `180` |",
        "| `refer` | `relay`, `local`, `reject` | none |",
        "| `to` | list of text | required |",
        "| `endpoint` | text | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`, else",
    ):
        assert row in made


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the marks around what x\.py makes are missing"):
        page_with("# A page\n", "x.py", "part")
