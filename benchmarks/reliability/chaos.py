"""A network that delays, splits, joins, throttles, resets, half-closes and swallows, from a printed seed.

``python -m benchmarks.reliability.chaos --seed 1 --predictions 15000 --embeddings 15000`` prints a line of JSON.
Every answer is another text. It must be complete and exact, or end with an error of the package's whose ``partial`` is
a prefix of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from lmstudio_integrations import AsyncClient, Client, LMStudioError, Timeout

from .leftovers import Leftovers
from .server import CHAT, EMBEDDER, HOST, Message, RawServer, vector

__all__ = ["ChaosProxy", "run_chaos"]

_LIMITS = Timeout(connect=4, first_packet=4, idle=4, load=4, reconnect=10)
_AT_ONCE = 20
_BATCH = 25


class ChaosProxy:
    """Forwards TCP to ``port``, badly. What happens to a connection is drawn from ``seed`` and its number."""

    def __init__(self, port: int, seed: int) -> None:
        self._target = port
        self._seed = seed
        self._numbers = 0
        self.done: Counter[str] = Counter()
        """What was done to the connections, and how many bytes were forwarded."""
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy", daemon=True)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        return self

    def __exit__(self, *exc_info: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections were forwarded."""
        return self._numbers

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._forward, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._numbers += 1
        rng = random.Random(f"{self._seed}/{self._numbers}")  # noqa: S311  # the same network again for the same seed
        current = asyncio.current_task()
        assert current is not None
        self._tasks.add(current)
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
            pumps = [
                asyncio.create_task(self._pump(reader, far_writer, writer, random.Random(rng.random()))),  # noqa: S311
                asyncio.create_task(self._pump(far_reader, writer, far_writer, random.Random(rng.random()))),  # noqa: S311
            ]
            try:
                await asyncio.wait(pumps)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                far_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(current)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, other: asyncio.StreamWriter, rng: random.Random
    ) -> None:
        """One direction, until its end or what ``rng`` has in store for it."""
        end = rng.choices(("reset", "half-close", "swallow"), (60, 39, 1))[0]
        left = int(rng.expovariate(1 / 60_000)) + 300
        slow = rng.random() < 0.1
        with contextlib.suppress(ConnectionError, OSError):
            while data := await source.read(rng.choice((7, 512, 65536))):
                if (kind := rng.random()) < 0.03:
                    self.done["delayed"] += 1
                    await asyncio.sleep(rng.random() * 0.02)
                elif kind < 0.06 and len(data) < 4000:
                    self.done["split"] += 1
                    self.done["bytes"] += len(data)
                    for index in range(0, len(data), 3):
                        sink.write(data[index : index + 3])
                        await asyncio.sleep(0)
                    data = b""
                elif kind < 0.09:
                    self.done["joined"] += 1
                    with contextlib.suppress(TimeoutError):
                        data += await asyncio.wait_for(source.read(65536), 0.005)
                elif slow:
                    self.done["throttled"] += 1
                    await asyncio.sleep(len(data) / 2_000_000)
                left -= max(1, len(data))
                if left <= 0:
                    self.done[end] += 1
                    await self._finish(end, data, source, (sink, other), rng)
                    return
                self.done["bytes"] += len(data)
                sink.write(data)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()

    @staticmethod
    async def _finish(
        end: str, data: bytes, source: asyncio.StreamReader, sinks: Sequence[asyncio.StreamWriter], rng: random.Random
    ) -> None:
        """``sinks``: the writer of this direction, then that of the other."""
        sink = sinks[0]
        sink.write(data[: rng.randrange(len(data) + 1)])  # a frame may be cut anywhere
        if end == "reset":
            for writer in sinks:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        elif end == "half-close":
            sink.write_eof()
        else:
            while await source.read(65536):
                pass


def _text_of(prompt: str) -> tuple[str, ...]:
    """The answer to a prompt, in fragments: another for each prompt, with characters of one to four bytes."""
    rng = random.Random(prompt)  # noqa: S311  # the server and the judge draw the same
    words = (f"{prompt} ", "é", "漢字", "👩‍🚀", " and ", "x" * 40, "\n", '"\\')
    return tuple(rng.choice(words) + str(rng.randrange(1000)) for _ in range(rng.randrange(1, 12)))


def _answer(creation: Message) -> tuple[str, ...]:
    return _text_of(creation["history"]["messages"][-1]["content"][0]["text"])


class _Judge:
    """Counts outcomes, and keeps what is wrong."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def answer(self, prompt: str, content: str, pieces: Sequence[str] | None = None) -> None:
        expected = "".join(_text_of(prompt))
        if content != expected or (pieces is not None and "".join(pieces) != expected):
            self.wrong.append(f"{prompt}: {content!r} {pieces!r} for {expected!r}")
        else:
            self.counts["complete"] += 1

    def error(self, prompt: str, error: BaseException) -> None:
        if not isinstance(error, LMStudioError):
            self.wrong.append(f"{prompt}: {error!r}")
            return
        self.counts[type(error).__name__] += 1
        partial = error.partial
        if partial is not None and not "".join(_text_of(prompt)).startswith(partial.content):
            self.wrong.append(f"{prompt}: {partial.content!r} is no prefix")


def _predict(url: str, judge: _Judge, prompt: str) -> None:
    try:
        if int(prompt.rpartition(" ")[2]) % 2:
            stream = Client(url, timeout=_LIMITS).llm.just_in_time(CHAT).respond_stream(prompt)
            judge.answer(prompt, stream.result().content, None)
        else:
            from lmstudio_integrations.langchain import ChatLMStudio

            model = ChatLMStudio(model=CHAT, base_url=url, timeout=_LIMITS)
            pieces = [chunk.text for chunk in model.stream(prompt)]
            judge.answer(prompt, "".join(pieces), pieces)
    except Exception as error:  # noqa: BLE001  # judged
        judge.error(prompt, error)


async def _apredict(url: str, judge: _Judge, prompt: str) -> None:
    try:
        stream = await AsyncClient(url, timeout=_LIMITS).llm.just_in_time(CHAT).respond_stream(prompt)
        pieces = [piece.content async for piece in stream]
        judge.answer(prompt, (await stream.result()).content, pieces)
    except Exception as error:  # noqa: BLE001  # judged
        judge.error(prompt, error)


async def _embed(url: str, judge: _Judge, number: int) -> None:
    texts = [f"batch {number} text {index}" for index in range(_BATCH)]
    try:
        vectors = await AsyncClient(url, timeout=_LIMITS).embedding.just_in_time(EMBEDDER).embed(texts)
        if vectors == [vector(text) for text in texts]:
            judge.counts["complete"] += len(texts)
        else:
            judge.wrong.append(f"batch {number}: wrong vectors")
    except LMStudioError as error:
        judge.counts[type(error).__name__] += len(texts)
    except Exception as error:  # noqa: BLE001  # judged
        judge.wrong.append(f"batch {number}: {error!r}")


async def _at_once(jobs: Any) -> None:
    slots = asyncio.Semaphore(_AT_ONCE // 2)

    async def one(job: Any) -> None:
        async with slots:
            await job()

    await asyncio.gather(*(one(job) for job in jobs))


def run_chaos(seed: int, predictions: int, embeddings: int) -> dict[str, Any]:
    """The figures of one run."""
    started = time.monotonic()
    leftovers = Leftovers()
    chats, vectors = _Judge(), _Judge()
    with RawServer() as server:
        server.fragments = _answer
        with ChaosProxy(server.port, seed) as proxy:
            url = proxy.url
            half = predictions // 2
            with ThreadPoolExecutor(_AT_ONCE // 2) as pool:
                jobs = [pool.submit(_predict, url, chats, f"prompt {number}") for number in range(half)]
                asyncio.run(
                    _at_once(lambda n=n: _apredict(url, chats, f"prompt {n}") for n in range(half, predictions))
                )
                for job in jobs:
                    job.result()
            asyncio.run(_at_once(lambda n=n: _embed(url, vectors, n) for n in range(embeddings // _BATCH)))
            left = leftovers.after(url)
            network = {"connections": proxy.connections, **proxy.done}
    return {
        "seed": seed,
        "predictions": predictions,
        "prediction outcomes": dict(chats.counts),
        "embeddings": embeddings // _BATCH * _BATCH,
        "embedding outcomes": dict(vectors.counts),
        "network": network,
        "sockets": server.counts["sockets"],
        "wrong": [*chats.wrong, *vectors.wrong, *left][:20],
        "wrong count": len(chats.wrong) + len(vectors.wrong) + len(left),
        "seconds": round(time.monotonic() - started, 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--predictions", type=int, default=15_000)
    parser.add_argument("--embeddings", type=int, default=15_000)
    options = parser.parse_args(arguments)
    print(json.dumps(run_chaos(options.seed, options.predictions, options.embeddings), ensure_ascii=False), flush=True)  # noqa: T201  # for the runner
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main())
