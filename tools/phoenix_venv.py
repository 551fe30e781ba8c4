"""A virtual environment with arize-phoenix, the foreign OTLP back end of tests/system/test_phoenix.py.

    python tools/phoenix_venv.py        # prints the path of its interpreter

It is made once in `.venv-phoenix` (600 MB), apart from the proxy's: Phoenix wants other versions of much.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-phoenix"
VERSION = "20.26.1"
MARK = FOLDER / ".ready"


def interpreter() -> Path:
    """That of the environment, which is made if need be. Raises CalledProcessError where that fails."""
    python = FOLDER / "bin" / "python"
    wanted = f"arize-phoenix {VERSION}, Python {sys.version}"
    if MARK.is_file() and MARK.read_text() == wanted and os.access(python, os.X_OK):
        return python
    shutil.rmtree(FOLDER, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(FOLDER))
    _run(
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        f"arize-phoenix=={VERSION}",
    )
    (FOLDER / ".gitignore").write_text("*\n")
    MARK.write_text(wanted)
    return python


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    print(interpreter())
