"""Trace context in SIP headers as an OpenTelemetry propagator: needs opentelemetry-api and nothing else.

    OTEL_PROPAGATORS=tracecontext,sip

makes a voice bot continue the trace of the call that it takes: the context from `traceparent` or an alias of
it, W3C baggage, and the customer interaction as the baggage entry `interaction.id`. Where a header is absent
or broken, what other propagators found before stays.

A trace that a transfer came from (`previous-trace-id`) can be no parent; it becomes a span link:

    context = propagate.extract(invite.headers)
    with tracer.start_as_current_span("call", context, links=previous_links(context)): ...
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

from opentelemetry import baggage, trace
from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags, TraceState

from ..propagation.carriers import Values, is_token
from ..propagation.context import Previous, TraceContext
from ..propagation.library import (
    INTERACTION_HEADER,
    INTERACTION_KEY,
    INTERACTION_LENGTH,
    read_call,
    values_of,
)
from ..propagation.settings import Carrier, TrunkTrace
from ..propagation.writing import write_baggage, write_sip

_DEFAULTS = TrunkTrace()
_PREVIOUS = create_key("sipproxy-previous-trace")
_WRITABLE = (Carrier.TRACEPARENT, Carrier.TRACESTATE, Carrier.X_TRACEPARENT, Carrier.OTEL_TRACE_ID)


class SipPropagator(TextMapPropagator):
    """Reads and writes a call's context.

    `send` lists the names that are written, for a path that lets only others through: x-traceparent,
    otel-trace-id. `aliases` are further names that traceparent is read from.
    """

    def __init__(
        self,
        *,
        send: tuple[Carrier, ...] = _DEFAULTS.send,
        aliases: tuple[str, ...] = _DEFAULTS.aliases,
        read_pai: bool = False,
        interaction_header: str = INTERACTION_HEADER,
    ) -> None:
        foreign = [carrier.value for carrier in send if carrier not in _WRITABLE]
        if foreign:
            raise ValueError(f"a propagator does not write {', '.join(foreign)} by itself")
        self._send = send
        self._aliases = aliases
        self._read_pai = read_pai
        self._interaction_header = interaction_header

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Give a context with what the headers say beside what is there; never an error."""
        if context is None:
            context = Context()
        call = read_call(
            _values(carrier, getter),
            aliases=self._aliases,
            read_pai=self._read_pai,
            interaction_header=self._interaction_header,
        )
        if call.parent is not None:
            context = trace.set_span_in_context(NonRecordingSpan(_remote(call.parent)), context)
        context = set_value(
            _PREVIOUS, call.previous, context
        )  # None, too: not that of a call around this one
        for key, value in call.baggage.items():
            if key == INTERACTION_KEY or baggage.get_baggage(key, context) is None:
                context = baggage.set_baggage(key, value, context)
        return context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Write the current span, baggage and the interaction into the headers."""
        set_row = _row_setter(carrier, setter)
        span = trace.get_current_span(context).get_span_context()
        if span.is_valid:
            here = TraceContext(
                trace.format_trace_id(span.trace_id),
                trace.format_span_id(span.span_id),
                span.trace_flags,
                span.trace_state.to_header(),
            )
            for name, value in write_sip(here, self._send)[0]:
                set_row(name, value)
        entries = baggage.get_all(context)
        members = {key: str(value) for key, value in entries.items() if is_token(key)}
        written = write_baggage(members)
        if written:
            set_row("baggage", written)
        interaction = members.get(INTERACTION_KEY, "")
        # It came from outside, and unescaped: a line break in it would begin a header of somebody else's.
        if interaction.isascii() and interaction.isprintable() and interaction.strip():
            set_row(self._interaction_header, interaction.strip()[:INTERACTION_LENGTH])

    @property
    def fields(self) -> set[str]:
        """The names that `inject` writes."""
        sample = TraceContext("1" * 32, "1" * 16, 1, "a=1")
        rows = write_sip(sample, self._send)[0]
        return {name for name, _ in rows} | {"baggage", self._interaction_header}


def previous_links(context: Context | None = None) -> list[Link]:
    """A link to the trace that a transfer came from, where the message named a span of it."""
    previous = get_value(_PREVIOUS, context)
    if not isinstance(previous, Previous) or previous.span_id is None:
        return []
    return [Link(_remote(TraceContext(previous.trace_id, previous.span_id, 0)))]


def _remote(context: TraceContext) -> SpanContext:
    return SpanContext(
        trace_id=int(context.trace_id, 16),
        span_id=int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(context.flags),
        trace_state=TraceState.from_header([context.tracestate]) if context.tracestate else None,
    )


def _values(carrier: CarrierT, getter: Getter[CarrierT]) -> Values:
    """See a carrier as SIP headers, whose names have no case.

    OpenTelemetry's own getter knows mappings alone, and takes names as they are written: for that one we look
    ourselves. Any other is asked for the name, then for all spellings of it that it says it has.
    """
    if getter is default_getter:
        return values_of(carrier)

    def values(name: str) -> list[str]:
        found = _strings(getter.get(carrier, name))
        spellings = {key for key in getter.keys(carrier) if isinstance(key, str) and key.lower() == name}
        for spelling in sorted(spellings - {name}):
            rows = _strings(getter.get(carrier, spelling))
            if rows != found:  # the same ones: a getter that pays no heed to case
                found = found + rows
        return found

    return values


def _strings(found: object) -> list[str]:
    """What a getter gave, whatever its author took for a list of values."""
    if isinstance(found, (str, bytes)):
        found = [found]
    if not isinstance(found, (list, tuple)):
        return []
    return [
        value if isinstance(value, str) else value.decode("utf-8", "replace")
        for value in found
        if isinstance(value, (str, bytes))
    ]


def _row_setter(carrier: CarrierT, setter: Setter[CarrierT]) -> Callable[[str, str], None]:
    """How a row gets into the carrier; with OpenTelemetry's own setter also into pairs, and in place of
    another spelling of its name.
    """
    if setter is not default_setter or not isinstance(carrier, (list, MutableMapping)):
        return lambda name, value: setter.set(carrier, name, value)

    def set_row(name: str, value: str) -> None:
        if isinstance(carrier, list):
            carrier[:] = [row for row in carrier if row[0].lower() != name.lower()]
            carrier.append((name, value))
            return
        for key in [key for key in carrier if isinstance(key, str) and key.lower() == name.lower()]:
            del carrier[key]
        carrier[name] = value

    return set_row
