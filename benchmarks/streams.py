"""Time one contender: ``python -m benchmarks.streams NAME PORT TOKENS REPEATS …`` prints a line of JSON for each pair.

``cpu_us`` and ``wall_us`` are microseconds for each token, all threads of the process together; ``first_ms`` is
milliseconds from the call to the first token. All are medians over the repeats, after one that warms up, at the
standard speed of ``machine_speed``; ``probe_ms`` is the machine's own at the time.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .contenders import CONTENDERS
from .machine_speed import SpeedMeter
from .workload import Workload, text


@dataclass(slots=True)
class Timing:
    """One streamed answer: seconds at the standard speed."""

    wall: float
    cpu: float
    first: float


class Watch:
    """Takes the time of one answer and keeps its text."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._first = 0.0
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def token(self, word: str) -> None:
        """A token has come."""
        if word:
            if not self.said:
                self._first = time.perf_counter() - self._wall
            self.said.append(word)

    def stop(self, workload: Workload, meter: SpeedMeter) -> None:
        """The answer is complete; the wrong text is no result."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        if "".join(self.said) != text(workload.count, workload.start):
            raise ValueError(f"the wrong text came: {''.join(self.said)[:80]!r}")
        meter.add(wall, cpu, self._first)


def blocking(tokens: Callable[[], Iterator[str]], workload: Workload, repeats: int) -> SpeedMeter:
    """Repeat a blocking stream."""
    meter = SpeedMeter()
    for _ in range(repeats + 1):
        watch = Watch()
        note = watch.token
        for word in tokens():
            note(word)
        watch.stop(workload, meter)
    return meter


async def awaiting(tokens: Callable[[], AsyncIterator[str]], workload: Workload, repeats: int) -> SpeedMeter:
    """Repeat an awaiting stream."""
    meter = SpeedMeter()
    for _ in range(repeats + 1):
        watch = Watch()
        note = watch.token
        async for word in tokens():
            note(word)
        watch.stop(workload, meter)
    return meter


def measure(name: str, port: int, parts: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """One contender's medians, for each pair of tokens and repeats."""
    contender = CONTENDERS[name]
    if not contender.awaits:
        for count, repeats in parts:
            workload = Workload(count)
            yield summary(name, blocking(contender.start(port, workload), workload, repeats), count)
        return

    async def part(count: int, repeats: int) -> SpeedMeter:
        workload = Workload(count)
        return await awaiting(await contender.start(port, workload), workload, repeats)

    # One loop for all: some peers keep an HTTP client for the process, which outlives no loop.
    with asyncio.Runner() as runner:
        for count, repeats in parts:
            yield summary(name, runner.run(part(count, repeats)), count)


def summary(name: str, meter: SpeedMeter, count: int) -> dict[str, Any]:
    """Medians in the units of the table, without the repeat that warms up."""
    timings, median = [Timing(*times) for times in meter.scaled()[1:]], statistics.median
    return {
        "name": name,
        "tokens": count,
        "cpu_us": round(median(t.cpu for t in timings) / count * 1e6, 2),
        "wall_us": round(median(t.wall for t in timings) / count * 1e6, 2),
        "first_ms": round(median(t.first for t in timings) * 1e3, 3),
        "probe_ms": meter.probe_ms,
    }


if __name__ == "__main__":
    numbers = list(map(int, sys.argv[3:]))
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    for outcome in measure(sys.argv[1], int(sys.argv[2]), pairs):
        print(json.dumps(outcome), flush=True)  # noqa: T201  # the lines that the runner reads
    os._exit(0)  # some peers leave tasks and sockets behind, and their end is none of the figures
