"""Chat models of LangChain: the framework's own cost, ours, and the peers', each made as its documentation makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from typing import Any

from .workload import MODEL, Workload, words


def free(port: int, workload: Workload) -> Any:
    """LangChain's own cost: a chat model whose tokens cost nothing."""
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk
    from langchain_core.outputs import ChatGenerationChunk, ChatResult

    made = words(workload.count, workload.start)

    class Free(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "free"

        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            raise NotImplementedError

        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            for word in made:
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            for word in made:
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    return Free()


def ours(port: int, workload: Workload) -> Any:
    """``ChatLMStudio``."""
    from lmstudio_integrations.langchain import ChatLMStudio

    return ChatLMStudio(model=MODEL, base_url=f"ws://127.0.0.1:{port}")


def ollama(port: int, workload: Workload) -> Any:
    """``ChatOllama``."""
    return import_module("langchain_ollama").ChatOllama(model=MODEL, base_url=f"http://127.0.0.1:{port}")


def openai(port: int, workload: Workload) -> Any:
    """``ChatOpenAI``, as people point it at LM Studio."""
    kind = import_module("langchain_openai").ChatOpenAI
    return kind(model=MODEL, base_url=f"http://127.0.0.1:{port}/v1", api_key="none", stream_usage=True)


Make = Callable[[int, Workload], Any]


def stream(make: Make) -> Callable[[int, Workload], Callable[[], Iterator[str]]]:
    """``model.stream``."""

    def start(port: int, workload: Workload) -> Callable[[], Iterator[str]]:
        model, prompt = make(port, workload), str(workload)

        def tokens() -> Iterator[str]:
            for chunk in model.stream(prompt):
                yield chunk.content

        return tokens

    return start


def astream(make: Make) -> Callable[[int, Workload], Any]:
    """``model.astream``."""

    async def start(port: int, workload: Workload) -> Callable[[], AsyncIterator[str]]:
        model, prompt = make(port, workload), str(workload)

        async def tokens() -> AsyncIterator[str]:
            async for chunk in model.astream(prompt):
                yield chunk.content

        return tokens

    return start
