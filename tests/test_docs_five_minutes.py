"""docs/five-minutes.md, followed to the letter: its file, its commands in their order, and what one sees.

(`make demo` is run by tests/system/test_demo.py.) The ports are others, so that it can be followed anywhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from tests.support.pages import DOCS, blocks
from tests.support.ports import free_port, is_listening

PAGE = DOCS / "five-minutes.md"
HOST = "127.0.0.1"
DEADLINE_S = 20.0

if shutil.which("sipp") is None and os.environ.get("CI") != "true":
    pytest.skip("the telephones are SIPp (apt install sip-tester)", allow_module_level=True)


def shown(language: str) -> list[str]:
    return [block.text for block in blocks(PAGE) if block.language == language]


class Reader:
    """Somebody at a terminal, in a folder of her own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (file,) = shown("yaml")
        self._ports = {port: str(free_port(HOST)) for port in re.findall(rf"{HOST}:(\d+)", file)}
        (folder / "first.yaml").write_text(self.meant(file))
        self.commands = [line[2:] for text in shown("console") for line in text.splitlines()]

    def meant(self, text: str) -> str:
        """With the ports that are free here."""
        return re.sub(r"\b(5060|5070|5080|8060)\b", lambda found: self._ports[found[0]], text)

    def words(self, beginning: str) -> list[str]:
        """The command of the page that begins so, to be run."""
        (command,) = (each for each in self.commands if each.startswith(beginning))
        words = shlex.split(self.meant(command))
        if words[0] == "sipproxy":
            return [sys.executable, "-m", *words]
        return [*words, "-nostdin", "-timeout", "15", "-timeout_error", "-deadcall_wait", "0"]

    def runs(self, beginning: str) -> str:
        """What a command prints that ends by itself."""
        done = subprocess.run(
            self.words(beginning), cwd=self.folder, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def starts(self, beginning: str) -> subprocess.Popen[str]:
        """A command in a terminal of its own."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        return subprocess.Popen(
            self.words(beginning),
            cwd=self.folder,
            env={**clean, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )


def line_of(stream: IO[str] | None, beginning: str) -> str:
    assert stream is not None
    return next(line for line in stream if line.startswith(beginning))


def test_a_reader_follows_it(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert reader.runs("sipproxy check").endswith("good\n")
    assert "carrier" in reader.runs("sipproxy route-test")
    proxy = carrier = reader.starts("sipproxy run")
    try:
        assert line_of(proxy.stdout, "listening on")
        assert line_of(proxy.stdout, "page at")
        carrier = reader.starts("sipp -sn uas")
        answers = int(reader.meant("5080"))
        deadline = time.monotonic() + DEADLINE_S
        while not is_listening(HOST, answers, "udp"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"the carrier ended with {carrier.wait(0.01)}")
            assert time.monotonic() < deadline
        reader.runs("sipp -sn uac")
        trace = reader.runs("sipproxy trace")
        proxy.send_signal(signal.SIGINT)  # Ctrl-C
        assert proxy.wait(DEADLINE_S) == 0
    finally:  # the carrier stays some seconds longer, in case its last answer gets lost
        for process in {proxy, carrier}:
            if process.poll() is None:
                process.kill()
            process.communicate()
    (tree,) = shown("text")
    spans = re.findall(
        r"^(?:[├└]─ |)(?:INVITE|route|dialog) (?:SERVER|CLIENT|INTERNAL)(?: \d+)?", trace, re.MULTILINE
    )
    assert spans == tree.splitlines()
    assert trace.count("INVITE (SDP)") == 2, "the ladder"
    assert (tmp_path / "first-store").is_dir()


def test_it_begins_with_the_demo() -> None:
    assert shown("console")[0] == "$ make demo\n"
