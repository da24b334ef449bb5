"""``act`` against the small real model: structure, counts and the prompt cache, never what it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lmstudio_integrations import Client, PredictionRoundResult
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.emulator.backends.llama_cpp import available, find_model

WHY_NOT = available()
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.timeout(120),
    pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or ""),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(model_path=find_model(), threads=1) as running:
        yield running


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def test_act_calls_a_tool_and_the_next_round_finds_its_prompt_in_the_cache(server: Emulator) -> None:
    rounds: list[PredictionRoundResult] = []
    with Client(server.url) as client:
        result = client.llm.model().act(
            {
                "messages": [
                    {"role": "system", "content": "You are a helpful assistant. " * 10},
                    {"role": "user", "content": "Please use the tool add to add 17 and 25."},
                ]
            },
            [add],
            config={"maxTokens": 40, "temperature": 0},
            on_prediction_completed=rounds.append,
        )
    assert result.rounds == len(rounds) == 2
    first, second = rounds
    (call,) = first.tool_calls
    assert set(call.arguments or {}) == {"a", "b"}
    assert second.finish_reason in ("stop", "length")
    assert [message.role for message in result.chat] == ["system", "user", "assistant", "tool", "assistant"]
    cached, prompt = second.usage.cached_tokens, first.usage.prompt_tokens
    assert cached is not None
    assert prompt is not None
    assert prompt > 50
    assert cached >= prompt - 8, "the second prompt does not begin with the first one"
