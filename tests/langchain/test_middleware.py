"""Agents whose model writes tool calls that LM Studio cannot parse (number 19)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage

from lmstudio_integrations.emulator import Emulator, FailedToolCall, Reply, ToolCall
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.langchain.middleware import InvalidToolCallMiddleware

Make = Callable[..., ChatLMStudio]
FAILED = Reply(tool_calls=[FailedToolCall("wind", '{"place": ')])


def wind(place: str) -> str:
    """The wind at a place."""
    return f"12 knots at {place}"


def agent(model: ChatLMStudio, **options: int) -> Any:
    return create_agent(model, [wind], middleware=[InvalidToolCallMiddleware(**options)])


def requests(server: Emulator) -> list[Any]:
    return [request for request in server.requests if request.message.get("endpoint") == "predict"]


async def test_model_repeats_a_call_that_could_not_be_parsed(chat: Make, lmstudio_emulator: Emulator) -> None:
    for awaited in (False, True):
        lmstudio_emulator.script(FAILED, Reply(tool_calls=[ToolCall("wind", {"place": "Oslo"})]), Reply("Done."))
        question: Any = {"messages": [("user", "?")]}
        state = await agent(chat()).ainvoke(question) if awaited else agent(chat()).invoke(question)
        _, failed, refusal, called, result, answer = state["messages"]
        assert failed.invalid_tool_calls[0]["id"] == refusal.tool_call_id
        assert (refusal.status, refusal.name) == ("error", "wind")
        assert "could not be parsed" in refusal.content
        assert called.tool_calls[0]["args"] == {"place": "Oslo"}
        assert result.content == "12 knots at Oslo"
        assert answer.content == "Done."


def test_call_and_its_error_go_back_in_the_history(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(FAILED, Reply("Done."))
    agent(chat()).invoke({"messages": [("user", "?")]})
    history = requests(lmstudio_emulator)[-1].message["creationParameter"]["history"]["messages"]
    (call,) = [part for part in history[-2]["content"] if part["type"] == "toolCallRequest"]
    (result,) = history[-1]["content"]
    assert call["toolCallRequest"]["id"] == result["toolCallId"]


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_model_is_asked_again_max_retries_times(retries: int, chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(*[FAILED] * 5)
    state = agent(chat(), max_retries=retries).invoke({"messages": [("user", "?")]})
    answers = [message for message in state["messages"] if isinstance(message, AIMessage)]
    assert len(answers) == len(requests(lmstudio_emulator)) == retries + 1
    assert state["messages"][-1].content  # the raw text: no answer is empty


def test_parsed_call_beside_a_failed_one_is_run(chat: Make, lmstudio_emulator: Emulator) -> None:
    both = Reply(tool_calls=[FailedToolCall("wind", "{"), ToolCall("wind", {"place": "Oslo"})])
    lmstudio_emulator.script(both, Reply("Done."))
    state = agent(chat()).invoke({"messages": [("user", "?")]})
    refusal, result = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    assert (refusal.status, result.status) == ("error", "success")
    assert len(requests(lmstudio_emulator)) == 2


@pytest.mark.parametrize("given", [-1, True, 1.5, None])
def test_odd_limit_is_an_error(given: Any) -> None:
    with pytest.raises(LMStudioValueError, match="max_retries"):
        InvalidToolCallMiddleware(given)
