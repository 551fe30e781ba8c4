"""README and docs/ tell the truth: commands run, configurations load, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sipproxy import config

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
ENDS_BY_ITSELF = {"check", "print-config", "route-test", "version"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


COMMANDS = [
    line.removeprefix("$ ")
    for page in PAGES
    for block in blocks(page, "console")
    for line in block.splitlines()
    if line.startswith("$ ")
]
CONFIGURATIONS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "yaml"))
]


def packages() -> dict[str, str]:
    """What make installs with apt: package -> program."""
    rows = re.findall(r"^\w+_PEERS := (.*)$", MAKEFILE.replace("\\\n", " "), re.MULTILINE)
    return dict(word.split(":")[:2] for row in rows for word in row.split() if ":" in word)


def sipproxy(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sipproxy", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "sipproxy":
        if arguments[0] not in ENDS_BY_ITSELF and "--help" not in arguments:
            assert sipproxy(arguments[0], "--help").returncode == 0
            assert arguments[1:2] == ["-c"], "a command that goes on needs a configuration to be checked by"
            arguments = ["check", "-c", arguments[2]]
        result = sipproxy(*arguments)
        assert (result.returncode, result.stderr) == (0, "")
    elif program == "make":
        assert re.search(rf"^{arguments[0]}:", MAKEFILE, re.MULTILINE)
    elif program == "docker":
        assert arguments[:3] == ["compose", "up", "-d"]
        assert all(re.search(rf"^  {service}:$", COMPOSE, re.MULTILINE) for service in arguments[3:])
    elif program == "env":
        assert arguments[0] == "PYTHONPATH=.compiled"  # what make compile makes
        assert arguments[1:4] == ["python", "-P", "-m"]
        assert sipproxy("check", *arguments[-2:]).returncode == 0
    elif program == ".":
        assert arguments == [".venv/bin/activate"]
    else:
        assert program in packages().values()


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_configuration(text: str, tmp_path: Path) -> None:
    file = tmp_path / "sipproxy.yaml"
    file.write_text(text)
    assert config.load(file) != config.Settings()


def test_the_call_of_the_five_minutes_fits_the_configuration() -> None:
    settings = config.load(ROOT / "config/sipproxy.yaml")
    answers, places = (next(c for c in COMMANDS if f"sipp -sn {role}" in c) for role in ("uas", "uac"))
    assert f"-p {settings.trunks['carrier'].address.rpartition(':')[2]} " in answers
    assert f"-i 127.0.0.1 -p {settings.trunks['sbc'].match[0].rpartition(':')[2]} " in places
    assert f"udp:{places.split()[-1]}" in settings.listen


def test_the_first_screen_has_the_two_commands() -> None:
    first = "".join(README.read_text().splitlines(keepends=True)[:20])
    assert "$ make demo" in first
    assert "$ make test" in first


def test_the_list_of_packages_is_that_of_the_makefile() -> None:
    cells = re.findall(r"^\| (`[^|]*`) \|", README.read_text(), re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([\w-]+)`", cell)}
    assert named - {"gcc", "libc6-dev", "python3-dev"} == set(packages())


def anchors(page: Path) -> set[str]:
    """What a link can point to in a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not target.startswith("http"):
            path, _, heading = target.partition("#")
            place = page.parent / path if path else page
            assert place.exists(), target
            assert not heading or heading in anchors(place), target


def test_the_image_of_jaeger_is_pinned() -> None:
    assert re.search(r"image: jaegertracing/jaeger:2\.\d+\.\d+$", COMPOSE, re.MULTILINE)
    assert "./config/sipproxy.yaml" in COMPOSE
