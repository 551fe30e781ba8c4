"""What MkDocs is told beyond mkdocs.yml: pages of files that stand outside docs/, and the list of decisions.

Pages link to config/sipproxy.yaml, the README or an example as one does in a repository. On the site each
such file is a page below repository/, and links lead there: Markdown as it is, other text as a block of code,
a folder as the list of its files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "repository"
_LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
_LANGUAGES = {
    **{
        "yaml": "yaml",
        "yml": "yaml",
        "py": "python",
        "js": "javascript",
        "mjs": "javascript",
        "json": "json",
    },
    **{"toml": "toml", "html": "html", "css": "css", "sh": "bash", "service": "ini", "xml": "xml", "csv": ""},
    **{"conf": "", "cfg": "", "local": "", "list": "", "txt": "", "": ""},
}
_NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"  # who searches wants the pages that explain
_LEFT_OUT = {"__pycache__", "node_modules"}
_LONGEST_PAGE = 100_000  # bytes; what is longer, such as a dashboard, is a file to fetch

_paths: dict[str, str] = {}  # page of the site -> its path in the repository


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision behind the index of them."""
    (section,) = (item["Decisions"] for item in config.nav or [] if "Decisions" in item)
    files = sorted(Path(config.docs_dir, "decisions").glob("[0-9]*.md"))
    section.extend(f"decisions/{file.name}" for file in files)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file outside docs/ that a page links to, and for those that these link to."""
    _paths.clear()
    _paths.update((page.src_uri, f"docs/{page.src_uri}") for page in files.documentation_pages())
    waiting = [target for page in [*files.documentation_pages()] for target in _outside(page)]
    while waiting:
        path = waiting.pop()
        place = _place(path)
        if place in _paths:
            continue
        _paths[place] = f"{path}/" if (ROOT / path).is_dir() else path
        if place.endswith(".md"):
            file = File.generated(config, place, content=_NOT_SEARCHED + _page(ROOT / path))
        else:
            file = File.generated(config, place, abs_src_path=str(ROOT / path))
        files.append(file)
        if place.endswith(".md"):
            waiting += _outside(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to these pages."""
    here = page.file.src_uri

    def turned(link: re.Match[str]) -> str:
        path = _target(_paths[here], link[1])
        if path is None:
            return link[0]
        place = path.removeprefix("docs/") if path.startswith("docs/") else _place(path)
        return f"]({posixpath.relpath(place, posixpath.dirname(here))}{link[2] or ''})"

    return _LINK.sub(turned, markdown)


def _outside(page: File) -> Iterator[str]:
    """The paths outside docs/ that a page links to."""
    for link in _LINK.finditer(page.content_string):
        path = _target(_paths[page.src_uri], link[1])
        if path is not None and not path.startswith("docs/"):
            yield path


def _target(path: str, link: str) -> str | None:
    """Where a link leads within the repository; None if it leads to another site, or nowhere."""
    if ":" in link.partition("/")[0]:
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return None if target.startswith("../") or not (ROOT / target).exists() else target


def _place(path: str) -> str:
    """Where the site has it."""
    file = ROOT / path
    if file.is_dir():
        return f"{PREFIX}/{path}/index.md"
    if path.endswith(".md"):
        return f"{PREFIX}/{path}"
    if file.suffix.removeprefix(".") not in _LANGUAGES or file.stat().st_size > _LONGEST_PAGE:
        return f"{PREFIX}/{path}"
    name = path.removesuffix(".html") + "-html" if path.endswith(".html") else path  # no folder index.html
    return f"{PREFIX}/{name}.md"


def _is_left_out(part: str) -> bool:
    return part.startswith(".") or part in _LEFT_OUT


def _page(file: Path) -> str:
    if file.suffix == ".md":
        return file.read_text("utf-8")
    path = file.relative_to(ROOT)
    if file.is_dir():
        found = sorted(each.relative_to(file) for each in file.rglob("*") if each.is_file())
        shown = (each for each in found if not any(_is_left_out(part) for part in each.parts))
        names = [each.as_posix() for each in shown]
        return f"# {path}/\n\n" + "".join(f"- [`{name}`]({name})\n" for name in names)
    fence = "~~~~"
    language = _LANGUAGES[file.suffix.removeprefix(".")]
    return f"# {path}\n\n{fence}{language}\n{file.read_text('utf-8')}{fence}\n"
