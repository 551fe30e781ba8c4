"""The parts of header values as a ladder shows them: words, ids, hosts, texts, parameters.

Each takes what stood there and gives what may be shown. What is not of the form that SIP gives it is hidden:
nothing gets through because nobody thought of it. Percent-escapes are looked behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from ..errors import RemoteProtocolError
from ..sip.flow import join_host
from ..sip.refer import MARKER
from ..sip.uri import TOKEN, unescape
from .masking import Masker, clean

HIDDEN = "***"
MANY_DIGITS = 6  # what may be a phone number
_COOKIE = "z9hG4bK"

_WORD = re.compile(r"[A-Za-z0-9_.+*!~'-]{1,64}")
_DIGIT = re.compile(r"\d")
_NAME = re.compile(r"[+a-z][a-z0-9_.+-]{0,31}")
_SHORT, _SECONDS = re.compile("[0-9]{1,5}"), re.compile("[0-9]{1,7}")
_INDEX = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){0,15}")
_MARKER = re.compile("[0-9a-fA-F]{6}")  # of a transfer's token, a secret as long as the transfer is pending
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_ID = re.compile(r"[0-9a-f]{32}(?:;span=[0-9a-f]{16})?")
_NUMBER_OF_LABELS = re.compile(r"(?<![\w-])\d+(?:\.\d+)+(?![\w-])")  # 49.155.5000.1234, e164.arpa
_SEPARATED = re.compile(r"\d(?:[ ./()_-]{0,2}\d){8,}")  # more than what Masker takes for a number in a text
_PARAMETER = re.compile(r'\s*;\s*([^\s;="<>]*)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"<>]*))?\s*')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NOT_IN_USER = re.compile(r"[\x00-\x20\"<>\[\]\\^`{|}%@\x7f]")

_PROBE = "somebody"
_HOSTS, _LONGEST_HOST = 1024, 64


class Values:
    """By one masker."""

    __slots__ = ("_masker", "_named", "_parameters", "shows")

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self.shows = masker.mask_user(_PROBE) == _PROBE  # privacy.mask: none
        self._parameters = self._rules()
        self._named = lru_cache(_HOSTS)(self._host)  # the same few come in every message

    def user(self, user: str) -> str:
        """The user part of a URI: as in the attributes of spans, and such that it can stand in a URI."""
        shown = self._masker.mask_user(user)
        if MARKER in shown.lower():  # no place for a transfer's token, but one where it would be seen
            return HIDDEN
        return _NOT_IN_USER.sub(lambda found: f"%{ord(found[0]):02X}", shown)

    def display(self, name: str) -> str:
        """A display name as written."""
        return clean(name) if self.shows else HIDDEN

    def host(self, host: str, port: int | None = None) -> str:
        """An address stays; of a name the numbers go."""
        return self._named(host, port) if len(host) <= _LONGEST_HOST else self._host(host, port)

    def _host(self, host: str, port: int | None) -> str:
        try:
            address = ip_address(host)
        except ValueError:
            if ":" in host:
                raise RemoteProtocolError("malformed IPv6 reference") from None
        else:
            return join_host(host, port) if port or isinstance(address, IPv6Address) else host
        shown = self._masker.mask_text(host)
        if not self.shows:
            shown = _NUMBER_OF_LABELS.sub(self._without_dots, shown)
        return join_host(shown.replace(":", "-"), port)  # a hash has a colon

    def identifier(self, value: str) -> str:
        """A tag or a branch."""
        value = unescape(value)
        if not value or not TOKEN.issuperset(value):
            return HIDDEN
        if value.startswith(_COOKIE):
            return _COOKIE + self._masker.mask_id(value[len(_COOKIE) :])
        return self._masker.mask_id(value)

    def call_id(self, value: str) -> str:
        """A Call-ID: as in the attributes of spans. Blanks would make two values of it."""
        if not value or " " in value or "\t" in value:
            raise RemoteProtocolError("malformed Call-ID")
        return self.opaque(value)

    def opaque(self, value: str) -> str:
        """An id of whatever form: it stays, escapes and all, but for numbers."""
        if "%" in value:
            plain = unescape(value)
            masked = self._masker.mask_id(plain)
            if masked != plain:
                return masked
        return self._masker.mask_id(value)

    def text(self, text: str) -> str:
        """A product, or words for people."""
        return self._masker.mask_text(unescape(text))

    def words(self, text: str) -> str:
        """Words for people, where no version numbers are to be expected."""
        text = self.text(text)
        return text if self.shows else _SEPARATED.sub(self._without_dots, text)

    def parameters(self, text: str) -> str:
        """`;a=1;b`: names stay, and the values of those that the table knows."""
        if not text:
            return ""
        shown: list[str] = []
        at = 0
        while at < len(text):
            found = _PARAMETER.match(text, at)
            if found is None:
                raise RemoteProtocolError("malformed parameters")
            at = found.end()
            name, value = found.groups()
            if name:
                shown.append(self._parameter(unescape(name).lower(), value))
            elif value is not None:
                raise RemoteProtocolError("parameter without a name")
        return "".join(shown)

    def parameter_name(self, name: str) -> str:
        """The name of something whose value is hidden: it should not say what the value would."""
        return name if _NAME.fullmatch(name.lower()) and few_digits(name) else HIDDEN

    def _parameter(self, name: str, value: str | None) -> str:
        rule = self._parameters.get(name)
        if rule is None:
            return f";{self.parameter_name(name)}{'' if value is None else '=' + HIDDEN}"
        return f";{name}" if value is None else f";{name}={rule(value)}"

    def _rules(self) -> dict[str, Callable[[str], str]]:
        """Which parameters of URIs and headers are shown, and how."""
        rules: dict[str, Callable[[str], str]] = {}
        words = "transport lr user method refresher privacy reason screen party id-type r2 nat ob q handling"
        words += " purpose early-only text-direction protocol charset npdi"
        rules |= dict.fromkeys(words.split(), word)
        rules |= dict.fromkeys(["ttl", "rport", "cause", "counter", "limit"], _matching(_SHORT))
        rules |= dict.fromkeys(["expires", "duration", "retry-after"], _matching(_SECONDS))
        rules |= dict.fromkeys(["received", "maddr"], self._host_value)
        ids = ["tag", "branch", "to-tag", "from-tag", "local-tag", "remote-tag", "id", "ftag"]
        rules |= dict.fromkeys(ids, self.identifier)
        numbers = ["isub", "ext", "postd", "phone-context", "rn", "cic", "rn-context", "cic-context", "otg"]
        rules |= dict.fromkeys([*numbers, "tgrp", "trunk-context", "isup-oli"], self.user)
        rules |= {"index": _matching(_INDEX), "traceparent": trace, MARKER: _marker, "text": self._quoted}
        return rules

    def _host_value(self, value: str) -> str:
        host = value.removeprefix("[").removesuffix("]").lower()
        if not _WORD.fullmatch(host.replace(":", "")):
            return HIDDEN
        return self.host(host)

    def _quoted(self, value: str) -> str:
        found = _QUOTED.fullmatch(value)
        text = self.words(re.sub(r"\\(.)", r"\1", found[1]) if found else value)
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def _without_dots(self, found: re.Match[str]) -> str:
        digits = "".join(filter(str.isdecimal, found[0]))
        return self._masker.mask_user(digits) if len(digits) >= MANY_DIGITS else found[0]


def few_digits(text: str) -> bool:
    """Whether there are too few digits for a phone number, however they are spread."""
    return len(_DIGIT.findall(text)) < MANY_DIGITS


def word(value: str) -> str:
    """A word of SIP's."""
    return value if _WORD.fullmatch(value) and few_digits(value) else HIDDEN


def trace(value: str) -> str:
    """A traceparent, a trace-id, or a previous-trace-id: they are in every span, too."""
    return value if _TRACEPARENT.fullmatch(value) or _TRACE_ID.fullmatch(value) else HIDDEN


def _marker(value: str) -> str:
    found = _MARKER.match(unescape(value))
    return found[0] + HIDDEN if found else HIDDEN


def _matching(form: re.Pattern[str]) -> Callable[[str], str]:
    return lambda value: value if form.fullmatch(value) else HIDDEN
