"""The speed of the machine at a moment, by the CPU time of a fixed piece of work.

On a virtual machine a core can become twice as slow for seconds at a time, when a neighbour uses the other half of the
same physical core. The load average and the time taken by others show nothing of it, and CPU time grows as wall time
does. So the repeats of a measurement are between probes, and their times are divided by how long these took: the
figures are those of a machine on which the probe takes ``STANDARD_MS``. All contenders are treated alike.
"""

from __future__ import annotations

import time

__all__ = ["SpeedMeter", "probe_ms"]

STANDARD_MS = 0.54
"""What the probe took on the calm machine of the table of 22 November 2026: calculated later, from the contenders of
other projects, whose times per token here and there have this relation (median of 16; 0.44 to 0.60 but for one)."""

_ROUNDS = 3_200


_GROUP_SECONDS = 0.025


def probe_ms() -> float:
    """CPU milliseconds of what clients do most: make dictionaries and strings, look them up, and put them together."""
    begun = time.process_time_ns()
    packet: dict[str, object] = {}
    words: list[str] = []
    for number in range(_ROUNDS):
        packet = {"type": "fragment", "index": number, "content": f"word {number}"}
        words.append(str(packet["content"]).upper())
    if len(words[-1]) + len(packet) != len(f"word {_ROUNDS - 1}") + 3:
        raise AssertionError("the probe did not do its work")
    return (time.process_time_ns() - begun) / 1e6


def _middle_of_three() -> float:
    return sorted(probe_ms() for _ in range(3))[1]  # without `statistics`, whose imports `imports` measures


class SpeedMeter:
    """Probes the speed between the repeats of a measurement.

    ``meter = SpeedMeter()``, then after each repeat ``meter.add(…)`` with its times, and in the end ``meter.scaled()``.
    Short repeats come in groups between two probes: a probe leaves caches and threads otherwise than the repeat before.
    """

    def __init__(self) -> None:
        self._before, self._at = _middle_of_three(), time.perf_counter()
        self._group: list[tuple[float, ...]] = []
        self._scaled: list[tuple[float, ...]] = []
        self.probes: list[float] = []
        """Milliseconds of the probe, for each group."""

    def add(self, *times: float) -> None:
        """The times of one repeat, which has just ended."""
        self._group.append(times)
        if time.perf_counter() - self._at >= _GROUP_SECONDS:
            self._end_group()

    def scaled(self) -> list[tuple[float, ...]]:
        """The times of all repeats at the standard speed. A group has the mean of the probes before and after it."""
        if self._group:
            self._end_group()
        return self._scaled

    @property
    def probe_ms(self) -> float:
        """The median of ``probes``."""
        return round(sorted(self.probes)[len(self.probes) // 2], 2)

    def _end_group(self) -> None:
        now = _middle_of_three()
        probe = (self._before + now) / 2
        slowness = probe / STANDARD_MS
        self.probes.append(probe)
        self._scaled += [tuple(taken / slowness for taken in times) for times in self._group]
        self._before, self._at, self._group = now, time.perf_counter(), []
