from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_text import encode
from lmstudio_integrations.protocol.tools import (
    ToolDefinition,
    tool_choice_value,
    tool_definition,
    tool_fields,
    wire_tool,
)
from tests.frame_validation import schema, transcripts
from tests.frame_validation.shared import SCHEMA_PATH, needs_shared
from tests.protocol.closed import closed
from tests.protocol.strategies import json_values, text

ADD: dict[str, Any] = {
    "name": "add",
    "description": "Add two numbers",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
}
SUB: dict[str, Any] = {"name": "sub"}


def _parameters(parameters: Any) -> Any:
    return tool_definition({"name": "f", "parameters": parameters}).to_wire()["function"]["parameters"]


def test_openais_tool_form_and_the_bare_form_are_equal() -> None:
    assert tool_definition(ADD) == tool_definition({"type": "function", "function": ADD | {"strict": True}})
    assert tool_definition(ADD).to_wire() == closed({"type": "function", "function": ADD})
    assert tool_definition(tool_definition(ADD)) == tool_definition(ADD)


def test_tool_without_parameters_sends_none() -> None:
    assert tool_definition(SUB).to_wire() == {"type": "function", "function": {"name": "sub"}}


@pytest.mark.parametrize("parameters", [{}, {"type": "object"}, {"title": "T", "description": "d", "$schema": "s"}])
def test_tool_parameters_always_have_properties(parameters: dict[str, Any]) -> None:
    assert _parameters(parameters) == {"type": "object", "properties": {}}


def test_definitions_move_to_defs_with_their_references_but_data_is_unchanged() -> None:
    sent = _parameters(
        {
            "type": "object",
            "properties": {
                "node": {"$ref": "#/definitions/Node"},
                "definitions": {"type": "array", "items": {"$ref": "#/definitions/Node"}},
                "text": {"const": {"$ref": "#/definitions/Node"}},
                "default": {"$ref": "#/definitions/Node"},
            },
            "definitions": {"Node": {"anyOf": [{"$ref": "#/definitions/Node"}, {"type": "null"}]}},
        }
    )
    assert sent == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "node": {"$ref": "#/$defs/Node"},
            "definitions": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            "text": {"const": {"$ref": "#/definitions/Node"}},
            "default": {"$ref": "#/$defs/Node"},
        },
        "$defs": {"Node": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
    }


def test_conflicting_definitions_of_one_name_are_refused() -> None:
    with pytest.raises(LMStudioValueError, match="two different definitions of 'A'"):
        _parameters({"definitions": {"A": {"type": "string"}}, "$defs": {"A": {"type": "integer"}}})


def test_root_reference_is_resolved_and_recursion_kept() -> None:
    class Node(BaseModel):
        value: int
        next: Node | None = None

    made = Node.model_json_schema()
    assert "$ref" in made
    sent = _parameters(made)
    assert sent["properties"]["next"]["anyOf"][0] == {"$ref": "#/$defs/Node"}
    assert sent["required"] == ["value"]
    assert set(sent) == {"type", "properties", "required", "additionalProperties", "$defs"}


@pytest.mark.parametrize(
    "alternatives",
    [
        {"anyOf": [{"type": "object", "properties": {"a": {}}}, {"type": "null"}]},
        {"oneOf": [{"type": "object", "properties": {"a": {}}}]},
        {"allOf": [{"type": "object", "properties": {"a": {}}}]},
        {"allOf": [{"properties": {"a": {}}}, {"properties": {}}]},
        {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"properties": {"a": {}}}}},
        {"$ref": "#/definitions/A", "definitions": {"A": {"properties": {"a": {}}}}},
    ],
)
def test_root_alternatives_are_merged_into_one_object(alternatives: dict[str, Any]) -> None:
    sent = _parameters(alternatives)
    sent.pop("$defs", None)
    assert sent == {"type": "object", "properties": {"a": {}}, "additionalProperties": False}


def test_all_of_joins_properties_and_required() -> None:
    sent = _parameters(
        {
            "allOf": [
                {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"properties": {"b": {}}, "required": ["b", "a"], "additionalProperties": False},
            ],
            "required": ["c"],
        }
    )
    assert sent == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {}},
        "required": ["c", "a", "b"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"$ref": "#/$defs/Nowhere"}, "not in the schema"),
        ({"$ref": "https://example.org/schema"}, "not in the schema"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, "back to itself"),
        ({"properties": {"a": {"minimum": float("nan")}}}, "nan"),
        ({"properties": {"a": {"$ref": "#nowhere"}}}, "not in the schema"),
        ({"properties": {"a": object()}}, "object is not JSON"),
        ([], "not list"),
        ("{}", "not str"),
    ],
)
def test_invalid_tool_parameters_raise_with_the_tools_name(parameters: Any, reason: str) -> None:
    with pytest.raises(LMStudioValueError, match=reason) as caught:
        _parameters(parameters)
    assert "'f'" in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        (
            {"anyOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]},
            {"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": False},
        ),
        (
            {"oneOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"a": {}}, "required": ["a"]}]},
            {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False},
        ),
        ({"not": {"required": ["a"]}}, {"type": "object", "properties": {}}),
        ({"if": {}, "then": {}}, {"type": "object", "properties": {}}),
        ({"type": "array"}, {"type": "object", "properties": {}}),
        ({"properties": None, "required": None}, {"type": "object", "properties": {}}),
        ({"properties": []}, {"type": "object", "properties": {}}),
        ({"required": "a"}, {"type": "object", "properties": {}}),
    ],
)
def test_inexpressible_tool_schema_is_loosened_not_refused(parameters: Any, sent: Any) -> None:
    """Number 12 of the design: alternatives become one object, conditions and impossible roots are left out."""
    assert _parameters(parameters) == sent


@pytest.mark.timeout(20)
def test_definitions_that_each_refer_twice_to_the_next_are_folded_once() -> None:
    defs: dict[str, Any] = {f"D{at}": {"anyOf": [{"$ref": f"#/$defs/D{at + 1}"}] * 2} for at in range(40)}
    defs["D40"] = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    sent = _parameters({"$ref": "#/$defs/D0", "$defs": defs})
    assert (sent["properties"], sent["required"]) == ({"a": {"type": "string"}}, ["a"])


@pytest.mark.parametrize(
    "tool", [{}, {"name": ""}, {"name": 5}, {"type": "mcp", "name": "f"}, {"function": 5}, 5, "add"]
)
def test_object_that_is_no_tool_is_refused(tool: Any) -> None:
    with pytest.raises(LMStudioValueError):
        tool_definition(tool)


@given(st.dictionaries(text, json_values, max_size=4), st.lists(text, max_size=3) | st.none())
def test_tool_with_any_properties_is_valid_and_the_input_unchanged(
    properties: dict[str, Any], required: list[str] | None
) -> None:
    given_schema = {"type": "object", "properties": properties} | ({} if required is None else {"required": required})
    before = copy.deepcopy(given_schema)
    sent = tool_definition({"name": "f", "parameters": given_schema}).to_wire()
    assert given_schema == before
    named = required or [] if properties else []  # a closed object has a property for each required name
    assert sent["function"]["parameters"]["properties"].keys() == {*properties, *named}
    assert sent["function"]["parameters"].get("required", []) == (required or [])
    if SCHEMA_PATH.is_file():
        schema.check_definition("llmTool", sent)


def _values(fields: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix("llm.prediction."): value for key, value in fields.items()}


def test_empty_tools_send_nothing() -> None:
    assert tool_fields(None) == tool_fields([]) == tool_fields((), "auto") == tool_fields([], "none") == {}


def test_tools_send_their_array_and_keep_their_names() -> None:
    assert _values(tool_fields([ADD, SUB])) == {
        "tools": {"type": "toolArray", "tools": [tool_definition(ADD).to_wire(), tool_definition(SUB).to_wire()]},
        "toolNaming": "passThrough",
    }


@pytest.mark.parametrize("mode", ["auto", "none", "required"])
def test_tool_choice_mode_is_sent_with_all_tools(mode: str) -> None:
    sent = _values(tool_fields([ADD, SUB], mode))
    assert sent["toolChoice"] == {"type": "generic", "mode": mode}
    assert len(sent["tools"]["tools"]) == 2


def test_named_tool_choice_sends_only_that_tool_as_required() -> None:
    sent = _values(tool_fields([ADD, SUB], "sub"))
    assert sent["toolChoice"] == {"type": "generic", "mode": "required"}
    assert sent["tools"]["tools"] == [tool_definition(SUB).to_wire()]


def test_unknown_tool_choice_lists_the_known_names() -> None:
    with pytest.raises(LMStudioValueError, match=r"'mul'.*add, sub"):
        tool_fields([ADD, SUB], "mul")
    with pytest.raises(LMStudioValueError, match="there are none"):
        tool_fields([], "mul")
    with pytest.raises(LMStudioValueError, match="at least one tool"):
        tool_fields([], "required")


def test_duplicate_tool_names_are_refused() -> None:
    for choice in (None, "sub"):
        with pytest.raises(LMStudioValueError, match="two that are called 'add'"):
            tool_fields([ADD, SUB, ADD], choice)


def test_equal_tools_give_equal_bytes() -> None:
    assert encode(tool_fields([ADD, SUB], "auto")) == encode(tool_fields([copy.deepcopy(ADD), dict(SUB)], "auto"))


def test_tool_choice_modes_are_three() -> None:
    assert tool_choice_value({"type": "generic", "mode": "none"}) == {"type": "generic", "mode": "none"}
    for wrong in ("any", None, {"type": "function", "mode": "auto"}, 5, ["auto"]):
        with pytest.raises(LMStudioValueError, match="none, auto, required"):
            tool_choice_value(wrong)


@needs_shared
def test_tool_fields_are_valid_by_the_schema() -> None:
    for choice in (None, "auto", "none", "required", "add"):
        sent = _values(tool_fields([ADD, SUB], choice))
        schema.check_definition("llmToolUseSetting", sent["tools"])
        schema.check_definition("toolNaming", sent["toolNaming"])
        if choice is not None:
            schema.check_definition("llmToolChoice", sent["toolChoice"])


@needs_shared
@pytest.mark.parametrize("name", ["act.js20", "act.py16", "act_parallel.js20", "act_parallel.py16", "toolfail.js20"])
def test_recorded_tools_of_the_official_sdks_are_sent_equally(name: str) -> None:
    recorded = transcripts.settings(name, "predict")
    assert recorded
    for sent in recorded:
        tools = sent["llm.prediction.tools"].get("tools", [])
        assert [wire_tool(tool) for tool in tools] == closed(tools)
        for tool in tools:
            assert ToolDefinition.from_wire(tool).to_wire() == tool


def test_wire_tool_gives_an_independent_object_for_equal_tools() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}
    first = wire_tool(tool)
    first["function"]["parameters"]["properties"].clear()
    assert wire_tool(tool)["function"]["parameters"]["properties"] == {"a": {}}


def test_wire_tool_follows_a_change_of_the_same_dict() -> None:
    tool: dict[str, Any] = {"name": "f"}
    assert wire_tool(tool)["function"]["name"] == "f"
    tool["name"] = "g"
    assert wire_tool(tool)["function"]["name"] == "g"


@pytest.mark.parametrize(
    ("reference", "defs"),
    [
        ("#/$defs/A%20B~1c", {"A B/c": {"type": "string"}}),
        ("#/definitions/List%3CString%3E", {"List<String>": {"type": "string"}}),
        ("#/$defs/50%25", {"50%": {"type": "string"}}),
        ("#/$defs/a%20b", {"a%20b": {"type": "string"}}),
        ("#foo", {"F": {"$anchor": "foo", "type": "string"}}),
        ("#f%C3%B6", {"F": {"$anchor": "fö", "type": "string"}}),
        ("#foo", {"F": {"$id": "#foo", "type": "string"}}),
        ("#/properties/b", {}),
    ],
)
def test_reference_in_every_form_leads_to_its_schema(reference: str, defs: dict[str, Any]) -> None:
    key = reference[2:].partition("/")[0] if defs and "/" in reference else "$defs"
    schema = {"type": "object", "properties": {"a": {"$ref": reference}, "b": {"type": "string"}}, key: defs}
    made = tool_definition({"name": "t", "parameters": schema}).to_wire()["function"]["parameters"]
    sent = made["properties"]["a"]["$ref"]
    assert re.fullmatch(r"#/\$defs/\w+", sent)
    assert made["$defs"][sent.rpartition("/")[2]] == {"type": "string"}


def test_default_that_json_cannot_hold_is_left_out() -> None:
    number = {"type": "number", "default": float("inf"), "examples": [1, float("nan")]}
    schema = {"type": "object", "properties": {"default": number, "b": {"type": "string", "default": "x"}}}
    made = tool_definition({"name": "t", "parameters": schema}).to_wire()["function"]["parameters"]
    assert made["properties"] == {"default": {"type": "number"}, "b": {"type": "string", "default": "x"}}


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "name": "t", "parameters": SCHEMA, "defer_loading": True},
        {"type": "custom", "name": "t", "input_schema": SCHEMA},
        {"name": "t", "input_schema": SCHEMA, "input_examples": [{"a": "x"}], "allowed_callers": ["direct"]},
        {
            "name": "t",
            "inputSchema": SCHEMA,
            "icons": None,
            "_meta": {"k": 1},
            "execution": {"taskSupport": "optional"},
        },
    ],
)
def test_tool_of_another_api_is_converted_without_what_only_its_server_reads(tool: dict[str, Any]) -> None:
    function = tool_definition(tool).to_wire()["function"]
    assert function["name"] == "t"
    assert function["parameters"]["properties"] == {"a": {"type": "string"}}


def test_types_of_google_and_of_programming_languages_are_json_schemas() -> None:
    properties = {
        "a": {"type": "STRING", "default": {"type": "int"}},
        "b": {"type": "float"},
        "c": {"type": "ARRAY", "items": {"type": "int"}},
        "d": {"type": ["str", "null"]},
        "type": {"type": "bool"},
        "default": {"type": "dict"},
        "e": {"type": "any"},
    }
    schema = {"type": "OBJECT", "properties": properties}
    made = tool_definition({"name": "t", "parameters": schema}).to_wire()["function"]["parameters"]["properties"]
    assert made == {
        "a": {"type": "string", "default": {"type": "int"}},
        "b": {"type": "number"},
        "c": {"type": "array", "items": {"type": "integer"}},
        "d": {"type": ["string", "null"]},
        "type": {"type": "boolean"},
        "default": {"type": "object"},
        "e": {},
    }
