"""A lab with a meter that hears what the process's own would: for tests of figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from sipproxy.telemetry.families import FAMILY
from sipproxy.telemetry.histogram import Exemplar, Picture
from sipproxy.telemetry.meter import Meter
from tests.lab.lab import Lab
from tests.lab.network import Weather

NO_DELAY = Weather(latency_s=0.0)  # so that what a story waits for is all that takes time
SINCE_1970 = 1_700_000_000.0  # what the lab's clock is behind


class MeteredLab(Lab):
    """Settings as those of `Lab`; the wire takes no time."""

    def __init__(self, *, wall_offset: float = SINCE_1970, **settings: Any) -> None:
        self._wall_offset = wall_offset
        super().__init__(**{"weather": NO_DELAY, **settings})

    @cached_property
    def meter(self) -> Meter:
        """The one."""
        return Meter(self.trunks, self._wall_offset)

    def _pump(self) -> None:
        told = len(self.facts)
        super()._pump()
        self.meter.take(self.facts[told:], self.world.now)

    def value(self, family: str, *labels: str) -> float:
        """One figure; what is not there is zero."""
        assert len(labels) == len(FAMILY[family].labels)
        return self.meter.snapshot()["values"][family].get(labels, 0)

    def values(self, family: str) -> dict[tuple[str, ...], float]:
        """All figures of a family that are not zero."""
        found = self.meter.snapshot()["values"][family]
        return {labels: value for labels, value in found.items() if value}

    def picture(self, family: str, *labels: str) -> Picture:
        """A histogram."""
        assert len(labels) == len(FAMILY[family].labels)
        empty: Picture = ([], 0.0, [])
        return self.meter.snapshot()["histograms"][family].get(labels, empty)

    def counted(self, family: str, *labels: str) -> tuple[int, float]:
        """How many values a histogram has, and their sum to the microsecond."""
        counts, total, _ = self.picture(family, *labels)
        return sum(counts), round(total, 6)

    def exemplars(self, family: str, *labels: str) -> list[Exemplar]:
        """Those of a histogram, by rising values."""
        return [kept for kept in self.picture(family, *labels)[2] if kept is not None]


@contextmanager
def metered_labs() -> Iterator[Callable[..., MeteredLab]]:
    """Labs for a story. At its end all calls are over, and the meters hold nothing more of them."""
    labs: list[MeteredLab] = []

    def make(**settings: Any) -> MeteredLab:
        labs.append(MeteredLab(**settings))
        return labs[-1]

    yield make
    for lab in labs:
        lab.finish()
        assert len(lab.meter) == 0
        assert not lab.values("sip_calls_active")
        assert not lab.values("sip_dialogs_active")
