"""Commands as pages show them: taken apart, and held against what the programs say of themselves.

    $ sipp -sn uas -p 5080      the options stand in `sipp -h`
    $ make setup                the target stands in the Makefile

A program that this machine lacks is skipped with a reason, and a failure under CI, unless it stands in
ELSEWHERE.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

from .pages import ROOT, Block

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
COMPOSE = (ROOT / "docker-compose.yml").read_text("utf-8")

# Programs that no package here brings, or that need a machine of their own, with what is checked instead.
ELSEWHERE = {
    "docker": "no engine here: the services are those of docker-compose.yml",
    "kubectl": "no package of Debian: the files that it is given are there",
    "systemctl": "no systemd here: the units are those of config/systemd",
    "journalctl": "no systemd here",
    "ssh": "another machine",
}

# How a program tells its options; {} is its first argument that is no option.
HELP: dict[str, list[str]] = {
    "sipp": ["sipp", "-h"],
    "curl": ["curl", "--help", "all"],
    "openssl": ["openssl", "{}", "-help"],
    "pip": [sys.executable, "-m", "pip", "{}", "--help"],
    "python": [sys.executable, "--help"],
    "python3": [sys.executable, "--help"],
    "npm": ["npm", "{}", "--help"],
    "kamailio": ["kamailio", "-h"],
    "nginx": ["nginx", "-h"],
    "haproxy": ["haproxy", "-h"],
    "sqlite3": ["sqlite3", "-help"],
    "sipsak": ["sipsak", "-h"],
    "ip": ["ip", "-h"],
    "tcpdump": ["tcpdump", "--help"],
    "apt-get": ["apt-get", "--help"],
}
_WITHOUT_OPTIONS = {
    "cd",
    "cp",
    "mkdir",
    "chmod",
    "chown",
    "install",
    "cat",
    "ls",
    "rm",
    "mv",
    "export",
    "kill",
}
_BETWEEN = {"|", "&&", "||", ";", "&", "("}


class Refused(AssertionError):
    """A command that there is not, or an option that it does not have."""


def commands_of(block: Block) -> list[list[str]]:
    """The commands of a block, each as its words; of `a | b` both."""
    text = re.sub(r"\\\n\s*(> )?", " ", block.text)
    found: list[list[str]] = []
    for line in text.splitlines():
        if block.language == "console" and not re.match(r"[$#] ", line):
            continue  # what it prints
        words = re.sub(r"^[$#] ", "", line) if block.language == "console" else line
        reader = shlex.shlex(words, posix=True, punctuation_chars=True)
        reader.whitespace_split = True
        command: list[str] = []
        skip = False
        for word in reader:
            if word in _BETWEEN:
                found.append(command)
                command = []
            elif re.fullmatch(r"[<>]+&?|\)", word):
                skip = word != ")"
            elif skip or (not command and re.fullmatch(r"\w+=.*", word)):
                skip = False
            elif not (not command and word == "sudo"):
                command.append(word)
        found.append(command)
    return [command for command in found if command]


def look_at(program: str, arguments: Sequence[str]) -> None:
    """Raises Refused where a program would not understand it."""
    special = _SPECIAL.get(program)
    if special is not None:
        special(list(arguments))
    elif program.startswith((".", "/")) or "/" in program:
        _expect((ROOT / program).exists(), f"{program} is not there")
    elif program not in _WITHOUT_OPTIONS:
        _options(program, arguments)


def _expect(good: object, reason: str) -> None:
    if not good:
        raise Refused(reason)


def _options(program: str, arguments: Sequence[str]) -> None:
    asked = HELP.get(program, [program, "--help"])
    plain = next((word for word in arguments if not word.startswith("-")), "")
    told = _help(tuple(part.replace("{}", plain) for part in asked if part != "{}" or plain))
    for word in arguments:
        option = word.partition("=")[0]
        if re.fullmatch(r"--?[A-Za-z][\w-]*", option):
            known = re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", told)
            letters = re.fullmatch(r"-([A-Za-z]{2,5})", option)  # -sS: two in one
            each = letters and all(re.search(rf"(?<![\w-])-{letter}(?![\w-])", told) for letter in letters[1])
            glued = re.match(r"-[A-Za-z]", option)  # -p5060
            _expect(known or each or (glued and _takes_value(told, option[:2])), f"{program} has no {option}")


def _takes_value(told: str, option: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(option)}(?: |=)[<\[A-Za-z]", told) is not None


@functools.cache
def _help(command: tuple[str, ...]) -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    program = shutil.which(command[0], path=path)
    if program is None:
        if os.environ.get("CI") == "true":
            raise Refused(f"{command[0]} is not on this machine")
        pytest.skip(f"{command[0]} is not on this machine, and so its options are unknown")
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, timeout=30)
    return done.stdout + done.stderr


# Programs with a rule of their own


def _make(arguments: list[str]) -> None:
    for target in arguments:
        _expect(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make has no {target}")


def _docker(arguments: list[str]) -> None:
    if arguments[0] in ("build", "run"):
        return  # as said in ELSEWHERE
    _expect(arguments[0] == "compose", f"docker {arguments[0]} has no rule")
    services = re.findall(
        r"^  ([\w-]+):$", COMPOSE.partition("\nservices:\n")[2].partition("\n\n\n")[0], re.MULTILINE
    )
    known = {"up", "down", "logs", "ps", "build", "config", "pull", "exec", "run", "stop", "restart"}
    command, *rest = [word for word in arguments[1:] if not word.startswith("-")]
    _expect(command in known, f"docker compose has no {command}")
    for service in rest[:1] if command in ("exec", "run") else rest:
        _expect(service in services, f"docker-compose.yml has no {service}")


def _activate(arguments: list[str]) -> None:
    _expect(arguments == [".venv/bin/activate"], "the only file that pages read into a shell")


def _env(arguments: list[str]) -> None:
    rest = list(arguments)
    while rest and "=" in rest[0]:
        rest.pop(0)
    look_at(rest[0], rest[1:])


def _python(arguments: list[str]) -> None:
    if "-m" in arguments:
        module = arguments[arguments.index("-m") + 1]
        done = subprocess.run(
            [sys.executable, "-c", f"import importlib.util as u; exit(u.find_spec({module!r}) is None)"],
            cwd=ROOT,
            check=False,
            timeout=30,
        )
        _expect(done.returncode == 0, f"no module {module}")
        return
    script = next((word for word in arguments if not word.startswith("-")), "")
    _expect((ROOT / script).exists(), f"{script} is not there")


def _promtool(arguments: list[str]) -> None:
    """A check only reads, and is run; stories of rules are run by tests/system/test_alert_rules.py."""
    for file in (word for word in arguments if "/" in word):
        _expect((ROOT / file).exists(), f"{file} is not there")
    program = shutil.which("promtool")
    if program is None or arguments[0] != "check":
        _options("promtool", arguments)
        return
    done = subprocess.run(
        [program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    _expect(done.returncode == 0, done.stdout + done.stderr)


def _elsewhere(arguments: list[str]) -> None:
    """Its reason stands in ELSEWHERE."""


_SPECIAL: dict[str, Callable[[list[str]], None]] = {
    **{program: _elsewhere for program in ELSEWHERE},
    "make": _make,
    "docker": _docker,
    ".": _activate,
    "env": _env,
    "python": _python,
    "python3": _python,
    "promtool": _promtool,
}
