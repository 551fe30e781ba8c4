"""HTTP requests through a load balancer whose back end is the probe itself.

first       nothing but the request itself: does it come back here? If not, no further request is made
trace       traceparent, tracestate, baggage, previous-trace-id, X- names
letters     TRACEPARENT
rows        tracestate in two rows, which is right; and traceparent in two, which is wrong
long        the longest that W3C wants carried: tracestate of 512 characters, baggage of 8192
underscore  trace_parent
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from ..sip.ids import Ids
from .fates import Row
from .http_wire import Asked, BackEnd, Told, ask, request_head
from .messages import SIGN, Secrets

LONG_TRACESTATE, LONG_BAGGAGE = 512, 8192  # W3C Trace Context 3.3.1.5, W3C Baggage 3.3.2
SILENCES = 2  # requests in a row without an answer: the rest is not tried
NOT_UP = (502, 503, 504)  # a load balancer that has found no back end yet
AGAIN_S = 0.1


@dataclass(slots=True)
class HttpPlan:
    """What is to be done."""

    url: str
    host: str  # to listen on
    port: int
    method: str = "GET"
    timeout_s: float = 5.0
    wait_s: float = 0.0  # for health checks to find the back end
    ca: str | None = None


@dataclass(slots=True)
class Exchange:
    """One request, as both ends saw it."""

    name: str
    token: str
    sent: list[tuple[str, Row]]  # with the carrier's name
    told: Told = field(default_factory=Told)
    arrivals: list[Asked] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether it came here, and our answer back."""
        return bool(self.arrivals) and self.told.ours(self.token) and not self.told.failed


async def probe_http(plan: HttpPlan, back_end: BackEnd | None = None) -> list[Exchange]:
    """Send the requests. Raises StartError, ConfigurationError; whatever the path does, it ends."""
    tls = _tls(plan) if urlsplit(plan.url).scheme == "https" else None
    made: list[Exchange] = []
    back_end = back_end or BackEnd()
    await back_end.open(plan.host, plan.port)
    silent = 0
    try:
        for exchange in _exchanges(Ids(os.urandom)):
            await _send(plan, exchange, tls, back_end)
            until = time.monotonic() + plan.wait_s
            while not made and exchange.told.status in NOT_UP and time.monotonic() < until:
                await asyncio.sleep(AGAIN_S)
                await _send(plan, exchange, tls, back_end)
            made.append(exchange)
            silent = silent + 1 if exchange.told.failed else 0
            if not made[0].complete or silent >= SILENCES:
                break
    finally:
        await back_end.close()
    return made


async def _send(plan: HttpPlan, exchange: Exchange, tls: ssl.SSLContext | None, back_end: BackEnd) -> None:
    parts = urlsplit(plan.url)
    assert parts.hostname is not None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    rows = [Row(SIGN, exchange.token), *(row for _, row in exchange.sent)]
    head = request_head(plan.method, path, parts.netloc, rows)
    port = parts.port or (443 if tls else 80)
    exchange.told = await ask(parts.hostname, port, head, timeout_s=plan.timeout_s, tls=tls)
    signs = [exchange.token, *(row.value.lower() for _, row in exchange.sent)]
    exchange.arrivals = [each for each in back_end.asked if any(each.holds(sign) for sign in signs)]


def _tls(plan: HttpPlan) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=plan.ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError([f"--ca: {plan.ca}: {error.strerror or error}"]) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _exchanges(ids: Ids) -> Iterator[Exchange]:
    def traceparent() -> str:
        return Secrets.new(ids).traceparent()

    def exchange(name: str, *sent: tuple[str, str, str]) -> Exchange:
        return Exchange(name, ids.hex(32), [(carrier, Row(header, value)) for carrier, header, value in sent])

    yield exchange("first")
    yield exchange(
        "trace",
        ("traceparent", "traceparent", traceparent()),
        ("tracestate", "tracestate", f"probe={ids.hex(16)},sipproxy={ids.hex(16)}"),
        ("baggage", "baggage", f"interaction.id=probe-{ids.hex(16)}"),
        ("previous-trace-id", "previous-trace-id", f"{ids.trace_id()};span={ids.span_id()}"),
        ("x-traceparent", "X-Traceparent", traceparent()),
        ("x-interaction-id", "X-Interaction-ID", f"probe-{ids.hex(16)}"),
    )
    yield exchange("letters", ("letters", "TRACEPARENT", traceparent()))
    yield exchange(
        "rows",
        ("tracestate-rows", "tracestate", f"probe={ids.hex(16)}"),
        ("tracestate-rows", "tracestate", f"sipproxy={ids.hex(16)}"),
        ("traceparent-rows", "traceparent", traceparent()),
        ("traceparent-rows", "traceparent", traceparent()),
    )
    yield exchange("long tracestate", ("long-tracestate", "tracestate", _long("probe", LONG_TRACESTATE, ids)))
    yield exchange("long baggage", ("long-baggage", "baggage", _long("probe", LONG_BAGGAGE, ids)))
    yield exchange("underscore", ("underscore", "trace_parent", traceparent()))


def _long(key: str, length: int, ids: Ids) -> str:
    """Members of up to 128 characters, that long together with their commas."""
    count = (length + 1) // 128
    sizes = [127] * (count - 1) + [length - 128 * (count - 1)]
    heads = [f"{key}{number}={ids.hex(16)}" for number in range(count)]
    return ",".join(head + "x" * (size - len(head)) for head, size in zip(heads, sizes, strict=True))
