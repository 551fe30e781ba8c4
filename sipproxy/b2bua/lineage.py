"""What a call hands on to the calls that its transfers cause: its trace, its place in a chain, its
interaction.
"""

from __future__ import annotations

from ..propagation.context import TraceContext
from .shared import Shared


class Lineage:
    """`root` is the context of the request that began it, and its key in all facts; `trace` is what new spans
    hang on: the root, until a long chain begins a new trace.
    """

    __slots__ = (
        "baggage",
        "chain",
        "chain_began_at",
        "hops",
        "interaction",
        "root",
        "shared",
        "trace",
        "transferred",
    )

    def __init__(
        self, shared: Shared, root: TraceContext, *, interaction: str, baggage: str, hops: int, now: float
    ) -> None:
        self.shared = shared
        self.root = root
        self.trace = root
        self.interaction = interaction
        self.baggage = baggage
        self.hops = hops  # Max-Forwards that is left to what it causes
        self.chain = 0  # transfers that this trace has seen
        self.chain_began_at = now
        self.transferred = False  # a transfer of it has reached its target

    def attempted(self, change: int) -> None:
        """One more span (+1) whose end is still to be told, or one less."""
        raise NotImplementedError
