"""Which headers a ladder shows, and how: an allow-list. Of every other one there is the name alone.

Nobody's credentials are in it: Authorization, Identity, challenges, and what has not been invented yet. SDP
and other bodies are no headers, and are not shown either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from ..errors import RemoteProtocolError
from ..sip.headers import key_of
from ..sip.uri import TOKEN
from ..sip.values import LWS, split_commas
from .address_masks import Addresses
from .describe import plain_name
from .masking import Masker
from .value_masks import HIDDEN, Values, few_digits, trace

Show = Callable[[str], str]

_LONGEST_VALUE = 4096
_LONGEST_MEDIA_TYPE = 64
_NUMBERED = re.compile(r"([0-9]{1,10})[ \t]+(\S+)")
_ACKNOWLEDGED = re.compile(r"([0-9]{1,10}[ \t]+[0-9]{1,10})[ \t]+(\S+)")
_AMOUNT = re.compile(r"([0-9]{1,7})[ \t]*(?:\([^()]*\)[ \t]*)?(;.*)?")
_SEQUENCE = re.compile("[0-9]{1,10}")
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)
_SESSION = re.compile(r"[0-9a-f]{32}(?:;remote=[0-9a-f]{32})?", re.I)
_WARNING = re.compile(r'([0-9]{3}) ([A-Za-z0-9.:_\[\]-]{1,128}) "((?:[^"\\]|\\.)*)"')
_MEMBER = re.compile(r"([a-z0-9_*/@-]{1,256})=([\x21-\x2b\x2d-\x3c\x3e-\x7e]{0,256})")  # of tracestate

_ADDRESSES = """from to contact route record-route refer-to referred-by reply-to path service-route
    p-asserted-identity p-preferred-identity p-called-party-id p-associated-uri p-served-user remote-party-id
    diversion history-info"""
_TOKENS = """allow supported require proxy-require unsupported allow-events accept accept-encoding
    accept-language event subscription-state content-type content-disposition content-encoding privacy
    mime-version refer-sub request-disposition answer-mode p-early-media suppress-if-match priority
    flow-timer resource-priority recv-info info-package reason"""
_AMOUNTS = "max-forwards content-length expires min-expires session-expires min-se retry-after"
_TRACES = "traceparent x-traceparent previous-trace-id otel-trace-id"


class HeaderMasks:
    """By one masker. `call_ids` are further headers that hold a Call-ID, `traceparents` further aliases."""

    __slots__ = ("_masker", "_shown", "_values", "addresses")

    def __init__(
        self, masker: Masker, *, call_ids: Iterable[str] = (), traceparents: Iterable[str] = ()
    ) -> None:
        self._masker = masker
        values = self._values = Values(masker)
        ids: dict[str, Show] = dict.fromkeys(["call-id", "x-cid", "x-call-id"], values.call_id)
        ids |= dict.fromkeys([name.lower() for name in call_ids], values.call_id)
        ids |= dict.fromkeys(["replaces", "target-dialog"], self._dialog)
        ids |= {"session-id": _matching(_SESSION)}
        ids |= dict.fromkeys([*_TRACES.split(), *(name.lower() for name in traceparents)], _trace)
        ids |= dict.fromkeys(["tracestate", "x-tracestate"], self._trace_state)
        tokens: dict[str, Show] = dict.fromkeys(_TOKENS.split(), self._tokens)
        amounts: dict[str, Show] = dict.fromkeys(_AMOUNTS.split(), self._amount)
        self.addresses = Addresses(values, ids | tokens | amounts)
        self._shown: dict[str, Show] = {
            **ids,
            **tokens,
            **amounts,
            **dict.fromkeys(_ADDRESSES.split(), self.addresses.addresses),
            "via": self.addresses.hops,
            "in-reply-to": self._call_ids,
            "cseq": self._numbered(_NUMBERED),
            "rack": self._numbered(_ACKNOWLEDGED),
            "rseq": _matching(_SEQUENCE),
            "date": _matching(_DATE),
            "warning": self._warning,
            "user-agent": values.text,
            "server": values.text,
        }

    def rule(self, name: str) -> Show | None:
        """How the value of that header is shown; None: it is not. Compact names are known."""
        try:
            return self._shown.get(key_of(name))
        except RemoteProtocolError:
            return None

    def name(self, name: str) -> str:
        """A header's name, which is no place for a number either."""
        name = name.rstrip(LWS)
        return name if TOKEN.issuperset(name) and len(name) <= 64 and few_digits(name) else HIDDEN

    def value(self, rule: Show, value: str) -> str:
        """What may be shown of a value; raises RemoteProtocolError where it is malformed."""
        if len(value) > _LONGEST_VALUE:
            raise RemoteProtocolError("value too long")
        return rule(value)

    def reason_phrase(self, text: str) -> str:
        """What stands behind a status code."""
        return self._values.words(text)

    def media_type(self, text: str) -> str:
        """`application/sdp`, without parameters."""
        kind = text.partition(";")[0].strip(LWS).lower()
        plain = "/" in kind and TOKEN.issuperset(kind.replace("/", "")) and few_digits(kind)
        return kind if plain and len(kind) <= _LONGEST_MEDIA_TYPE else HIDDEN

    # Kinds of values

    def _call_ids(self, text: str) -> str:
        return ", ".join(map(self._values.call_id, split_commas(text)))

    def _dialog(self, text: str) -> str:
        call_id, semicolon, rest = text.partition(";")
        return self._values.call_id(call_id.strip(LWS)) + self._values.parameters(semicolon + rest)

    def _tokens(self, text: str) -> str:
        return ", ".join([self._token(part) for part in split_commas(text)])

    def _token(self, text: str) -> str:
        name, semicolon, rest = text.partition(";")
        name = name.strip(LWS)
        plain = "%" not in name and TOKEN.issuperset(name.replace("/", "")) and few_digits(name)
        shown = name if plain and len(name) <= _LONGEST_MEDIA_TYPE else HIDDEN
        return shown + self._values.parameters(semicolon + rest)

    def _amount(self, text: str) -> str:
        found = _AMOUNT.fullmatch(text)
        if found is None:
            raise RemoteProtocolError("malformed number")
        return found[1] + self._values.parameters(found[2] or "")

    def _numbered(self, form: re.Pattern[str]) -> Show:
        def show(text: str) -> str:
            found = form.fullmatch(text)
            if found is None:
                raise RemoteProtocolError("malformed number")
            return f"{found[1]} {plain_name(self._masker, found[2])}"

        return show

    def _warning(self, text: str) -> str:
        found = _WARNING.fullmatch(text)
        if found is None:
            raise RemoteProtocolError("malformed Warning")
        code, agent, words = found.groups()
        shown = self._values.words(re.sub(r"\\(.)", r"\1", words)).replace("\\", "\\\\").replace('"', '\\"')
        return f'{code} {self._masker.mask_text(agent)} "{shown}"'

    def _trace_state(self, text: str) -> str:
        return ",".join(self._members(text))

    def _members(self, text: str) -> Iterator[str]:
        for part in text.split(","):
            found = _MEMBER.fullmatch(part.strip(LWS))
            if found is None:
                yield HIDDEN
            else:
                key, value = found.groups()
                yield f"{key if few_digits(key) else HIDDEN}={self._values.opaque(value)}"


def _trace(text: str) -> str:
    shown = trace(text)
    if shown == HIDDEN:
        raise RemoteProtocolError("malformed trace context")
    return shown


def _matching(form: re.Pattern[str]) -> Show:
    def show(text: str) -> str:
        if not form.fullmatch(text):
            raise RemoteProtocolError("malformed value")
        return text

    return show
