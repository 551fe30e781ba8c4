"""The version of a store file, read without SQLite: a file that is not for us must not even be opened."""

from __future__ import annotations

from pathlib import Path

from . import StoreError

VERSION = 1
APPLICATION = 0x53504B31  # what `file` and SQLite tell ours by: "SPK1"

_HEADER = 100  # bytes, as SQLite's documentation of its format has them
_MAGIC = b"SQLite format 3\x00"
_USER_VERSION, _APPLICATION_ID = 60, 68


def version_of(file: Path) -> int:
    """0: there is no store yet, or it is none of ours. Raises StoreError where a newer sipproxy made it."""
    version = _version(file)
    if version > VERSION:
        raise StoreError(f"a newer sipproxy made it (version {version} of the store, ours is {VERSION})")
    return version


def _version(file: Path) -> int:
    try:
        with file.open("rb") as opened:
            header = opened.read(_HEADER)
    except FileNotFoundError:
        return 0
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        return 0
    if int.from_bytes(header[_APPLICATION_ID : _APPLICATION_ID + 4]) != APPLICATION:
        return 0
    return int.from_bytes(header[_USER_VERSION : _USER_VERSION + 4])
