"""Mutated frames: the server's through the pure reader and over a live socket, the client's at the emulator.

``python -m benchmarks.reliability.fuzz --seed 1 --pure 100000 --live 20000 --emulator 20000`` prints lines of JSON.
Only the package's own exceptions may come out, each frame takes bounded time, and an error's text stays short.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks.memory import resident
from lmstudio_integrations import AsyncClient, LMStudioError, Timeout
from lmstudio_integrations.client import requests
from lmstudio_integrations.client.prediction import PredictionReader
from lmstudio_integrations.client.transport.multiplexer import Multiplexer, PendingCall

from .leftovers import Leftovers
from .mutations import mutate
from .server import (
    ARGUMENT_FRAGMENTS,
    ARGUMENTS,
    CHAT,
    EMBEDDER,
    FRAGMENTS,
    TOOL,
    Message,
    RawServer,
    fragment,
    instance,
    progress,
    success,
    vector,
)

__all__ = ["fuzz_emulator", "fuzz_live", "fuzz_pure"]

_MOST_SECONDS = 1.0
_LONGEST_ERROR = 4000
_LONGEST_REPR = 20_000
_SHARE = 0.3
_LIMITS = Timeout(connect=2, first_packet=0.4, idle=0.4, load=0.4, reconnect=2)


def _reasoning(content: str, kind: str) -> Message:
    packet = fragment(content)
    packet["fragment"]["reasoningType"] = kind
    return packet


_ERROR = {
    "title": "Engine failed",
    "cause": "context length 4096 exceeded",
    "suggestion": "Load it with more.",
    "displayData": {"code": "generic.noModelMatchingQuery", "query": {"identifier": "x"}, "loadedModelsSample": ["a"]},
    "stack": "at /server/path.js",
}
_PACKETS: tuple[Message, ...] = (
    progress(2),
    progress(10),
    _reasoning("<think>", "reasoningStartTag"),
    _reasoning("Hm. ", "reasoning"),
    _reasoning("</think>", "reasoningEndTag"),
    *map(fragment, FRAGMENTS),
    {"type": "toolCallGenerationStart", "toolCallId": "1"},
    {"type": "toolCallGenerationNameReceived", "name": TOOL},
    *({"type": "toolCallGenerationArgumentFragmentGenerated", "content": one} for one in ARGUMENT_FRAGMENTS),
    {
        "type": "toolCallGenerationEnd",
        "toolCallRequest": {"type": "function", "id": "1", "name": TOOL, "arguments": ARGUMENTS},
        "rawContent": "raw",
    },
    {"type": "toolCallGenerationFailed", "error": _ERROR, "rawContent": "raw"},
    {"type": "error", "error": _ERROR},
)
_LOADING: tuple[Message, ...] = (
    {"type": "startLoading", "identifier": CHAT, "info": instance(CHAT)},
    {"type": "loadProgress", "progress": 0.5},
    {"type": "unloadingOtherJITModel", "info": instance(CHAT)},
    {"type": "loadSuccess", "info": instance(CHAT)},
)
_RESULTS: tuple[tuple[Callable[[Any], Any], Any], ...] = (
    (requests.read_embedding, {"embedding": vector("text")}),
    (requests.read_token_count, {"tokenCount": 7}),
    (requests.read_formatted, {"formatted": "text"}),
    (requests.version().answer, {"version": "0.4.0", "build": 1}),
    (requests.list_loaded("llm").answer, [instance(CHAT)]),
    (requests.list_downloaded().answer, [instance(CHAT)]),
    (requests.ModelCalls("llm").get_info().answer, instance(CHAT)),
    (requests.ModelCalls("llm").get_load_config().answer, {"fields": [{"key": "llm.load.contextLength", "value": 9}]}),
    (requests.ModelCalls("llm").tokenize("x").answer, {"tokens": [1, 2]}),
)


class _Watch:
    """Counts frames, and keeps what is wrong with them."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0
        self.wrong: list[str] = []
        self.errors: Counter[str] = Counter()
        self.slowest = 0.0
        self.longest = 0

    @contextlib.contextmanager
    def frame(self, data: bytes) -> Iterator[None]:
        self.frames += 1
        self.bytes += len(data)
        started = time.perf_counter()
        try:
            yield
        except Exception as error:  # noqa: BLE001  # looked at here
            self.error(error, data[:300])
        seconds = time.perf_counter() - started
        self.slowest = max(self.slowest, seconds)
        if seconds > _MOST_SECONDS:
            self.wrong.append(f"{seconds:.2f} s for {data[:200]!r}")

    def error(self, error: BaseException, where: object) -> None:
        self.errors[type(error).__name__] += 1
        self.longest = max(self.longest, len(str(error)))
        if not isinstance(error, LMStudioError):
            self.wrong.append(f"{type(error).__name__}: {str(error)[:200]} at {where!r}")
        elif len(str(error)) > _LONGEST_ERROR or len(repr(error)) > _LONGEST_REPR:
            self.wrong.append(f"an error of {len(str(error))} characters ({len(repr(error))} in its repr) at {where!r}")


class _LogLengths(logging.Handler):
    """Messages that are too long: what a server sends must not fill a log."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        length = len(record.getMessage())
        if length > _LONGEST_ERROR:
            self._watch.wrong.append(f"a log message of {length} characters: {record.getMessage()[:100]}")


@contextlib.contextmanager
def _quiet_log(watch: _Watch) -> Iterator[None]:
    """The package's log messages are measured and not shown."""
    logger, handler = logging.getLogger("lmstudio_integrations"), _LogLengths(watch)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


def _frames(rng: random.Random, predict: int, load: int, call: int) -> Iterator[bytes]:
    """A conversation of the server's, some of its frames mutated."""
    sequence: list[Message] = [{"type": "channelSend", "channelId": load, "message": packet} for packet in _LOADING]
    sequence += [{"type": "channelSend", "channelId": predict, "message": packet} for packet in _PACKETS]
    sequence.append({"type": "rpcResult", "callId": call, "result": rng.choice(_RESULTS)[1]})
    others: list[Message] = [
        {"type": "rpcError", "callId": call, "error": _ERROR},
        {"type": "channelError", "channelId": load, "error": _ERROR},
        {
            "type": "communicationWarning",
            "warning": "Received invalid parameter for rpcCall, endpointName = predict",
            "kind": "rpcParameterTypeError",
        },
        {"type": "keepAliveAck"},
    ]
    sequence += [one for one in others if rng.random() < 0.2]
    if rng.random() < 0.3:
        rng.shuffle(sequence)
    sequence.append({"type": "channelSend", "channelId": predict, "message": success()})
    sequence.append(
        rng.choice(
            (
                {"type": "channelClose", "channelId": predict},
                {"type": "channelError", "channelId": predict, "error": _ERROR},
            )
        )
    )
    for message in sequence:
        yield mutate(message, rng)


def fuzz_pure(seed: int, count: int) -> dict[str, Any]:
    """Frames through the multiplexer and the reader of a prediction, without a socket."""
    rng = random.Random(seed)  # noqa: S311  # the same frames for the same seed
    watch = _Watch()
    early: int | None = None
    with _quiet_log(watch):
        while watch.frames < count:
            _converse(rng, watch)
            if early is None and watch.frames > count // 5:
                early = resident()
    return _figures(watch, seed, early, resident())


def _converse(rng: random.Random, watch: _Watch) -> None:
    multiplexer, reader = Multiplexer(), PredictionReader(structured=rng.random() < 0.2, tool_names=(TOOL,))
    read, _ = rng.choice(_RESULTS)

    packets: list[Any] = []
    deliver = packets.append

    def answer(outcome: Any) -> None:
        if hasattr(outcome, "result"):
            try:
                requests.Call("llm", "some", None, read).answer(outcome.result)
            except LMStudioError as error:
                watch.error(error, outcome.result)

    calls = [
        PendingCall("predict", deliver, deliver),
        PendingCall("getOrLoad", lambda packet: None, lambda outcome: None),
    ]
    for one in calls:
        multiplexer.channel_create(one, "{}")
    rpc = PendingCall("some", lambda packet: None, answer)
    multiplexer.rpc_call(rpc)
    for data in _frames(rng, calls[0].id, calls[1].id, rpc.id):
        with watch.frame(data):
            multiplexer.receive(data)
            while packets:
                packet = packets.pop(0)
                if not reader.ended:
                    reader.read(packet)
    multiplexer.connection_lost(lambda: LMStudioError("lost"))


def _figures(watch: _Watch, seed: int, early: int | None, late: int | None) -> dict[str, Any]:
    return {
        "seed": seed,
        "frames": watch.frames,
        "bytes": watch.bytes,
        "errors": dict(watch.errors.most_common(8)),
        "slowest frame ms": round(watch.slowest * 1000, 1),
        "longest error": watch.longest,
        "growth mb": None if early is None or late is None else round((late - early) / 2**20, 1),
        "wrong": watch.wrong[:20],
        "wrong count": len(watch.wrong),
    }


def fuzz_live(seed: int, count: int) -> dict[str, Any]:
    """Mutated frames over a socket, twenty calls at once, until so many were sent."""
    rng = random.Random(seed)  # noqa: S311  # the same frames for the same seed
    watch, leftovers = _Watch(), Leftovers()
    early: int | None = None
    with RawServer() as server, _quiet_log(watch):
        server.mutate = lambda message: _some(message, rng, watch)
        number = 0
        while watch.frames < count:
            # A path of its own for each round, so that a guest that was refused twice is not the next round's.
            url = f"{server.url}/round{number}"
            asyncio.run(_round(url, watch))
            number += 1
            if early is None and watch.frames > count // 5:
                early = resident()
        server.mutate = None
        url = f"{server.url}/round{number}"
        watch.wrong += asyncio.run(_works(url))
        watch.wrong += leftovers.after(*(f"{server.url}/round{one}" for one in range(number + 1)))
    return _figures(watch, seed, early, resident())


def _some(message: Any, rng: random.Random, watch: _Watch) -> bytes | None:
    if message.get("type") == "channelClose" or rng.random() > _SHARE:
        return None
    watch.frames += 1
    data = mutate(message, rng)
    watch.bytes += len(data)
    return data


async def _round(url: str, watch: _Watch) -> None:
    client = AsyncClient(url, timeout=_LIMITS)

    async def predict() -> None:
        async for _ in await client.llm.just_in_time(CHAT).respond_stream("Hi"):
            pass

    async def embed() -> None:
        await client.embedding.just_in_time(EMBEDDER).embed(["a", "b", "c"])

    async def count() -> None:
        await client.llm.just_in_time(CHAT).count_tokens("Hi")

    jobs = [predict] * 16 + [embed, embed, count, count]
    for outcome in await asyncio.gather(*(job() for job in jobs), return_exceptions=True):
        if isinstance(outcome, BaseException):
            watch.error(outcome, "a live call")
    await client.close()


async def _works(url: str) -> list[str]:
    async with AsyncClient(url) as client:
        result = await client.llm.just_in_time(CHAT).respond("Hi")
    return [] if result.content == "".join(FRAGMENTS) else [f"afterwards: {result.content!r}"]


_PREDICT = {
    "modelSpecifier": {"type": "query", "query": {"identifier": "emulator/chat"}},
    "history": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
    "predictionConfigStack": {"layers": [{"layerName": "apiOverride", "config": {"fields": [
        {"key": "llm.prediction.temperature", "value": 0.5},
        {"key": "llm.prediction.maxPredictedTokens", "value": {"checked": True, "value": 5}},
        {"key": "llm.prediction.tools", "value": {"type": "none"}},
    ]}}]},
}  # fmt: skip
_SPECIFIER = {"type": "query", "query": {"identifier": "emulator/chat"}}
_LOAD = {"identifier": "emulator/chat", "loadConfigStack": {"layers": []}}
_TEMPLATE = {"history": _PREDICT["history"], "predictionConfigStack": {"layers": []}, "opts": {}}


def _channel(endpoint: str, number: int, creation: Any) -> Message:
    return {"type": "channelCreate", "endpoint": endpoint, "channelId": number, "creationParameter": creation}


def _rpc(endpoint: str, number: int, **members: Any) -> Message:
    call = {"type": "rpcCall", "endpoint": endpoint, "callId": number}
    return call | ({"parameter": {"specifier": _SPECIFIER, **members}} if members else {})


_CLIENT: tuple[Message, ...] = (
    _channel("predict", 1, _PREDICT),
    _channel("getOrLoad", 2, _LOAD),
    {"type": "channelSend", "channelId": 1, "message": {"type": "cancel"}},
    _rpc("countTokens", 3, inputString="text"),
    _rpc("listLoaded", 4),
    _rpc("getModelInfo", 5, throwIfNotFound=True),
    _rpc("applyPromptTemplate", 6, **_TEMPLATE),
    {"type": "keepAlive"},
    {"type": "channelAck", "channelId": 1, "ackId": 1},
    {"type": "communicationWarning", "warning": "odd"},
    {"type": "signalSubscribe", "endpoint": "some", "subscribeId": 1},
)
_AUTHENTICATION = {"authVersion": 1, "clientIdentifier": "guest:fuzz", "clientPasskey": "fuzz"}


class _EmulatorErrors(logging.Handler):
    """What the emulator and its loop log as errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()[:200]} {record.exc_info and record.exc_info[1]!r}")


def fuzz_emulator(seed: int, count: int) -> dict[str, Any]:
    """Mutated client frames at the emulator: it must go on answering, and its own code must not fail."""
    from lmstudio_integrations.emulator import Emulator

    handler = _EmulatorErrors()
    logging.getLogger().addHandler(handler)
    watch = _Watch()
    with Emulator() as emulator:
        early: int | None = None
        rng = random.Random(seed)  # noqa: S311  # the same frames for the same seed
        while watch.frames < count:
            try:
                asyncio.run(_disturb(emulator.url, rng, watch))
            except Exception as error:  # noqa: BLE001  # looked at here
                watch.wrong.append(f"after {watch.frames} frames: {error!r}")
                break
            if early is None and watch.frames > count // 5:
                early = resident()
        late = resident()
    logging.getLogger().removeHandler(handler)
    watch.wrong += handler.lines
    return _figures(watch, seed, early, late)


async def _disturb(url: str, rng: random.Random, watch: _Watch) -> None:
    """One socket that sends up to a hundred mutated frames, then one that must be answered."""
    async with connect(f"{url}/llm", compression=None, max_size=None, open_timeout=5, close_timeout=2) as socket:
        reading = asyncio.create_task(_drain(socket))
        with contextlib.suppress(ConnectionClosed):
            first = mutate(_AUTHENTICATION, rng) if rng.random() < 0.2 else json.dumps(_AUTHENTICATION).encode()
            await socket.send(first, text=True)
            await asyncio.sleep(0)
            for _ in range(100):
                data = mutate(rng.choice(_CLIENT), rng)
                watch.frames += 1
                watch.bytes += len(data)
                await socket.send(data, text=rng.random() < 0.9)
        reading.cancel()
    async with connect(f"{url}/llm", compression=None, max_size=None, open_timeout=5) as socket:
        await socket.send(json.dumps(_AUTHENTICATION | {"clientIdentifier": f"guest:{watch.frames}"}))
        reply = json.loads(await asyncio.wait_for(socket.recv(), 5))
        assert reply["success"], reply
        await socket.send(json.dumps(_CLIENT[4]))
        answer = json.loads(await asyncio.wait_for(socket.recv(), 5))
        assert answer["callId"] == _CLIENT[4]["callId"], answer


async def _drain(socket: Any) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv(decode=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    for name, count in (("pure", 100_000), ("live", 20_000), ("emulator", 20_000)):
        parser.add_argument(f"--{name}", type=int, default=count, help=f"frames (default: {count})")
    options = parser.parse_args(arguments)
    for name, run in (("pure", fuzz_pure), ("live", fuzz_live), ("emulator", fuzz_emulator)):
        count = getattr(options, name)
        if count:
            started = time.monotonic()
            figures = run(options.seed, count)
            figures["seconds"] = round(time.monotonic() - started, 1)
            print(json.dumps({name: figures}, ensure_ascii=False), flush=True)  # noqa: T201  # for the runner
    os._exit(0)


if __name__ == "__main__":
    raise SystemExit(main())
