"""The page's files, as they are and packed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from sipproxy.admin.answers import Asked
from sipproxy.admin.files import Page


@pytest.fixture
def page(tmp_path: Path) -> Page:
    (tmp_path / "index.html").write_text("<!doctype html>" + "x" * 1000)
    (tmp_path / ".hidden.js").write_text("secret")
    (tmp_path / "notes.txt").write_text("secret")
    return Page(tmp_path)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        *(("gzip, deflate, br", True), ("br;q=1, gzip;q=0.5", True), ("GZIP", True)),
        *(("", False), ("br", False), ("gzip;q=0", False), ("gzip; q=0.0", False), ("identity", False)),
    ],
)
def test_a_file_goes_packed_to_whoever_takes_that(page: Page, accepted: str, packed: bool) -> None:
    answer = page.answer(Asked("GET", "/", {"Accept-Encoding": accepted}))
    assert (answer.headers.get("Content-Encoding") == "gzip") is packed
    body = gzip.decompress(answer.body) if packed else answer.body
    assert body.startswith(b"<!doctype html>")
    assert len(body) == 1015
    assert answer.headers["Vary"] == "Accept-Encoding"


def test_what_is_no_file_of_a_page_is_not_there(page: Page) -> None:
    assert "/index.html" in page
    assert "/.hidden.js" not in page
    assert "/notes.txt" not in page
