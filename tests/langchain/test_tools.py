from __future__ import annotations

import math
import warnings
from typing import Any

import pydantic.v1
import pytest
from langchain_core._api import LangChainBetaWarning
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool, tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.langchain._tools import (
    json_schema_of,
    openai_tools,
    resolve_tools,
    response_schema,
)
from lmstudio_integrations.protocol.structured import structured_value
from lmstudio_integrations.protocol.tools import tool_definition
from tests.protocol.closed import closed


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def plain(a: int) -> int:
    """Add one.

    Args:
        a: the number
    """
    return a + 1


class Model(BaseModel):
    """A form."""

    a: int = Field(description="the number")


class OldModel(pydantic.v1.BaseModel):
    """A form."""

    a: int


class Typed(TypedDict):
    """A form."""

    a: int


def _runnable_tool() -> BaseTool:
    with warnings.catch_warnings(action="ignore", category=LangChainBetaWarning):
        return RunnableLambda(lambda x: x["a"]).as_tool(name="run", description="d", arg_types={"a": int})


PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (add, "add"),
        (plain, "plain"),
        (Model, "Model"),
        (OldModel, "OldModel"),
        (Typed, "Typed"),
        (_runnable_tool(), "run"),
        ({"type": "function", "function": {"name": "openai", "parameters": PARAMETERS}}, "openai"),
        ({"name": "function", "description": "d", "parameters": PARAMETERS}, "function"),
        ({"title": "schema", "description": "d", **PARAMETERS}, "schema"),
        ({"name": "anthropic", "input_schema": PARAMETERS, "cache_control": {"type": "ephemeral"}}, "anthropic"),
    ],
)
def test_tool_in_every_form_is_converted(given: Any, name: str) -> None:
    (made,) = openai_tools([given])
    definition = tool_definition(made)  # the client takes it
    assert definition.function.name == name
    assert "a" in (definition.function.parameters or {})["properties"]


def test_built_in_tool_of_another_provider_raises() -> None:
    with pytest.raises(LMStudioValueError, match="web_search_preview"):
        openai_tools([{"type": "web_search_preview"}])


def test_allowed_tools_are_the_only_ones_that_are_bound() -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"name": "plain"}]}}
    bound: Any = ChatLMStudio().bind_tools([add, plain], tool_choice=choice)
    assert bound.kwargs == {"tools": openai_tools([plain]), "tool_choice": "required"}


@pytest.mark.parametrize(
    "given",
    [
        {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": PARAMETERS}},
        {"type": "json", "jsonSchema": PARAMETERS},
        {"name": "x", "parameters": PARAMETERS},
        {"type": "function", "function": {"name": "x", "parameters": PARAMETERS}},
        PARAMETERS,
    ],
)
def test_schema_in_every_form_is_converted(given: dict[str, Any]) -> None:
    assert structured_value(response_schema(given)) == {"type": "json", "jsonSchema": closed(PARAMETERS)}


@pytest.mark.parametrize("given", [Model, OldModel, Typed])
def test_class_becomes_a_schema(given: type) -> None:
    assert json_schema_of(given)["properties"]["a"]["type"] == "integer"


def test_text_response_format_is_no_schema() -> None:
    assert response_schema(None) is None
    assert response_schema({"type": "text"}) is None


def test_json_object_is_an_object_schema() -> None:
    assert response_schema({"type": "json_object"}) == {"type": "json", "jsonSchema": {"type": "object"}}


def test_gbnf_grammar_is_unchanged() -> None:
    grammar = {"type": "gbnf", "gbnfGrammar": 'root ::= "yes" | "no"'}
    assert (
        response_schema(grammar) == response_schema({"type": "gbnf", "gbnf_grammar": grammar["gbnfGrammar"]}) == grammar
    )


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "object", "properties": {"a": {"not": {"type": "string"}}}}, r"'not' at \$\.properties\.a"),
        ({"type": "object", "if": {}, "then": {}}, "'if'"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/gone"}}}, "gone"),
        ({"type": "object", "properties": {"a": {"$ref": "https://example.org/a.json"}}}, "example.org"),
        ({}, "expected a JSON schema, got"),
        ({"type": 3}, "expected a JSON schema, got"),
    ],
)
def test_unsupported_schema_raises(schema: dict[str, Any], named: str) -> None:
    with pytest.raises(LMStudioValueError, match=named):
        json_schema_of(schema)


def test_property_named_like_a_keyword_is_kept() -> None:
    schema = {"type": "object", "properties": {"not": {"type": "string"}, "if": {"enum": ["not"]}}}
    assert json_schema_of(schema) == closed(schema)


def test_definitions_and_recursion_are_kept() -> None:
    class Tree(BaseModel):
        name: str
        children: list[Tree] = []

    schema = json_schema_of(Tree)
    assert schema["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}


def test_tools_with_a_schema_add_an_answer_tool() -> None:
    asked = resolve_tools([add], None, {"type": "json_schema", "json_schema": {"name": "Model", "schema": PARAMETERS}})
    assert asked.response_format is None
    assert asked.tool_choice == "required"
    assert asked.answer_tool == "Model"
    assert [made["function"]["name"] for made in asked.tools] == ["add", "Model"]
    assert asked.tools[1]["function"]["parameters"] == closed(PARAMETERS)


def test_answer_tool_has_a_unique_name() -> None:
    asked = resolve_tools(
        [Model], "auto", {"type": "json_schema", "json_schema": {"name": "Model", "schema": PARAMETERS}}
    )
    assert asked.answer_tool == "Model_answer"


def test_tool_choice_none_with_a_schema_uses_the_grammar() -> None:
    asked = resolve_tools([add], "none", PARAMETERS)
    assert (asked.tools, asked.tool_choice) == ([], None)
    assert asked.response_format == {"type": "json", "jsonSchema": closed(PARAMETERS)}


def test_empty_tools_with_a_schema_use_the_grammar() -> None:
    assert resolve_tools([], None, PARAMETERS).response_format == {"type": "json", "jsonSchema": closed(PARAMETERS)}


@pytest.mark.parametrize("choice", ["any", "add"])
def test_forced_call_with_a_schema_raises(choice: str) -> None:
    with pytest.raises(LMStudioValueError, match="pass one of them"):
        resolve_tools([add], choice, PARAMETERS)


@pytest.mark.parametrize(
    "properties",
    [
        {"a": {"$ref": "#/$defs/A%20B"}},
        {"a": {"$ref": "#foo"}},
        {"$ref": {"type": "string"}, "properties": {"type": "string"}, "type": {"type": "string"}},
    ],
)
def test_schema_of_a_server_that_langchain_cannot_convert_is_sent_as_it_is(properties: dict[str, Any]) -> None:
    schema = {
        "type": "object",
        "properties": properties,
        "$defs": {"A B": {"type": "string"}, "F": {"$anchor": "foo", "type": "string"}},
    }
    made = StructuredTool(name="look", description="Look.", args_schema=schema, func=lambda **_: "")
    (converted,) = openai_tools([made])
    assert converted["function"] == {"name": "look", "description": "Look.", "parameters": schema}
    assert tool_definition(converted).to_wire()["function"]["parameters"]["properties"].keys() == properties.keys()


def test_infinite_default_of_a_function_is_left_out() -> None:
    def near(distance: float = math.inf) -> str:
        """What is near."""
        return ""

    (converted,) = openai_tools([near])
    sent = tool_definition(converted).to_wire()["function"]["parameters"]
    assert sent["properties"]["distance"]["type"] == "number"
    assert "default" not in sent["properties"]["distance"]


MCP_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    "given",
    [
        {"name": "look", "description": "Look.", "inputSchema": MCP_SCHEMA, "icons": None, "_meta": None},
        {"type": "function", "name": "look", "description": "Look.", "parameters": MCP_SCHEMA, "strict": True},
        {"type": "custom", "name": "look", "description": "Look.", "input_schema": MCP_SCHEMA},
    ],
)
def test_mapping_of_another_api_keeps_its_parameters(given: dict[str, Any]) -> None:
    (made,) = openai_tools([given])
    assert made["function"]["name"] == "look"
    assert made["function"]["description"] == "Look."
    assert made["function"]["parameters"]["properties"] == MCP_SCHEMA["properties"]


def test_built_in_tool_with_a_name_is_not_taken_for_a_function() -> None:
    with pytest.raises(LMStudioValueError, match=r"the built-in tool .*computer_20250124.* of another provider"):
        openai_tools([{"type": "computer_20250124", "name": "computer"}])
