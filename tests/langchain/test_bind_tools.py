"""Tools over the wire: what is asked for, and what the choice comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from lmstudio_integrations.emulator import Emulator, FailedToolCall, Reply, ToolCall
from lmstudio_integrations.langchain import ChatLMStudio
from tests.sent_requests import prediction_history, prediction_settings

Make = Callable[..., ChatLMStudio]


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
def subtract(a: int, b: int) -> int:
    """Subtract."""
    return a - b


def sent(server: Emulator) -> tuple[list[str], str | None]:
    """The names of the tools that were offered, and the mode of the choice."""
    given = prediction_settings(server)
    tools = given.get("llm.prediction.tools", {}).get("tools", [])
    choice = given.get("llm.prediction.toolChoice")
    return [one["function"]["name"] for one in tools], choice and choice["mode"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, (["add", "subtract"], None)),
        ("auto", (["add", "subtract"], "auto")),
        ("none", (["add", "subtract"], "none")),
        ("any", (["add", "subtract"], "required")),
        (True, (["add", "subtract"], "required")),
        ("subtract", (["subtract"], "required")),
        ({"type": "function", "function": {"name": "subtract"}}, (["subtract"], "required")),
    ],
)
def test_tool_choice_reaches_the_server(chat: Make, lmstudio_emulator: Emulator, choice: Any, expected: Any) -> None:
    chat().bind_tools([add, subtract], tool_choice=choice).invoke("x")
    assert sent(lmstudio_emulator) == expected


def test_named_tool_choice_makes_the_model_call_that_tool(chat: Make) -> None:
    answer = chat().bind_tools([add, subtract], tool_choice="subtract").invoke("Hello")
    assert [call["name"] for call in answer.tool_calls] == ["subtract"]


def test_tool_choice_of_an_unknown_tool_raises_in_bind_tools(chat: Make) -> None:
    with pytest.raises(ValueError, match="'multiply'"):
        chat().bind_tools([add], tool_choice="multiply")


def test_empty_tools_bind_no_tools(chat: Make, lmstudio_emulator: Emulator) -> None:
    chat().bind_tools([]).invoke("x")
    assert sent(lmstudio_emulator) == ([], None)


@pytest.mark.parametrize("streamed", [True, False])
def test_parallel_tool_calls_false_keeps_one_call(chat: Make, lmstudio_emulator: Emulator, streamed: bool) -> None:
    lmstudio_emulator.script(Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 3, "b": 4})]))
    model = chat().bind_tools([add], parallel_tool_calls=False)
    if streamed:
        first, *rest = model.stream("x")
        answer: AIMessage = first + rest  # type: ignore[assignment]
    else:
        answer = model.invoke("x")
    assert [call["args"] for call in answer.tool_calls] == [{"a": 1, "b": 2}]


def test_failed_call_is_in_invalid_tool_calls(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(tool_calls=[FailedToolCall("add", '{"a": ', raw_content="<tool_call>half")]))
    answer = chat().bind_tools([add]).invoke("x")
    assert answer.tool_calls == []
    assert [(call["name"], call["args"]) for call in answer.invalid_tool_calls] == [("add", "<tool_call>half")]


def test_call_without_a_server_id_gets_an_id(chat: Make, lmstudio_emulator: Emulator) -> None:
    calls = [ToolCall("add", {"a": 1, "b": 2}, id=None), ToolCall("add", {"a": 1, "b": 2}, id=None)]
    lmstudio_emulator.script(Reply(tool_calls=calls))
    ids = [call["id"] for call in chat().bind_tools([add]).invoke("x").tool_calls]
    assert len(set(ids)) == 2
    assert None not in ids


def test_tool_round_is_sent_back_unchanged(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(text="I add.", tool_calls=[ToolCall("add", {"b": 2, "a": 1}, id="123456789")]))
    model = chat().bind_tools([add])
    question = HumanMessage("1 + 2?")
    answer = model.invoke([question])
    model.invoke([question, answer, ToolMessage("3", tool_call_id=answer.tool_calls[0]["id"])])
    _, said, result = prediction_history(lmstudio_emulator)
    assert [part["type"] for part in said["content"]] == ["text", "toolCallRequest"]
    assert list(said["content"][1]["toolCallRequest"]["arguments"].items()) == [("b", 2), ("a", 1)]
    assert result["content"][0] == {
        "type": "toolCallResult",
        "content": "3",
        "toolCallId": "123456789",
        "name": "add",
    }


def test_tools_with_response_format_return_the_document_as_content(chat: Make, lmstudio_emulator: Emulator) -> None:
    schema = {"name": "Sum", "schema": {"type": "object", "properties": {"sum": {"type": "integer"}}}}
    lmstudio_emulator.script(Reply(tool_calls=[ToolCall("Sum", {"sum": 3})]))
    model = chat().bind_tools([add], response_format={"type": "json_schema", "json_schema": schema})
    answer = model.invoke("x")
    assert (answer.content, answer.tool_calls) == ('{"sum":3}', [])
    assert sent(lmstudio_emulator) == (["add", "Sum"], "required")
