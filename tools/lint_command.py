"""The command line of the lints: files to look at, their faults line by line, 1 where there is one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from tools.located_yaml import Fault


def command_line(description: str, *usual: str) -> argparse.ArgumentParser:
    """FILE ...; one has to be named, unless there are `usual` ones."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "files", nargs="*" if usual else "+", type=Path, metavar="FILE", default=[*map(Path, usual)]
    )
    return parser


def tell(lint: Callable[[Path], list[Fault]], files: Iterable[Path]) -> int:
    """Print what it finds in each; the exit code."""
    found = [fault for file in files for fault in lint(file)]
    for fault in found:
        print(fault)
    return 1 if found else 0
