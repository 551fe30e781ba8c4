"""Every fenced block of README and docs/ is held to the truth, each kind in its way.

    console, sh    commands: ours are taken by our own parser, and run where they end by themselves; of other
                   programs the options stand in their own help
    yaml           a configuration of ours: sipproxy check finds no fault
    yml json xml toml html    they can be read
    python js      they can be compiled; what is longer than a fragment is a part of examples/, or is run by
                   the test that stands in RUN
    promql         queries what there is (run by tests/system/test_prometheus.py)
    other kinds    stand in LEFT, with the reason

A kind without a rule is a fault, so nothing stands on a page untried.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from sipproxy import app, config
from sipproxy.probe import command as probe
from sipproxy.telemetry.families import FAMILIES
from tests.support.commands import Refused, commands_of, look_at
from tests.support.pages import DOCS, ROOT, Block, blocks, pages

BLOCKS = [block for page in pages() for block in blocks(page)]
NOT_HERE = re.compile(r"tls\.[^:]+: cannot read /etc/sipproxy/\S+: no such file or directory")
ENDS_BY_ITSELF = {"check", "print-config", "route-test", "version"}
NODE = shutil.which("node")
EXAMPLES = ROOT / "examples"
LONGEST_FRAGMENT = 15  # lines

LEFT = {
    "text": "what a program prints, a message, or a drawing: the test of its page compares it where it can",
}
RUN = {  # programs that stand whole on a page, and the test that runs them
    "docs/webhook.md": "tests/system/test_webhook.py",
}


# Kinds


def commands(block: Block, folder: Path) -> None:
    for command in commands_of(block):
        program, *arguments = without_interpreter(command)
        if program == "sipproxy":
            ours([file_of(word, block, folder) for word in arguments])
        else:
            look_at(program, arguments)


def without_interpreter(command: list[str]) -> list[str]:
    """`env PYTHONPATH=.compiled python -P -m sipproxy run` is `sipproxy run`."""
    place = command.index("-m") + 1 if "-m" in command else 0
    return command[place:] if command[place] == "sipproxy" else command


def file_of(word: str, block: Block, folder: Path) -> str:
    """A file that the page means: of this repository; else one that it shows, and names before that."""
    if not word.endswith(".yaml") or (ROOT / word).exists():
        return word
    if word == "/etc/sipproxy/sipproxy.yaml":
        return str(ROOT / "config/sipproxy.yaml")
    named = re.compile(rf"`{re.escape(word)}`.*?^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = named.search((ROOT / block.page).read_text())
    if found is None:
        raise Refused(f"{word} is not there, and the page does not show it")
    (folder / word).write_text(found[1])
    return str(folder / word)


def ours(arguments: list[str]) -> None:
    """A command of sipproxy: run, or taken by its parser."""
    if "--help" in arguments:
        assert run(arguments)[0] == 0
        return
    if arguments[0] == "probe":
        probe.parsed(arguments[1:])  # it would call, or ask
        return
    if arguments[0] in ENDS_BY_ITSELF:
        assert run(arguments) == (0, "")
        return
    with contextlib.redirect_stderr(io.StringIO()) as told:
        try:
            options = app._parser().parse_args(arguments)
        except SystemExit:
            raise Refused(told.getvalue()) from None
    if file := getattr(options, "config", None):
        assert run(["check", "-c", file]) == (0, "")


def run(arguments: list[str]) -> tuple[int, str]:
    with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.redirect_stdout(io.StringIO()):
        try:
            code = app.main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    return code, told.getvalue()


def configuration(block: Block, folder: Path) -> None:
    file = folder / "sipproxy.yaml"
    file.write_text(block.text)
    assert config.load(file) != config.Settings()
    _, told = run(["check", "-c", str(file)])
    # The operator's own files are not here.
    assert [row for row in told.splitlines() if not NOT_HERE.fullmatch(row)] == []


def any_yaml(block: Block) -> None:
    assert [part for part in yaml.safe_load_all(block.text) if part is not None]


def python(block: Block) -> None:
    ast.parse(block.text)
    program(block)


def program(block: Block) -> None:
    """What is longer than a fragment is a part of an example, which tests run, or run from the page."""
    if block.text.count("\n") > LONGEST_FRAGMENT and block.page not in RUN:
        sources = [path for kind in ("py", "js", "mjs") for path in EXAMPLES.rglob(f"*.{kind}")]
        assert any(
            block.text in path.read_text("utf-8") for path in sources if "node_modules" not in path.parts
        )


def script(block: Block) -> None:
    assert NODE is not None or os.environ.get("CI") != "true", "apt install nodejs"
    if NODE is None:
        pytest.skip("JavaScript is read with Node.js (apt install nodejs)")
    kind = "module" if re.search(r"^(import|export) ", block.text, re.MULTILINE) else "commonjs"
    command = [NODE, f"--input-type={kind}", "--check", "-"]
    done = subprocess.run(command, input=block.text, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    program(block)


def query(block: Block) -> None:
    known = {f"{family.name}{end}" for family in FAMILIES for end in ("", "_bucket", "_sum", "_count")}
    named = set(re.findall(r"\bsip(?:proxy)?_\w+", re.sub(r'"[^"]*"', "", block.text)))
    assert named
    assert named <= known


def markup(block: Block) -> None:
    HTMLParser().feed(block.text)


IN_A_FOLDER: dict[str, Callable[[Block, Path], None]] = {
    "console": commands,
    "sh": commands,
    "yaml": configuration,
}
KINDS: dict[str, Callable[[Block], object]] = {
    "yml": any_yaml,
    "json": lambda block: json.loads(block.text),
    "xml": lambda block: ElementTree.fromstring(block.text),
    "toml": lambda block: tomllib.loads(block.text),
    "html": markup,
    "python": python,
    "js": script,
    "promql": query,
}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.id)
def test_block(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    if block.language in IN_A_FOLDER:
        IN_A_FOLDER[block.language](block, tmp_path)
    elif block.language not in LEFT:
        rule = KINDS.get(block.language)
        assert rule is not None, f"no rule for ```{block.language}: add one, or a reason in LEFT"
        rule(block)


def test_programs_are_run_where_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for page, test in RUN.items():
        text = (ROOT / test).read_text()
        assert Path(page).name in text
        assert (ROOT / page).is_relative_to(DOCS)


def test_the_certificates_of_the_page_are_made_and_verified(tmp_path: Path) -> None:
    page = blocks(DOCS / "transports.md")
    (script,) = (block.text for block in page if block.language == "sh")
    (names,) = (block.text for block in page if block.text.startswith("subjectAltName"))
    (tmp_path / "names.ext").write_text(names)
    script += "openssl verify -CAfile ca.pem proxy.pem\n"
    done = subprocess.run(
        ["sh", "-e"], input=script, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "proxy.pem: OK\n"


def test_a_wrong_command_is_found(tmp_path: Path) -> None:
    for wrong in (
        "$ sipproxy run --fast",
        "$ sipproxy prove",
        "$ make everything",
        "$ sipproxy run -c nowhere.yaml",
        "$ sipp -sn uas -no_such_option 1",
    ):
        with pytest.raises(Refused):
            commands(Block("README.md", 1, "console", wrong + "\n"), tmp_path)
