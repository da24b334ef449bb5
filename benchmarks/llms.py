"""LLMs of LlamaIndex: the framework's own cost, ours, and the peers'."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from typing import Any

from .workload import MODEL, Workload, words


def free(port: int, workload: Workload) -> Any:
    """LlamaIndex's own cost: an LLM whose tokens cost nothing, with a whole message in every response."""
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata, MessageRole, TextBlock
    from llama_index.core.llms import CustomLLM
    from llama_index.core.llms.callbacks import llm_chat_callback

    made = words(workload.count, workload.start)

    def responses() -> Iterator[ChatResponse]:
        so_far = ""
        for word in made:
            so_far += word
            message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=so_far)])
            yield ChatResponse(message=message, delta=word)

    class Free(CustomLLM):
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata()

        def complete(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

        def stream_complete(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

        @llm_chat_callback()
        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            return responses()

        @llm_chat_callback()
        async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
            async def generate() -> AsyncIterator[ChatResponse]:
                so_far = ""
                for word in made:
                    so_far += word
                    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=so_far)])
                    yield ChatResponse(message=message, delta=word)

            return generate()

    return Free()


def ours(port: int, workload: Workload) -> Any:
    """``LMStudio`` of this package."""
    from lmstudio_integrations.llama_index import LMStudio

    return LMStudio(model=MODEL, base_url=f"ws://127.0.0.1:{port}")


def ollama(port: int, workload: Workload) -> Any:
    """``Ollama``; with ``context_window`` given it does not ask the server for it."""
    kind = import_module("llama_index.llms.ollama").Ollama
    return kind(model=MODEL, base_url=f"http://127.0.0.1:{port}", request_timeout=600, context_window=8192)


def lmstudio(port: int, workload: Workload) -> Any:
    """``LMStudio`` of llama-index-llms-lmstudio."""
    kind = import_module("llama_index.llms.lmstudio").LMStudio
    return kind(model_name=MODEL, base_url=f"http://127.0.0.1:{port}/v1", request_timeout=600)


Make = Callable[[int, Workload], Any]


def stream(make: Make) -> Callable[[int, Workload], Callable[[], Iterator[str]]]:
    """``llm.stream_chat``."""

    def start(port: int, workload: Workload) -> Callable[[], Iterator[str]]:
        from llama_index.core.llms import ChatMessage

        llm, messages = make(port, workload), [ChatMessage(role="user", content=str(workload))]

        def tokens() -> Iterator[str]:
            for response in llm.stream_chat(messages):
                yield response.delta

        return tokens

    return start


def astream(make: Make) -> Callable[[int, Workload], Any]:
    """``llm.astream_chat``."""

    async def start(port: int, workload: Workload) -> Callable[[], AsyncIterator[str]]:
        from llama_index.core.llms import ChatMessage

        llm, messages = make(port, workload), [ChatMessage(role="user", content=str(workload))]

        async def tokens() -> AsyncIterator[str]:
            async for response in await llm.astream_chat(messages):
                yield response.delta

        return tokens

    return start
