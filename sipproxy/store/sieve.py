"""Which spans of a batch does a collector refuse? Pure: halves of halves, until a span stands alone.

    group refused, more than one span     its halves are tried
    span refused alone                    a suspect
    nothing taken, and a span alone is    what else is refused is not halved: it covers the whole batch, so
    refused too                           the collector refuses everything, and no span is to blame
    group taken                           spans can be told apart: what was not halved is halved now

The order is drawn by lot, so that spans that are refused and spans that are taken do not lie in heaps.
"""

from __future__ import annotations

from collections.abc import Callable


class Sieve:
    """One batch. Ask `group`, send it, tell `taken` or `refused`, until `group` is empty."""

    def __init__(self, spans: list[bytes], shuffle: Callable[[list[bytes]], None]) -> None:
        self.taken_count = 0
        self.aside: list[tuple[bytes, str]] = []  # refused alone, and the reason
        self.is_halving = False
        self._shuffle = shuffle
        self._groups = [spans] if spans else []
        self._doubtful: list[list[bytes]] = []

    @property
    def group(self) -> list[bytes]:
        """What to send next; empty: all was tried."""
        return self._groups[-1] if self._groups else []

    @property
    def is_hopeless(self) -> bool:
        """All was tried, and nothing was taken."""
        return not self._groups and not self.taken_count

    def taken(self) -> None:
        """The group arrived."""
        self.taken_count += len(self._groups.pop())
        doubtful, self._doubtful = self._doubtful, []
        for group in doubtful:
            self._halve(group)

    def refused(self, reason: str) -> None:
        """The collector dislikes something in the group."""
        group = self._groups.pop()
        if not self.is_halving:
            self.is_halving = True
            group = [*group]
            self._shuffle(group)
        if len(group) == 1:
            self.aside.append((group[0], reason))
        elif self.aside and not self.taken_count:
            self._doubtful.append(group)
        else:
            self._halve(group)

    def _halve(self, group: list[bytes]) -> None:
        middle = len(group) // 2
        self._groups += [group[middle:], group[:middle]]
