"""The admin listener: what it answers at all, its limits, and what it says of itself to a browser."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from sipproxy.admin import http
from sipproxy.admin.http import start
from sipproxy.admin.settings import AdminSettings
from sipproxy.errors import StartError
from tests.unit.admin.support import Run, World, address, ask, connected, opened, parsed, rudely, until


def test_the_page_and_its_files_are_served_and_nothing_else(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            index = await ask(site, "/")
            assert (index.status, index.headers["content-type"]) == (200, "text/html; charset=utf-8")
            assert b"<title>page</title>" in index.body
            assert (await ask(site, "/index.html")).body == index.body
            script = await ask(site, "/app.js")
            assert script.headers["content-type"] == "text/javascript; charset=utf-8"
            assert (await ask(site, "/sub/style.css")).headers["content-type"].startswith("text/css")
            for path in ("/notes.txt", "/../http.py", "/sub", "/sub/", "/%2e%2e/http.py", "/app.js/", "//"):
                assert (await ask(site, path)).status == 404, path

    run(story())


def test_a_file_that_has_not_changed_is_not_sent_again(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            first = await ask(site, "/app.js")
            tag = first.headers["etag"]
            again = await ask(site, "/app.js", headers={"If-None-Match": f'"other", W/{tag}'})
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
            assert (await ask(site, "/app.js", headers={"If-None-Match": '"other"'})).status == 200

    run(story())


def test_every_answer_tells_a_browser_to_trust_nothing_else(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            for path in ("/", "/app.js", "/api/calls", "/healthz", "/nothing", "/api/traces?x=1"):
                headers = (await ask(site, path)).headers
                assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
                assert "frame-ancestors 'none'" in headers["content-security-policy"]
                assert headers["x-content-type-options"] == "nosniff"
                assert headers["referrer-policy"] == "no-referrer"
                assert headers["cache-control"] == ("no-cache" if path in ("/", "/app.js") else "no-store")
                assert not [name for name in headers if name.startswith("access-control")]

    run(story())


def test_head_is_get_without_the_body(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            for path in ("/", "/healthz", "/api/calls"):
                reply = await ask(site, path, "HEAD")
                assert (reply.status, reply.body) == (200, b"")
                assert int(reply.headers["content-length"]) == len((await ask(site, path)).body)

    run(story())


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/calls", "GET"),
        ("DELETE", "/api/traces/1", "GET"),
        ("GET", "/api/drain", "POST"),
        ("PUT", "/api/drain", "POST"),
        ("POST", "/api/log-level", "PUT"),
        ("OPTIONS", "/api/drain", "POST"),
        ("POST", "/", "GET"),
        ("POST", "/api/events", "GET"),
        ("HEAD", "/api/events", "GET"),
    ],
)
def test_the_wrong_method_is_told_the_right_one(
    run: Run, world: World, method: str, path: str, allowed: str
) -> None:
    async def story() -> None:
        async with opened(world) as site:
            reply = await ask(site, path, method, headers={"Content-Type": "application/json"})
            assert (reply.status, reply.headers["allow"]) == (405, allowed)
            assert method == "HEAD" or reply.json["error"] == f"only {allowed}"

    run(story())


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://127.0.0.1/api/calls HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(500)) + b"\r\n",
        b"POST /api/drain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/drain HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"BREW / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"INVITE sip:a@127.0.0.1 SIP/2.0\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_400_as_json_and_is_cut_off(run: Run, world: World, data: bytes) -> None:
    async def story() -> None:
        async with opened(world) as site:
            reader, writer = await connected(site)
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(5):
                got = await reader.read()
            writer.close()
            if got:  # a few bytes that are no line yet are only closed upon
                reply = parsed(got)
                assert reply.status == 400, got
                assert reply.json["error"]
            assert (await ask(site, "/healthz")).status == 200
            assert world.commands == []

    run(story())


def test_a_body_is_bounded_in_size_and_time(run: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_S", 0.05)

    async def story() -> None:
        async with opened(world) as site:
            assert (await ask(site, "/api/drain", "POST", body=b" " * 5000)).status == 413
            slow = (
                b"POST /api/drain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Connection: close\r\nContent-Length: 10\r\n\r\n{"
            )
            assert (await rudely(site, slow)).status == 408
            assert world.commands == []

    run(story())


def test_who_does_not_finish_a_request_is_cut_off(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "READ_S", 0.1)

    async def story() -> None:
        async with opened(world) as site:
            for started in (b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-"):
                reader, writer = await connected(site)
                writer.write(started)
                async with asyncio.timeout(5):
                    assert await reader.read() == b""
                writer.close()

    run(story())


def test_connections_are_bounded_and_come_back(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST_CONNECTIONS", 3)

    async def story() -> None:
        async with opened(world) as site:
            held = [await connected(site) for _ in range(3)]
            for _, writer in held:
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            for reader, _ in held:
                await reader.readuntil(b"}")
            with pytest.raises((ConnectionError, AssertionError)):
                await ask(site, "/healthz")
            for _, writer in held:
                writer.close()
                await writer.wait_closed()

            async def served() -> bool:
                try:
                    return (await ask(site, "/healthz")).status == 200
                except (ConnectionError, AssertionError):
                    return False

            async with asyncio.timeout(5):
                while not await served():
                    await asyncio.sleep(0)

    run(story())


def test_who_does_not_read_the_answer_is_cut_off(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "WRITE_S", 0.2)
    world.metrics = b"x" * 20_000_000

    async def story() -> None:
        async with opened(world) as site:
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.connect(address(site))
                deaf.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await until(lambda: site.connections == 1)
                deaf.setblocking(False)
                loop = asyncio.get_running_loop()
                await until(lambda: site.connections == 0)
                got = 0
                with suppress(ConnectionResetError):
                    async with asyncio.timeout(5):
                        while data := await loop.sock_recv(deaf, 2**20):
                            got += len(data)
                assert got < 20_000_000

    run(story())


def test_a_failure_of_ours_says_nothing_of_itself(run: Run, world: World) -> None:
    world.fault = KeyError("+4915550001234")

    async def story() -> None:
        async with opened(world) as site:
            reply = await ask(site, "/api/traces")
            assert (reply.status, reply.json) == (500, {"error": "this failed; the log says why"})
            assert [line[:2] for line in world.log.lines] == [("error", "admin request failed")]

    run(story())


def test_a_port_that_is_taken_is_told(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            taken = site.address.removeprefix("http://")
            with pytest.raises(StartError, match=f"admin.listen: cannot listen on {taken}: .*in use"):
                await start(AdminSettings(listen=taken), world.sources())

    run(story())


@pytest.mark.parametrize("listen", ["8060", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", ":8060", ""])
def test_what_is_no_place_is_told(run: Run, world: World, listen: str) -> None:
    async def story() -> None:
        with pytest.raises(StartError, match="is not HOST:PORT"):
            await start(AdminSettings(listen=listen), world.sources())

    run(story())


def test_ipv6_works(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world, AdminSettings(listen="[::1]:0")) as site:
            assert site.address.startswith("http://[::1]:")
            assert (await ask(site, "/healthz")).status == 200

    run(story())


def test_closing_ends_what_is_open(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            idle = await connected(site)
            following = await connected(site)
            following[1].write(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await following[0].readuntil(b"event: state")
            assert (await ask(site, "/api/traces")).status == 200
        async with asyncio.timeout(5):
            await idle[0].read()
            await following[0].read()
        assert [reader.closed for reader in world.readers] == [True]
        for _, writer in (idle, following):
            writer.close()

    run(story())


_PACKED = b"Host: 127.0.0.1\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx"
_CHUNKED = b"Host: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"


@pytest.mark.parametrize(
    "data",
    [
        *(b"POST /api/drain HTTP/1.1\r\n" + _PACKED, b"GET /healthz HTTP/1.1\r\n" + _PACKED),
        b"POST /api/drain HTTP/1.1\r\n" + _CHUNKED,
    ],
    ids=["packed", "packed and unread", "no chunk"],
)
def test_a_body_that_cannot_be_read_is_no_failure_of_ours(
    run: Run, world: World, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    async def story() -> None:
        async with opened(world) as site:
            assert (await rudely(site, data)).status in (200, 400, 415, 503)

    run(story())
    assert caplog.records == []
