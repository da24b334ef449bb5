"""The floor: websockets and a JSON decoder, and nothing else. What any client of this protocol must pay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from .workload import Workload, dump

AUTHENTICATION = dump({"authVersion": 1, "clientIdentifier": "guest:bare", "clientPasskey": "bare"})


def creation(prompt: str, channel: int = 0) -> str:
    """The frame that asks for a prediction."""
    parameter = {
        "modelSpecifier": {"type": "query", "query": {}},
        "history": {"messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}]},
        "predictionConfigStack": {"layers": []},
    }
    message = {"type": "channelCreate", "endpoint": "predict", "channelId": channel, "creationParameter": parameter}
    return dump(message)


def stream(port: int, workload: Workload) -> Callable[[], Iterator[str]]:
    """``websockets.sync``, ``recv`` and ``from_json``."""
    from pydantic_core import from_json
    from websockets.sync.client import connect

    socket = connect(f"ws://127.0.0.1:{port}/llm", compression=None, max_size=None)
    socket.send(AUTHENTICATION)
    socket.recv()
    ask = creation(str(workload))

    def tokens() -> Iterator[str]:
        socket.send(ask)
        while True:
            frame = from_json(socket.recv(decode=False))
            if frame["type"] == "channelClose":
                return
            fragment = frame["message"].get("fragment")
            if fragment is not None:
                yield fragment["content"]

    return tokens


async def astream(port: int, workload: Workload) -> Callable[[], AsyncIterator[str]]:
    """``websockets.asyncio``, ``recv`` and ``from_json``."""
    from pydantic_core import from_json

    socket = await connection(port, "llm")
    ask = creation(str(workload))

    async def tokens() -> AsyncIterator[str]:
        await socket.send(ask)
        while True:
            frame = from_json(await socket.recv(decode=False))
            if frame["type"] == "channelClose":
                return
            fragment = frame["message"].get("fragment")
            if fragment is not None:
                yield fragment["content"]

    return tokens


async def connection(port: int, namespace: str) -> Any:
    """An authenticated socket."""
    from websockets.asyncio.client import connect

    socket = await connect(f"ws://127.0.0.1:{port}/{namespace}", compression=None, max_size=None)
    await socket.send(AUTHENTICATION)
    await socket.recv()
    return socket
