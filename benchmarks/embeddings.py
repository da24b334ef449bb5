"""Many short texts embedded: ``python -m benchmarks.embeddings NAME PORT COUNT REPEATS`` prints a line of JSON.

``bare`` sends every request without waiting and then reads the answers. Figures are for the whole list: milliseconds
of wall time and of CPU, medians over the repeats after one that warms up, at the standard speed of ``machine_speed``.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from . import baseline
from .machine_speed import SpeedMeter
from .workload import DIMENSIONS, MODEL, Workload, dump

Embed = Callable[[list[str]], Awaitable[list[list[float]]]]


async def bare_embed(port: int) -> Embed:
    """The floor: all requests in one pipeline, and a JSON decoder."""
    from pydantic_core import from_json

    socket = await baseline.connection(port, "embedding")

    async def embed(texts: list[str]) -> list[list[float]]:
        specifier = {"type": "query", "query": {"identifier": MODEL}}
        for number, text in enumerate(texts):
            parameter = {"modelSpecifier": specifier, "inputString": text}
            call = {"type": "rpcCall", "endpoint": "embedString", "callId": number, "parameter": parameter}
            await socket.send(dump(call))
        found: list[list[float]] = [[]] * len(texts)
        for _ in texts:
            answer = from_json(await socket.recv(decode=False))
            found[answer["callId"]] = answer["result"]["embedding"]
        return found

    return embed


async def client_embed(port: int) -> Embed:
    """``Client.embedding``; blocking, so this loop stands still meanwhile."""
    from lmstudio_integrations import Client

    model = Client(f"ws://127.0.0.1:{port}").embedding.just_in_time(MODEL)

    async def embed(texts: list[str]) -> list[list[float]]:
        return model.embed(texts)

    return embed


async def client_aembed(port: int) -> Embed:
    """``AsyncClient.embedding``."""
    from lmstudio_integrations import AsyncClient

    return (await AsyncClient(f"ws://127.0.0.1:{port}").embedding.model(MODEL)).embed


MAKERS: dict[str, Callable[[int], Awaitable[Embed]]] = {
    "bare": bare_embed,
    "client sync": client_embed,
    "client async": client_aembed,
}


async def measure(name: str, port: int, count: int, repeats: int) -> dict[str, Any]:
    """Embed the same texts again and again; every vector must be the right one."""
    embed = await MAKERS[name](port)
    texts = [f"A short text, {Workload(start=number)}." for number in range(count)]
    meter = SpeedMeter()
    for _ in range(repeats + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        vectors = await embed(texts)
        meter.add(time.perf_counter() - wall, time.process_time() - cpu)
        if any(len(vector) != DIMENSIONS or vector[0] != at + 0.5 for at, vector in enumerate(vectors)):
            raise ValueError("a vector is not that of its text")
    walls, cpus = zip(*meter.scaled()[1:], strict=True)
    return {
        "name": name,
        "texts": count,
        "wall_ms": round(statistics.median(walls) * 1e3, 2),
        "cpu_ms": round(statistics.median(cpus) * 1e3, 2),
        "probe_ms": meter.probe_ms,
    }


if __name__ == "__main__":
    outcome = asyncio.run(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
    print(json.dumps(outcome))  # noqa: T201  # the line that the runner reads
