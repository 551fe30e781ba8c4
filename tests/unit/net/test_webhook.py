"""Applications over HTTP: one that answers well, one that does not, and one that is not there. Whatever it
does, a call waits no longer than it may.
"""

from __future__ import annotations

import gzip
import socket
import time

import pytest

from sipproxy.net.exchange import CONNECTIONS_EACH
from sipproxy.net.webhook import ERROR, LONGEST_ANSWER, TIMEOUT
from sipproxy.propagation.context import TraceContext
from tests.unit.net.application import GOOD, Answer, application, closes, drips, endless, hangs, http, raw
from tests.unit.net.asking import CONTEXT, QUESTION, SLACK_S, asking
from tests.unit.net.support import Run, turn, unused

# Well


def test_a_question_and_its_answer(run: Run) -> None:
    async def story() -> None:
        async with application() as app, asking() as office:
            assert await office.ask(app.url) == {"to": ["carrier"]}
            (question,) = app.questions
            assert question.line == "POST /route HTTP/1.1"
            assert question.decoded == QUESTION
            assert question.headers["content-type"] == "application/json"
            assert (
                question.headers["traceparent"] == "00-4bf92f3577f34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            )
            assert question.headers["tracestate"] == "rojo=1"
            assert question.headers["user-agent"] == "sipproxy"
            assert {"authorization", "cookie", "baggage"}.isdisjoint(question.headers)

    run(story())


def test_a_token_is_shown_and_an_empty_tracestate_is_not(run: Run) -> None:
    async def story() -> None:
        async with application() as app, asking() as office:
            consult = office.about(app.url, token="s3cret")
            consult.context = TraceContext(CONTEXT.trace_id, CONTEXT.span_id, 0)
            await office.webhooks.ask(consult)
            (question,) = app.questions
            assert question.headers["authorization"] == "Bearer s3cret"
            assert question.headers["traceparent"].endswith("-00")
            assert "tracestate" not in question.headers

    run(story())


def test_the_interaction_is_told_as_baggage(run: Run) -> None:
    async def story() -> None:
        async with application() as app, asking() as office:
            consult = office.about(app.url)
            consult.question = {**QUESTION, "interaction_id": "case 7, désk"}
            await office.webhooks.ask(consult)
            (question,) = app.questions
            assert question.headers["baggage"] == "interaction.id=case%207%2C%20d%C3%A9sk"

    run(story())


@pytest.mark.parametrize(
    "answer",
    [
        http(status="201 Created"),  # what some frameworks say to every POST
        http(b" \r\n" + GOOD),
        http(GOOD.decode().encode("utf-16")),
        raw(b"HTTP/1.0 200 OK\r\n\r\n" + GOOD, close=True),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n" + GOOD + b"\r\n0\r\n\r\n"),
        raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n" + GOOD),
    ],
    ids=["201", "blanks", "UTF-16", "until it closes", "chunked", "100 first"],
)
def test_what_is_an_answer_too(run: Run, answer: Answer) -> None:
    async def story() -> None:
        async with application(answer) as app, asking() as office:
            assert await office.ask(app.url) == {"to": ["carrier"]}

    run(story())


def test_what_a_peer_wrote_that_is_no_text_harms_no_reader(run: Run) -> None:
    """SIP is read with surrogates for such bytes; a JSON reader may refuse those, and the call with them."""

    async def story() -> None:
        async with application() as app, asking() as office:
            consult = office.about(app.url)
            consult.question = {"from": b"sip:\xff\xfe\xc3\xbc@h".decode("utf-8", "surrogateescape")}
            await office.webhooks.ask(consult)
            assert app.questions[0].decoded == {"from": "sip:??ü@h"}

    run(story())


def test_no_proxy_of_the_environment_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    host, port = unused(socket.SOCK_STREAM)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{host}:{port}")

    async def story() -> None:
        async with application() as app, asking() as office:
            assert await office.result(app.url) == "ok"

    run(story())


# Connections


def test_a_connection_is_kept(run: Run) -> None:
    async def story() -> None:
        async with application() as app, asking() as office:
            for _ in range(5):
                assert await office.result(app.url) == "ok"
            assert (app.connections, len(app.questions)) == (1, 5)

    run(story())


def test_a_connection_that_was_closed_meanwhile_is_made_anew(run: Run) -> None:
    async def story() -> None:
        async with application() as app, asking() as office:
            assert await office.result(app.url) == "ok"
            await app.hang_up()
            assert await office.result(app.url) == "ok"
            assert app.connections == 2

    run(story())


def test_a_connection_that_is_closed_as_the_question_comes_is_made_anew(run: Run) -> None:
    """No server can help that: its idle time is over just then."""

    async def story() -> None:
        async with application() as app, asking() as office:
            assert await office.result(app.url) == "ok"
            app.next = [closes()]
            assert await office.result(app.url) == "ok"
            assert (app.connections, len(app.questions)) == (2, 3)

    run(story())


def test_questions_at_once_share_so_many_connections(run: Run) -> None:
    async def story() -> None:
        async with application() as app, asking() as office:
            results = await office.results(1000, app.url)
            assert results == ["ok"] * 1000
            assert app.most_open <= CONNECTIONS_EACH

    run(story())


# Not so well


@pytest.mark.parametrize(
    "answer",
    [
        *(
            http(status=status)
            for status in ("400 Bad", "404 Not Found", "429 Slow Down", "500 Oops", "503 No")
        ),
        http(b"", status="204 No Content"),
        http(b""),
        http(b"to: [carrier]"),
        http(GOOD[:-1]),
        http(b"\xff" + GOOD),
        http(b"[" * 60_000),
        http(b"9" * 60_000),
        http(gzip.compress(GOOD), rows="Content-Encoding: gzip\r\n"),
        http(b" " * LONGEST_ANSWER + GOOD),
        endless(),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + GOOD, close=True),
        raw(b"HTTP/1.1 200 OK\r\nContent-", close=True),
        raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        closes(),
    ],
    ids=[
        *(
            "400",
            "404",
            "429",
            "500",
            "503",
            "204",
            "nothing",
            "no JSON",
            "half of it",
            "no text",
            "too deep",
        ),
        *("too great", "compressed", "too long", "endless", "closes in the middle", "closes in the head"),
        *("no HTTP", "a head without end", "a bad head", "closes"),
    ],
)
def test_no_answer(run: Run, answer: Answer) -> None:
    async def story() -> None:
        async with application(answer) as app, asking() as office:
            assert await office.result(app.url) == ERROR
            app.answer = http()
            assert await office.result(app.url) == "ok"

    run(story())


def test_a_redirect_leads_nowhere(run: Run) -> None:
    async def story() -> None:
        async with application() as other, application() as app, asking() as office:
            app.answer = http(status="302 Found", rows=f"Location: {other.url}\r\n")
            assert await office.result(app.url) == ERROR
            app.answer = http(status="307 Temporary", rows=f"Location: {other.url}\r\n")
            assert await office.result(app.url) == ERROR
            assert other.connections == 0

    run(story())


def test_nobody_listens(run: Run) -> None:
    async def story() -> None:
        host, port = unused(socket.SOCK_STREAM)
        async with asking() as office:
            assert await office.result(f"http://{host}:{port}/") == ERROR
            assert await office.result("http://nowhere.invalid/") == ERROR
            assert await office.result(f"https://{host}:{port}/") == ERROR

    run(story())


@pytest.mark.parametrize(
    "answer",
    [
        hangs(),
        drips(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 1000),
        drips(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b" " * 9999),
    ],
    ids=["hangs", "drips its head", "drips its body"],
)
def test_too_slow(run: Run, answer: Answer) -> None:
    async def story() -> None:
        async with application(answer) as app, asking() as office:
            began_at = time.monotonic()
            assert await office.result(app.url, timeout_s=0.1) == TIMEOUT
            assert 0.09 < time.monotonic() - began_at < SLACK_S
            await app.until(lambda: not app.open)  # nobody waits for it any more
            app.answer = http()
            assert await office.result(app.url) == "ok"

    run(story())


# The end


def test_the_end_waits_for_nobody(run: Run) -> None:
    async def story() -> None:
        async with application(hangs()) as app, asking() as office:
            assert await office.result(app.url, timeout_s=0.05) == TIMEOUT
            await office.webhooks.close()
            await office.webhooks.close()
            await turn()

    run(story())
