"""The documentation site: it builds without a warning, its links hold, it loads nothing from elsewhere, and
what is made from the code is up to date.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest
import yaml
from playwright.sync_api import expect, sync_playwright

from tests.support.commands import ELSEWHERE, HELP
from tests.support.pages import DOCS, ROOT, anchors, links, pages, prose

MADE_OF_THE_CODE = ("telemetry_reference.py", "configuration_reference.py")
LONGEST_LINE = 140
PATIENCE_MS = 20_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "tools/docs_site.py", "--into", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (built.returncode, built.stderr) == (0, "")
    return folder


class Seen(HTMLParser):
    """What a built page links to, what it loads, and where one can link to in it."""

    _LOADS = ("stylesheet", "icon", "preload", "preconnect", "modulepreload", "dns-prefetch", "manifest")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and any(word in given.get("rel", "") for word in self._LOADS):
            self.loads.append(given["href"])
        if tag == "form" and "action" in given:
            self.loads.append(given["action"])
        self.loads += [given[name] for name in ("src", "srcset", "data", "poster") if given.get(name)]


@pytest.fixture(scope="module")
def built(site: Path) -> dict[str, Seen]:
    """The pages of the site, by their path."""
    return {
        "/" + page.relative_to(site).as_posix().removesuffix("index.html"): Seen(page.read_text("utf-8"))
        for page in site.rglob("*.html")
    }


def test_every_page_is_there(built: dict[str, Seen]) -> None:
    for page in DOCS.rglob("*.md"):
        path = page.relative_to(DOCS).with_suffix("").as_posix() + "/"
        assert "/" + path.replace("README/", "") in built


def test_links_and_anchors_hold(built: dict[str, Seen], site: Path) -> None:
    broken = []
    for path, page in built.items():
        for link in page.links:
            target, anchor = urldefrag(unquote(urljoin(path, link)))
            if re.match(r"[a-z]+:", link):
                continue
            found = built.get(target)
            if found is None and not (site / target.removeprefix("/")).is_file():
                broken.append(f"{path}: {link}")
            elif found is not None and anchor and anchor not in found.ids:
                broken.append(f"{path}: {link}: no such heading")
    assert broken == []


def test_pages_load_nothing_from_elsewhere(built: dict[str, Seen], site: Path) -> None:
    loaded = [link for page in built.values() for link in page.loads]
    assert loaded
    assert [link for link in loaded if re.match(r"(?:[a-z]+:)?//", link)] == []
    for style in (path for path in site.rglob("*.css") if path.is_file()):
        named = re.findall(r"url\(['\"]?([^'\")]+)|@import ['\"]([^'\"]+)", style.read_text("utf-8"))
        assert [link for pair in named for link in pair if re.match(r"(?:https?:)?//", link)] == []


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true",
    reason="the site is looked at with Chromium (apt install chromium)",
)
def test_a_reader_searches_and_the_browser_asks_nobody_else(served: str) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(served)
        ready = page.locator(".md-search-result__meta")
        expect(ready).to_have_text("Type to start searching", timeout=PATIENCE_MS)
        page.get_by_role("textbox", name="Search").press_sequentially("transfer_anchor")  # it hears keys
        found = page.get_by_role("link").filter(has_text="transfer_anchor").first
        expect(found).to_be_visible(timeout=PATIENCE_MS)
        found.click()
        expect(page).not_to_have_url(served)
        expect(page.get_by_role("article")).to_contain_text("transfer_anchor")
        browser.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith((served, "data:", "blob:"))] == []


# Source and lists


@pytest.mark.parametrize("tool", MADE_OF_THE_CODE)
def test_what_is_made_of_the_code_is_up_to_date(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [tool, "--check"])
    with contextlib.redirect_stderr(io.StringIO()) as told, pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "tools" / tool), run_name="__main__")
    assert (ended.value.code, told.getvalue()) == (0, "")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_hold_in_the_repository_too(page: Path) -> None:
    """Where they are read without the site."""
    for target in links(page):
        if not re.match(r"[a-z]+:", target):
            path, _, heading = target.partition("#")
            place = page.parent / path if path else page
            assert place.exists(), target
            assert not heading or heading in anchors(place), target


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_form(page: Path) -> None:
    """What one renderer of Markdown takes for a list or a table, and another does not."""
    text = prose(page)
    lines = text.splitlines()
    assert re.findall(r"^# ", text, re.MULTILINE) == ["# "], "one title"
    for number, line in enumerate(lines, 1):
        where = f"{page.name}:{number}: {line}"
        before = lines[number - 2] if number > 1 else ""
        is_text = re.match(r"(?![-*|#>] ?|\d+\. )\S", before) is not None
        assert len(line) <= LONGEST_LINE or line.startswith("|") or re.search(r"\]\(|https?://", line), where
        assert not (re.match(r"([-*]|\d+\.) ", line) and is_text), f"{where} (a list needs a blank line)"
        assert not (line.startswith("|") and is_text), f"{where} (a table needs a blank line before it)"
        assert not re.match(r" {1,3}[-*] ", line), f"{where} (lists in lists go in by four)"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_stand_in_fences(page: Path) -> None:
    """Where tests/test_docs_blocks.py tries them."""
    for line in prose(page).splitlines():
        first = re.match(r"    (?:\$ )?([\w-]+) ", line)
        assert first is None or first[1] not in {*ELSEWHERE, *HELP}, line


def test_the_index_names_every_page() -> None:
    named = {(DOCS / target.partition("#")[0]).resolve() for target in links(DOCS / "README.md")}
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or page in named, page.name
    assert DOCS / "peers/README.md" in named
    assert DOCS / "decisions/README.md" in named
    decisions = {(DOCS / "decisions" / target).resolve() for target in links(DOCS / "decisions/README.md")}
    assert decisions >= {*(DOCS / "decisions").glob("[0-9]*.md")}


def test_the_site_asks_for_its_warnings() -> None:
    """So that "no warnings" means something."""
    text = re.sub(r"!!python/\S+", "", (ROOT / "mkdocs.yml").read_text("utf-8"))
    validation = yaml.safe_load(text)["validation"]
    assert {word for part in validation.values() for word in part.values()} == {"warn"}
