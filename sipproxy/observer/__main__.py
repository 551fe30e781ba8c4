"""What the supervisor starts. It steps back before it loads anything: calls come first."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

NICE = 5
OOM_SCORE = "300"  # where memory runs out, we go rather than the calls


def main() -> int:
    """Serve the worker at the other end of the socket whose number is the argument."""
    os.nice(NICE)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(OOM_SCORE)
    from .process import run  # this takes most of a second

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
