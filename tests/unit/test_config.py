"""The configuration: what a file gives, every fault with its place, and what is printed back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sipproxy import config
from sipproxy.app import main
from sipproxy.b2bua.routing import Router
from sipproxy.b2bua.settings import Health, Refer, RouteSettings, TransferSettings, TrunkSettings
from sipproxy.config import Settings
from sipproxy.errors import ConfigurationError
from sipproxy.propagation.settings import Accept, Carrier
from sipproxy.settings_index import NOT_YET, settings_of
from sipproxy.telemetry.settings import Compression, Exporter, Mask, Protocol, TracingSettings

ROOT = Path(__file__).parents[2]
NO_SOURCE = "is not an address, CIDR, address:port, transport[:CIDR] or name in a certificate"

Load = Callable[[str], Settings]
Faults = Callable[[str], list[str]]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # so that faults begin with a short name
    return Path("config.yaml")


@pytest.fixture
def load(file: Path) -> Load:
    def load(text: str) -> Settings:
        file.write_text(text)
        return config.load(file)

    return load


@pytest.fixture
def faults(load: Load) -> Faults:
    def faults(text: str) -> list[str]:
        with pytest.raises(ConfigurationError) as raised:
            load(text)
        return [fault.removeprefix("config.yaml:") for fault in raised.value.faults]

    return faults


TWO = "trunks: {a: {address: 192.0.2.1}, b: {address: 192.0.2.2}}\nroutes: [{from: a, to: [b]}]\n"
TRACING = TracingSettings(  # what OpenTelemetry's defaults come to
    exporter=Exporter.OTLP,
    protocol=Protocol.HTTP,
    endpoint="http://localhost:4318",
    timeout_s=10.0,
    compression=Compression.NONE,
    service_name="sipproxy",
    sample_ratio=1.0,
)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "null\n", "{}", "trunks:\ntracing:\nlimits: {}\n"]
)
def test_an_empty_file_equals_the_defaults(load: Load, text: str) -> None:
    assert load(text) == config.load(None) == Settings()


def test_the_defaults_listen_on_loopback_and_route_one_trunk_to_the_other() -> None:
    settings = Settings()
    assert settings.listen == ("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060")
    assert settings.trunks["uac"].match == ("127.0.0.0/8",)
    assert settings.trunks["uas"].address == "127.0.0.1:5080"
    assert settings.routes == (RouteSettings(source="uac", to=("uas",)),)


def test_the_defaults_pass_their_own_checks(load: Load) -> None:
    assert load(config.describe(config.read(None), {})) == dataclasses.replace(Settings(), tracing=TRACING)


def test_a_file_says_everything(load: Load) -> None:
    settings = load("""
listen: [udp:0.0.0.0:5060, "tcp:[::1]:0"]
advertise: sip.example.net
region: eu-west-2
trunks:
  sbc:
    address: sip.example.net;transport=TCP
    match: [192.0.2.1, 192.0.2.0/24, "192.0.2.1:5070", "2001:db8::1", "[2001:db8::1]:5070", "2001:db8::/32"]
    trace: {accept: link, send: [pai], aliases: [], read_pai: true, respond: true}
    health: {options_every_s: 30, down_after: 3}
    limits: {calls: 10, cps: 2.5}
    headers: {strip: [X-Internal], pass: [Subject], set: {X-Tenant: blue}}
    refer: local
    transfer_anchor: false
  v6: {address: "[2001:db8::9]:5060"}
routes:
  - {from: sbc, user: "^\\\\+44", to: [v6, sbc]}
  - {to: [sbc]}
tracing: {exporter: none, protocol: grpc, endpoint: "https://c.example", headers: {authorization: Bearer x}}
privacy: {mask: hash, key: 0123456789abcdef}
transfer: {expires_s: 45, pending: 50}
timeouts: {ring_s: 60}
limits: {headers: 100}
""")
    sbc = settings.trunks["sbc"]
    assert (settings.listen[1], settings.advertise, settings.region) == (
        "tcp:[::1]:0",
        "sip.example.net",
        "eu-west-2",
    )
    assert (sbc.trace.accept, sbc.trace.send) == (Accept.LINK, (Carrier.PAI,))
    assert sbc.health == Health(options_every_s=30.0, down_after=3)
    assert (sbc.headers.strip, sbc.headers.allow, sbc.headers.set) == (
        ("X-Internal",),
        ("Subject",),
        {"X-Tenant": "blue"},
    )
    assert (sbc.refer, sbc.transfer_anchor) == (Refer.LOCAL, False)
    assert settings.transfer == TransferSettings(expires_s=45.0, pending=50)
    assert settings.routes == (RouteSettings(("v6", "sbc"), "sbc", r"^\+44"), RouteSettings(("sbc",)))
    assert (settings.tracing.exporter, settings.tracing.protocol) == (Exporter.NONE, Protocol.GRPC)
    assert (settings.privacy.mask, settings.timeouts.ring_s, settings.limits.headers) == (
        Mask.HASH,
        60.0,
        100,
    )
    assert settings.limits.message_bytes == Settings().limits.message_bytes
    assert config.listeners(settings) == [("udp", "0.0.0.0", 5060), ("tcp", "::1", 0)]
    assert set(Router.of(settings.trunks, settings.routes).trunks) == {"sbc", "v6"}  # it reads them alike


@pytest.mark.parametrize(
    "word",
    [
        "NO",
        "yes",
        "On",
        "~",
        "12:30",
        "+441632960000",
        "0123",
        "1_000",
        "0x1F",
        "2026-01-31",
        ".5",
        "1e",
        "=",
        "True",
    ],
)
def test_words_stay_what_they_look_like(load: Load, word: str) -> None:
    assert load(f"{TWO}tracing: {{headers: {{x: {word}}}}}").tracing.headers == {"x": word}


def test_a_key_is_text(load: Load) -> None:
    headers = load("tracing: {headers: {NO: a, 1: b, null: c, 1.0: d}}").tracing.headers
    assert headers == {"NO": "a", "1": "b", "null": "c", "1.0": "d"}


@pytest.mark.parametrize(
    ("number", "value"), [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1e-2", 0.01), ("5.0E-1", 0.5)]
)
def test_numbers_as_json_writes_them(load: Load, number: str, value: float) -> None:
    assert load(f"tracing: {{sample_ratio: {number}}}").tracing.sample_ratio == value


def test_null_is_the_default(load: Load) -> None:
    assert load("listen: null\nworkers: null\ntracing: {batch: null, endpoint: null}\ntrace:") == Settings()


def test_anchors_work(load: Load) -> None:
    trunks = load(
        "trunks: {a: {address: h1, trace: &t {send: []}}, b: {address: h2, trace: *t}}\nroutes: []"
    ).trunks
    assert trunks["a"].trace == trunks["b"].trace != TrunkSettings("h").trace


FAULTS = [
    # YAML itself
    ("a: [", "1: not YAML: expected the node content, but found '<stream end>'"),
    ("a: b: c", "1: not YAML: mapping values are not allowed here"),
    ("\ta: 1", "1: not YAML: found character '\\t' that cannot start any token"),
    ("workers: 1\n---\nworkers: 1", "2: not YAML: but found another document"),
    ("a: 1\nb: \x00", "2: not YAML: special characters are not allowed"),
    ("[1]", "1: keys and values are expected, such as 'workers: 1'"),
    ("region: !!binary abc", "1: region: cannot be used as binary"),
    ("region: !mine abc", "1: region: cannot be used as !mine"),
    ("trace: {max_transfers: !!int ten}", "1: trace.max_transfers: cannot be used as int"),
    ("tracing: {sample_ratio: 1e999}", "1: tracing.sample_ratio: cannot be used as float"),
    ("? [a]\n: 1", "1: a key is one word"),
    ("trace: &t {max_transfers: *t}", "1: trace.max_transfers: a section is not a whole number"),
    # keys
    ("\nworkers: 1\n\nworkers: 1", "4: workers: duplicate key, first in line 2"),
    ("limits:\n  headers: 99\n  headers: 98", "3: limits.headers: duplicate key, first in line 2"),
    ("worker: 1", "1: worker: unknown key, did you mean 'workers'?"),
    ("limits: {zzz: 1}", "1: limits.zzz: unknown key, known are message_bytes, headers"),
    (
        "trunks:\n  x:\n    address: h\n    adress: h\nroutes: []",
        "4: trunks.x.adress: unknown key, did you mean 'address'?",
    ),
    (
        "routes: [{source: uac, to: [uas]}]",
        "1: routes[0].source: unknown key, known are to, from, user, webhook, timeout_ms, webhook_headers, "
        "webhook_token",
    ),
    ("redis: {}", "1: redis: not supported yet"),
    (
        "routes:\n- {webhook: 'h:9', to: [uas]}",
        "2: routes[0].webhook: not a URL such as http://127.0.0.1:9000/route",
    ),
    (
        "routes: [{webhook: 'http://u:p@h', to: [uas]}]",
        "1: routes[0].webhook: credentials do not belong into the URL",
    ),
    ("routes: [{timeout_ms: 0, to: [uas]}]", "1: routes[0].timeout_ms: 0 is less than 1"),
    (
        "routes: [{webhook_token: a b, to: [uas]}]",
        "1: routes[0].webhook_token: a token is made of visible ASCII characters, without blanks",
    ),
    ("tracing: {keep: {ratio: 2}}", "1: tracing.keep.ratio: 2 is more than 1.0"),
    ("tracing: {keep: {rate: 1}}", "1: tracing.keep.rate: unknown key, did you mean 'ratio'?"),
    ("tracing: {client_key: k.pem}", "1: tracing: client_certificate and client_key belong together"),
    ("tracing: {destinations: {b: {}}}", "1: tracing.destinations.b.endpoint: required"),
    (
        "tracing: {destinations: {b: {endpoint: 'ftp://h'}}}",
        "1: tracing.destinations.b.endpoint: not a URL such as http://127.0.0.1:4318 (http or https, for "
        "grpc too)",
    ),
    (
        "admin: {listen: 'localhost:1'}",
        "1: admin.listen: 'localhost:1' is not HOST:PORT with an IP address (IPv6 in brackets)",
    ),
    (
        "admin: {listen: '0.0.0.0:8060'}",
        "1: admin.listen: an address that others can reach needs admin.token",
    ),
    ("admin: {token: short}", "1: admin.token: at least 16 characters are needed"),
    ("admin: {raw: true}", "1: admin.raw: messages as they were need admin.token"),
    (
        "admin: {links: {j: 'http://h/trace'}}",
        "1: admin.links.j: no {trace_id} in it, such as http://127.0.0.1:16686/trace/{trace_id}",
    ),
    ("hep: {address: 192.0.2.1}", "1: hep.address: '192.0.2.1' names no port"),
    ("store: {max_mb: 1}", "1: store.max_mb: 1 is less than 16"),
    # types and bounds
    (
        "trunks:\n  x: {}\nroutes: []",
        "2: trunks.x: neither address nor match: nobody calls from it, or to it",
    ),
    ("routes:\n- {from: uac}", "2: routes[0].to: required"),
    ("trunks: {x: }\nroutes: []", "1: trunks.x: neither address nor match: nobody calls from it, or to it"),
    ("routes:\n-\n- {to: [uas]}", "2: routes[0].to: required"),
    ("listen: udp:127.0.0.1:0", "1: listen: a list is expected, such as [a, b]"),
    ("trunks: [a]\nroutes: []", "1: trunks: keys and values are expected"),
    ("trace: x", "1: trace: keys and values are expected"),
    ("region: 5", "1: region: 5 is not text, put it in quotes"),
    ("region: true", "1: region: true is not text, put it in quotes"),
    ("region: [a]", "1: region: text is expected"),
    ("limits: {headers: 40.5}", "1: limits.headers: 40.5 is not a whole number"),
    ("limits: {headers: '40'}", "1: limits.headers: '40' is not a whole number"),
    ("timeouts: {ring_s: 12:30}", "1: timeouts.ring_s: '12:30' is not a number"),
    (
        "trunks: {x: {address: h, trace: {respond: NO}}}\nroutes: []",
        "1: trunks.x.trace.respond: 'NO' is neither true nor false",
    ),
    (
        "privacy: {mask: las2}",
        "1: privacy.mask: 'las2' is none of last2, hash, full, none, did you mean 'last2'?",
    ),
    ("workers: 0", "1: workers: 0 is less than 1"),
    ("workers: 2", "1: workers: 2 is more than 1"),
    ("timeouts: {ring_s: 0}", "1: timeouts.ring_s: 0 is not more than 0.0"),
    ("timeouts: {ring_s: 3601}", "1: timeouts.ring_s: 3601 is more than 3600.0"),
    ("transfer: {expires_s: 0}", "1: transfer.expires_s: 0 is not more than 0.0"),
    ("transfer: {expires_s: 3600.5}", "1: transfer.expires_s: 3600.5 is more than 3600.0"),
    ("transfer: {expires_s: 2m}", "1: transfer.expires_s: '2m' is not a number"),
    ("transfer: {pending: 0}", "1: transfer.pending: 0 is less than 1"),
    ("transfer: {pending: 1000001}", "1: transfer.pending: 1000001 is more than 1000000"),
    ("transfer: {pending: 10.5}", "1: transfer.pending: 10.5 is not a whole number"),
    ("transfer:\n  expires: 9", "2: transfer.expires: unknown key, did you mean 'expires_s'?"),
    ("transfer: local", "1: transfer: keys and values are expected"),
    ("refer: local", "1: refer: unknown key, did you mean 'transfer'?"),
    ("timeouts: {first_response_s: 33}", "1: timeouts.first_response_s: 33 is more than 32.0"),
    ("timeouts: {drain_s: 86401}", "1: timeouts.drain_s: 86401 is more than 86400.0"),
    ("tracing: {every_ms: 9}", "1: tracing.every_ms: 9 is less than 10"),
    ("tracing: {every_ms: 999999999999999999}", "1: tracing.every_ms: 999999999999999999 is more than 60000"),
    ("tracing: {timeout_s: 0}", "1: tracing.timeout_s: 0 is not more than 0.0"),
    ("tracing: {timeout_s: 301}", "1: tracing.timeout_s: 301 is more than 300.0"),
    ("tracing: {timeout_s: .inf}", "1: tracing.timeout_s: '.inf' is not a number"),
    ("tracing: {batch: 8193}", "1: tracing.batch: 8193 is more than 8192"),
    ("tracing: {max_queue: 10000001}", "1: tracing.max_queue: 10000001 is more than 10000000"),
    # forms
    ("listen: []", "1: listen: at least one is needed"),
    ("listen:\n- udp:127.0.0.1:0\n- udp:h:1", "3: listen[1]: 'h' is not an IP address (IPv6 in brackets)"),
    ("listen: [udp:127.0.0.1]", "1: listen[0]: 'udp:127.0.0.1' is not udp:HOST:PORT (or tcp, tls, ws, wss)"),
    (
        "listen: [sctp:127.0.0.1:5060]",
        "1: listen[0]: 'sctp:127.0.0.1:5060' is not udp:HOST:PORT (or tcp, tls, ws, wss)",
    ),
    ("listen: ['udp:::1:5060']", "1: listen[0]: '::1' is not an IP address (IPv6 in brackets)"),
    ("listen: [udp:127.0.0.1:65536]", "1: listen[0]: '65536' is not a port"),
    ("listen: [tls:127.0.0.1:5061]", "1: listen[0]: 'tls:127.0.0.1:5061' needs tls.certificates"),
    ("listen: [wss:127.0.0.1:443]", "1: listen[0]: 'wss:127.0.0.1:443' needs tls.certificates"),
    (
        "websocket: {origins: [desk.example]}",
        "1: websocket.origins[0]: 'desk.example' is not an origin such as https://desk.example (no path)",
    ),
    (
        "trunks: {x: {match: [wss]}, y: {address: h}}\nroutes: [{from: x, to: [y]}]",
        "1: trunks.x.match[0]: nothing comes by wss: it is not in listen",
    ),
    (
        "trunks: {x: {match: [sip.carrier.example], address: h}}\nroutes: [{from: x, to: [x]}]",
        "1: trunks.x.match[0]: 'sip.carrier.example' is a name in a certificate, and nobody shows one: "
        "set tls.clients",
    ),
    (
        "trunks: {x: {match: [10.0.0.1], health: {options_every_s: 5}}, y: {address: h}}\n"
        "routes: [{from: x, to: [y]}]",
        "1: trunks.x.health: there is no address to ask",
    ),
    ("tls: {clients: always}", "1: tls.clients: 'always' is none of off, optional, required"),
    ("tls: {certificates: [{certificate: c.pem}]}", "1: tls.certificates[0].key: required"),
    (
        "trunks: {desk: {match: [10.0.0.0/8]}}\nroutes:\n  - {from: desk, to: [desk]}",
        "3: routes[0].to[0]: 'desk' has no address: only its own clients can call",
    ),
    (
        "listen: [udp:127.0.0.1:5060, udp:127.0.0.1:5060]",
        "1: listen[1]: 'udp:127.0.0.1:5060' is taken by listen[0]",
    ),
    (
        "advertise: 10.0.0.300",
        "1: advertise: '10.0.0.300' is not a host name or IP address (IPv6 in brackets)",
    ),
    ("advertise: h:5060", "1: advertise: 'h:5060' is not a host name or IP address (IPv6 in brackets)"),
    ("advertise: 0.0.0.0", "1: advertise: a wildcard cannot be advertised"),
    ("region: a b", "1: region: 'a b' is not made of letters, digits, '.' and '-'"),
    ("trace: {interaction_header: X Y}", "1: trace.interaction_header: 'X Y' is not a header name"),
    (
        "trace: {interaction_header: v}",
        "1: trace.interaction_header: 'v' belongs to the proxy, which writes it for each leg",
    ),
    (
        "routes: [{user: '*', to: [uas]}]",
        "1: routes[0].user: '*' is not a regular expression: nothing to repeat at position 0",
    ),
    (
        "routes: [{user: 'a{999999999999}', to: [uas]}]",
        "1: routes[0].user: 'a{999999999999}' is not a regular expression: "
        "the repetition number is too large",
    ),
    ("routes: [{to: []}]", "1: routes[0].to: at least one is needed"),
    (
        "tracing: {endpoint: 'c:4318'}",
        "1: tracing.endpoint: not a URL such as http://127.0.0.1:4318 (http or https, for grpc too)",
    ),
    (
        "tracing: {endpoint: 'http://u:p@c'}",
        "1: tracing.endpoint: credentials do not belong into the URL, use tracing.headers",
    ),
    (
        "tracing: {endpoint: 'http://c/v1/traces'}",
        "1: tracing.endpoint: write the base URL, without /v1/traces",
    ),
    ("tracing: {endpoint: 'http://c:99999'}", "1: tracing.endpoint: Port out of range 0-65535"),
    ("tracing: {headers: {a b: c}}", "1: tracing.headers.a b: 'a b' is not a header name"),
    ('tracing: {headers: {a: "secret\\nX: y"}}', "1: tracing.headers.a: a header value is one line"),
    ("tracing: {headers: {a: 12345}}", "1: tracing.headers.a: the value is not text, put it in quotes"),
    ("privacy: {key: short-secret}", "1: privacy.key: at least 16 characters are needed"),
    ("privacy: {key: 12345}", "1: privacy.key: the value is not text, put it in quotes"),
    # across
    ("trunks:\n  a: {address: h}", "1: trunks: routes are needed too, the embedded ones know other trunks"),
    ("routes: [{from: uacc, to: [uas]}]", "1: routes[0].from: 'uacc' is no trunk, did you mean 'uac'?"),
    ("routes:\n- to: [uas]\n- to: [uas, zzzz]", "3: routes[1].to[1]: 'zzzz' is no trunk"),
    ("privacy: {mask: hash}", "1: privacy.mask: 'hash' needs privacy.key"),
    (
        "tracing: {batch: 600, max_queue: 512}",
        "1: tracing.batch: 600 is more than tracing.max_queue, which is 512",
    ),
]


@pytest.mark.parametrize(("text", "fault"), FAULTS)
def test_fault(faults: Faults, text: str, fault: str) -> None:
    assert fault in faults(text)


def test_a_regular_expression_may_be_too_deep(faults: Faults) -> None:
    deep = "(" * 5000 + ")" * 5000
    (fault,) = faults(f"routes: [{{user: '{deep}', to: [uas]}}]")
    assert fault.startswith("1: routes[0].user: ")
    assert "is not a regular expression: maximum recursion depth exceeded" in fault


TRUNK_FAULTS = [
    ("address: 'sip:h'", "address: write host[:port] without 'sip:'"),
    ("address: h:x", "address: 'x' is not a port"),
    ("address: h:0", "address: '0' is not a port"),
    ("address: 2001:db8::1", "address: '2001' is not a host name or IP address (IPv6 in brackets)"),
    ("address: h;transport=tls", "address: transport=tls needs a tls: entry in listen"),
    ("address: h;transport=sctp", "address: transport 'sctp' is none of udp, tcp, tls"),
    ("address: h;lr", "address: unknown parameter 'lr', known is transport"),
    (
        "match: [10.0.0.0/33]",
        f"match[0]: '10.0.0.0/33' {NO_SOURCE}",
    ),
    (
        "match: [sbc_1.example]",
        f"match[0]: 'sbc_1.example' {NO_SOURCE}",
    ),
    ("tls_name: sbc.example", "tls_name: an address with transport=tls is what it names"),
    ("tls_name: '*.example'", "tls_name: '*.example' is not a domain name"),
    ("address: h;transport=wss", "address: a WebSocket client connects to us: leave the address out"),
    (
        "match: [10.0.0.0/8:5060]",
        f"match[0]: '10.0.0.0/8:5060' {NO_SOURCE}",
    ),
    (
        "match: [10.1.0.0/8]",
        "match[0]: '10.1.0.0/8' has bits set behind its prefix, did you mean '10.0.0.0/8'?",
    ),
    ("match: [10.0.0.1:99999]", "match[0]: '99999' is not a port"),
    ("match: [10.0.0.1, 10.0.0.1/32]", "match[1]: '10.0.0.1/32' is taken by trunks.x.match[0]"),
    ("trace: {aliases: [Via]}", "trace.aliases[0]: 'Via' belongs to the proxy, which writes it for each leg"),
    (
        "headers: {strip: [call-id]}",
        "headers.strip[0]: 'call-id' belongs to the proxy, which writes it for each leg",
    ),
    (
        "headers: {set: {Max-Forwards: '9'}}",
        "headers.set.Max-Forwards: 'Max-Forwards' belongs to the proxy, which writes it for each leg",
    ),
    ('headers: {set: {A: "b\\r\\nVia: c"}}', "headers.set.A: a header value is one line"),
    ("refer: relya", "refer: 'relya' is none of relay, local, reject, did you mean 'relay'?"),
    ("refer: RELAY", "refer: 'RELAY' is none of relay, local, reject"),
    ("refer: true", "refer: true is none of relay, local, reject"),
    ("transfer_anchor: NO", "transfer_anchor: 'NO' is neither true nor false"),
    ("transfer_anchor: 1", "transfer_anchor: 1 is neither true nor false"),
    ("transfer: {}", "transfer: unknown key, did you mean 'transfer_anchor'?"),
    ("headers: {pass: [a:b]}", "headers.pass[0]: 'a:b' is not a header name"),
]


@pytest.mark.parametrize(("text", "fault"), TRUNK_FAULTS)
def test_fault_of_a_trunk(faults: Faults, text: str, fault: str) -> None:
    assert f"3: trunks.x.{fault}" in faults(f"trunks:\n  x:\n    {text}\nroutes: []")


def test_two_trunks_cannot_claim_one_source_but_a_narrower_one_can(faults: Faults, load: Load) -> None:
    def text(other: str) -> str:
        trunks = f"  a: {{address: h, match: [10.0.0.1]}}\n  b: {{address: h, match: ['{other}']}}"
        return f"trunks:\n{trunks}\nroutes: []"

    assert faults(text("10.0.0.1")) == ["3: trunks.b.match[0]: '10.0.0.1' is taken by trunks.a.match[0]"]
    for other in ("10.0.0.0/8", "10.0.0.1:5060", "10.0.0.2"):
        assert load(text(other)).trunks["b"].match == (other,)


@pytest.mark.parametrize("word", [*Refer, None])
def test_a_trunk_says_what_becomes_of_a_refer(load: Load, word: Refer | None) -> None:
    trunk = load(f"trunks: {{x: {{address: h, refer: {word or 'null'}}}}}\nroutes: []").trunks["x"]
    assert (trunk.refer, trunk.transfer_anchor) == (word, True)


def test_transfers_wait_two_minutes_and_ten_thousand_at_a_time(load: Load) -> None:
    assert load("transfer:") == Settings()
    assert load("transfer: {expires_s: 0.5}").transfer == TransferSettings(expires_s=0.5, pending=10_000)
    assert load("transfer: {expires_s: 3600, pending: 1000000}").transfer == TransferSettings(
        expires_s=3600.0, pending=1_000_000
    )


@pytest.mark.parametrize("name", ["+441632960000", "a b", "''", "x" * 65])
def test_a_trunk_has_a_plain_name(faults: Faults, name: str) -> None:
    assert "1 to 64 letters" in faults(f"trunks: {{{name}: {{address: h}}}}\nroutes: []")[0]


def test_all_faults_are_told_at_once_in_the_order_of_the_file(faults: Faults) -> None:
    found = faults(
        "workers: 9\nlisten: [x]\ntrunks: {a: {adress: h}}\nroutes: [{to: [b]}]\n"
        "privacy: {mask: hash}\nzzz: 1"
    )
    assert [fault.split(":")[0] for fault in found] == ["1", "2", "3", "3", "4", "5", "6"]
    assert len(found) == 7


def test_a_secret_is_in_no_fault(faults: Faults) -> None:
    text = "tracing: {headers: {a: {b: s3cret}}, endpoint: 'http://s3cret@h'}\nprivacy: {key: [s3cret]}"
    assert not [fault for fault in faults(text) if "s3cret" in fault]
    assert len(faults(text)) == 3


@pytest.mark.parametrize("deep", ["[" * 3000, "a: " + "[" * 100 + "]" * 100, "a: &a [*a, *a]"])
def test_a_file_without_end_is_a_fault(faults: Faults, deep: str) -> None:
    assert faults(deep)


def test_a_file_that_cannot_be_read(file: Path) -> None:
    for path, reason in ((Path("missing.yaml"), "No such file or directory"), (Path(), "Is a directory")):
        with pytest.raises(ConfigurationError, match=rf"^{re.escape(str(path))}: cannot be read: {reason}$"):
            config.load(path)
    file.write_bytes(b"region: \xff")
    with pytest.raises(ConfigurationError, match=r"^config.yaml: cannot be read: not UTF-8$"):
        config.load(file)


def test_a_byte_order_mark_is_no_key(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfregion: r1\r\n")
    assert config.load(file).region == "r1"


def described(file: Path, text: str, environment: dict[str, str]) -> list[str]:
    file.write_text(text)
    return [
        re.sub(" +#", " #", line) for line in config.describe(config.read(file), environment).splitlines()
    ]


def test_print_config_names_the_source_of_each_value(file: Path) -> None:
    text = f"region: r1\n{TWO}tracing:\n  service_name: edge\n  endpoint: http://file:4318\n"
    environment = {
        "OTEL_SERVICE_NAME": "other",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "3",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "4",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
    }
    lines = described(file, text, environment)
    assert "region: r1 # config.yaml:1" in lines
    assert "workers: 1 # default" in lines
    assert '    address: "192.0.2.1" # config.yaml:2' in lines
    assert any(line.startswith("    match: ") and line.endswith("# default") for line in lines)
    assert "    from: a # config.yaml:3" in lines
    assert "  service_name: edge # config.yaml:5, before OTEL_SERVICE_NAME" in lines
    assert "  endpoint: http://file:4318 # config.yaml:6" in lines
    assert "  protocol: grpc # OTEL_EXPORTER_OTLP_PROTOCOL" in lines
    assert "  timeout_s: 3 # OTEL_EXPORTER_OTLP_TRACES_TIMEOUT" in lines
    assert "  sample_ratio: 0.5 # OTEL_TRACES_SAMPLER_ARG" in lines


def test_a_sampler_without_a_ratio_is_named_itself(file: Path) -> None:
    environment = {"OTEL_TRACES_SAMPLER": "always_off", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    assert "  sample_ratio: always_off # OTEL_TRACES_SAMPLER" in described(file, "", environment)


def test_grpc_has_a_default_endpoint_of_its_own(file: Path) -> None:
    assert "  endpoint: http://localhost:4317 # default" in described(file, "tracing: {protocol: grpc}", {})
    assert "  endpoint: http://localhost:4317 # default" in described(
        file, "", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    )
    assert "  endpoint: http://localhost:4318 # default" in described(file, "", {})


def test_print_config_hides_secrets(file: Path) -> None:
    text = "tracing: {headers: {authorization: Bearer s3cret}}\nprivacy: {key: s3cret-s3cret-s3cret}"
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:s3cret@c:4318"}
    lines = described(file, text, environment)
    assert '  headers: {authorization: "***"} # config.yaml:1' in lines
    assert "  endpoint: http://c:4318 # OTEL_EXPORTER_OTLP_ENDPOINT" in lines
    lines += described(file, "", {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=s3cret"})
    assert '  headers: "***" # OTEL_EXPORTER_OTLP_HEADERS' in lines
    assert "s3cret" not in "\n".join(lines)


def test_what_is_printed_can_be_loaded(load: Load) -> None:
    before = load("""
listen: ["udp:[::1]:5060"]
trunks:
  a-1:
    address: "[::1]:5070;transport=udp"
    match: ["::1", 10.0.0.0/8]
    headers: {set: {X-A: "NO: #1", X-B: "null"}, pass: []}
routes: [{user: '^\\+44"', to: [a-1]}]
timeouts: {ring_s: 0.125}
""")
    assert load(config.describe(config.Loaded(before), {})) == dataclasses.replace(before, tracing=TRACING)


def test_the_example_has_every_key_and_is_the_defaults_but_for_trunks_and_routes() -> None:
    example = ROOT / "config/sipproxy.yaml"
    loaded = config.read(example)
    assert (
        dataclasses.replace(loaded.settings, trunks=Settings().trunks, routes=Settings().routes) == Settings()
    )

    def keys(section: type) -> set[str]:
        own = settings_of(section)
        return set(own).union(*(keys(setting.section) for setting in own.values() if setting.section))

    text = example.read_text()
    assert not [key for key in keys(Settings) if not re.search(rf"\b{key}:", text)]


def test_what_is_supported_is_not_called_unsupported() -> None:
    assert not NOT_YET & (
        set(settings_of(Settings)) | set(settings_of(RouteSettings)) | set(settings_of(TracingSettings))
    )


def test_check_reads_the_certificates(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("listen: [tls:127.0.0.1:5061]\ntls: {certificates: [{certificate: no.pem, key: no.key}]}")
    assert main(["check", "-c", str(file)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "tls.certificates[0].certificate: cannot read no.pem: no such file or directory",
        "tls.certificates[0].key: cannot read no.key: no such file or directory",
    ]
