"""The closed sets hold all words that the core has."""

from __future__ import annotations

import re
from pathlib import Path

from sipproxy.b2bua import transfer
from sipproxy.b2bua.pending import Token
from sipproxy.telemetry.families import FAMILY, INCIDENTS, REJECTIONS

PACKAGE = Path(__file__).parents[3] / "sipproxy"


def test_words_of_the_core_are_in_the_closed_sets() -> None:
    """Each that a fact can have, as the core's own tables say."""
    outcomes = {
        *transfer._OUTCOMES.values(),
        *transfer._ERRORS.values(),
        "completed",
        "refused",
        "failed",
        "unknown",
    }
    (_, _, outcome, stage) = FAMILY["sip_transfers_total"].labels
    assert outcomes == set(outcome.values)
    assert {name or "none" for name in transfer._STAGES} == set(stage.values)


def test_all_that_the_core_counts_is_known() -> None:
    counting = re.compile(r"(?:shared\.count|_user\.count|self\.count|_decline)\(([^,)]*)")
    words: set[str] = set()
    for layer in ("sip", "b2bua"):
        for path in (PACKAGE / layer).glob("*.py"):
            for first in counting.findall(path.read_text()):
                words.update(re.findall(r'"([a-z_]+)"', first))
    words |= {str(Token.UNKNOWN), str(Token.REPLAYED)}
    assert {"failover", "unresolved", "overload", "stray_ack", "webhook_rejected"} <= words
    others = {"malformed", "refer_carriers", "transfers", "trunk_up", "trunk_down"}
    assert words - others == {*REJECTIONS, *INCIDENTS}
