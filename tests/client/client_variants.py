"""The blocking and the awaiting front behind one face, so that a test can ask both the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from lmstudio_integrations import AsyncClient, Client, PredictionResult

T = TypeVar("T")


class Blocking:
    """``Client``, as it is."""

    is_async = False

    def __init__(self, url: str, model: str = "emulator/chat") -> None:
        self.client = Client(url)
        self.llm: Any = self.client.llm.just_in_time(model)

    def respond(self, history: Any = "Hi", **options: Any) -> PredictionResult:
        result: PredictionResult = self.llm.respond(history, **options)
        return result

    def complete(self, prompt: Any = "Hi", **options: Any) -> PredictionResult:
        result: PredictionResult = self.llm.complete(prompt, **options)
        return result

    def fragments(self, history: Any = "Hi", **options: Any) -> list[Any]:
        return list(self.llm.respond_stream(history, **options))

    def events(self, history: Any = "Hi", **options: Any) -> list[Any]:
        return list(self.llm.respond_stream(history, **options).events())

    def do(self, path: str, *arguments: Any, **options: Any) -> Any:
        """``do("llm.unload", "x")`` is ``client.llm.unload("x")``; ``"handle.embed"`` is a method of the model handle."""
        return _find(self, path)(*arguments, **options)

    def close(self) -> None:
        self.client.close()


class Awaiting:
    """``AsyncClient``, each request in an ``asyncio.run`` of its own."""

    is_async = True

    def __init__(self, url: str, model: str = "emulator/chat") -> None:
        self.client = AsyncClient(url)
        self.llm: Any = self.client.llm.just_in_time(model)

    def respond(self, history: Any = "Hi", **options: Any) -> PredictionResult:
        result: PredictionResult = asyncio.run(self.llm.respond(history, **options))
        return result

    def complete(self, prompt: Any = "Hi", **options: Any) -> PredictionResult:
        result: PredictionResult = asyncio.run(self.llm.complete(prompt, **options))
        return result

    def fragments(self, history: Any = "Hi", **options: Any) -> list[Any]:
        async def run() -> list[Any]:
            return [fragment async for fragment in await self.llm.respond_stream(history, **options)]

        return asyncio.run(run())

    def events(self, history: Any = "Hi", **options: Any) -> list[Any]:
        async def run() -> list[Any]:
            return [event async for event in (await self.llm.respond_stream(history, **options)).events()]

        return asyncio.run(run())

    def do(self, path: str, *arguments: Any, **options: Any) -> Any:
        async def run() -> Any:
            return await _find(self, path)(*arguments, **options)

        return asyncio.run(run())

    def close(self) -> None:
        asyncio.run(self.client.close())


Front = Blocking | Awaiting
FRONTS: list[type[Blocking | Awaiting]] = [Blocking, Awaiting]


def _find(front: Any, path: str) -> Callable[..., Coroutine[Any, Any, T]]:
    first, *rest = path.split(".")
    found = front.llm if first == "handle" else getattr(front.client, first)
    for name in rest:
        found = getattr(found, name)
    method: Callable[..., Coroutine[Any, Any, T]] = found
    return method
