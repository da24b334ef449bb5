"""Ending an answer early, in five ways. Each of them reaches LM Studio, which stops generating.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/cancelling.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from _server import lm_studio_or_emulator

from lmstudio_integrations import AsyncClient, CancelToken, Client
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.llama_index import LMStudio

if TYPE_CHECKING:
    from _server import Server

TASK = "Write a story about a harbour, in five long chapters."


def leaving_the_loop(server: Server) -> None:
    """``break`` closes the stream. The ``with`` block makes it certain, even if something else holds the stream."""
    with Client(server.url) as client, client.llm.just_in_time(server.chat_model).respond_stream(TASK) as stream:
        for number, _ in enumerate(stream):
            if number == 3:
                break
    print("left the loop after:", repr(stream.content))


def keeping_what_came(server: Server) -> None:
    """``cancel()`` keeps the text so far as a result, with LM Studio's statistics."""
    with Client(server.url) as client:
        stream = client.llm.just_in_time(server.chat_model).respond_stream(TASK)
        for number, _ in enumerate(stream):
            if number == 3:
                stream.cancel()
        result = stream.result()
    print("cancelled:", repr(result.content), result.finish_reason, result.stats.stop_reason)


def from_anywhere(server: Server) -> None:
    """A ``CancelToken`` cancels every call that it was given to, from any thread: here from a callback."""
    token = CancelToken()
    model = ChatLMStudio(model=server.chat_model, base_url=server.url, on_first_token=token.cancel)
    message = model.invoke(TASK, cancel=token)
    print("LangChain, by a token:", message.response_metadata["finish_reason"])


def in_llama_index(server: Server) -> None:
    """Closing LlamaIndex's generator cancels, too."""
    parts = LMStudio(model=server.chat_model, base_url=server.url).stream_complete(TASK)
    first = next(parts)
    parts.close()
    print("LlamaIndex, closed after:", repr(first.delta))


async def with_a_task(server: Server) -> None:
    """Cancelling the task, as a web framework does when the browser has gone, or ``asyncio.timeout``."""
    begins = asyncio.Event()

    async def ask() -> None:
        async with AsyncClient(server.url) as client:
            model = client.llm.just_in_time(server.chat_model)
            await model.respond(TASK, on_first_token=begins.set)

    task = asyncio.create_task(ask())
    await begins.wait()
    task.cancel()
    await asyncio.wait([task])
    print("the task is cancelled:", task.cancelled())


def main() -> None:
    """One way after the other."""
    with lm_studio_or_emulator() as server:
        leaving_the_loop(server)
        keeping_what_came(server)
        from_anywhere(server)
        in_llama_index(server)
        asyncio.run(with_a_task(server))


if __name__ == "__main__":
    main()
