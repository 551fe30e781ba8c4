"""What the tests of masking share: a wire of each setting, and what it makes of a message or a line."""

from __future__ import annotations

import pytest

from sipproxy.telemetry.masking import Masker
from sipproxy.telemetry.settings import Mask, PrivacySettings
from sipproxy.telemetry.wire import Wire, WireMessage

KEY = "a key of the operator"
MASKERS = {mask: Masker(PrivacySettings(mask, KEY)) for mask in Mask}
WIRES = {mask: Wire(masker) for mask, masker in MASKERS.items()}
HIDING = pytest.mark.parametrize("mask", [Mask.LAST2, Mask.HASH, Mask.FULL], ids=str)
NUMBER = "4915550001234"
TRACE = "00-4bf92f3577f34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def read(text: str | bytes, mask: Mask = Mask.LAST2) -> WireMessage:
    """A message that is SIP's."""
    found = WIRES[mask].read(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
    assert found is not None
    return found


def shown(row: str, mask: Mask = Mask.LAST2) -> str:
    """What becomes of one header line."""
    _, line = read(f"OPTIONS sip:h SIP/2.0\r\n{row}\r\n\r\n", mask).text.split("\n")
    return line
