"""HTTP through load balancers that behave and misbehave: small servers on loopback, the probe behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import chain, repeat

import pytest

from sipproxy.errors import StartError
from sipproxy.probe.asking import LONG_BAGGAGE, LONG_TRACESTATE, HttpPlan, probe_http
from sipproxy.probe.fates import Fate, Finding
from sipproxy.probe.http_verdict import CARRIERS, report_http
from sipproxy.probe.report import Report
from sipproxy.propagation.carriers import parse_baggage
from sipproxy.propagation.context import parse_tracestate
from tests.support.ports import free_port

HOST = "127.0.0.1"
Change = Callable[[list[bytes]], list[bytes]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Balancer = Callable[[int], Talk]  # the port of its back end


def through(change: Change) -> Balancer:
    """It passes the lines of a request's head on as `change` leaves them."""

    def balancer(back: int) -> Talk:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = change(head[:-4].split(b"\r\n"))
            if not lines:
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                return
            to_reader, to_writer = await asyncio.open_connection(HOST, back)
            to_writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
            writer.write(await to_reader.read())
            to_writer.close()

        return talk

    return balancer


def saying(*pieces: bytes, pause: bool = False) -> Balancer:
    """It says that, and closes; `pause`: or waits for ever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
        if pause:
            await reader.read()

    return lambda _: talk


def probe(
    balancer: Balancer,
    wanted: Sequence[str] = ("traceparent",),
    *,
    timeout_s: float = 0.3,
    wait_s: float = 0.0,
) -> Report:
    """A run of the probe through it."""
    back = free_port(HOST)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            await balancer(back)(reader, writer)
        writer.close()

    async def run() -> Report:
        async with await asyncio.start_server(serve, HOST, 0) as server:
            url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}/route"
            plan = HttpPlan(url, HOST, back, timeout_s=timeout_s, wait_s=wait_s)
            return report_http(await probe_http(plan), plan, [*wanted])

    return asyncio.run(run())


def found(report: Report, carrier: str) -> Finding:
    (finding,) = [each for each in report.findings if each.carrier == carrier]
    return finding


def test_one_that_passes_everything() -> None:
    report = probe(through(lambda lines: [*lines, b"X-Forwarded-For: 192.0.2.1"]))
    assert [each.carrier for each in report.findings] == [*CARRIERS]
    assert {each.fate for each in report.findings} == {Fate.SURVIVED}
    assert report.good
    assert report.facts == {"back_end": "HTTP/1.1", "added_headers": ["X-Forwarded-For"]}
    assert report.verdict == ["The trace gets through: traceparent."]


def without(*names: bytes) -> Change:
    return lambda lines: [line for line in lines if line.partition(b":")[0].lower() not in names]


def test_one_that_takes_headers_away() -> None:
    report = probe(through(without(b"traceparent", b"baggage")), ["traceparent", "baggage"])
    stripped = [each.carrier for each in report.findings if each.fate is Fate.STRIPPED]
    assert stripped == ["traceparent", "baggage", "letters", "traceparent-rows", "long-baggage"]
    assert report.exit_code == 1
    assert report.verdict[0].endswith("traceparent is stripped, baggage is stripped.")
    assert "docs/load-balancers.md" in report.verdict[1]


def lower(lines: list[bytes]) -> list[bytes]:
    return [
        lines[0],
        *(line.partition(b":")[0].lower() + b":" + line.partition(b":")[2] for line in lines[1:]),
    ]


def test_one_that_writes_names_small() -> None:
    report = probe(through(lower))
    assert report.good
    assert found(report, "letters").fate is Fate.RECASED
    assert found(report, "letters").how == "as traceparent"
    assert any("harmless" in line for line in report.verdict)


def joined(lines: list[bytes]) -> list[bytes]:
    rows: dict[bytes, bytes] = {}
    for line in lines[1:]:
        name, _, value = line.partition(b": ")
        rows[name] = rows[name] + b", " + value if name in rows else value
    return [lines[0], *(name + b": " + value for name, value in rows.items())]


def test_one_that_makes_one_row_of_two() -> None:
    report = probe(through(joined))
    assert found(report, "tracestate-rows").fate is Fate.SURVIVED, "for tracestate both mean the same"
    assert found(report, "traceparent-rows").fate is Fate.ALTERED
    assert any(line.startswith("Of two traceparents") for line in report.verdict)


def first_alone(lines: list[bytes]) -> list[bytes]:
    kept: dict[bytes, bytes] = {}
    for line in lines[1:]:
        kept.setdefault(line.partition(b":")[0], line)
    return [lines[0], *kept.values()]


def test_one_that_takes_the_first_row_of_two() -> None:
    report = probe(through(first_alone))
    for carrier in ("tracestate-rows", "traceparent-rows"):
        assert found(report, carrier).fate is Fate.ALTERED
        assert found(report, carrier).how == "only the first of two rows"


def short(lines: list[bytes]) -> list[bytes]:
    return [] if any(len(line) > 4096 for line in lines) else lines


def test_one_whose_buffers_are_small() -> None:
    report = probe(through(short))
    assert found(report, "long-baggage").fate is Fate.REFUSED
    assert found(report, "long-baggage").how == "400 to the whole request"
    assert found(report, "long-tracestate").fate is Fate.SURVIVED
    assert "baggage of 8192 characters is refused: its buffer for headers is too small." in report.verdict


def test_what_is_long_is_as_long_as_w3c_wants() -> None:
    rows: list[tuple[str, str]] = []

    def change(lines: list[bytes]) -> list[bytes]:
        parted = [line.decode().partition(": ") for line in lines[1:]]
        rows.extend((name, value) for name, _, value in parted)
        return lines

    probe(through(change))
    long = {name: value for name, value in rows if len(value) > 500}
    assert {name: len(value) for name, value in long.items()} == {
        "tracestate": LONG_TRACESTATE,
        "baggage": LONG_BAGGAGE,
    }
    assert parse_tracestate([long["tracestate"]]) == long["tracestate"]
    assert parse_baggage([long["baggage"]]) == long["baggage"]


# Those that do not lead back


@pytest.mark.parametrize(
    ("balancer", "problem", "says"),
    [
        (
            saying(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),
            "no back end",
            "answers 503",
        ),
        (saying(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "answered elsewhere", "answers 404"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), "answered elsewhere", "not its back end"),
        (saying(b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), "redirected", "(301)"),
        (saying(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), "refused", "403"),
        (
            saying(
                b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            ),
            "answered elsewhere",
            "answers 404",
        ),
        (
            saying(
                b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n",
                *[b"4000\r\n" + b"x" * 0x4000 + b"\r\n"] * 8,
                b"0\r\n\r\n",
            ),
            "answered elsewhere",
            "answers 404",
        ),
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "garbage", "is no HTTP"),
        (saying(b"HTTP/1.1 abc\r\n\r\n"), "garbage", "is no HTTP"),
        (saying(b"\x00" * 100_000), "garbage", "is no HTTP"),
        (saying(), "silent", "without an answer"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Le"), "half", "in the middle of its answer"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"), "half", "in the middle of its answer"),
        (saying(pause=True), "silent", "no whole answer within 0.3 s"),
        (saying(b"HTTP/1.1 200 OK\r\n", pause=True), "silent", "no whole answer within 0.3 s"),
    ],
)
def test_one_that_does_not_lead_back(balancer: Balancer, problem: str, says: str) -> None:
    began = time.monotonic()
    report = probe(balancer)
    assert report.problem == problem
    assert len(report.verdict) == 1
    assert says in report.verdict[0]
    assert report.exit_code == 1
    assert time.monotonic() - began < 2.0


def test_one_that_spoils_the_answer() -> None:
    def talk(back: int) -> Talk:
        async def spoil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            to_reader, to_writer = await asyncio.open_connection(HOST, back)
            to_writer.write(head)
            await to_reader.read()
            to_writer.close()
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

        return spoil

    report = probe(talk)
    assert report.problem == "answer lost"
    assert "its sender was told 502" in report.verdict[0]


def test_one_that_has_to_find_the_back_end_first() -> None:
    not_up = saying(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    balancers = chain([not_up, not_up], repeat(through(lambda lines: lines)))
    assert probe(lambda back: next(balancers)(back), wait_s=5.0).good


def test_nobody_there() -> None:
    plan = HttpPlan(f"http://{HOST}:{free_port(HOST)}/", HOST, free_port(HOST), timeout_s=1.0)
    report = report_http(asyncio.run(probe_http(plan)), plan, ["traceparent"])
    assert report.problem == "unreachable"
    assert "connection refused" in report.verdict[0]


def test_where_it_cannot_listen() -> None:
    plan = HttpPlan(f"http://{HOST}:1/", "192.0.2.1", 8099)
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1:8099"):
        asyncio.run(probe_http(plan))
