"""Personal data made unreadable before it leaves the process, as `privacy.mask` says.

    last2   `+4915550001234` -> `***34`           of up to three characters nothing is shown
    hash    `+4915550001234` -> `h:3f0c9a...`     HMAC-SHA256, 16 hex digits: one caller's calls can be joined
    full    `+4915550001234` -> `***`
    none    as it came

What counts as a number in a text: six digits or more in one piece; with blanks, `-`, `/`, `.` or brackets
between them where it starts with `+`; with blanks, `-` or `/` where it starts with 0 or in brackets; with `-`
anywhere. Dots alone join nothing, so addresses stay. It is hashed by its digits, so that all spellings of a
number give one hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from functools import lru_cache

from ..errors import LocalProtocolError
from ..sip.uri import unescape
from .settings import Mask, PrivacySettings

_LONGEST_KEPT = 256
LONGEST_TEXT = 512  # characters of free text that are kept

LONGEST_REFERENCE = 128

_HIDDEN = "***"
_CACHED = 4096
_PLUS = r"\+\d(?:[ ()./-]{0,2}\d){5,}"
_NUMBER = re.compile(
    _PLUS  # +49 (155) 5000-1234
    + r"|(?<!\d)\(\d{2,}\)(?:[ /-]{0,2}\d{2,})+"  # (555) 123-4567
    + r"|(?<!\d)0\d+(?:[ /-]{1,2}\d{2,})+"  # 0155 5000 1234
    + r"|(?<!\d)\d{2,}(?:-\d{2,})+"  # 555-123-4567
    + r"|\+?\d{6,}"
)
_QUOTED_NAME = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s*<)')
_BARE_NAME = re.compile(r"(^|[:,;<>])(\s*)[^\s:,;<>][^:,;<>]*(?=<(?:sips?|tel):)", re.IGNORECASE)
_USER = re.compile(r"\b(sips?:)([^\s@<>\"]+)(?=@)|\b(tel:)([^\s;,<>\"]+)", re.IGNORECASE)
_ID_PART = re.compile(
    r"\b(?:[0-9a-f]{32}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})\b"  # left alone if it holds a letter
    + rf"|{_PLUS}|\d{{6,}}",
    re.IGNORECASE,
)
_ESCAPED_DIGIT = re.compile("%3([0-9])")
_LETTER = re.compile("[a-f]", re.IGNORECASE)
_ONLY_VISUAL = str.maketrans("", "", "+-.() ")  # RFC 3966 section 3: separators without meaning


def _kept(mask: Callable[[str], str]) -> Callable[[str], str]:
    """Remember what was masked, unless it is so long that remembering would cost more than masking."""
    known = lru_cache(_CACHED)(mask)
    return lambda text: known(text) if len(text) <= _LONGEST_KEPT else mask(text)


class Masker:
    """Masks by one setting. Its answers never hold anything that cannot be printed or sent as UTF-8."""

    __slots__ = ("_hide", "_key", "_shown", "mask_id", "mask_text", "mask_user")

    mask_user: Callable[[str], str]
    """The user part of a URI as written, or a display name."""
    mask_text: Callable[[str], str]
    """Free text: numbers, and in SIP and tel URIs that stand in it users and display names."""
    mask_id: Callable[[str], str]
    """A Call-ID: numbers in one piece. Hexadecimal ids, which look like numbers in places, stay."""

    def __init__(self, settings: PrivacySettings) -> None:
        if settings.mask is Mask.HASH and not settings.key:
            raise LocalProtocolError("privacy.mask is hash, and there is no privacy.key")
        self._key = (settings.key or "").encode()
        self._shown = settings.mask is Mask.NONE
        self._hide = {
            Mask.LAST2: _last2,
            Mask.HASH: self._hash,
            Mask.FULL: _nothing,
            Mask.NONE: clean,
        }[settings.mask]
        # The same user, Call-ID and User-Agent come several times within a call, and again with the next.
        self.mask_user = _kept(self._mask_user)
        self.mask_text = _kept(self._mask_text)
        self.mask_id = _kept(self._mask_id)

    def mask_uri(self, uri: str) -> str | None:
        """The masked user of a SIP or tel URI as written; None where it has none, or is of another kind."""
        scheme, _, rest = uri.partition(":")
        kind = scheme.lower()
        if kind == "sip" or kind == "sips":
            user, at, _ = rest.rpartition("@") if rest.count("@") == 1 else rest.partition("@")
            return self.mask_user(user.partition(":")[0]) if at else None
        return self.mask_user(rest) if kind == "tel" else None

    def mask_reference(self, text: str) -> str:
        """An id of the operator's own choice. It stays, numeric or not, but for URIs and numbers with `+`."""
        return self.mask_text(text) if ":" in text or "+" in text else clean(text[:LONGEST_REFERENCE])

    def _mask_user(self, user: str) -> str:
        if self._shown:
            return clean(unescape(user))
        name = unescape(user.partition(";")[0])  # what follows are parameters of the number (RFC 3966)
        number = name.translate(_ONLY_VISUAL)
        return self._hide(number if number.isdecimal() else clean(name))

    def _mask_text(self, text: str) -> str:
        text = clean(_cut(text))
        if self._shown:
            return text
        text = _bare(text)
        if ":" in text and ("@" in text or "<" in text or "tel:" in text.lower()):
            text = _QUOTED_NAME.sub(_HIDDEN, text)
            text = _BARE_NAME.sub(rf"\1\2{_HIDDEN} ", text)
            text = _USER.sub(self._replace_user, text)
        return _NUMBER.sub(self._replace_number, text)

    def _mask_id(self, text: str) -> str:
        text = clean(_cut(text))
        return text if self._shown else _ID_PART.sub(self._replace_in_id, _bare(text))

    def _replace_user(self, found: re.Match[str]) -> str:
        scheme, user, tel, number = found.groups()
        return tel + self._mask_user(number) if tel else scheme + self._mask_user(user.partition(":")[0])

    def _replace_number(self, found: re.Match[str]) -> str:
        digits = "".join(filter(str.isdecimal, found[0]))
        return self._hide(digits) if len(digits) >= 6 else found[0]

    def _replace_in_id(self, found: re.Match[str]) -> str:
        part = found[0]
        return part if _LETTER.search(part) else self._hide("".join(filter(str.isdecimal, part)))

    def _hash(self, text: str) -> str:
        return "h:" + hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:16]


def clean(text: str) -> str:
    """The text with `?` for what is no UTF-8 and for control characters, which could steer a terminal."""
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-8", "replace").decode()
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _bare(text: str) -> str:
    """With escaped digits as digits: `%34%39` is 49 to whoever reads it."""
    return _ESCAPED_DIGIT.sub(r"\1", text) if "%3" in text else text


def _cut(text: str) -> str:
    """No longer than we keep, and not through a number, whose rest might be too short to be seen as one."""
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT].rstrip("+0123456789 ()./-")


def _last2(text: str) -> str:
    return _HIDDEN + text[-2:] if len(text) > 3 else _HIDDEN


def _nothing(_: str) -> str:
    return _HIDDEN
