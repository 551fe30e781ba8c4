"""Whom the commands ask, and what they say when nobody sensible answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sipproxy.admin.settings import AdminSettings
from sipproxy.cli.client import Client, NoProxyError, client_of
from sipproxy.errors import ConfigurationError, SipProxyError
from tests.support.ports import free_port
from tests.unit.admin.support import DEADLINE_S, TOKEN, World
from tests.unit.cli.support import config, run, served

LISTEN = AdminSettings(listen="127.0.0.1:8060", token=TOKEN)


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Something that gives each connection one of these answers, and what it was asked."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for data in answers:
                connection, _ = server.accept()
                with connection:
                    heard.append(connection.recv(65536))
                    connection.sendall(data)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heard
        thread.join(DEADLINE_S)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8060", "http://127.0.0.1:8060"),
        ("0.0.0.0:8060", "http://127.0.0.1:8060"),
        ("[::]:8060", "http://[::1]:8060"),
        ("[2001:db8::1]:1", "http://[2001:db8::1]:1"),
    ],
)
def test_the_file_says_where_it_is(listen: str, url: str) -> None:
    client = client_of(AdminSettings(listen=listen), None, {})
    assert client is not None
    assert client.url == url


def test_without_a_listener_there_is_nobody_unless_one_is_named() -> None:
    assert client_of(AdminSettings(listen=None), None, {}) is None
    client = client_of(AdminSettings(listen=None), "https://admin.example/sip/", {})
    assert client is not None
    assert client.url == "https://admin.example/sip"


@pytest.mark.parametrize(
    "url",
    ["", "admin.example", "ftp://a", "http://", "http://a:x", "http://a:0", "http://a b", "http://a\r\nb"],
)
def test_what_is_no_address_is_wrong_use(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="is no address of a proxy"):
        client_of(LISTEN, url, {})
    assert run("calls", "--url", url) == 2
    assert "is no address of a proxy" in capsys.readouterr().err


def test_the_token_is_that_of_the_environment_or_the_file(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(world, AdminSettings(listen="127.0.0.1:0", token=TOKEN)) as proxy:
        file = config(tmp_path, f"admin: {{listen: '{proxy.url.removeprefix('http://')}', token: {TOKEN}}}\n")
        assert run("calls", "-c", file) == 0
        assert run("calls", "--url", proxy.url) == 1
        assert "wants a token: admin.token of the file (-c), or $SIPPROXY_TOKEN" in capsys.readouterr().err
        monkeypatch.setenv("SIPPROXY_TOKEN", TOKEN)
        assert run("calls", "--url", proxy.url) == 0
        monkeypatch.setenv("SIPPROXY_TOKEN", "another")
        assert run("calls", "-c", file) == 1
        assert "wants another token" in capsys.readouterr().err
        monkeypatch.setenv("SIPPROXY_TOKEN", "a\r\nb")
        assert run("calls", "-c", file) == 2


def test_nobody_there_is_told_with_the_address() -> None:
    url = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    for ask in (lambda: Client(url, None).get("calls"), lambda: [*Client(url, None).events()]):
        with pytest.raises(NoProxyError, match=f"no proxy answers at {url}: Connection refused"):
            ask()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[1]\n",
        b"HTTP/1.1 500 \x1b[2J\r\nContent-Length: 5\r\n\r\n<html",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
    ],
)
def test_something_else_that_answers_is_told_as_that(answer: bytes) -> None:
    with answering(answer) as (url, heard):
        with pytest.raises(
            SipProxyError, match=r"is no sipproxy|no proxy answers|answers no longer"
        ) as error:
            Client(url, TOKEN).get("calls")
        assert str(error.value).isprintable()
        assert len(heard) == 1


@pytest.mark.parametrize("command", [("calls",), ("trace", "abc")])
@pytest.mark.parametrize(
    "body",
    [b'{"calls": null}', b'{"calls": [1, null, {}]}', b'{"calls": NaN}', b"[" * 100_000, b'{"spans": []}'],
)
def test_json_of_another_shape_is_told_in_one_line(
    command: tuple[str, ...], body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with answering(answer) as (url, _):
        assert run(*command, "--url", url) == 1
    told = capsys.readouterr().err
    assert "is no sipproxy" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "stream", ["event: calls\nid: x\ndata: {}\n\n", "event: calls\ndata: {\n\n", "event: state\n\n"]
)
def test_a_stream_that_is_none_is_told(stream: str) -> None:
    body = stream.encode()
    with (
        answering(b"HTTP/1.0 200 OK\r\n\r\n" + body) as (url, _),
        pytest.raises(SipProxyError, match="what is no event of ours"),
    ):
        list(Client(url, None).events())


def test_any_id_can_be_asked_for(world: World) -> None:
    with served(world) as proxy:
        client = Client(proxy.url, None)
        for ident in ("a/b", "a b", "é", "..", "%2f", "?x=1#y"):
            with pytest.raises(SipProxyError, match="nothing is known of that id"):
                client.get("traces", ident)
        with pytest.raises(SipProxyError, match="it holds what is no printable character"):
            client.get("traces", "\udcff")
        with pytest.raises(SipProxyError, match="limit: not a whole number"):
            client.get("traces", limit="many & more")
