"""Addresses as a ladder shows them: where something goes stays, who it is goes.

"Jane Roe" <sip:+4915550001234@192.0.2.1;user=phone>;tag=a48s   *** <sip:***34@192.0.2.1;user=phone>;tag=a48s
<tel:+49-155-5000-1234;isub=4321>                               <tel:***34;isub=***21>
<sip:carol@h?Replaces=1%40h%3Bto-tag%3Da%3Bfrom-tag%3Db&X-Foo=1>
<sip:***ol@h?Replaces=1%40h%3Bto-tag%3Da%3Bfrom-tag%3Db&x-foo=***>
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ..errors import RemoteProtocolError
from ..sip.refer import escape
from ..sip.uri import Uri, parse_host_port, unescape
from ..sip.values import LWS, split_commas
from .value_masks import HIDDEN, Values

_IN_BRACKETS = re.compile(r'(?P<display>"(?:[^"\\]|\\.)*"|[^<"]*)\s*<(?P<uri>[^<>]*)>\s*(?P<parameters>;.*)?')
_HOP = re.compile(
    r"SIP\s*/\s*2\.0\s*/\s*([A-Z-]{1,16})\s+([^\s;,]+)\s*(?::\s*([0-9]{1,5})\s*)?(;.*)?", re.ASCII | re.I
)
_SERVICE = re.compile(r"urn:service:[a-z.-]{1,48}", re.ASCII | re.I)  # urn:service:sos
_SCHEMES = frozenset({"http", "https", "mailto", "im", "pres", "urn", "data", "cid", "xmpp"})


class Addresses:
    """`headers` says how the values of URI headers are shown; others are hidden."""

    __slots__ = ("_headers", "_values")

    def __init__(self, values: Values, headers: Mapping[str, Callable[[str], str]]) -> None:
        self._values = values
        self._headers = headers

    def addresses(self, text: str) -> str:
        """A comma list of them."""
        return ", ".join([self.address(part) for part in split_commas(text)])

    def address(self, text: str) -> str:
        """From, To, Contact, Refer-To: a display name, a URI, parameters."""
        values = self._values
        if "<" not in text and '"' not in text:
            return text if text == "*" else self._bare(text)
        found = _IN_BRACKETS.fullmatch(text)
        if found is None:
            raise RemoteProtocolError("malformed address")
        display = found["display"].strip(LWS)
        shown = f"{values.display(display)} " if display else ""
        return f"{shown}<{self.uri(found['uri'])}>{values.parameters(found['parameters'] or '')}"

    def uri(self, text: str) -> str:
        """A URI of any kind."""
        values, uri = self._values, Uri.parse(text)
        parameters = values.parameters(uri.parameters)
        if uri.is_sip:
            user = "" if uri.user is None else values.user(uri.user) + "@"
            headers = "?" + self._uri_headers(uri.headers) if uri.headers else ""
            return f"{uri.scheme}:{user}{values.host(uri.host, uri.port)}{parameters}{headers}"
        if uri.scheme == "tel":
            return f"tel:{values.user(uri.user or '')}{parameters}"
        if _SERVICE.fullmatch(text):
            return text
        return f"{uri.scheme if uri.scheme in _SCHEMES else HIDDEN}:{HIDDEN}"

    def hops(self, text: str) -> str:
        """Via."""
        return ", ".join([self._hop(part) for part in split_commas(text)])

    def _hop(self, text: str) -> str:
        found = _HOP.fullmatch(text)
        if found is None:
            raise RemoteProtocolError("malformed Via")
        transport, sent_by, port, parameters = found.groups()
        host, number = parse_host_port(sent_by if port is None else f"{sent_by}:{port}")
        values = self._values
        return f"SIP/2.0/{transport} {values.host(host, number)}{values.parameters(parameters or '')}"

    def _bare(self, text: str) -> str:
        """Without brackets, parameters are the header's; but some write a whole URI like that."""
        uri, semicolon, parameters = text.partition(";")
        if "?" in text or ("@" in parameters and "@" not in uri):
            return self.uri(text)
        return self.uri(uri.strip(LWS)) + self._values.parameters(semicolon + parameters)

    def _uri_headers(self, text: str) -> str:
        return "&".join([self._uri_header(pair) for pair in text.split("&") if pair])

    def _uri_header(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        name = unescape(name).strip(LWS).lower()
        rule = self._headers.get(name)
        if rule is None or not equals:
            return f"{escape(self._values.parameter_name(name))}{'=' + HIDDEN if equals else ''}"
        return f"{name}={escape(readable(rule, unescape(value)))}"


def readable(rule: Callable[[str], str], value: str) -> str:
    """What the rule gives; hidden where it finds the value malformed."""
    try:
        return rule(value)
    except RemoteProtocolError:
        return HIDDEN
