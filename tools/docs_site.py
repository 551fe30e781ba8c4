"""Builds the documentation site, and fails at any warning: of MkDocs, of its theme, or of Python.

python tools/docs_site.py                into site/
python tools/docs_site.py --into FOLDER
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_USUAL = tuple(
    f"INFO    -  {words}" for words in ("Cleaning site", "Building documentation", "Documentation built")
)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--into", metavar="FOLDER", type=Path, default=ROOT / "site", help="none: site/")
    options = parser.parse_args()
    command = [sys.executable, "-W", "error", "-m", "mkdocs", "build", "--strict"]
    # The theme tells at each start until when it is maintained (May 2027); its pin says that we know.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        [*command, "--site-dir", str(options.into.resolve())],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    faults = [line for line in built.stdout.splitlines() if line and not line.startswith(_USUAL)]
    if faults or built.returncode:
        print(*faults, sep="\n", file=sys.stderr)
        return 1
    print(f"{options.into}: built")
    return 0


if __name__ == "__main__":
    sys.exit(main())
