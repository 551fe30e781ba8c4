"""What an application takes from a SIP message's headers, and what it writes into those of its own.

Headers come in the forms that SIP stacks and web frameworks have: a mapping of values, a mapping of lists, or
pairs, as text or bytes, names in any case. Whatever cannot be a header is left out; reading never raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from ..sip.uri import TOKEN
from .carriers import CONTEXT_HEADERS, Values, extract_sip, read_baggage
from .context import Previous, Rejected, TraceContext, is_span_id
from .settings import Carrier, TrunkTrace
from .writing import previous_value, write_baggage, write_sip

INTERACTION_HEADER = "X-Interaction-ID"
INTERACTION_KEY = "interaction.id"  # in baggage, and on spans
INTERACTION_LENGTH = 128  # characters that are kept

_DEFAULTS = TrunkTrace()
_REPLACED = CONTEXT_HEADERS - {"previous-trace-id", "baggage"}
_PLAIN = TOKEN | frozenset("/:=")


@dataclass(slots=True)
class CallContext:
    """What a message says about the call and the trace that it belongs to."""

    parent: TraceContext | None  # the span that sent the message
    previous: Previous | None  # the trace that a transfer came from: for a span link, never a parent
    baggage: dict[str, str] = field(default_factory=dict)
    interaction_id: str = ""  # the customer interaction; empty if the message names none
    carrier: str = "none"  # where the parent was found: "traceparent", an alias in lower case, "pai"
    rejected: Rejected | None = None  # the first thing that was there and could not be taken


def values_of(headers: object) -> Values:
    """Look headers up by lower-case name."""
    rows: dict[str, list[str]] = {}
    items = getattr(headers, "items", None)  # also of what is no Mapping, such as http.server's headers
    pairs = items() if callable(items) else headers
    if not isinstance(pairs, Iterable) or isinstance(pairs, (str, bytes)):
        pairs = ()
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            continue
        name = _text(pair[0])
        if name is None:
            continue
        value = pair[1]
        found = [_text(each) for each in value] if isinstance(value, (list, tuple)) else [_text(value)]
        rows.setdefault(name.strip().lower(), []).extend(text for text in found if text is not None)
    return lambda name: rows.get(name, [])


def read_call(
    values: Values,
    *,
    aliases: tuple[str, ...] = _DEFAULTS.aliases,
    read_pai: bool = False,
    interaction_header: str = INTERACTION_HEADER,
) -> CallContext:
    """Read all of it from headers that are looked up by lower-case name."""
    found = extract_sip(values, TrunkTrace(aliases=aliases, read_pai=read_pai))
    baggage = read_baggage(found.baggage)
    interaction = read_interaction(values, interaction_header, baggage.get(INTERACTION_KEY, ""))
    if interaction:
        baggage[INTERACTION_KEY] = interaction
    else:
        baggage.pop(INTERACTION_KEY, None)
    return CallContext(found.context, found.previous, baggage, interaction, found.carrier, found.rejected)


def read_interaction(values: Values, header: str, in_baggage: str = "") -> str:
    """The customer interaction: the header, else baggage, else User-to-User (RFC 7433) unless that is a mere
    number.
    """
    name = header.lower()
    for value in (*values(name)[:1], in_baggage):
        value = value.partition(";")[0].strip()
        if value and value.isprintable():
            return value[:INTERACTION_LENGTH]
    for value in values("user-to-user")[:1]:
        value = value.partition(";")[0].strip()
        if _PLAIN.issuperset(value) and value.strip("+0123456789-"):
            return value[:INTERACTION_LENGTH]
    return ""


def extract(headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> TraceContext | None:
    """Read the context of a message from its headers, whatever the case of their names."""
    return extract_sip(values_of(headers), _DEFAULTS).context


def extract_call(
    headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    *,
    aliases: tuple[str, ...] = _DEFAULTS.aliases,
    read_pai: bool = False,
    interaction_header: str = INTERACTION_HEADER,
) -> CallContext:
    """Read the context and what travels beside it: baggage, interaction, the trace before a transfer.

    `aliases` are further names of `traceparent`; `read_pai` also looks into P-Asserted-Identity.
    """
    return read_call(
        values_of(headers), aliases=aliases, read_pai=read_pai, interaction_header=interaction_header
    )


def inject(
    headers: MutableMapping[str, Any] | list[tuple[str, str]],
    context: TraceContext,
    *,
    span_id: str = "",
    send: tuple[Carrier, ...] = _DEFAULTS.send,
    previous: TraceContext | None = None,
    baggage: Mapping[str, str] | None = None,
    interaction_id: str = "",
    interaction_header: str = INTERACTION_HEADER,
) -> None:
    """Write the context into a message's headers in place of any that was there.

    `span_id` is the span that sends the message; without it the context goes on as it is. `previous`,
    `baggage` and `interaction_id` are written where they are given, else what is there stays: `previous`
    belongs into what a transfer causes, and names the span of the transfer.
    """
    if span_id and not is_span_id(span_id):
        raise ValueError(f"span_id {span_id!r} is not 16 lower-case hex digits")
    if not interaction_id.isprintable():
        raise ValueError("interaction_id is not one line of text")
    replaced = set(_REPLACED)
    if baggage is not None:
        replaced.add("baggage")
        send = (*send, Carrier.BAGGAGE)
    if previous is not None:
        replaced.add("previous-trace-id")
    if interaction_id:
        replaced.add(interaction_header.lower())
    rows, _ = write_sip(
        context.child(span_id) if span_id else context,
        send,
        previous="" if previous is None else previous_value(previous),
        baggage=write_baggage(dict(baggage or {})),
    )
    if interaction_id:
        rows.append((interaction_header, interaction_id[:INTERACTION_LENGTH]))
    if isinstance(headers, list):
        headers[:] = [row for row in headers if row[0].lower() not in replaced] + rows
        return
    for name in [name for name in headers if name.lower() in replaced]:
        del headers[name]
    headers.update(rows)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
