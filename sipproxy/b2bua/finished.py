"""The dialogs that ended last, so that who comes late to replace one hears 603 instead of 481 (RFC 3891)."""

from __future__ import annotations

from collections import deque

REMEMBERED = 4096


class Finished:
    """By Dialog.key."""

    __slots__ = ("_keys", "_order")

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._order: deque[str] = deque()

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        """A confirmed dialog is over."""
        if key not in self._keys:
            self._keys.add(key)
            self._order.append(key)
            if len(self._order) > REMEMBERED:
                self._keys.discard(self._order.popleft())
