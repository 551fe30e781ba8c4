"""Compile the core with mypyc into a copy of the package: `.compiled/sipproxy`.

    python tools/compile_core.py
    PYTHONPATH=.compiled python -m sipproxy run

The sources stay as they are, and stay what an editor, a debugger and `make test` see. Nothing is done where
nothing has changed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "sipproxy"
TARGET = ROOT / ".compiled"
CORE = ("sip", "propagation", "b2bua")  # no I/O, no clock: what mypyc is for
# Of the shell, what runs for every call.
HOT = ["net/driver.py", "net/tap.py"]
HOT += [f"telemetry/{name}.py" for name in ("record", "parcel", "describe", "ending", "spans", "encode")]
HOT += [f"telemetry/{name}.py" for name in ("histogram", "tally", "figures", "meter")]
INTERPRETED = "settings.py"  # pydantic looks inside these classes, and they are read once
MARK = "sources.sha256"


def main() -> int:
    """Give mypyc's exit code."""
    digest = _digest()
    mark = TARGET / MARK
    if mark.is_file() and mark.read_text() == digest:
        print(f"{TARGET.name} is up to date")
        return 0
    shutil.rmtree(TARGET, ignore_errors=True)
    shutil.copytree(SOURCE, TARGET / "sipproxy", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    files = ["sipproxy/errors.py"]
    for layer in CORE:
        paths = (TARGET / "sipproxy" / layer).glob("*.py")
        files += sorted(str(path.relative_to(TARGET)) for path in paths if path.name != INTERPRETED)
    files += [f"sipproxy/{name}" for name in HOT]
    print(f"compiling {len(files)} modules", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "mypyc", *files], cwd=TARGET, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        return done.returncode
    shutil.rmtree(TARGET / "build", ignore_errors=True)
    mark.write_text(digest)
    return 0


def _digest() -> str:
    found = hashlib.sha256(sys.version.encode())
    for path in sorted(SOURCE.rglob("*.py")):
        found.update(str(path.relative_to(SOURCE)).encode())
        found.update(path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
