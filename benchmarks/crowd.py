"""Many predictions at once on one socket: ``python -m benchmarks.crowd NAME PORT SIZE TOKENS`` prints a line of JSON.

The server answers each with the prompt's progress at once, and sends the tokens of all in turn when the last has come.
``per_open_kb`` is what each open prediction adds to the process while all are open, ``per_second`` and
``single_per_second`` are tokens each second of wall time (from the first request to the last result), for all together
and for one stream of 2,000 tokens alone.

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

from .memory import growth, resident
from .orders import MODEL, Order, text

_SINGLE = Order(2000)
_REPEATS = 3


def _orders(size: int, tokens: int, crowd: int) -> list[Order]:
    """Every prediction has a text of its own kind, so that none can be taken for its neighbour."""
    return [Order(tokens, at, crowd) for at in range(size)]


def _right(contents: list[str], orders: list[Order]) -> int:
    return sum(content == text(order.count, order.start) for content, order in zip(contents, orders, strict=True))


def blocking(port: int, size: int, tokens: int) -> dict[str, Any]:
    """One thread."""
    model = Client(f"ws://127.0.0.1:{port}").llm.model(MODEL)
    model.respond(str(_SINGLE))
    before = resident()
    orders = _orders(size, tokens, size + 1)
    streams = [model.respond_stream(str(order)) for order in orders]
    events = [stream.events() for stream in streams]
    for each in events:
        next(each)
    opened = growth(before, resident())
    model.respond(str(Order(tokens, 0, size + 1)))
    right = _right([stream.result().content for stream in streams], orders)
    del streams, events

    def alone() -> None:
        model.respond(str(_SINGLE))

    def together() -> int:
        orders = _orders(size, tokens, size)
        streams = [model.respond_stream(str(order)) for order in orders]
        return _right([stream.result().content for stream in streams], orders)

    singles, crowds, rights = [], [], [right]
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        alone()
        singles.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        rights.append(together())
        crowds.append(time.perf_counter() - begun)
    return _summary("client sync", size, tokens, opened, singles, crowds, rights)


async def awaiting(port: int, size: int, tokens: int) -> dict[str, Any]:
    """One task for each prediction."""
    model = await AsyncClient(f"ws://127.0.0.1:{port}").llm.model(MODEL)
    await model.respond(str(_SINGLE))
    before = resident()
    orders = _orders(size, tokens, size + 1)
    streams = [await model.respond_stream(str(order)) for order in orders]
    events = [stream.events() for stream in streams]
    for each in events:
        await anext(each)
    opened = growth(before, resident())
    await model.respond(str(Order(tokens, 0, size + 1)))
    right = _right([(await stream.result()).content for stream in streams], orders)
    del streams, events

    async def one(order: Order) -> str:
        stream = await model.respond_stream(str(order))
        return "".join([fragment.content async for fragment in stream])

    async def together() -> int:
        orders = _orders(size, tokens, size)
        return _right(await asyncio.gather(*map(one, orders)), orders)

    singles, crowds, rights = [], [], [right]
    for _ in range(_REPEATS):
        begun = time.perf_counter()
        await one(_SINGLE)
        singles.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        rights.append(await together())
        crowds.append(time.perf_counter() - begun)
    return _summary("client async", size, tokens, opened, singles, crowds, rights)


def _summary(
    name: str,
    size: int,
    tokens: int,
    opened: int | None,
    singles: list[float],
    crowds: list[float],
    rights: list[int],
) -> dict[str, Any]:
    return {
        "name": name,
        "size": size,
        "tokens": tokens,
        "right": min(rights),
        "per_open_kb": None if opened is None else round(opened / size / 1024, 2),
        "per_second": round(size * tokens / statistics.median(crowds)),
        "single_per_second": round(_SINGLE.count / statistics.median(singles)),
    }


if __name__ == "__main__":
    name, port, size, tokens = sys.argv[1], *map(int, sys.argv[2:5])
    outcome = blocking(port, size, tokens) if name == "client sync" else asyncio.run(awaiting(port, size, tokens))
    print(json.dumps(outcome))  # noqa: T201  # the line that the runner reads
