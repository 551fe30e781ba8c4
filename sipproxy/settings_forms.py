"""The forms of values in the configuration file: what the text of an address, a name or a URL must look like.

Each takes the text and raises ValueError with what is wrong; some give what they read.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from .admin.settings import OFF
from .settings_index import Path

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LISTENED = ("udp", "tcp", "tls", "ws", "wss")
CONNECTED = ("udp", "tcp", "tls")  # a WebSocket client connects to us, never the other way
_NO_SOURCE = "{!r} is not an address, CIDR, address:port, transport[:CIDR] or name in a certificate"

# These form the dialog or the hop (RFC 3261 section 20): the proxy writes them itself.
OWN_HEADERS = frozenset(
    {"via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m", "max-forwards", "route"}
    | {"record-route", "content-length", "l"}
)


def listen(text: str) -> tuple[str, str, int]:
    """`udp:HOST:PORT`, or tcp, tls, ws, wss; gives transport, host without brackets, and port."""
    transport, _, place = text.partition(":")
    host, colon, port = place.rpartition(":")
    if transport not in LISTENED or not colon:
        raise ValueError(f"{text!r} is not udp:HOST:PORT (or tcp, tls, ws, wss)")
    if not _is_address(host):
        raise ValueError(f"{host!r} is not an IP address (IPv6 in brackets)")
    return transport, host.strip("[]"), _port(port, lowest=0)


def trunk_address(text: str) -> None:
    """`host[:port][;transport=udp|tcp|tls]`."""
    place, *parameters = text.split(";")
    if place.startswith(("sip:", "sips:")):
        raise ValueError("write host[:port] without 'sip:'")
    bracket = place.find("]") + 1  # a colon inside the brackets parts no port
    name, colon, port = place[bracket:].partition(":")
    host(place[:bracket] + name)
    if colon:
        _port(port)
    for parameter in parameters:
        key, _, transport = parameter.lower().partition("=")
        if key != "transport":
            raise ValueError(f"unknown parameter {parameter!r}, known is transport")
        if transport in LISTENED and transport not in CONNECTED:
            raise ValueError("a WebSocket client connects to us: leave the address out")
        if transport not in CONNECTED:
            raise ValueError(f"transport {transport!r} is none of {', '.join(CONNECTED)}")


def source(text: str) -> object:
    """An address, a CIDR, address:port, TRANSPORT, TRANSPORT:CIDR, or a name in a TLS certificate. Gives what
    tells one from another.
    """
    transport, _, place = text.partition(":")
    if transport in LISTENED:
        return transport, _network(place, text) if place else ""
    if "/" not in text and ":" not in text and not _is_address(text) and _is_host(text):
        return text.lower(), None
    place, colon, port = text.rpartition(":")
    with_port = bool(colon) and (place.endswith("]") or ":" not in place)
    if not with_port:
        place = text
    if with_port and "/" in place:
        raise ValueError(_NO_SOURCE.format(text))
    return _network(place, text), _port(port) if with_port else None


def _network(place: str, text: str) -> Network:
    try:
        network = ipaddress.ip_network(place.removeprefix("[").removesuffix("]"), strict=False)
        exact = "/" not in place or ipaddress.ip_address(place.partition("/")[0]) == network.network_address
    except ValueError:
        raise ValueError(_NO_SOURCE.format(text)) from None
    if not exact:
        raise ValueError(f"{text!r} has bits set behind its prefix, did you mean {str(network)!r}?")
    return network


def certified(text: str) -> None:
    """A domain in a certificate (RFC 5922 section 7): a whole one, SIP knows no wildcards."""
    if not _is_host(text):
        raise ValueError(f"{text!r} is not a domain name")


def origin(text: str) -> None:
    """As browsers send it (RFC 6454 section 7): scheme, host, port unless it is the scheme's."""
    if not re.fullmatch(r"https?://[^/\s@]+", text):
        raise ValueError(f"{text!r} is not an origin such as https://desk.example (no path)")


def host(text: str) -> None:
    """A host as in a SIP URI (RFC 3261 section 25.1)."""
    if not _is_address(text) and not _is_host(text):
        raise ValueError(f"{text!r} is not a host name or IP address (IPv6 in brackets)")


def advertised(text: str) -> None:
    """A host that others can reach."""
    host(text)
    if text in ("0.0.0.0", "[::]"):
        raise ValueError("a wildcard cannot be advertised")


def header_name(text: str) -> None:
    """A token (RFC 3261 section 25.1)."""
    if not re.fullmatch(r"[A-Za-z0-9.!%*_+`'~-]+", text):
        raise ValueError(f"{text!r} is not a header name")


def foreign_header(text: str) -> None:
    """The name of a header that the proxy does not write itself."""
    header_name(text)
    if text.lower() in OWN_HEADERS:
        raise ValueError(f"{text!r} belongs to the proxy, which writes it for each leg")


def header_value(text: str) -> None:
    """One line."""
    if re.search(r"[\r\n\0]", text):
        raise ValueError("a header value is one line")


def trunk_name(text: str) -> None:
    """It stands in spans and metric labels."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise ValueError("a trunk's name is made of 1 to 64 letters, digits, '.', '_' and '-'")


def region(text: str) -> None:
    """It becomes build metadata of the service's version."""
    if not re.fullmatch(r"[A-Za-z0-9.-]+", text):
        raise ValueError(f"{text!r} is not made of letters, digits, '.' and '-'")


def regular_expression(text: str) -> None:
    """As Python's `re` understands it."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None


def endpoint(text: str) -> None:
    """Where OTLP goes. Never repeated in the fault: credentials may stand in it."""
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("not a URL such as http://127.0.0.1:4318 (http or https, for grpc too)")
    if url.username is not None:
        raise ValueError("credentials do not belong into the URL, use tracing.headers")
    if url.port is not None:
        _port(str(url.port))
    if url.path.rstrip("/").endswith("/v1/traces"):
        raise ValueError("write the base URL, without /v1/traces")


def secret_key(text: str) -> None:
    """Long enough that nobody can try all of them."""
    if len(text) < 16:
        raise ValueError("at least 16 characters are needed")


def _is_address(text: str) -> bool:
    try:
        if text.startswith("[") and text.endswith("]"):
            ipaddress.IPv6Address(text[1:-1])
        else:
            ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    pattern = r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?\.?"
    return re.fullmatch(pattern, text) is not None


def _port(text: str, *, lowest: int = 1) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not lowest <= int(text) <= 65535:
        raise ValueError(f"{text!r} is not a port")
    return int(text)


def admin_listen(text: str) -> None:
    """`HOST:PORT`, IPv6 in brackets; `off`."""
    if text == OFF:
        return
    place, colon, port = text.rpartition(":")
    if not colon or not _is_address(place):
        raise ValueError(f"{text!r} is not HOST:PORT with an IP address (IPv6 in brackets)")
    _port(port, lowest=0)


def is_loopback(text: str) -> bool:
    """Whether that HOST:PORT can be reached from this machine alone; True for what is no address."""
    try:
        return ipaddress.ip_address(text.rpartition(":")[0].strip("[]")).is_loopback
    except ValueError:
        return True


def web_url(text: str) -> None:
    """Of an application. Never repeated in the fault: credentials may stand in it."""
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("not a URL such as http://127.0.0.1:9000/route")
    if url.username is not None:
        raise ValueError("credentials do not belong into the URL")
    if url.port is not None:
        _port(str(url.port))


def deep_link(text: str) -> None:
    """Of another tool's page of a trace."""
    web_url(text.replace("{trace_id}", "0" * 32))
    if "{trace_id}" not in text:
        raise ValueError("no {trace_id} in it, such as http://127.0.0.1:16686/trace/{trace_id}")


def hep_address(text: str) -> None:
    """`HOST:PORT[;transport=udp|tcp]`."""
    trunk_address(text)
    if not re.search(r":[0-9]+$", text.partition(";")[0]):
        raise ValueError(f"{text!r} names no port")


def bearer(text: str) -> None:
    """A text that stands in a header of HTTP."""
    if re.search(r"[^\x21-\x7e]", text):
        raise ValueError("a token is made of visible ASCII characters, without blanks")


def admin_token(text: str) -> None:
    """Long enough, and fit for a header."""
    bearer(text)
    secret_key(text)


Form = Callable[[str], object]
VALUES: dict[Path, Form] = {
    ("listen", "*"): listen,
    ("advertise",): advertised,
    ("region",): region,
    ("trunks", "*", "address"): trunk_address,
    ("trunks", "*", "match", "*"): source,
    ("trunks", "*", "tls_name"): certified,
    ("websocket", "origins", "*"): origin,
    ("trunks", "*", "trace", "aliases", "*"): foreign_header,
    ("trunks", "*", "headers", "strip", "*"): foreign_header,
    ("trunks", "*", "headers", "pass", "*"): header_name,
    ("trunks", "*", "headers", "set", "*"): header_value,
    ("routes", "*", "user"): regular_expression,
    ("trace", "interaction_header"): foreign_header,
    ("tracing", "endpoint"): endpoint,
    ("tracing", "headers", "*"): header_value,
    ("privacy", "key"): secret_key,
    ("tracing", "destinations", "*", "endpoint"): endpoint,
    ("tracing", "destinations", "*", "headers", "*"): header_value,
    ("routes", "*", "webhook"): web_url,
    ("routes", "*", "webhook_headers", "*"): header_name,
    ("routes", "*", "webhook_token"): bearer,
    ("trunks", "*", "call_id_header"): foreign_header,
    ("admin", "listen"): admin_listen,
    ("admin", "token"): admin_token,
    ("admin", "links", "*"): deep_link,
    ("hep", "address"): hep_address,
}
KEYS: dict[Path, Form] = {  # of the maps whose keys the operator chooses
    ("trunks", "*"): trunk_name,
    ("trunks", "*", "headers", "set", "*"): foreign_header,
    ("tracing", "headers", "*"): header_name,
    ("tracing", "destinations", "*"): trunk_name,
    ("tracing", "destinations", "*", "headers", "*"): header_name,
    ("admin", "links", "*"): trunk_name,
}


def form_of(path: Path, forms: dict[Path, Form]) -> Form | None:
    """The form that the value, or the key, at a path must have."""
    for pattern, form in forms.items():
        if len(pattern) == len(path) and all(p in ("*", part) for p, part in zip(pattern, path, strict=True)):
            return form
    return None


# Writing: what is in force, and where each value came from.
