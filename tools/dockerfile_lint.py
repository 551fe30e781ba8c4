"""Faults in a Dockerfile: images without a version, root at the end, a health check that needs a shell.

python tools/dockerfile_lint.py [FILE ...]     exit code 1 where there is one
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.lint_command import command_line, tell
from tools.located_yaml import Fault

PINNED = re.compile(r"[^:@\s]+:v?\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?")


def instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, word and the rest, of each; continued lines are one."""
    rows = text.splitlines()
    at = 0
    while at < len(rows):
        line, row = at + 1, rows[at].strip()
        while row.endswith("\\") and at + 1 < len(rows):
            at += 1
            row = f"{row[:-1].rstrip()} {rows[at].strip()}"
        at += 1
        if row and not row.startswith("#"):
            word, _, rest = row.partition(" ")
            yield line, word.upper(), rest.strip()


def base(text: str) -> str:
    """The image that the last stage stands on."""
    stages = [rest.split()[0] for _, word, rest in instructions(text) if word == "FROM"]
    return stages[-1] if stages else ""


def lint(file: Path, *, name: str | None = None) -> list[Fault]:
    """All faults of a file, in the order of its lines."""
    text = file.read_text("utf-8")
    shown = name or str(file)
    found: list[Fault] = []
    stages: set[str] = set()
    user, last = "root", 1
    for line, word, rest in instructions(text):
        if word == "FROM":
            image, *more = rest.split()
            if image not in stages and not PINNED.fullmatch(image):
                found.append(Fault(shown, line, f"{image}: no version, so it is another one tomorrow"))
            if [one.upper() for one in more[:1]] == ["AS"]:
                stages.add(more[1])
            user, last = "root", line
        elif word == "USER":
            user, last = rest.partition(":")[0], line
        elif word in ("ENTRYPOINT", "CMD") and not _is_list(rest):
            found.append(Fault(shown, line, f"{word} in a shell, which does not hand SIGTERM on: a list"))
        elif word == "HEALTHCHECK" and not _is_list(rest.partition("CMD")[2]):
            found.append(Fault(shown, line, "HEALTHCHECK in a shell: CMD and a list"))
    if user in ("root", "0"):
        found.append(Fault(shown, last, "it runs as root"))
    return sorted(found)


def _is_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except json.JSONDecodeError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the faults of the named files."""
    parser = command_line("Find faults in Dockerfiles.", "Dockerfile")
    return tell(lint, parser.parse_args(arguments).files)


if __name__ == "__main__":
    sys.exit(main())
