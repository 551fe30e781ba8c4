"""The version of a store file, read without SQLite: a file that is not for us must not even be opened."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from . import StoreError

VERSION = 1
APPLICATION = 0x53504B31  # what `file` and SQLite tell ours by: "SPK1"

_HEADER = 100  # bytes, as SQLite's documentation of its format has them
_MAGIC = b"SQLite format 3\x00"
_USER_VERSION, _APPLICATION_ID = 60, 68


# A process that closes any descriptor of a file loses all locks that it has on it, SQLite's too (POSIX; "How
# To Corrupt An SQLite Database File", 2.2). So these stay open: one for each file, of which there are few.
_descriptors: dict[tuple[int, int], int] = {}
_MOST = 256
_lock = threading.Lock()


def _descriptor(file: Path) -> int:
    with _lock:
        status = os.stat(file)
        key = status.st_dev, status.st_ino
        if key not in _descriptors:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(descriptor)  # it may be another file by now
            key = status.st_dev, status.st_ino
            _descriptors.setdefault(key, descriptor)
            if len(_descriptors) > _MOST:
                os.close(_descriptors.pop(next(iter(_descriptors))))
        return _descriptors[key]


def version_of(file: Path) -> int:
    """0: there is no store yet, or it is none of ours. Raises StoreError where a newer sipproxy made it."""
    version = _version(file)
    if version > VERSION:
        raise StoreError(f"a newer sipproxy made it (version {version} of the store, ours is {VERSION})")
    return version


def _version(file: Path) -> int:
    try:
        header = os.pread(_descriptor(file), _HEADER, 0)
    except FileNotFoundError:
        return 0
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        return 0
    if int.from_bytes(header[_APPLICATION_ID : _APPLICATION_ID + 4]) != APPLICATION:
        return 0
    return int.from_bytes(header[_USER_VERSION : _USER_VERSION + 4])
