"""What the test suites of LM Studio's own SDKs expect of the server that they run against: models, and their answers.

The suites were written for LM Studio with small real models. The models are declared as such, and the answers are those
that the suites have in their snapshots; everything else that the suites check is the emulator's own doing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmstudio_integrations.emulator import EmulatedModel, PredictionRequest, Reply, ToolCall

__all__ = ["JAVASCRIPT", "PYTHON", "Script"]

ReplyFunction = Callable[[PredictionRequest], Reply | None]


@dataclass(frozen=True)
class Script:
    """The arguments of ``Emulator`` for a suite."""

    models: Sequence[EmulatedModel]
    replies: ReplyFunction
    repository: Sequence[EmulatedModel] = ()
    embeddings: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """As keywords."""
        return {
            "models": self.models,
            "replies": self.replies,
            "repository": self.repository,
            "embeddings": self.embeddings,
        }


_QWEN_SMALL = "lmstudio-community/Qwen2.5-0.5B-Instruct-GGUF/Qwen2.5-0.5B-Instruct-Q4_K_M.gguf"
_QWEN = "lmstudio-community/Qwen2.5-3B-Instruct-GGUF/Qwen2.5-3B-Instruct-Q4_K_M.gguf"
_QWEN_VISION = "lmstudio-community/Qwen2-VL-2B-Instruct-GGUF/Qwen2-VL-2B-Instruct-Q4_K_M.gguf"
_NOMIC = "nomic-ai/nomic-embed-text-v1.5-GGUF/nomic-embed-text-v1.5.Q4_K_M.gguf"
_Q4 = ("Q4_K_M", 4)


def _javascript_llm(path: str, name: str, params: str, size: int, **rest: Any) -> EmulatedModel:
    # The suite expects the path as identifier: LM Studio uses what the load asked for, if no other identifier is given.
    return EmulatedModel(
        path,
        path=path,
        display_name=name,
        publisher="lmstudio-community",
        params=params,
        quantization=_Q4,
        size_bytes=size,
        **{"architecture": "qwen2", **rest},
    )


_QWEN_IDS = {
    "Chaos is a ladder.": [1143, 64866, 374, 264, 35765, 13],
    "Cersei understands the consequences of her absence": [34, 261, 72768, 30769, 279, 15917, 315, 1059, 19265],
    "and she is absent anyway": [437, 1340, 374, 27211, 13657],
}
_NOMIC_IDS = {
    "Chaos is a ladder.": [8488, 2003, 1037, 10535, 1012],
    "Cersei understands the consequences of her absence": [
        *(8292, 22573, 2072, 19821, 1996),
        *(8465, 1997, 2014, 6438),
    ],
    "and she is absent anyway": [1998, 2016, 2003, 9962, 4312],
}
_JAVASCRIPT_MODELS = (
    _javascript_llm(_QWEN_SMALL, "Qwen2.5 0.5B Instruct", "0.5B", 397_807_936, tokens=_QWEN_IDS),
    _javascript_llm(_QWEN, "Qwen2.5 3B Instruct", "3B", 1_929_903_008),
    _javascript_llm(
        *(_QWEN_VISION, "Qwen2 VL 2B Instruct", "2B", 3_647_162_336),
        architecture="qwen2vl",
        vision=True,
        tools=False,
    ),
    EmulatedModel(
        _NOMIC,
        "embedding",
        path=_NOMIC,
        display_name="Nomic Embed Text v1.5",
        publisher="nomic-ai",
        architecture="nomic-bert",
        quantization=_Q4,
        size_bytes=84_106_624,
        context_length=2048,
        max_context_length=2048,
        tokens=_NOMIC_IDS,
    ),
)
_FIRST_NUMBERS = {
    "Chaos is a ladder.": 0.0375,
    "Two chaoses are two ladders.": 0.0076,
    "Three chaoses are three ladders.": 0.0088,
}


# Seconds before each token: the suite cancels predictions right after it has started them, as a model takes its time.
_PACE = 0.02


def _completion(request: PredictionRequest) -> Reply:
    fragments = ["4", ";"] if request.instance.identifier == _QWEN_SMALL else ["4", ";", " ", "3"]
    drafted = (2, 1) if request.settings.draft_model else None
    return Reply(fragments=fragments, prompt_tokens=15, drafted=drafted, pace=_PACE)


def _chat(request: PredictionRequest) -> Reply:
    drafted = (4, 3) if request.settings.draft_model else None
    return Reply(fragments=["Assistant", " message", " ", "2"], prompt_tokens=41, drafted=drafted, pace=_PACE)


def _sum(a: int, b: int) -> ToolCall:
    return ToolCall("add", {"a": a, "b": b})


def _tool_reply(request: PredictionRequest) -> Reply | None:
    text = request.last_user_text
    if request.tool_results:
        return Reply(f"The results are {', '.join(request.tool_results)}.", prompt_tokens=249, predicted_tokens=13)
    if text.startswith('First say "Hi".'):
        return Reply("Hi", tool_calls=[_sum(1, 3)], prompt_tokens=192, predicted_tokens=38)
    if "in parallel" in text:
        return Reply(tool_calls=[_sum(1, 3), _sum(2, 4)])
    return Reply(tool_calls=[_sum(1, 3)])


_HOBBIT = {"title": "The Hobbit", "author": "J.R.R. Tolkien", "year": 1937}
_JAVASCRIPT_REPLIES: dict[str, ReplyFunction] = {
    "User message 1": lambda _: Reply("Hello! How can I assist you today?", prompt_tokens=33),
    "User message 2": _chat,
    "1 + 1 = 2; 2 + 2 = ": _completion,
    "1 + 1 in JSON is": lambda _: Reply('{"answer": 2}'),
    "1 through 10: 1,2,3,": lambda _: Reply(fragments=list("4,5,6,7,8,9,")),
    "Tell me about The Hobbit": lambda _: Reply(json.dumps(_HOBBIT)),
    "What do you see?": lambda _: Reply(
        fragments=["I", " see", " the", " logo", " for", " W", "3", "C", ","], prompt_tokens=25
    ),
}


def _javascript_reply(request: PredictionRequest) -> Reply | None:
    if request.settings.tools:
        return _tool_reply(request)
    make = _JAVASCRIPT_REPLIES.get(request.last_user_text)
    return None if make is None else make(request)


JAVASCRIPT = Script(
    _JAVASCRIPT_MODELS,
    _javascript_reply,
    embeddings={text: [first, *[0.03] * 767] for text, first in _FIRST_NUMBERS.items()},
)


_SMOL = EmulatedModel(
    "smollm2-135m-instruct",
    path="lmstudio-community/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q4_K_M.gguf",
    size_bytes=100_000,
    params="135M",
    quantization=_Q4,
    tools=False,
)
_PYTHON_MODELS = (
    EmulatedModel(
        "text-embedding-nomic-embed-text-v1.5",
        "embedding",
        loaded=True,
        path="nomic-ai/nomic-embed-text-v1.5-GGUF/nomic-embed-text-v1.5.Q4_K_M.gguf",
        context_length=2048,
        max_context_length=2048,
    ),
    EmulatedModel(
        "llama-3.2-1b-instruct",
        loaded=True,
        path="hugging-quants/Llama-3.2-1B-Instruct-Q8_0-GGUF/llama-3.2-1b-instruct-q8_0.gguf",
    ),
    EmulatedModel(
        "mobilevlm_v2-1.7b",
        loaded=True,
        vision=True,
        tools=False,
        path="ZiangWu/MobileVLM_V2-1.7B-GGUF/MobileVLM_V2-1.7B.gguf",
    ),
    EmulatedModel("qwen2.5-7b-instruct-1m", loaded=True),
    _SMOL,
)


_DIVISION = "The tool failed: nothing can be divided by zero."
_PYTHON_REPLIES: dict[str, ReplyFunction] = {
    "What is the sum of 123 and 3210?": lambda _: Reply(tool_calls=[_sum(123, 3210)]),
    "First say 'Hi'. Then calculate 1 + 3 with the tool.": lambda _: Reply("Hi", tool_calls=[_sum(1, 3)]),
    "Attempt to divide 1 by 0 using the tool. Explain the result.": lambda _: Reply(
        tool_calls=[ToolCall("divide", {"numerator": 1, "denominator": 0})]
    ),
    "Hello": lambda _: Reply("Hello! How can I help you?"),
    "What color is this figure?": lambda _: Reply("It is purple."),
    "Respond with exactly what you just said.": lambda _: Reply("Hello, world!"),
    # It is cancelled after its first fragment.
    "This is a test prompt.": lambda _: Reply("It is a test. " * 20, pace=0.01),
}


def _python_reply(request: PredictionRequest) -> Reply | None:
    if request.tool_results:
        failed = "divide" in request.last_user_text
        return Reply(_DIVISION if failed else f"The result is {' '.join(request.tool_results)}.")
    if request.settings.structured["type"] != "none":
        return None
    make = _PYTHON_REPLIES.get(request.last_user_text)
    return None if make is None else make(request)


PYTHON = Script(_PYTHON_MODELS, _python_reply, repository=[_SMOL])
