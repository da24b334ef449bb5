"""The speed of the machine at a moment, by the CPU time of a fixed piece of work.

On a virtual machine a core can become twice as slow for seconds at a time, when a neighbour uses the other half of the
same physical core. The load average and the time taken by others show nothing of it, and CPU time grows as wall time
does. So every repeat of a measurement is between two probes, and its times are divided by how long they took: the
figures are those of a machine on which the probe takes one millisecond. All contenders are treated alike.
"""

from __future__ import annotations

import time

__all__ = ["SpeedMeter", "probe_ms"]

_ROUNDS = 3_200
"""So that the probe takes about one millisecond on an undisturbed core of the machine of the published table."""


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

    ``meter = SpeedMeter()``, then after each repeat divide its times by ``meter.slowness()``.
    """

    def __init__(self) -> None:
        self._before = _middle_of_three()
        self.probes: list[float] = []
        """What ``slowness`` has returned."""

    def slowness(self) -> float:
        """The milliseconds that the probe takes: the mean of now and of the last call (or of the constructor)."""
        now = _middle_of_three()
        self.probes.append((self._before + now) / 2)
        self._before = now
        return self.probes[-1]
