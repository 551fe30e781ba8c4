"""URLs on the command line."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def web_address(text: str) -> SplitResult | None:
    """The parts of an http or https URL, with nothing in it that could be another line or a secret; None
    where it is none.
    """
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    good = good and text.isascii() and text.isprintable() and " " not in text and parts.username is None
    return parts if good else None
