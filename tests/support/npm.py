"""The npm packages of the examples, kept between runs in a folder of the project that git does not see."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from .programs import require
from .proxy import ROOT

_CACHE = ROOT / ".npm"
_NPM_S = 240


def installed(example: Path) -> Path:
    """The node_modules of an example: made by npm when its lock file is another one than last time."""
    npm = require("npm", "npm")
    files = [example / name for name in ("package.json", "package-lock.json")]
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    folder = _CACHE / example.name
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "node_modules/.done"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be at it
        if not done.exists() or done.read_text() != wanted:
            for file in files:
                shutil.copy(file, folder)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            ran = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_NPM_S, check=False
            )
            assert ran.returncode == 0, ran.stderr
            done.write_text(wanted)
    return done.parent
