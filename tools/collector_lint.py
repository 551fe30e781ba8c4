"""Faults in the configuration of an OpenTelemetry Collector that its own `validate` does not find.

python tools/collector_lint.py [--longest-call 14400] FILE ...     exit code 1 where there is one

`validate` decodes the file and wires it up; it starts nothing. So it is silent about a component that nothing
uses, an order that protects nothing, a path that will be there twice, a policy that cannot be made when the
processor starts. What it does find (unknown keys of a component, wrong types) is left to it.

Rules: collector_rules.py has those of components, order and addresses, collector_sampling.py those of tail
sampling and load balancing.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tools import collector_rules, collector_sampling
from tools.lint_command import command_line, tell
from tools.located_yaml import Document, Fault, Key, Plain, read

LONGEST_CALL_S = 14400  # sipproxy's trace.max_duration_s
_VARIABLE = re.compile(r"\$\$|\$\{(?:env:)?([A-Za-z_]\w*)(:-([^}]*))?\}|\$([A-Za-z_]\w*)")


def lint(
    file: Path,
    *,
    environment: Mapping[str, str] | None = None,
    longest_call_s: float = LONGEST_CALL_S,
    name: str | None = None,
) -> list[Fault]:
    """All faults of a file, in the order of its lines; `environment` is what the collector would have."""
    document = read(file, name)
    if isinstance(document.content, dict):
        document.content = _expanded(document, document.content, (), environment or {})
        collector_rules.check(document)
        collector_sampling.check(document, longest_call_s)
    elif not document.faults:
        document.fault("no mapping of receivers, exporters and so on")
    return sorted(set(document.faults))


def _expanded(
    document: Document, value: Plain, path: tuple[Key, ...], environment: Mapping[str, str]
) -> Plain:
    if isinstance(value, dict):
        return {key: _expanded(document, item, (*path, key), environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(document, item, (*path, at), environment) for at, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replaced(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        name = found[1] or found[4]
        if found[4]:
            document.fault(f"${name} stands for itself: write ${{env:{name}}}", *path)
            return found[0]
        if name not in environment and found[2] is None:
            reason = f"{name} is not set, and has no default: the collector would take an empty text"
            document.fault(reason, *path)
        return environment.get(name) or found[3] or ""

    return _VARIABLE.sub(replaced, value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the faults of the named files."""
    parser = command_line("Find what the collector's validate does not.")
    parser.add_argument(
        "--longest-call", type=float, default=LONGEST_CALL_S, metavar="S", help="seconds that a call may last"
    )
    options = parser.parse_args(arguments)
    looks = partial(lint, environment=os.environ, longest_call_s=options.longest_call)
    return tell(looks, options.files)


if __name__ == "__main__":
    sys.exit(main())
