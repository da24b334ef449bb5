"""Who takes part, and in which environment: ``ours``, or a peer's own, named like its package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import baseline, chat_models, clients, llms


@dataclass(frozen=True, slots=True)
class Contender:
    """``start(port, workload)`` makes the callable that streams, in the awaiting case as a coroutine."""

    environment: str
    start: Callable[..., Any]
    awaits: bool = False


def _both(name: str, environment: str, start: Callable[..., Any], astart: Callable[..., Any]) -> dict[str, Contender]:
    return {f"{name} sync": Contender(environment, start), f"{name} async": Contender(environment, astart, awaits=True)}


def _framework(name: str, environment: str, module: Any, make: Callable[..., Any]) -> dict[str, Contender]:
    return _both(name, environment, module.stream(make), module.astream(make))


CONTENDERS: dict[str, Contender] = {
    **_both("bare", "ours", baseline.stream, baseline.astream),
    **_both("client", "ours", clients.stream, clients.astream),
    **_both("official SDK", "lmstudio", clients.sdk_stream, clients.sdk_astream),
    **_framework("LangChain alone", "ours", chat_models, chat_models.free),
    **_framework("ChatLMStudio", "ours", chat_models, chat_models.ours),
    **_framework("ChatOllama", "langchain-ollama", chat_models, chat_models.ollama),
    **_framework("ChatOpenAI", "langchain-openai", chat_models, chat_models.openai),
    **_framework("LlamaIndex alone", "ours", llms, llms.free),
    **_framework("LMStudio", "ours", llms, llms.ours),
    **_framework("Ollama (LlamaIndex)", "llama-index-llms-ollama", llms, llms.ollama),
    **_framework("llama-index-llms-lmstudio", "llama-index-llms-lmstudio", llms, llms.lmstudio),
}
