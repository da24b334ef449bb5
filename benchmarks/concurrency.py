"""Many predictions at once: ``python -m benchmarks.concurrency NAME PORT SIZE TOKENS`` prints a line of JSON.

All share one socket.

The server answers each with the prompt's progress at once, and sends the tokens of all in turn when the last has come.
``per_open_kb`` is what each open prediction adds to the process while all are open, ``per_second`` and
``single_per_second`` are tokens each second of wall time (from the first request to the last result), for all together
and for one stream of 2,000 tokens alone, at the standard speed of ``machine_speed``.

``client sync`` opens all from one thread and reads one after the other; ``client async`` has a task for each.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any

from lmstudio_integrations import AsyncClient, Client

from .machine_speed import SpeedMeter
from .memory import growth, resident
from .workload import MODEL, Workload, text

_SINGLE = Workload(2000)
_REPEATS = 3


def _workloads(size: int, tokens: int, together: int) -> list[Workload]:
    """Every prediction has a text of its own kind, so that none can be taken for its neighbour."""
    return [Workload(tokens, at, together) for at in range(size)]


def _right(contents: list[str], workloads: list[Workload]) -> int:
    return sum(
        content == text(workload.count, workload.start) for content, workload in zip(contents, workloads, strict=True)
    )


def blocking(port: int, size: int, tokens: int) -> dict[str, Any]:
    """One thread."""
    model = Client(f"ws://127.0.0.1:{port}").llm.model(MODEL)
    model.respond(str(_SINGLE))
    before = resident()
    workloads = _workloads(size, tokens, size + 1)
    streams = [model.respond_stream(str(workload)) for workload in workloads]
    events = [stream.events() for stream in streams]
    for each in events:
        next(each)
    opened = growth(before, resident())
    model.respond(str(Workload(tokens, 0, size + 1)))
    right = _right([stream.result().content for stream in streams], workloads)
    del streams, events

    def alone() -> None:
        model.respond(str(_SINGLE))

    def together() -> int:
        workloads = _workloads(size, tokens, size)
        streams = [model.respond_stream(str(workload)) for workload in workloads]
        return _right([stream.result().content for stream in streams], workloads)

    single, batch, rights = SpeedMeter(), SpeedMeter(), [right]
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        alone()
        single.add(time.perf_counter() - begun)
        begun = time.perf_counter()
        rights.append(together())
        batch.add(time.perf_counter() - begun)
    return _summary("client sync", size, tokens, opened, single, batch, rights)


async def awaiting(port: int, size: int, tokens: int) -> dict[str, Any]:
    """One task for each prediction."""
    model = await AsyncClient(f"ws://127.0.0.1:{port}").llm.model(MODEL)
    await model.respond(str(_SINGLE))
    before = resident()
    workloads = _workloads(size, tokens, size + 1)
    streams = [await model.respond_stream(str(workload)) for workload in workloads]
    events = [stream.events() for stream in streams]
    for each in events:
        await anext(each)
    opened = growth(before, resident())
    await model.respond(str(Workload(tokens, 0, size + 1)))
    right = _right([(await stream.result()).content for stream in streams], workloads)
    del streams, events

    async def one(workload: Workload) -> str:
        stream = await model.respond_stream(str(workload))
        return "".join([fragment.content async for fragment in stream])

    async def together() -> int:
        workloads = _workloads(size, tokens, size)
        return _right(await asyncio.gather(*map(one, workloads)), workloads)

    single, batch, rights = SpeedMeter(), SpeedMeter(), [right]
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        await one(_SINGLE)
        single.add(time.perf_counter() - begun)
        begun = time.perf_counter()
        rights.append(await together())
        batch.add(time.perf_counter() - begun)
    return _summary("client async", size, tokens, opened, single, batch, rights)


def _seconds(meter: SpeedMeter) -> float:
    return statistics.median(times[0] for times in meter.scaled())


def _summary(
    name: str,
    size: int,
    tokens: int,
    opened: int | None,
    single: SpeedMeter,
    batch: SpeedMeter,
    rights: list[int],
) -> dict[str, Any]:
    return {
        "name": name,
        "size": size,
        "tokens": tokens,
        "right": min(rights),
        "per_open_kb": None if opened is None else round(opened / size / 1024, 2),
        "per_second": round(size * tokens / _seconds(batch)),
        "single_per_second": round(_SINGLE.count / _seconds(single)),
        "probe_ms": batch.probe_ms,
    }


if __name__ == "__main__":
    name, port, size, tokens = sys.argv[1], *map(int, sys.argv[2:5])
    outcome = blocking(port, size, tokens) if name == "client sync" else asyncio.run(awaiting(port, size, tokens))
    print(json.dumps(outcome))  # noqa: T201  # the line that the runner reads
