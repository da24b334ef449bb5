"""What is measured, and with which sizes. Each ``Task`` is one child process that prints one line of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .contenders import CONTENDERS
from .imports import STATEMENTS

KINDS = ("stream", "first token", "long stream", "crowd", "embeddings", "imports", "endurance", "prompt cache")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything. The defaults are those of the published table."""

    tokens: int = 2_000
    long_tokens: int = 20_000
    first_tokens: int = 10
    repeats: int = 5
    first_repeats: int = 100
    crowd: int = 1_000
    crowd_tokens: int = 100
    texts: int = 1_000
    predictions: int = 20_000
    turns: int = 10


@dataclass(frozen=True, slots=True)
class Task:
    """A module of this folder, its arguments after the name of the contender, and the environment it runs in.

    ``every_round``: whether it is repeated; long ones whose figure hardly moves are run once.
    """

    kind: str
    name: str
    environment: str = "ours"
    module: str = ""
    arguments: tuple[int, ...] = ()
    needs_server: bool = True
    every_round: bool = True


_LONG = ("bare", "client", "LangChain alone", "ChatLMStudio", "LlamaIndex alone", "LMStudio")
_ENDURING = ("client sync", "client async", "ChatLMStudio sync", "LMStudio sync")


def tasks(sizes: Sizes, kinds: tuple[str, ...] = KINDS, peers: bool = True) -> list[Task]:
    """Everything, in the order of a round."""
    return [
        task
        for task in _all(sizes)
        if task.kind in kinds and (peers or task.environment == "ours" or task.kind == "imports")
    ]


def _all(sizes: Sizes) -> Iterator[Task]:
    for kind, count, repeats in (
        ("stream", sizes.tokens, sizes.repeats),
        ("first token", sizes.first_tokens, sizes.first_repeats),
    ):
        for name, contender in CONTENDERS.items():
            if kind == "stream" or not name.startswith(("LangChain alone", "LlamaIndex alone")):
                yield Task(kind, name, contender.environment, "streams", (count, repeats))
    for name in CONTENDERS:
        if name.rpartition(" ")[0] in _LONG:
            yield Task("long stream", name, "ours", "streams", (sizes.long_tokens, 3))
    for name in ("client sync", "client async"):
        yield Task("crowd", name, "ours", "crowd", (sizes.crowd, sizes.crowd_tokens))
    for name in ("bare", "client sync", "client async"):
        yield Task("embeddings", name, "ours", "embeddings", (sizes.texts, sizes.repeats))
    for name in STATEMENTS:
        yield Task("imports", name, needs_server=False)
    for name in _ENDURING:
        yield Task("endurance", name, "ours", "endurance", (sizes.predictions,), every_round=False)
    for name in ("LangChain", "LlamaIndex"):
        yield Task("prompt cache", name, "ours", "prompt_cache", (sizes.turns,), needs_server=False, every_round=False)
