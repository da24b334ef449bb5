"""The clients of LM Studio's protocol: ours and the official SDK, blocking and awaiting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module

from .workload import MODEL, Workload


def stream(port: int, workload: Workload) -> Callable[[], Iterator[str]]:
    """``Client.respond_stream``."""
    from lmstudio_integrations import Client

    model = Client(f"ws://127.0.0.1:{port}").llm.model(MODEL)
    prompt = str(workload)

    def tokens() -> Iterator[str]:
        for fragment in model.respond_stream(prompt):
            yield fragment.content

    return tokens


async def astream(port: int, workload: Workload) -> Callable[[], AsyncIterator[str]]:
    """``AsyncClient.respond_stream``."""
    from lmstudio_integrations import AsyncClient

    model = await AsyncClient(f"ws://127.0.0.1:{port}").llm.model(MODEL)
    prompt = str(workload)

    async def tokens() -> AsyncIterator[str]:
        async for fragment in await model.respond_stream(prompt):
            yield fragment.content

    return tokens


def sdk_stream(port: int, workload: Workload) -> Callable[[], Iterator[str]]:
    """``lmstudio.Client``."""
    model = import_module("lmstudio").Client(f"127.0.0.1:{port}").llm.model(MODEL)
    prompt = str(workload)

    def tokens() -> Iterator[str]:
        for fragment in model.respond_stream(prompt):
            yield fragment.content

    return tokens


async def sdk_astream(port: int, workload: Workload) -> Callable[[], AsyncIterator[str]]:
    """``lmstudio.AsyncClient``."""
    client = await import_module("lmstudio").AsyncClient(f"127.0.0.1:{port}").__aenter__()
    model = await client.llm.model(MODEL)
    prompt = str(workload)

    async def tokens() -> AsyncIterator[str]:
        async for fragment in await model.respond_stream(prompt):
            yield fragment.content

    return tokens
