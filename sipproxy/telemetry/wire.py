"""A SIP message as an operator may see it, made from its bytes: what a ladder draws, and its masked text.

    INVITE sip:***34@192.0.2.9:5060;user=phone SIP/2.0
    From: *** <sip:***65@192.0.2.1>;tag=a48s
    Proxy-Authorization: [hidden]
    X-Customer: [hidden]
    Refer-To: [malformed]
    Content-Length: 132
    [body: 132 bytes, application/sdp]

One header a line, folds undone. `header_masks.py` says which values are shown. Within a call most lines come
again and again, and with the next call many of them: so what a line became is kept, and a message costs
little more than looking its lines up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, TypeVar

from ..errors import RemoteProtocolError
from ..sip.headers import key_of
from ..sip.message import unfold
from ..sip.uri import TOKEN
from ..sip.values import LWS
from .describe import plain_name
from .header_masks import HeaderMasks, Show
from .masking import Masker, clean

T = TypeVar("T")

_CACHED = 8192  # lines
_LONGEST_KEPT = 256  # characters: all in all a few megabytes
_NAMES_CACHED = 1024
_MOST_LINES = 256
_LONGEST_NAME = 64
_LONGEST_VERSION = 8

_CALL_ID = re.compile(rb"\r\n(?:[Cc][Aa][Ll][Ll]-[Ii][Dd]|[iI])[ \t]*:")
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9])(?: (.*))?", re.IGNORECASE)
_FRAGMENT = re.compile(rb"SIP/2\.0 ([1-6][0-9][0-9])(?: ([^\r\n]{0,256}))?", re.IGNORECASE)
_SIPFRAG = "message/sipfrag"
_BREAK = re.compile(r"\r\n|\r|\n")
_HIDDEN, _MALFORMED = "[hidden]", "[malformed]"

_CALL_ID_KEY, _CSEQ_KEY, _TYPE_KEY = "call-id", "cseq", "content-type"


class WireMessage(NamedTuple):
    """What may be kept of a message."""

    start: str  # `INVITE`, or `486 Busy Here`
    method: str  # CSeq's
    cseq: int
    status: int  # 0: a request
    call_id: str
    text: str


class _Start(NamedTuple):
    start: str
    method: str
    status: int
    line: str


class _Line(NamedTuple):
    """A header line as shown; `key` names those that are looked at, `fact` is what they say."""

    text: str
    key: str = ""
    fact: str = ""


class Wire:
    """Reads messages by one masker, for one thread. `call_ids` are further headers that hold a Call-ID (a
    trunk's `call_id_header`), `traceparents` further names of traceparent.
    """

    __slots__ = ("_lines", "_masker", "_masks", "_names", "_starts")

    def __init__(
        self, masker: Masker, *, call_ids: Iterable[str] = (), traceparents: Iterable[str] = ()
    ) -> None:
        self._masker = masker
        self._masks = HeaderMasks(masker, call_ids=call_ids, traceparents=traceparents)
        self._names = lru_cache(_NAMES_CACHED)(self._name)
        self._lines: dict[str, _Line] = {}
        self._starts: dict[str, _Start] = {}

    def read(self, data: bytes) -> WireMessage | None:
        """The message; None where it is none of SIP's. Nothing that a peer sends makes this raise."""
        rows, body = _split(data)
        start = self._starts.get(rows[0]) or self._start(rows[0])
        if start is None:
            return None
        known = self._lines.get
        lines = [known(row) or self._line(row) for row in rows[1 : _MOST_LINES + 1]]
        texts = [start.line, *[line.text for line in lines]]
        facts = {line.key: line.fact for line in reversed(lines) if line.key}  # the first of a name counts
        number, _, method = facts.get(_CSEQ_KEY, "0").partition(" ")
        if len(rows) > _MOST_LINES + 1:
            texts.append(f"[{len(rows) - _MOST_LINES - 1} more lines]")
        if body:
            texts.append(self._body(body, facts.get(_TYPE_KEY, ""), start.method))
        return WireMessage(
            start.start,
            method or start.method,
            int(number),
            start.status,
            facts.get(_CALL_ID_KEY, ""),
            "\n".join(texts),
        )

    def _start(self, row: str) -> _Start | None:
        masks = self._masks
        if found := _STATUS_LINE.fullmatch(row):
            reason = masks.reason_phrase(found[2] or "")
            start = _Start(f"{found[1]} {reason}".rstrip(), "", int(found[1]), f"SIP/2.0 {found[1]} {reason}")
        else:
            method, _, rest = row.partition(" ")
            uri, _, version = rest.strip(" ").rpartition(" ")
            if not method or not TOKEN.issuperset(method) or version[:4].upper() != "SIP/":
                return None
            try:
                shown = masks.addresses.uri(uri)
            except RemoteProtocolError:
                shown = _MALFORMED
            method = plain_name(self._masker, method)
            start = _Start(method, method, 0, f"{method} {shown} {clean(version[:_LONGEST_VERSION])}")
        _keep(self._starts, row, start)
        return start

    def _line(self, row: str) -> _Line:
        name, colon, value = row.partition(":")
        if not colon or not name.strip(LWS):
            return _Line(f"[malformed line: {len(row)} characters]")
        label, key, rule = self._names(name) if len(name) <= _LONGEST_NAME else self._name(name)
        if rule is None:
            return _Line(f"{label}: {_HIDDEN}")  # not kept: it may be a secret
        value = value.strip(LWS)
        try:
            shown = self._masks.value(rule, value)
        except RemoteProtocolError:
            line = _Line(f"{label}: {_MALFORMED}")
        else:
            if key == _TYPE_KEY:
                line = _Line(f"{label}: {shown}", key, self._masks.media_type(value))
            elif key in (_CALL_ID_KEY, _CSEQ_KEY):
                line = _Line(f"{label}: {shown}", key, shown)
            else:
                line = _Line(f"{label}: {shown}")
        _keep(self._lines, row, line)
        return line

    def _name(self, name: str) -> tuple[str, str, Show | None]:
        rule = self._masks.rule(name)
        return self._masks.name(name), "" if rule is None else key_of(name), rule

    def _body(self, body: bytes, media_type: str, method: str) -> str:
        """That there is one. Of a transfer's progress also the status: it is why the message came."""
        shown = f"[body: {len(body)} bytes"
        if media_type:
            shown += f", {media_type}"
        if media_type == _SIPFRAG and method == "NOTIFY" and (found := _FRAGMENT.match(body)):
            reason = self._masks.reason_phrase((found[2] or b"").decode("utf-8", "surrogateescape"))
            shown += f": {found[1].decode()} {reason}".rstrip()
        return shown + "]"


def call_id_of(data: bytes) -> str | None:
    """The Call-ID as the proxy reads it, for a key to the call; None where there is none."""
    begin = 0
    while data.startswith(b"\r\n", begin):
        begin += 2
    end = data.find(b"\r\n\r\n", begin)
    if end < 0:
        end = len(data)
    found = _CALL_ID.search(data, begin, end)
    if found is None:
        return None
    start = stop = found.end()
    while True:
        stop = data.find(b"\r\n", stop, end)
        if stop < 0:
            stop = end
            break
        if data[stop + 2 : stop + 3] not in (b" ", b"\t"):
            break
        stop += 2  # folded
    return unfold(data[start:stop].decode("utf-8", "surrogateescape")) or None


def _split(data: bytes) -> tuple[list[str], bytes]:
    """Start line and header lines, folds undone, and the body. Lines may end in any way."""
    begin = 0
    while data.startswith(b"\r\n", begin):
        begin += 2
    end = data.find(b"\r\n\r\n", begin)
    body = b"" if end < 0 else data[end + 4 :]
    head = (data[begin:] if end < 0 else data[begin:end]).decode("utf-8", "surrogateescape")
    rows = head.split("\r\n")
    breaks = len(rows) - 1
    if head.count("\n") != breaks or head.count("\r") != breaks:
        rows = _BREAK.split(head)
    if end < 0 and not rows[-1]:
        rows.pop()
    if "" in rows[1:]:  # an empty line of the wrong kind: who is lenient takes what follows for the body
        at = rows.index("", 1)
        body = "\r\n".join(rows[at + 1 :]).encode("utf-8", "surrogateescape") + body
        rows = rows[:at]
    if "\n " in head or "\n\t" in head or "\r " in head or "\r\t" in head:
        rows = _unfolded(rows)
    return rows or [""], body


def _unfolded(rows: list[str]) -> list[str]:
    whole: list[str] = []
    for row in rows:
        if row[:1] in (" ", "\t") and len(whole) > 1:
            whole[-1] = f"{whole[-1]} {row.strip(LWS)}"
        else:
            whole.append(row)
    return whole


def _keep(kept: dict[str, T], row: str, shown: T) -> None:
    """For the next time; in place of the oldest when there are enough, and not what is long."""
    if len(row) > _LONGEST_KEPT:
        return
    if len(kept) >= _CACHED:
        del kept[next(iter(kept))]
    kept[row] = shown
