"""What is measured, and with which sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .calls import CALLS
from .contenders import CONTENDERS
from .imports import STATEMENTS

KINDS = (
    "stream",
    "first token",
    "long stream",
    "concurrency",
    "embeddings",
    "imports",
    "soak",
    "prompt cache",
    "messages",
    "tools",
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything. The defaults are those of the published table."""

    tokens: int = 2_000
    long_tokens: int = 20_000
    first_tokens: int = 10
    repeats: int = 5
    first_repeats: int = 50
    long_repeats: int = 3
    concurrent: int = 1_000
    concurrent_tokens: int = 100
    texts: int = 1_000
    predictions: int = 20_000
    turns: int = 10
    call_repeats: int = 15


@dataclass(frozen=True, slots=True)
class Task:
    """One child process: a module of this folder, its arguments after the contender's name, and its environment.

    It prints a line of JSON for each of ``kinds``. ``every_round``: whether it is repeated; long ones whose figure
    hardly moves are run once.
    """

    kinds: tuple[str, ...]
    name: str
    environment: str = "ours"
    module: str = ""
    arguments: tuple[int | str, ...] = ()
    needs_server: bool = True
    every_round: bool = True


_LONG = ("bare", "client", "LangChain alone", "ChatLMStudio", "LlamaIndex alone", "LMStudio")
MESSAGES = (40, 400, 4_000)
TOOLS = (10, 50, 200)
_NO_SERVER = ("LangChain alone", "LlamaIndex alone")
_SOAKED = ("client sync", "client async", "ChatLMStudio sync", "LMStudio sync")


def tasks(sizes: Sizes, kinds: tuple[str, ...] = KINDS, peers: bool = True) -> list[Task]:
    """Everything, in the order of a round."""
    made = [*_streams(sizes, kinds), *(task for task in _others(sizes) if task.kinds[0] in kinds)]
    return [task for task in made if peers or task.environment == "ours"]


def _streams(sizes: Sizes, kinds: tuple[str, ...]) -> Iterator[Task]:
    """The long streams of a contender in one process, as importing a framework takes longer than they do.

    First tokens are timed in a process of their own: a stream of thousands of tokens keeps both cores busy, and for
    some tens of milliseconds afterwards the system places threads otherwise than at rest.
    """
    for name, contender in CONTENDERS.items():
        short = name.rpartition(" ")[0]
        parts = {"stream": (sizes.tokens, sizes.repeats)}
        if short in _LONG:
            parts["long stream"] = (sizes.long_tokens, sizes.long_repeats)
        wanted = tuple(kind for kind in parts if kind in kinds)
        if wanted:
            arguments = tuple(number for kind in wanted for number in parts[kind])
            yield Task(wanted, name, contender.environment, "streams", arguments)
        if short not in _NO_SERVER and "first token" in kinds:
            arguments = (sizes.first_tokens, sizes.first_repeats)
            yield Task(("first token",), name, contender.environment, "streams", arguments)


def _others(sizes: Sizes) -> Iterator[Task]:
    for name in ("client sync", "client async"):
        yield Task(("concurrency",), name, "ours", "concurrency", (sizes.concurrent, sizes.concurrent_tokens))
    for name in ("bare", "client sync", "client async"):
        yield Task(("embeddings",), name, "ours", "embeddings", (sizes.texts, sizes.repeats))
    for name in STATEMENTS:
        yield Task(("imports",), name, needs_server=False)
    for name, contender in CALLS.items():
        for kind, counts in (("messages", MESSAGES), ("tools", TOOLS)):
            arguments: tuple[int | str, ...] = (kind, sizes.call_repeats, *counts)
            yield Task((kind,), name, contender.environment, "calls", arguments)
    for name in _SOAKED:
        yield Task(("soak",), name, "ours", "soak", (sizes.predictions,), every_round=False)
    for name in ("LangChain", "LlamaIndex"):
        yield Task(
            ("prompt cache",), name, "ours", "prompt_cache", (sizes.turns,), needs_server=False, every_round=False
        )
