"""Compares what a scenario says must be seen with what was seen. Every difference is one line of text.

A value is compared as it stands, or: `present`, `absent`, `~regular expression`. `{bob}`, `{bob.port}` and
`{proxy}` stand for addresses that are only known once the play runs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from . import wire
from .spans import Span, Value, by_start, children, roots
from .story import ExpectedMessage, ExpectedSpan, Scalar, Story

Seen = Mapping[str, Sequence[wire.Message]]  # by member of the cast

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_IN_REFER_TO = re.compile(r"[?&]traceparent=([^&>]*)")
_OUR_NAMES = {"traceparent", "tracestate", "x-traceparent", "previous-trace-id", "otel-trace-id"}


def count(expected: Sequence[ExpectedSpan]) -> int:
    """How many spans a tree has."""
    return sum(1 + count(each.children) for each in expected)


class Expectation:
    """What is known when the play is over, and what is wrong with it."""

    def __init__(self, story: Story, spans: Sequence[Span], seen: Seen, places: Mapping[str, str]) -> None:
        self._story = story
        self._spans = spans
        self._seen = seen
        self._places = places
        self._known_as: dict[str, str] = {}  # trace-id/span-id
        self._links: list[tuple[str, list[str], list[str]]] = []  # where, wanted, actual

    def failures(self) -> list[str]:
        """All differences."""
        spans = [*self._all_spans(), *self._all_links()]
        return [*spans, *self._all_messages(), *self._in_refer_to(), *self._relayed_invites()]

    # Spans

    def _all_spans(self) -> Iterator[str]:
        for span in self._spans:
            if not span.start_ns <= span.end_ns:
                yield f"{span.title}: ends before it starts"
            for name, value in self._story.every_span.items():
                yield from self._value(f"{span.title}: {name}", value, span.attributes.get(name))
        ids = [span.span_id for span in self._spans]
        if len(ids) != len(set(ids)):
            yield "a span was exported twice, or two have the same id"
        if self._story.spans is not None:
            yield from self._siblings("the trace", self._story.spans, roots(self._spans))

    def _siblings(
        self, where: str, expected: Sequence[ExpectedSpan], actual: Sequence[Span]
    ) -> Iterator[str]:
        """Same titles, as often; among equal titles the order of their start counts."""
        wanted: dict[str, list[ExpectedSpan]] = defaultdict(list)
        for each in expected:
            wanted[each.span].append(each)
        found: dict[str, list[Span]] = defaultdict(list)
        for span in by_start(actual):
            found[span.title].append(span)
        for title in [*wanted, *(title for title in found if title not in wanted)]:
            if len(wanted[title]) != len(found[title]):
                yield f"under {where}: {len(found[title])} x {title!r} instead of {len(wanted[title])}"
            for one, span in zip(wanted[title], found[title], strict=False):
                yield from self._span(one, span)

    def _span(self, expected: ExpectedSpan, span: Span) -> Iterator[str]:
        where = span.title
        if expected.parent is not None:
            yield from self._parent(where, expected.parent, span)
        for name, wanted in expected.attributes.items():
            yield from self._value(f"{where}: {name}", wanted, span.attributes.get(name))
        names = [event.name for event in span.events]
        rest = iter(names)
        if not all(str(event) in rest for event in expected.events):
            yield f"{where}: events {names}, wanted in this order {expected.events}"
        for event in expected.no_events:
            if str(event) in names:
                yield f"{where}: there should be no event {event}"
        if expected.status is not None and span.status != expected.status:
            yield f"{where}: status {span.status} instead of {expected.status}"
        if expected.known_as:
            self._known_as[expected.known_as] = f"{span.trace_id}/{span.span_id}"
        if expected.links is not None:
            links = [f"{link.trace_id}/{link.span_id}" for link in span.links]
            self._links.append((where, expected.links, links))
        for name in expected.carried_by:
            yield from self._carried(where, name, span)
        for name in expected.previous_of:
            yield from self._previous(where, name, span)
        yield from self._siblings(where, expected.children, children(self._spans, span))

    def _all_links(self) -> Iterator[str]:
        """Compared last, since a link may point to a span that is looked at later."""
        for where, wanted, actual in self._links:
            if sorted(self._known_as.get(link, link) for link in wanted) != sorted(actual):
                known = {link: name for name, link in self._known_as.items()}
                yield f"{where}: links {[known.get(link, link) for link in actual]} instead of {wanted}"

    def _parent(self, where: str, parent: str, span: Span) -> Iterator[str]:
        if parent == "none":
            if span.parent_id:
                yield f"{where}: should be a root, has parent {span.parent_id}"
        elif parent.split("-")[1:3] != [span.trace_id, span.parent_id]:
            yield f"{where}: continues {span.trace_id}-{span.parent_id} instead of {parent}"

    def _carried(self, where: str, name: str, span: Span) -> Iterator[str]:
        messages = wire.pick(self._seen, name)
        if not messages:
            yield f"{where}: there was no {name!r}"
        for message in messages:
            rows = message.values("traceparent")
            match = _TRACEPARENT.fullmatch(rows[0]) if len(rows) == 1 else None
            if match is None or match.groups() != (span.trace_id, span.span_id):
                yield f"{where}: {name!r} carries {rows} instead of 00-{span.trace_id}-{span.span_id}-.."

    def _previous(self, where: str, name: str, span: Span) -> Iterator[str]:
        messages = wire.pick(self._seen, name)
        if not messages:
            yield f"{where}: there was no {name!r}"
        for message in messages:
            rows = message.values("previous-trace-id")
            if rows != [f"{span.trace_id};span={span.span_id}"]:
                yield f"{where}: {name!r} says {rows} instead of {span.trace_id};span={span.span_id}"

    def _in_refer_to(self) -> Iterator[str]:
        """What a REFER carries and what its Refer-To asks the new call to carry is the same."""
        for name in self._seen:
            for message in wire.pick(self._seen, f"{name} REFER"):
                for refer_to in message.values("Refer-To"):
                    asked, carried = _IN_REFER_TO.findall(refer_to), message.values("traceparent")
                    if asked and asked != carried:
                        yield f"{name} REFER: Refer-To asks for {asked}, carries {carried}"

    # Messages

    def _all_messages(self) -> Iterator[str]:
        for expected in self._story.wire:
            messages = wire.pick(self._seen, self._filled(expected.message))
            if expected.times is None and not messages:
                yield f"there was no {expected.message!r}"
            if expected.times is not None and len(messages) != expected.times:
                yield f"{expected.message!r} came {len(messages)} times instead of {expected.times}"
            for message in messages:
                yield from self._message(expected, message)

    def _message(self, expected: ExpectedMessage, message: wire.Message) -> Iterator[str]:
        where = self._filled(expected.message)
        if expected.start_line is not None:
            yield from self._value(f"{where}: start line", expected.start_line, message.start_line)
        if expected.transport is not None and message.transport != expected.transport:
            yield f"{where}: came over {message.transport} instead of {expected.transport}"
        if expected.body is not None:
            yield from self._value(f"{where}: body", expected.body, message.body)
        for name, wanted in expected.headers.items():
            values = message.values(name)
            if len(values) > 1:
                yield f"{where}: {name} stands there {len(values)} times: {values}"
            yield from self._value(f"{where}: {name}", wanted, values[0] if values else None)
        for name in map(self._filled, expected.unchanged):
            values = message.values(name)
            written = [m.values(name) for each in self._seen.values() for m in each if not m.received]
            if not values or values not in written:
                yield f"{where}: nobody wrote {name}: {values}"
        lines = iter(message.text.partition("\r\n\r\n")[0].split("\r\n"))
        if not all(row in lines for row in expected.rows):
            yield f"{where}: rows changed or moved, wanted in this order {expected.rows}"

    def _relayed_invites(self) -> Iterator[str]:
        """What holds for the INVITE of every leg that the proxy grew, whatever the scenario."""
        written = [message for each in self._seen.values() for message in each if not message.received]
        sent = [message for message in written if message.kind == "INVITE"]
        hops = {int(m.values("Max-Forwards")[0]) - 1 for m in sent}
        if any(message.start_line.startswith("REFER ") for message in written):
            hops |= set(range(max(hops)))  # a transfer has what its call has left
        strange_ids = {m.values("Call-ID")[0] for m in sent}
        for name in self._seen:
            for message in wire.pick(self._seen, f"{name} INVITE"):
                where = f"{name} INVITE"
                left = int(message.values("Max-Forwards")[0])
                if left not in hops:
                    yield f"{where}: Max-Forwards {left} is not one less than it was"
                if len(message.values("Via")) != 1 or "," in message.values("Via")[0]:
                    yield f"{where}: not only our Via: {message.values('Via')}"
                if message.values("Call-ID")[0] in strange_ids:
                    yield f"{where}: has a Call-ID of another leg"
                if not re.fullmatch(r"<sip:[^<>@\s]+>", ", ".join(message.values("Contact"))):
                    yield f"{where}: Contact {message.values('Contact')} is not just one <sip:host:port>"
                if "tag=" in message.values("To")[0] or "tag=caller-" in message.values("From")[0]:
                    yield f"{where}: tags of another dialog: {message.values('From')} {message.values('To')}"
                if "sipproxy-ref" in message.text:
                    yield f"{where}: the marker of a transfer went on"
                ours = [row.lower() for row, _ in message.rows if row.lower() in _OUR_NAMES]
                if len(ours) != len(set(ours)):
                    yield f"{where}: a trace header stands there twice: {ours}"

    def _filled(self, text: str) -> str:
        for place, value in self._places.items():
            text = text.replace(f"{{{place}}}", value)
        return text

    def _value(self, where: str, wanted: Scalar, actual: Value) -> Iterator[str]:
        if isinstance(wanted, str):
            for place, text in self._places.items():
                if f"{{{place}}}" in wanted:
                    literal = re.escape(text) if wanted.startswith("~") else text
                    wanted = wanted.replace(f"{{{place}}}", literal)
                    actual = None if actual is None else str(actual)
        if wanted == "present":
            good = actual is not None
        elif wanted == "absent":
            good = actual is None
        elif isinstance(wanted, str) and wanted.startswith("~"):
            good = actual is not None and re.search(wanted[1:], str(actual)) is not None
        else:
            good = actual == wanted and isinstance(actual, bool) == isinstance(wanted, bool)
        if not good:
            yield f"{where} is {actual!r} instead of {wanted!r}"
