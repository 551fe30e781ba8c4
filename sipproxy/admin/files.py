"""The page's files, read once: what was not there at the start cannot be asked for."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from .answers import Answer, Asked

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".woff2": "font/woff2",
}
_DEEPEST = 4
_INDEX = "/index.html"


class Page:
    """Answers for the paths of the folder's files; `/` is its index."""

    def __init__(self, folder: Traversable) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}  # path to content, type, ETag
        self._packed: dict[str, bytes] = {}  # the same, gzip
        for path, file in _files(folder, "", 0):
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
            self._files[path] = content, _TYPES[PurePosixPath(path).suffix], tag
            self._packed[path] = gzip.compress(content, 9, mtime=0)
        if _INDEX in self._files:
            self._files["/"], self._packed["/"] = self._files[_INDEX], self._packed[_INDEX]

    def __contains__(self, path: str) -> bool:
        return path in self._files

    def answer(self, asked: Asked) -> Answer:
        """The file, or that it has not changed."""
        content, kind, tag = self._files[asked.path]
        known = [one.strip().removeprefix("W/") for one in asked.headers.get("If-None-Match", "").split(",")]
        headers = {"ETag": tag, "Vary": "Accept-Encoding"}
        if tag in known or "*" in known:
            return Answer(b"", 304, kind, headers)
        if _takes_gzip(asked.headers.get("Accept-Encoding", "")):
            return Answer(self._packed[asked.path], 200, kind, {**headers, "Content-Encoding": "gzip"})
        return Answer(content, 200, kind, headers)


def _takes_gzip(accepted: str) -> bool:
    """Whether that is among what the browser takes, and not with a weight of 0."""
    for one in accepted.lower().split(","):
        name, _, weight = one.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False


def _files(folder: Traversable, base: str, depth: int) -> Iterator[tuple[str, Traversable]]:
    if not folder.is_dir():
        return
    for item in folder.iterdir():
        path = f"{base}/{item.name}"
        if item.is_dir():
            if depth < _DEEPEST:
                yield from _files(item, path, depth + 1)
        elif PurePosixPath(item.name).suffix in _TYPES and not item.name.startswith("."):
            yield path, item
