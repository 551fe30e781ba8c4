"""docs/webhook.md tells the truth: its question is one that we ask, its answers are taken, its limits are
those of the code. (Its application is run in tests/system/test_webhook.py.)
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from sipproxy.b2bua import consulting
from sipproxy.b2bua.consulting import (
    LONGEST_REASON,
    LONGEST_VALUE,
    MOST_HEADERS,
    MOST_TRUNKS,
    advice,
    question,
)
from sipproxy.b2bua.settings import RouteSettings
from sipproxy.net import exchange, webhook
from sipproxy.sip.headers import key_of
from sipproxy.telemetry.families import WEBHOOK_RESULTS
from tests.support.pages import DOCS, blocks, table, words
from tests.unit.b2bua.messages import request

PAGE = DOCS / "webhook.md"
TEXT = PAGE.read_text()
JSON = [json.loads(block.text) for block in blocks(PAGE) if block.language == "json"]
ASKED, *ANSWERS = JSON


def test_the_question_is_one_that_we_ask() -> None:
    url = "http://127.0.0.1:9000/route"
    settings = RouteSettings(("carrier-a",), webhook=url)
    made = question(request(), consulting.Webhook(url, settings), "", "")
    assert list(ASKED) == list(made)
    described = [name for row in table(TEXT, "field | what it is") for name in words(row[0])]
    assert described == list(made)


@pytest.mark.parametrize("answer", ANSWERS, ids=json.dumps)
def test_the_answers_are_taken(answer: dict[str, Any]) -> None:
    found = advice(answer)
    assert found.to == answer.get("to", [])
    assert (found.uri, dict(found.headers)) == (answer.get("uri", ""), answer.get("headers", {}))
    assert (found.reject, found.reason) == (answer.get("reject", 0), answer.get("reason", ""))


def test_the_answers_use_each_field_that_is_described() -> None:
    described = {name for row in table(TEXT, "field | what is taken") for name in words(row[0])}
    assert described == {name for answer in ANSWERS for name in answer}


def test_the_headers_that_are_not_an_applications() -> None:
    (block,) = re.findall(r"((?:^    [A-Z].*\n)+    traceparent .*\n)", TEXT, re.MULTILINE)
    assert {key_of(name) for name in block.split()} == consulting._OURS


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (r"up to (\d+); tried in this order", MOST_TRUNKS),
        (r"up to (\d+) headers for that INVITE", MOST_HEADERS),
        (r"one line of at most (\d+) characters", LONGEST_VALUE),
        (r"`tel:`, up to (\d+) characters", LONGEST_VALUE),
        (r"of ASCII, cut after (\d+) characters", LONGEST_REASON),
        (r"object of at most (\d+) bytes", webhook.LONGEST_ANSWER),
        (r"more than (\d+) bytes", webhook.LONGEST_ANSWER),
        (r"or (\d+) questions to it are open", webhook.MOST_AT_ONCE),
        (r"After (\d+) questions in a row", webhook.IN_VAIN),
        (r"Every (\d+) s\s+one question", webhook.LEFT_ALONE_S),
        (r"kept for (\d+) s and used again", exchange.KEPT_S),
        (r"up to (\d+) to one application", exchange.CONNECTIONS_EACH),
    ],
)
def test_a_number(said: str, meant: float) -> None:
    (number,) = re.findall(said, TEXT)
    assert int(number) == meant


def test_the_results_are_those_that_are_counted() -> None:
    named = [name for row in table(TEXT, "what happens | `result`") for name in words(row[1])]
    (others,) = re.findall(r"counts by `result`\s+\(also ([^)]*):", TEXT)
    assert sorted([*named, *words(others)]) == sorted(WEBHOOK_RESULTS)
