"""Acts become scenarios that SIPp plays, and a slip in one is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.acts import ActError, Value, compose
from tests.support.story import ACTS

CALL = """<!-- Calls. -->
<act n="1" to="{me}-friend" rows="">
  <send>
    <![CDATA[

      INVITE sip:{to}@{proxy} SIP/2.0
      {rows}
      Content-Length: 0

    ]]>
  </send>
  <recv response="200">
    <action>
      <ereg regexp="&lt;{to}" search_in="msg" assign_to="whole,to{n}"/>
    </action>
  </recv>
</act>
"""
GIVEN = {"proxy": "127.0.0.1:5060", "me": "alice", "to": "given"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "calls.xml").write_text(CALL)
    return tmp_path


def test_parameters_have_defaults_that_may_speak_of_addresses(folder: Path) -> None:
    text = compose("x", [("calls", {})], [folder], GIVEN)
    assert "INVITE sip:alice-friend@127.0.0.1:5060 SIP/2.0\n      Content-Length: 0" in text
    assert 'regexp="&lt;alice-friend"' in text
    assert 'assign_to="whole,to1"' in text


def test_what_a_story_says_is_put_in_as_it_stands(folder: Path) -> None:
    chosen: dict[str, Value] = {"to": "<{to}>", "rows": ["A: {me}", "B: 2"], "n": 2}
    text = compose("x", [("calls", chosen)], [folder], GIVEN)
    assert "INVITE sip:<given>@127.0.0.1:5060 SIP/2.0\n      A: alice\nB: 2\n      Content-Length" in text
    assert 'regexp="&lt;&lt;given&gt;"' in text


def test_acts_stand_in_order_and_all_their_variables_are_declared(folder: Path) -> None:
    text = compose("x", [("calls", {"n": n, "to": f"friend-{n}"}) for n in (1, 2)], [folder], GIVEN)
    assert text.index("friend-1") < text.index("friend-2")
    assert '<Reference variables="whole,to1,to2"/>' in text
    assert text.index("friend-2") < text.index('<label id="end"/>')


def test_the_story_s_own_act_comes_first(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "calls.xml").write_text('<act><recv request="BYE"/></act>')
    assert "BYE" in compose("x", [("calls", {})], [own, folder], GIVEN)


@pytest.mark.parametrize(
    ("act", "parameters", "given", "message"),
    [
        ("sings", {}, GIVEN, "no act 'sings'"),
        ("calls", {"cseq": 1, "key": ""}, GIVEN, "calls has no parameter cseq, key; it has n, to, rows"),
        ("calls", {}, {"me": "alice"}, "calls: nothing is known as {proxy}"),
    ],
)
def test_a_slip_is_an_error(
    folder: Path, act: str, parameters: dict[str, Value], given: dict[str, str], message: str
) -> None:
    with pytest.raises(ActError, match=message.replace("{", r"\{")):
        compose("x", [(act, parameters)], [folder], given)


def test_every_act_says_what_it_is_for_and_is_played_somewhere() -> None:
    stories = "\n".join(path.read_text() for path in ACTS.parents[1].glob("*/scenario.yaml"))
    for path in ACTS.glob("*.xml"):
        assert path.read_text().startswith("<!-- "), path.name
        assert path.stem in stories, path.name
