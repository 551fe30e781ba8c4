"""What a transfer is written in: Refer-To, Replaces, Target-Dialog (RFC 3515, 3891, 4538).

Refer-To: <sip:carol@h;p=1?Replaces=id%40h%3Bto-tag%3Da%3Bfrom-tag%3Db&traceparent=00-...>
           \\____ target ___/ \\____________ headers, escaped once (RFC 3261 section 19.1.5) ________/
"""

from __future__ import annotations

from ..errors import RemoteProtocolError
from .headers import Kind, key_of
from .uri import Uri, parse_uri, unescape
from .values import LWS, NameAddr, split_parameters

# What a Refer-To may not ask of the new request (RFC 3261 section 19.1.5): what forms it, routes it, vouches
# for somebody, says what its sender can do, or gives it rights: over a call (Join), a microphone, a queue.
_NOT_HONOURED = frozenset(
    {"from", "to", "call-id", "cseq", "via", "route", "record-route", "contact", "max-forwards", "path"}
    | {"service-route", "authorization", "identity", "identity-info", "privacy", "user-agent", "server"}
    | {"organization", "date", "allow", "allow-events", "supported", "require", "accept", "timestamp"}
    | {"mime-version", "event", "expires", "subscription-state", "refer-to", "refer-sub", "referred-by"}
    | {"target-dialog", "session-expires", "min-se", "rack", "rseq", "history-info", "diversion", "join"}
    | {"remote-party-id", "session-id", "body", "hide", "encryption", "max-breadth", "resource-priority"}
    | {"answer-mode", "priv-answer-mode"}
)
_NOT_HONOURED_PREFIXES = ("content-", "proxy-", "p-", "accept-", "www-", "security-")
MARKER = "sipproxy-ref"  # the URI parameter by which a transferred call is known again
MOST_HEADERS = 64  # in the header part of a URI
_NOT_IN_HEADER = frozenset("\r\n\0")
_NOT_IN_DIALOG_ID = frozenset("\0," + LWS)  # a comma would make two values of it
_NOT_IN_TEL = frozenset("?@")
_UNESCAPED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()[]/?:+$")


class Replaces:
    """A dialog as somebody else sees it (RFC 3891 section 6.1): `to_tag` is the tag of whoever gets this."""

    __slots__ = ("call_id", "early_only", "from_tag", "to_tag")

    def __init__(self, call_id: str, to_tag: str, from_tag: str, *, early_only: bool = False) -> None:
        self.call_id = call_id
        self.to_tag = to_tag
        self.from_tag = from_tag
        self.early_only = early_only

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Read a value; raises RemoteProtocolError."""
        call_id, found = _dialog_id(text, "to-tag", "from-tag", "malformed Replaces")
        return cls(call_id, found["to-tag"], found["from-tag"], early_only="early-only" in found)

    def __str__(self) -> str:
        # A peer of RFC 2543 has no tag; `0` is how that is written (RFC 3891 section 6.1).
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag or '0'};from-tag={self.from_tag or '0'}{early}"


class TargetDialog:
    """The dialog that authorises a request (RFC 4538 section 7): tags from the sender's point of view."""

    __slots__ = ("call_id", "local_tag", "remote_tag")

    def __init__(self, call_id: str, local_tag: str, remote_tag: str) -> None:
        self.call_id = call_id
        self.local_tag = local_tag
        self.remote_tag = remote_tag

    @classmethod
    def parse(cls, text: str) -> TargetDialog:
        """Read a value; raises RemoteProtocolError."""
        call_id, found = _dialog_id(text, "local-tag", "remote-tag", "malformed Target-Dialog")
        return cls(call_id, found["local-tag"], found["remote-tag"])

    def __str__(self) -> str:
        return f"{self.call_id};local-tag={self.local_tag};remote-tag={self.remote_tag}"


def _dialog_id(text: str, one: str, other: str, fault: str) -> tuple[str, dict[str, str]]:
    """A Call-ID and its parameters, among them two tags, each of them once."""
    call_id, semicolon, rest = text.partition(";")
    call_id = call_id.strip(LWS)
    found: dict[str, str] = {}
    for name, value in split_parameters(semicolon + rest):
        if name in found:
            raise RemoteProtocolError(fault)
        found[name] = value or ""
    for part in (call_id, found.get(one), found.get(other)):
        if not part or not _NOT_IN_DIALOG_ID.isdisjoint(part):
            raise RemoteProtocolError(fault)
    return call_id, found


class ReferTo:
    """Where a transferee is to go. `uri` has neither headers, nor a `method`, nor a marker of ours; `headers`
    are decoded, and those that must not be honoured are counted in `refused`, not among them.
    """

    __slots__ = ("headers", "parsed", "refused", "replaces", "uri")

    def __init__(
        self, uri: str, headers: list[tuple[str, str]], replaces: Replaces | None, refused: int = 0
    ) -> None:
        self.refused = refused
        self.uri = uri
        self.parsed: Uri = parse_uri(uri)
        self.headers = headers
        self.replaces = replaces

    @classmethod
    def parse(cls, text: str) -> ReferTo:
        """Read a Refer-To; raises RemoteProtocolError for what cannot be, or must not be, honoured."""
        written = _uri_of(text)
        uri = parse_uri(written)
        if not uri.is_sip and uri.scheme != "tel":
            raise RemoteProtocolError("Refer-To is no address to call", status=416)
        if "\0" in written or (not uri.is_sip and (not uri.user or not _NOT_IN_TEL.isdisjoint(written))):
            raise RemoteProtocolError("malformed Refer-To")
        for pair in uri.parameters.split(";"):
            name, _, value = pair.partition("=")
            if _is_named(name, ("method",)) and unescape(value).upper() != "INVITE":
                raise RemoteProtocolError("Refer-To asks for another method", status=603)
        headers: list[tuple[str, str]] = []
        replaces: Replaces | None = None
        refused = 0
        for name, value in uri_headers(uri.headers):
            key = key_of(name)
            if key == "replaces":
                if replaces is not None:
                    raise RemoteProtocolError("more than one Replaces")
                replaces = Replaces.parse(value)
            elif key in _NOT_HONOURED or key.startswith(_NOT_HONOURED_PREFIXES):
                refused += 1
            else:
                headers.append((name.rstrip(LWS), value))
        plain = written[: -len(uri.headers) - 1] if uri.headers else written.removesuffix("?")
        return cls(without_parameters(plain, "method"), headers, replaces, refused)

    def written(self, uri: str, extra: list[tuple[str, str]], replaces: Replaces | None) -> str:
        """As a Refer-To value for `uri`. `extra` headers come first and replace those of the same name; a tel
        URI can have none (RFC 3966).
        """
        if uri[:4].lower() == "tel:":
            return f"<{uri}>"
        taken = {key_of(name) for name, _ in extra}
        pairs = [*extra, *(pair for pair in self.headers if key_of(pair[0]) not in taken)]
        if replaces is not None:
            pairs.append(("Replaces", str(replaces)))
        text = "&".join(f"{escape(name)}={escape(value)}" for name, value in pairs)
        return f"<{uri}{'?' + text if text else ''}>"


def uri_headers(text: str) -> list[tuple[str, str]]:
    """The header part of a URI, each value decoded once. RemoteProtocolError on CR, LF or NUL in it."""
    found: list[tuple[str, str]] = []
    for pair in text.split("&"):
        if not pair:
            continue  # a stray & says nothing
        name, equals, value = pair.partition("=")
        name, value = unescape(name), unescape(value)
        if not equals or not name:
            raise RemoteProtocolError("malformed URI headers")
        if not _NOT_IN_HEADER.isdisjoint(name) or not _NOT_IN_HEADER.isdisjoint(value):
            raise RemoteProtocolError("control character in URI headers")
        if len(found) == MOST_HEADERS:
            raise RemoteProtocolError("too many URI headers")
        found.append((name, value))
    return found


def escape(text: str) -> str:
    """Escape for the header part of a URI (RFC 3261 section 25.1, hnv-unreserved)."""
    if _UNESCAPED.issuperset(text):
        return text
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(octet) if chr(octet) in _UNESCAPED else f"%{octet:02X}" for octet in data)


def _uri_of(text: str) -> str:
    """The URI in a Refer-To value. Without brackets, parameters are the header field's (RFC 3261 section 20),
    and there can be no URI headers; who leaves out the brackets (baresip) writes them all the same.
    """
    if "<" in text or '"' in text:
        return NameAddr.parse(text).uri
    if "," in text:
        raise RemoteProtocolError("malformed Refer-To")
    uri, _, parameters = text.partition(";")
    return (text if "?" in text or "@" in parameters else uri).strip(LWS)


def without_parameters(uri: str, *names: str) -> str:
    """A URI without those of its parameters; what stands in front of the host is left as it is."""
    at = uri.find("@") + 1
    head, *parts = uri[at:].split(";")
    kept = [part for part in parts if not _is_named(part.partition("=")[0], names)]
    return uri[:at] + ";".join([head, *kept])


def _is_named(name: str, names: tuple[str, ...]) -> bool:
    return unescape(name).lower() in names


REFER_TO = Kind("Refer-To", ReferTo.parse, "r")
REPLACES = Kind("Replaces", Replaces.parse)
TARGET_DIALOG = Kind("Target-Dialog", TargetDialog.parse)
REFERRED_BY = Kind("Referred-By", str, "b")
