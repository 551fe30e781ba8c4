"""The numbers that a call is found by: of its root span, traces, links, Call-IDs and interaction.

All kinds stand in one table, so a searched text is looked for as all of them at once. 63 bits each: of texts
by a keyed hash (CallKeys), of ids that are random already their last ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .schema import ERA_BITS
from .summary import CallSummary

Keys = Callable[[str], int]

# Two questions in one: together in one SELECT they would read the whole table.
RANGE = "SELECT (SELECT min(number) FROM calls), (SELECT max(number) FROM calls)"
_63_BITS = (1 << 63) - 1
_ID = re.compile("[0-9a-f]{16}(?:[0-9a-f]{16})?", re.IGNORECASE)


def era_of(number: int) -> int:
    """The part of `names` that a call stands in."""
    return number >> ERA_BITS


def of_hex(text: str) -> int:
    """Of a trace-id or span id; 0 where it is none."""
    return int(text, 16) & _63_BITS if _ID.fullmatch(text) else 0


def of_link(trace_id: str, keys: Keys) -> int:
    """Of a trace that a call is linked with, to find the calls that are linked with a trace."""
    return keys(f"link to {trace_id}")


def of_call(call: CallSummary, keys: Keys) -> set[int]:
    """All that it is found by."""
    names = {of_hex(call.root_id), keys(call.interaction_id), *call.call_keys, *map(keys, call.call_ids)}
    names.update(map(of_hex, call.traces))
    names.update([of_link(trace_id, keys) for trace_id in call.links])
    names.discard(0)
    return names


def of_text(text: str, keys: Keys, reference: Callable[[str], str]) -> set[int]:
    """All that a text may mean that somebody searches for."""
    names = {of_hex(text), keys(text), keys(reference(text))}
    names.discard(0)
    return names
