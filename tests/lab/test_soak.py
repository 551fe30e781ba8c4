"""Hundreds of lives: whatever phones do in whatever weather, nothing is left over, and every span ends.

SIPPROXY_SOAK says how many, where a longer run is wanted.
"""

from __future__ import annotations

import os

import pytest

from .soak import Soak

LIVES = int(os.environ.get("SIPPROXY_SOAK", "400"))
AT_A_TIME = 20


@pytest.mark.parametrize("first", range(0, LIVES, AT_A_TIME))
def test_lives(first: int) -> None:
    for seed in range(first, first + AT_A_TIME):
        soak = Soak(seed)
        try:
            soak.run()
        except BaseException as error:
            error.add_note(f"seed {seed}:\n" + "\n".join(soak.deeds))
            raise
