"""The folder of the store: where it is, who may write there, and the key its Call-IDs are hashed with.

store.db    spans, messages, calls, what is to be exported; -wal and -shm beside it are SQLite's
key         32 random bytes, for CallKeys
lock        locked by the signalling process for as long as it lives
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..telemetry.logs import Log
from . import StoreError
from .settings import StoreSettings
from .version import version_of

FILE, KEY, LOCK = "store.db", "key", "lock"
_KEY_BYTES = 32


class Place:
    """The signalling process opens it and holds its lock; others are given `folder` and `key`."""

    def __init__(self, folder: Path, key: bytes, *, temporary: bool = False, lock: int | None = None) -> None:
        self.folder = folder
        self.key = key
        self.temporary = temporary
        self.file = folder / FILE
        self._lock = lock  # file descriptor

    @classmethod
    def open(cls, settings: StoreSettings, log: Log, environment: Mapping[str, str] = os.environ) -> Place:
        """Take the folder. If that cannot be: one warning, and a temporary one."""
        folder = folder_of(settings, environment)
        try:
            return cls._taken(folder, log)
        except (OSError, StoreError) as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            temporary = Path(tempfile.mkdtemp(prefix="sipproxy-"))
            log.warning(
                "store: temporary",
                hint="the folder cannot be used; what is stored now goes when the proxy ends",
                folder=str(folder),
                reason=reason,
                instead=str(temporary),
            )
            return cls(temporary, secrets.token_bytes(_KEY_BYTES), temporary=True)

    @classmethod
    def find(cls, settings: StoreSettings, environment: Mapping[str, str] = os.environ) -> Place | None:
        """The folder of a proxy that may not run, to read from; None where there is no store."""
        folder = folder_of(settings, environment)
        try:
            key = (folder / KEY).read_bytes()
        except OSError:
            return None
        return cls(folder, key) if (folder / FILE).exists() else None

    @classmethod
    def _taken(cls, folder: Path, log: Log) -> Place:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError("another sipproxy uses it") from None
            version_of(folder / FILE)
            _try_to_write(folder)
            return cls(folder, _key(folder, log), lock=lock)
        except BaseException:
            os.close(lock)
            raise

    def restore(self) -> None:
        """Make the folder again, if somebody has removed it while it is used."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.folder / KEY).exists():
            _write_key(self.folder / KEY, self.key)

    def close(self) -> None:
        """Let go of the folder; a temporary one is removed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)


def folder_of(settings: StoreSettings, environment: Mapping[str, str]) -> Path:
    """As configured, else where systemd says, else where desktop programs keep their state."""
    if settings.path:
        return Path(settings.path)
    if folders := environment.get("STATE_DIRECTORY"):
        return Path(folders.split(":")[0])
    home = environment.get("XDG_STATE_HOME", "")  # to be ignored unless absolute, says the specification
    state = Path(home) if home.startswith("/") else Path(environment.get("HOME", "/")) / ".local" / "state"
    return state / "sipproxy"


def _try_to_write(folder: Path) -> None:
    """Root may write anywhere but on what is mounted read-only; others may own nothing here."""
    if (file := folder / FILE).exists():
        with file.open("r+b"):
            pass
    with tempfile.TemporaryFile(dir=folder):
        pass


def _key(folder: Path, log: Log) -> bytes:
    """The key, made where there is none."""
    file = folder / KEY
    try:
        key = file.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) == _KEY_BYTES:
        return key
    if key or (folder / FILE).exists():
        log.warning(
            "store: key replaced",
            hint="it was damaged or missing; old calls are not found by Call-ID any more",
            file=str(file),
        )
    key = secrets.token_bytes(_KEY_BYTES)
    _write_key(file, key)
    return key


def _write_key(file: Path, key: bytes) -> None:
    new = file.with_name(f"{KEY}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as opened:
        opened.write(key)
        opened.flush()
        os.fsync(descriptor)
    new.replace(file)
