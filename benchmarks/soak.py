"""Memory over many predictions: ``python -m benchmarks.soak NAME PORT COUNT`` prints a line of JSON.

Predictions of eight tokens, one after the other. ``early_mb`` is the process's memory after a tenth of them, when
everything is warm, ``late_mb`` after all.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from .contenders import CONTENDERS
from .memory import growth, resident
from .workload import Workload


def blocking(tokens: Callable[[], Iterator[str]], times: int) -> None:
    """So many answers, read to their end."""
    for _ in range(times):
        for _ in tokens():
            pass


async def awaiting(tokens: Callable[[], AsyncIterator[str]], times: int) -> None:
    """The same for an awaiting stream."""
    for _ in range(times):
        async for _ in tokens():
            pass


def measure(name: str, port: int, count: int) -> dict[str, Any]:
    """Memory early and late."""
    contender, workload = CONTENDERS[name], Workload()
    if contender.awaits:

        async def main() -> tuple[int | None, int | None]:
            tokens = await contender.start(port, workload)
            await awaiting(tokens, count // 10)
            early = resident()
            await awaiting(tokens, count - count // 10)
            return early, resident()

        early, late = asyncio.run(main())
    else:
        tokens = contender.start(port, workload)
        blocking(tokens, count // 10)
        early = resident()
        blocking(tokens, count - count // 10)
        late = resident()
    more = growth(early, late)
    return {
        "name": name,
        "predictions": count,
        "early_mb": None if early is None else round(early / 2**20, 2),
        "late_mb": None if late is None else round(late / 2**20, 2),
        "growth_kb": None if more is None else round(more / 1024),
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))), flush=True)  # noqa: T201  # for the runner
    os._exit(0)
