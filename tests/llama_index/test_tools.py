from __future__ import annotations

import math
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, TextBlock, ToolCallBlock
from llama_index.core.tools import FunctionTool, ToolMetadata

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.llama_index._tools import (
    arguments_so_far,
    chosen_tools,
    conversation,
    tool_selections,
    wire_tools,
)
from lmstudio_integrations.protocol.tools import tool_definition


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(fn=add)
WIRE = wire_tools([ADD, {"type": "function", "function": {"name": "mul"}}])


def test_tool_is_converted_with_its_parameters() -> None:
    function = WIRE[0]["function"]
    assert function["name"] == "add"
    assert "Add two numbers." in function["description"]
    assert set(function["parameters"]["properties"]) == {"a", "b"}
    assert function["parameters"]["required"] == ["a", "b"]


def test_long_description_is_kept() -> None:
    tool = FunctionTool.from_defaults(fn=add, description="x" * 5000)
    assert wire_tools([tool])[0]["function"]["description"] == "x" * 5000


def test_tool_keeps_its_own_name() -> None:
    tool = FunctionTool(fn=add, metadata=ToolMetadata(name="add.v2", description="d"))
    assert wire_tools([tool])[0]["function"]["name"] == "add.v2"


def test_object_that_is_no_tool_raises() -> None:
    with pytest.raises(LMStudioValueError, match="expected a LlamaIndex tool"):
        wire_tools([add])


@pytest.mark.parametrize(("choice", "expected"), [(None, None), ("any", "required"), (False, "none"), ("add", "add")])
def test_tool_choice_is_read_and_false_is_none(choice: Any, expected: str | None) -> None:
    assert chosen_tools(choice, WIRE) == (expected, WIRE)


def test_required_applies_only_without_a_tool_choice() -> None:
    assert chosen_tools(None, WIRE, required=True)[0] == "required"
    assert chosen_tools("auto", WIRE, required=True)[0] == "auto"
    assert chosen_tools(None, [], required=True) == (None, [])


def test_conversation_appends_to_a_copy_of_the_history() -> None:
    history = [ChatMessage(role="system", content="s")]
    messages = conversation("hello", history)
    assert [message.content for message in messages] == ["s", "hello"]
    assert messages[1].role == "user"
    assert len(history) == 1
    assert conversation(ChatMessage(role="user", content="x"), None)[0].content == "x"
    assert conversation(None, None) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"a": 1}, {"a": 1}),
        ("", {}),
        ("  ", {}),
        ("{", {}),
        ('{"a', {}),
        ('{"a": 1, "b": "x', {"a": 1, "b": "x"}),
        ('{"a": [1, 2', {"a": [1, 2]}),
        ('{"a": 1}', {"a": 1}),
        ("nonsense", {}),
        ("[1]", {}),
        (None, {}),
        ('{"a": 1}}', {"a": 1}),
    ],
)
def test_partial_arguments_never_raise(arguments: Any, expected: dict[str, Any]) -> None:
    assert arguments_so_far(arguments) == expected


def test_identical_calls_are_two_selections_with_unique_ids() -> None:
    blocks = [ToolCallBlock(tool_call_id=None, tool_name="add", tool_kwargs={"a": 1}) for _ in range(2)]
    response = ChatResponse(message=ChatMessage(role="assistant", blocks=[TextBlock(text=""), *blocks]))
    selections = tool_selections(response)
    assert [selection.tool_kwargs for selection in selections] == [{"a": 1}, {"a": 1}]
    assert len({selection.tool_id for selection in selections}) == 2


def test_infinite_default_of_a_function_is_left_out() -> None:
    def near(distance: float = math.inf) -> str:
        """What is near."""
        return ""

    (converted,) = wire_tools([FunctionTool.from_defaults(near)])
    sent = tool_definition(converted).to_wire()["function"]["parameters"]
    assert sent["properties"]["distance"]["type"] == "number"
    assert "default" not in sent["properties"]["distance"]
