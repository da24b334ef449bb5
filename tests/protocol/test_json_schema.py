"""Schemas that the converters of LM Studio's engines would fail on (sources in the module's docstring)."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from pydantic import BaseModel

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_schema import enforceable, hoist_references
from lmstudio_integrations.protocol.structured import answer_schema
from lmstudio_integrations.protocol.tools import tool_definition


def rewritten(schema: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    dropped: list[str] = []
    before = copy.deepcopy(schema)
    made = enforceable(schema, on_unsupported=lambda keyword, place: dropped.append(f"{keyword} at {place}"))
    assert schema == before
    return made, dropped


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"properties": {"a": True}}, {"properties": {"a": {}}, "additionalProperties": False}),
        ({"type": "array", "items": True}, {"type": "array", "items": {}}),
        ({"anyOf": [True, {"type": "null"}]}, {"anyOf": [{}, {"type": "null"}]}),
        ({"allOf": [{"type": "string"}], "title": "T"}, {"type": "string", "title": "T"}),
        ({"allOf": [{"$ref": "#/$defs/A"}], "description": "d"}, {"$ref": "#/$defs/A", "description": "d"}),
        ({"allOf": [{"allOf": [{"type": "integer"}]}]}, {"type": "integer"}),
        ({"allOf": [{"type": "string"}], "type": "string"}, {"allOf": [{"type": "string"}], "type": "string"}),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, {"type": "integer", "exclusiveMinimum": 0}),
        ({"type": "integer", "maximum": 9, "exclusiveMaximum": False}, {"type": "integer", "maximum": 9}),
        ({"type": "integer", "exclusiveMinimum": True}, {"type": "integer"}),
        ({"prefixItems": [{"type": "null"}], "items": False}, {"prefixItems": [{"type": "null"}], "maxItems": 1}),
        ({"prefixItems": [{"type": "null"}], "items": True}, {"prefixItems": [{"type": "null"}]}),
        ({"additionalProperties": True}, {"additionalProperties": True}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"default": True, "const": False}, {"default": True, "const": False}),
        ({"type": "array", "uniqueItems": False}, {"type": "array"}),
        ({"type": "string", "minLength": 2.0, "maxLength": 3}, {"type": "string", "minLength": 2, "maxLength": 3}),
        ({"type": "array", "minItems": 0}, {"type": "array"}),
        ({"type": "object", "required": None}, {"type": "object"}),
        ({"type": "string", "$id": "https://example.org/a"}, {"type": "string"}),
        ({"properties": {"id": {}}}, {"properties": {"id": {}}, "additionalProperties": False}),
        ({"oneOf": [{"type": "null"}, True]}, {"anyOf": [{"type": "null"}, {}]}),
        (
            {"properties": {"a": {}}, "required": ["a"], "maxProperties": 3},
            {"properties": {"a": {}}, "required": ["a"], "maxProperties": 3, "additionalProperties": False},
        ),
        (
            {"properties": {"type": {"type": "string"}}},
            {"properties": {"type": {"type": "string"}}, "additionalProperties": False},
        ),
    ],
)
def test_schema_that_engines_know_in_other_words_is_rewritten(given: dict[str, Any], sent: dict[str, Any]) -> None:
    assert rewritten(given) == (sent, [])


@pytest.mark.parametrize(
    ("given", "sent", "dropped"),
    [
        (
            {"properties": {"a": False}},
            {"properties": {"a": {}}, "additionalProperties": False},
            "false at $.properties.a",
        ),
        ({"type": "array", "items": False}, {"type": "array", "items": {}}, "false at $.items"),
        ({"type": "file"}, {}, "type at $"),
        ({"type": ["string", "file"]}, {"type": ["string"]}, "type at $"),
        ({"type": None, "title": "x"}, {"title": "x"}, "type at $"),
        ({"enum": []}, {}, "enum at $"),
        ({"type": "string", "format": 5}, {"type": "string"}, "format at $"),
        ({"type": "string", "format": "uri"}, {"type": "string"}, "format at $"),
        ({"prefixItems": [{"type": "null"}], "items": {"type": "string"}}, {}, "items at $"),
        ({"type": "array", "minItems": -1}, {"type": "array"}, "minItems at $"),
        ({"type": "string", "maxLength": "5"}, {"type": "string"}, "maxLength at $"),
        ({"type": "string", "required": True}, {"type": "string"}, "required at $"),
        ({"type": "number", "multipleOf": 0}, {"type": "number"}, "multipleOf at $"),
        ({"type": "integer", "maximum": 2**64}, {"type": "integer"}, "maximum at $"),
        ({"$recursiveRef": "#"}, {}, "$recursiveRef at $"),
        ({"type": "string", "pattern": "^(a$"}, {"type": "string"}, "pattern at $"),
        ({"type": "string", "pattern": "^[z-a]$"}, {"type": "string"}, "pattern at $"),
        ({"type": "string", "pattern": "^a{,3}$"}, {"type": "string"}, "pattern at $"),
        ({"type": "string", "pattern": "^[[:alpha:]]$"}, {"type": "string"}, "pattern at $"),
        (
            {"properties": {"a": {}}, "minProperties": 1},
            {"properties": {"a": {}}, "additionalProperties": False},
            "minProperties at $",
        ),
        (
            {"properties": {"a": {"not": {}}}},
            {"properties": {"a": {}}, "additionalProperties": False},
            "not at $.properties.a",
        ),
    ],
)
def test_schema_that_engines_cannot_compile_is_reported(
    given: dict[str, Any], sent: dict[str, Any], dropped: str
) -> None:
    assert rewritten(given) == (sent, [dropped])
    with pytest.raises(LMStudioValueError, match=re.escape(dropped.split(maxsplit=1)[0])):
        answer_schema({"type": "object", "properties": {"x": given}})
    tool_definition({"name": "f", "parameters": {"type": "object", "properties": {"x": given}}})


def test_reference_to_the_root_gets_a_definition() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "$defs": {"root": {"type": "null"}}}
    hoisted = hoist_references(schema)
    again = {"type": "object", "properties": {"next": {"$ref": "#/$defs/root_2"}}}
    assert hoisted == {**again, "$defs": {"root": {"type": "null"}, "root_2": again}}


def test_reference_to_a_part_gets_a_definition_of_its_name() -> None:
    schema = {
        "properties": {"a~b": {"type": "integer"}, "c": {"$ref": "#/properties/a~0b"}, "d": {"$ref": "#/anyOf/1"}},
        "anyOf": [{}, {"type": "null"}],
    }
    hoisted = hoist_references(schema)
    assert hoisted["properties"]["c"] == {"$ref": "#/$defs/a_0b"}
    assert hoisted["properties"]["d"] == {"$ref": "#/$defs/1"}
    assert list(hoisted["$defs"].values()) == [{"type": "integer"}, {"type": "null"}]


def test_references_under_defs_stay_as_they_are() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"const": {"$ref": "#"}}}}
    assert hoist_references(schema) is schema


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


def test_recursive_class_is_sent_with_references_under_defs() -> None:
    for schema in (Tree.model_json_schema(), {"properties": {"next": {"$ref": "#"}}}):
        sent = str(answer_schema(schema, checked_afterwards=True))
        assert sent.count("$ref") == sent.count("#/$defs/")


def test_reference_into_a_list_that_is_too_short_is_an_error() -> None:
    with pytest.raises(LMStudioValueError, match="#/anyOf/7"):
        answer_schema({"anyOf": [{}], "properties": {"a": {"$ref": "#/anyOf/7"}}})
