"""Looking at a store's version must not cost SQLite its locks."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sipproxy.store.version import version_of


def test_a_look_at_the_file_leaves_its_locks_alone(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    sql = sqlite3.connect(file, isolation_level=None)
    sql.execute("PRAGMA journal_mode = WAL")
    sql.execute("CREATE TABLE calls (number INTEGER PRIMARY KEY)")
    number = str(file.stat().st_ino)

    def locks() -> list[str]:
        lines = Path("/proc/locks").read_text().splitlines()
        return [line for line in lines if f":{number} " in line and f" {os.getpid()} " in line]

    before = locks()
    assert before
    assert version_of(file) == 0  # none of ours
    assert len(locks()) == len(before)
    sql.close()
