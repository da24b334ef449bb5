"""Many at once: threads, clients, streams on one socket, cancels, and a consumer that never reads.

``python -m benchmarks.reliability.load`` prints a line of JSON for each. Memory, descriptors, threads must stay flat.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.memory import resident
from lmstudio_integrations import AsyncClient, Client, LMStudioError, Timeout

from .leftovers import Leftovers
from .server import CHAT, FRAGMENTS, TEXT, Message, RawServer, fragment

__all__ = ["LOADS"]

_LIMITS = Timeout(first_packet=60, idle=60)
_DESCRIPTORS = Path("/proc/self/fd")


def _figures(
    urls: Sequence[str], leftovers: Leftovers, started: float, before: dict[str, int], wrong: list[str]
) -> dict[str, Any]:
    wrong = [*wrong, *leftovers.after(*urls)]
    gc.collect()
    after = _resources()
    return {
        "wrong": wrong[:10],
        "wrong count": len(wrong),
        "seconds": round(time.monotonic() - started, 1),
        **{f"{name} more": after[name] - before[name] for name in after},
    }


def _resources() -> dict[str, int]:
    memory = resident()
    found = {"threads": threading.active_count(), "memory kb": 0 if memory is None else memory // 1024}
    if _DESCRIPTORS.exists():
        found["descriptors"] = len(list(_DESCRIPTORS.iterdir()))
    return found


def _warm(url: str) -> None:
    Client(url).llm.just_in_time(CHAT).respond("Hi")


def streams_on_one_socket(count: int) -> dict[str, Any]:
    """So many predictions open at the same time on one socket, each read piece by piece."""
    leftovers = Leftovers()
    with RawServer(pace=0.2) as server:
        _warm(server.url)
        before, started = _resources(), time.monotonic()
        wrong: list[str] = []
        most = 0

        async def one(client: AsyncClient) -> None:
            nonlocal most
            stream = await client.llm.just_in_time(CHAT).respond_stream("Hi")
            pieces = [piece.content async for piece in stream]
            most = max(most, len(server.open_channels))
            if "".join(pieces) != TEXT:
                wrong.append("".join(pieces))

        async def run() -> None:
            async with AsyncClient(server.url, timeout=_LIMITS) as client:
                outcomes = await asyncio.gather(*(one(client) for _ in range(count)), return_exceptions=True)
                wrong.extend(repr(outcome) for outcome in outcomes if isinstance(outcome, BaseException))

        asyncio.run(run())
        sockets = server.counts["sockets"]
        if sockets > 1:
            wrong.append(f"{sockets} sockets")
        return {"streams": count, "open at once": most} | _figures([server.url], leftovers, started, before, wrong)


def threads_times_calls(threads: int, calls: int) -> dict[str, Any]:
    """Blocking calls from many threads that share one client."""
    leftovers = Leftovers()
    with RawServer() as server:
        _warm(server.url)
        before, started = _resources(), time.monotonic()
        wrong: list[str] = []
        model = Client(server.url, timeout=_LIMITS).llm.just_in_time(CHAT)

        def work() -> None:
            for _ in range(calls):
                content = model.respond("Hi").content
                if content != TEXT:
                    wrong.append(content)

        with ThreadPoolExecutor(threads) as pool:
            for job in [pool.submit(work) for _ in range(threads)]:
                job.result()
        return {"threads": threads, "calls": threads * calls} | _figures(
            [server.url], leftovers, started, before, wrong
        )


def many_clients(count: int) -> dict[str, Any]:
    """So many clients of different addresses, each with a socket of its own, all open at once, then closed."""
    leftovers = Leftovers()
    with RawServer() as server:
        _warm(server.url)
        before, started = _resources(), time.monotonic()
        wrong: list[str] = []

        async def run() -> None:
            clients = [AsyncClient(f"{server.url}/client{number}", timeout=_LIMITS) for number in range(count)]
            results = await asyncio.gather(*(client.llm.just_in_time(CHAT).respond("Hi") for client in clients))
            wrong.extend(result.content for result in results if result.content != TEXT)
            await asyncio.gather(*(client.close() for client in clients))

        asyncio.run(run())
        urls = [f"{server.url}/client{number}" for number in range(count)]
        if server.counts["sockets"] != count + 1:
            wrong.append(f"{server.counts['sockets']} sockets")
        return {"clients": count} | _figures([server.url, *urls], leftovers, started, before, wrong)


def with_cancels(count: int, seed: int = 1) -> dict[str, Any]:
    """Predictions, one in twenty cancelled at a random fragment, by ten threads."""
    leftovers = Leftovers()
    rng = random.Random(seed)  # noqa: S311  # the same cancels for the same seed
    plan = [rng.randrange(1, len(FRAGMENTS)) if rng.random() < 0.05 else 0 for _ in range(count)]
    with RawServer() as server:
        _warm(server.url)
        started = time.monotonic()
        wrong: list[str] = []
        model = Client(server.url, timeout=_LIMITS).llm.just_in_time(CHAT)

        def one(cancel_at: int) -> None:
            stream = model.respond_stream("Hi")
            pieces = []
            for number, piece in enumerate(stream, 1):
                pieces.append(piece.content)
                if number == cancel_at:
                    break
            text = "".join(pieces)
            if text != (TEXT if not cancel_at else "".join(FRAGMENTS[:cancel_at])):
                wrong.append(text)

        with ThreadPoolExecutor(10) as pool:
            list(pool.map(one, plan[: count // 10]))
            before = _resources()
            list(pool.map(one, plan[count // 10 :]))
            after = _resources()
        figures = _figures([server.url], leftovers, started, before, wrong)
        figures["memory kb more"] = after["memory kb"] - before["memory kb"]
        sockets = server.counts["sockets"]
        return {"predictions": count, "cancelled": sum(map(bool, plan)), "sockets": sockets} | figures


def never_read(megabytes: int) -> dict[str, Any]:
    """A stream that no consumer reads, from a server that does not stop: the memory it takes has a limit."""
    leftovers = Leftovers()
    with RawServer() as server:
        _warm(server.url)
        before, started = _resources(), time.monotonic()
        wrong: list[str] = []
        server.fragments = _Endless(megabytes)
        stream = Client(server.url, timeout=_LIMITS).llm.just_in_time(CHAT).respond_stream("Hi")
        most = 0
        while server.open_channels or server.counts["predict"] < 2:
            time.sleep(0.05)
            most = max(most, _resources()["memory kb"] - before["memory kb"])
        outcome = "complete"
        read = 0
        try:
            for piece in stream:
                read += len(piece.content)
        except LMStudioError as error:
            outcome = f"{type(error).__name__}: {error}"
        figures = _figures([server.url], leftovers, started, before, wrong)
        return {"megabytes sent": megabytes, "read": read, "outcome": outcome, "memory mb": most // 1024} | figures


class _Endless:
    """Fragments without an end."""

    def __init__(self, megabytes: int) -> None:
        self.left = megabytes * 2**20

    def __call__(self, creation: Message) -> Any:
        size = len(json.dumps(fragment("word ")))
        for _ in range(self.left // size):
            yield "word "


def soak(seconds: float) -> dict[str, Any]:
    """Predictions, embeddings and cancels for so long; memory after a tenth and at the end."""
    leftovers = Leftovers()
    with RawServer() as server:
        _warm(server.url)
        started, calls = time.monotonic(), 0
        wrong: list[str] = []
        model = Client(server.url, timeout=_LIMITS).llm.just_in_time(CHAT)
        before: dict[str, int] | None = None
        while time.monotonic() - started < seconds:
            content = model.respond("Hi").content
            next(iter(model.respond_stream("Hi")))
            calls += 2
            if content != TEXT:
                wrong.append(content)
            if before is None and time.monotonic() - started > seconds / 10:
                gc.collect()
                before = _resources()
        return {"calls": calls} | _figures([server.url], leftovers, started, before or _resources(), wrong)


LOADS: dict[str, Callable[[float], dict[str, Any]]] = {
    "streams on one socket": lambda scale: streams_on_one_socket(int(1000 * scale)),
    "50 threads x 20 calls": lambda scale: threads_times_calls(50, max(1, int(20 * scale))),
    "clients": lambda scale: many_clients(int(200 * scale)),
    "predictions, 5 % cancelled": lambda scale: with_cancels(int(10_000 * scale)),
    "a consumer that never reads": lambda scale: never_read(int(400 * scale)),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.load", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--only", default="", help="loads whose name contains this")
    parser.add_argument("--soak", type=float, default=0.0, help="seconds of predictions one after the other")
    options = parser.parse_args(arguments)
    runs = {name: run for name, run in LOADS.items() if options.only in name}
    if options.soak:
        runs = {"soak": lambda scale: soak(options.soak)}
    for name, run in runs.items():
        print(json.dumps({name: run(options.scale)}, ensure_ascii=False), flush=True)  # noqa: T201  # for the runner
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main())
