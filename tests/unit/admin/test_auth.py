"""Who may ask: loopback without a token, everybody else with it, and no other site's page at all."""

from __future__ import annotations

import pytest

from sipproxy.admin.auth import is_loopback
from sipproxy.admin.http import start
from sipproxy.admin.settings import AdminSettings
from sipproxy.errors import StartError
from tests.unit.admin.support import TOKEN, Run, World, address, ask, opened

GUARDED = [
    *("/api/calls", "/api/traces", "/api/traces/1", "/api/propagation", "/api/events", "/metrics"),
    *("/api/calls/1/context", "/api/traces/1/raw/1", "/api/nothing", "/nothing"),
]
OPEN = ("/", "/app.js", "/healthz", "/readyz")
WITH_TOKEN = AdminSettings(listen="127.0.0.1:0", token=TOKEN)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("localhost", True),
        ("LocalHost.", True),
        ("tools.localhost", True),
        ("[::1]", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("[::]", False),
        ("192.0.2.1", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_loopback_is_known_by_name_and_address(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_on_loopback_nobody_is_asked_for_a_token(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            assert (await ask(site, "/api/calls")).status == 200
            assert (await ask(site, "/metrics")).status == 200

    run(story())


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8060", "127.0.0.1.evil.example", "192.0.2.1:8060", "[2001:db8::1]"]
)
def test_a_name_that_was_made_to_point_here_gets_nothing(run: Run, world: World, host: str) -> None:
    async def story() -> None:
        async with opened(world) as site:
            for path in (*GUARDED, *OPEN):
                assert (await ask(site, path, headers={"Host": host})).status == 403, path

    run(story())


def test_loopback_has_many_names_and_a_tool_may_name_none(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world) as site:
            _, port = address(site)
            for host in (f"localhost:{port}", "LOCALHOST", f"127.0.0.1:{port}", "[::1]:1", ""):
                assert (await ask(site, "/api/calls", headers={"Host": host})).status in (200, 400), host
            assert (await ask(site, "/healthz", headers={"Host": "localhost"})).status == 200

    run(story())


def test_with_a_token_everything_but_health_and_the_page_needs_it(run: Run, world: World) -> None:
    async def story() -> None:
        async with opened(world, WITH_TOKEN) as site:
            for path in GUARDED:
                reply = await ask(site, path)
                assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="sipproxy"')
                assert reply.json == {"error": "a bearer token is needed"}
            for path in OPEN:
                assert (await ask(site, path, headers={"Host": "admin.example"})).status == 200, path
            assert (await ask(site, "/api/calls", token=TOKEN)).status == 200
            assert (await ask(site, "/api/nothing", token=TOKEN)).status == 404
            assert (await ask(site, "/api/calls", "DELETE")).status == 401

    run(story())


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer  ",
        TOKEN,
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer ü",
        "Bearer \udcff",
        f"Bearer {TOKEN.upper()}",
    ],
)
def test_a_wrong_token_is_refused_and_never_repeated(run: Run, world: World, authorization: str) -> None:
    async def story() -> None:
        async with opened(world, WITH_TOKEN) as site:
            reply = await ask(site, "/api/calls", headers={"Authorization": authorization})
            assert reply.status == 401
            assert TOKEN not in repr(world.log.lines) + reply.body.decode()
            assert (await ask(site, "/api/calls", headers={"Authorization": f"bearer {TOKEN}"})).status == 200

    run(story())


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "admin.example:0"])
def test_no_other_address_is_opened_without_a_token(run: Run, world: World, listen: str) -> None:
    async def story() -> None:
        with pytest.raises(StartError, match=r"is not loopback and needs admin\.token"):
            await start(AdminSettings(listen=listen), world.sources())

    run(story())


def test_a_wildcard_listens_with_a_token(run: Run, world: World) -> None:
    async def story() -> None:
        settings = AdminSettings(listen="0.0.0.0:0", token=TOKEN)
        async with opened(world, settings) as site:
            assert (await ask(site, "/api/calls")).status == 401
            assert (await ask(site, "/api/calls", token=TOKEN)).status == 200

    run(story())


@pytest.mark.parametrize("site_of", ["cross-site", "same-site"])
def test_the_page_of_another_site_gets_nothing_but_a_link_can_be_followed(
    run: Run, world: World, site_of: str
) -> None:
    async def story() -> None:
        async with opened(world) as site:
            asks = {"Sec-Fetch-Site": site_of, "Sec-Fetch-Mode": "no-cors"}
            assert (await ask(site, "/api/calls", headers=asks)).status == 403
            assert (await ask(site, "/api/events", headers=asks)).status == 403
            follows = {"Sec-Fetch-Site": site_of, "Sec-Fetch-Mode": "navigate"}
            assert (await ask(site, "/", headers=follows)).status == 200
            assert (await ask(site, "/api/calls", headers=follows)).status == 200
            ours = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
            assert (await ask(site, "/api/calls", headers=ours)).status == 200

    run(story())


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"],
)
def test_a_form_of_another_site_cannot_make_us_do_anything(run: Run, world: World, kind: str) -> None:
    async def story() -> None:
        async with opened(world) as site:
            for method, path in (("POST", "/api/drain"), ("PUT", "/api/log-level")):
                body = b'{"level": "debug"}'
                reply = await ask(site, path, method, body=body, headers={"Content-Type": kind})
                assert (reply.status, reply.json) == (415, {"error": "Content-Type must be application/json"})
            assert world.commands == []
            assert (await ask(site, "/api/drain", "OPTIONS")).status == 405

    run(story())
