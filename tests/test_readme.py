"""The README tells the truth: its call fits its configuration, its lists are those of the Makefile.

(tests/test_docs_blocks.py tries its commands and configurations, tests/test_docs_site.py its links.)
"""

from __future__ import annotations

import re

from sipproxy import config
from tests.support.pages import README, ROOT, blocks

MAKEFILE = (ROOT / "Makefile").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
COMMANDS = [
    line.removeprefix("$ ")
    for block in blocks(README)
    if block.language == "console"
    for line in block.text.splitlines()
]


def packages() -> dict[str, str]:
    """What make installs with apt: package -> program."""
    rows = re.findall(r"^\w+_PEERS := (.*)$", MAKEFILE.replace("\\\n", " "), re.MULTILINE)
    return dict(word.split(":")[:2] for row in rows for word in row.split() if ":" in word)


def test_the_call_of_the_five_minutes_fits_the_configuration() -> None:
    settings = config.load(ROOT / "config/sipproxy.yaml")
    answers, places = (next(c for c in COMMANDS if f"sipp -sn {role}" in c) for role in ("uas", "uac"))
    assert f"-p {(settings.trunks['carrier'].address or '').rpartition(':')[2]} " in answers
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


def test_the_image_of_jaeger_is_pinned() -> None:
    assert re.search(r"image: jaegertracing/jaeger:2\.\d+\.\d+$", COMPOSE, re.MULTILINE)
    assert "./config/sipproxy.yaml" in COMPOSE
