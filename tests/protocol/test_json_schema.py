"""Schemas that the converters of LM Studio's engines would fail on (sources in the module's docstring)."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_patterns import engine_pattern
from lmstudio_integrations.protocol.json_schema import enforceable
from lmstudio_integrations.protocol.schema_references import hoist_references
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
        ({"allOf": [{"type": "string"}], "type": "string"}, {"type": "string"}),
        ({"type": "string", "pattern": "^a{,3}$"}, {"type": "string", "pattern": "^a{0,3}$"}),
        ({"type": "string", "maxLength": 1999}, {"type": "string", "maxLength": 1999}),
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
        ({"type": "string", "$anchor": "a"}, {"type": "string"}),
        ({"properties": {"$anchor": {}}}, {"properties": {"$anchor": {}}, "additionalProperties": False}),
        ({"type": "object", "properties": []}, {"type": "object", "properties": []}),
        ({"properties": {"id": {}}}, {"properties": {"id": {}}, "additionalProperties": False}),
        ({"oneOf": [{"type": "null"}, True]}, {"anyOf": [{"type": "null"}, {}]}),
        (
            {"properties": {"a": {}}, "required": ["a"], "maxProperties": 3},
            {"properties": {"a": {}}, "required": ["a"], "maxProperties": 3, "additionalProperties": False},
        ),
        (
            {"properties": {"a": {"type": "string"}}, "required": ["b"]},
            {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["b"], "additionalProperties": False},
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
        ({"prefixItems": [{"type": "null"}], "items": {"type": "string"}}, {}, "prefixItems with items at $"),
        ({"type": "array", "minItems": -1}, {"type": "array"}, "minItems at $"),
        ({"type": "string", "maxLength": "5"}, {"type": "string"}, "maxLength at $"),
        ({"type": "string", "required": True}, {"type": "string"}, "required at $"),
        ({"type": "number", "multipleOf": 0}, {"type": "number"}, "multipleOf at $"),
        ({"type": "integer", "maximum": 2**64}, {"type": "integer"}, "maximum at $"),
        ({"$recursiveRef": "#"}, {}, "$recursiveRef at $"),
        ({"type": "string", "pattern": "^(a$"}, {"type": "string"}, "pattern at $"),
        ({"type": "string", "pattern": "^[z-a]$"}, {"type": "string"}, "pattern at $"),
        ({"type": "string", "pattern": "^(?=a)a$"}, {"type": "string"}, "pattern at $"),
        ({"type": "string", "pattern": '^"a$'}, {"type": "string"}, "pattern at $"),
        ({"type": "string", "pattern": 5}, {"type": "string"}, "pattern at $"),
        ({"type": "string", "pattern": "^[a-z]{1,2000}$"}, {"type": "string"}, "pattern at $"),
        ({"type": "string", "format": {"a": 1}}, {"type": "string"}, "format at $"),
        ({"type": "string", "maxLength": 2000}, {"type": "string"}, "maxLength at $"),
        ({"type": "array", "minItems": 5000}, {"type": "array"}, "minItems at $"),
        ({"anyOf": []}, {}, "anyOf at $"),
        ({"oneOf": []}, {}, "oneOf at $"),
        ({"type": "integer", "minimum": "5"}, {"type": "integer"}, "minimum at $"),
        ({"type": "integer", "exclusiveMaximum": None}, {"type": "integer"}, "exclusiveMaximum at $"),
        ({"type": "number", "multipleOf": True}, {"type": "number"}, "multipleOf at $"),
        ({"type": "array", "minItems": True}, {"type": "array"}, "minItems at $"),
        ({"type": "array", "minItems": False}, {"type": "array"}, "minItems at $"),
        ({"type": "string", "minLength": 5, "maxLength": 2}, {"type": "string", "minLength": 5}, "maxLength at $"),
        (
            {"type": "object", "patternProperties": {"^(?=a)": {}}},
            {"type": "object", "patternProperties": {}},
            "patternProperties at $",
        ),
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


NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
AGE = {"properties": {"age": {"type": "number"}}, "required": ["age"], "description": "an age"}
BOTH = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "number"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ({"allOf": [NAME, AGE]}, BOTH | {"description": "an age"}),
        ({"allOf": [{"$ref": "#/$defs/N"}, AGE], "title": "T"}, BOTH | {"title": "T", "description": "an age"}),
        (NAME | {"allOf": [AGE], "additionalProperties": False}, BOTH | {"description": "an age"}),
        ({"$ref": "#/$defs/N", "properties": AGE["properties"], "required": ["age"]}, BOTH),
        (
            {"allOf": [{"type": "integer", "minimum": 1}, {"type": "number", "minimum": 3}]},
            {"type": "integer", "minimum": 3},
        ),
        ({"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, {"enum": [2]}),
        ({"allOf": [{"const": "a"}, {"type": "string"}]}, {"const": "a", "type": "string"}),
        (
            NAME | {"anyOf": [{"properties": {"name": {"const": "x"}}}, AGE]},
            {
                "anyOf": [
                    NAME | {"properties": {"name": {"const": "x", "type": "string"}}, "additionalProperties": False},
                    BOTH | {"description": "an age"},
                ]
            },
        ),
        (
            {"type": "object", "properties": {"a": {}, "b": {}}, "oneOf": [{"required": ["a"]}, {"required": ["a"]}]},
            {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": False},
        ),
        ({"type": "object", "anyOf": [BOTH, {"type": "null"}]}, {"type": "object", "anyOf": [BOTH, {"type": "null"}]}),
    ],
)
def test_what_stands_beside_alternatives_is_folded_into_them(written: dict[str, Any], sent: dict[str, Any]) -> None:
    made, dropped = rewritten({"properties": {"x": written}, "$defs": {"N": NAME}})
    found = made["properties"]["x"]
    for name in ("required", "properties"):
        assert sorted(found.get(name, ())) == sorted(sent.get(name, ()))
    assert (found | {"required": 0}, dropped) == (sent | {"required": 0}, [])


def test_alternatives_that_cannot_be_folded_are_reported() -> None:
    loop = {"$defs": {"L": {"anyOf": [{"$ref": "#/$defs/L"}], "required": ["a"]}}, "$ref": "#/$defs/L"}
    assert rewritten(loop)[1] == ["anyOf at $.$defs.L"]
    odd = {"properties": {"x": {"type": "string", "anyOf": [{"type": "null"}], "enum": ["a"]}}}
    assert rewritten(odd)[1] == ["anyOf at $.properties.x"]


def test_any_value_of_an_answer_has_the_list_of_all_types() -> None:
    class Anything(BaseModel):
        plain: Any
        many: list[Any]
        table: dict[str, Any]
        maybe: Any | None = None
        tuple_: tuple[Any, int]

    sent = answer_schema(Anything.model_json_schema(), checked_afterwards=True)["properties"]
    every = ["object", "array", "string", "number", "boolean", "null"]
    assert sent["plain"]["type"] == sent["many"]["items"]["type"] == sent["tuple_"]["prefixItems"][0]["type"] == every
    assert sent["maybe"]["anyOf"][0]["type"] == every
    assert sent["table"]["additionalProperties"] is True
    assert answer_schema({"additionalProperties": {}})["additionalProperties"] is True
    tool = tool_definition({"name": "f", "parameters": {"properties": {"x": {}}}}).to_wire()
    assert tool["function"]["parameters"]["properties"] == {"x": {}}, "a chat template may expect one type"


def test_objects_and_lists_of_an_enum_are_spelled_out() -> None:
    def sent(value: dict[str, Any]) -> Any:
        return answer_schema({"properties": {"x": value}})["properties"]["x"]

    assert sent({"const": []}) == {"type": "array", "items": {"type": "null"}, "maxItems": 0}
    assert sent({"enum": [{"a": 1}, [None]], "type": ["object", "array"]}) == {
        "anyOf": [
            {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False},
            {"type": "array", "prefixItems": [{"const": None}], "minItems": 1, "maxItems": 1},
        ]
    }


def test_reference_with_escapes_gets_a_plain_name() -> None:
    made = answer_schema({"properties": {"x": {"$ref": "#/$defs/a~1b"}}, "$defs": {"a/b": {"type": "null"}}})
    reference = made["properties"]["x"]["$ref"]
    assert "~" not in reference
    assert made["$defs"][reference.rpartition("/")[2]] == {"type": "null"}


@pytest.mark.parametrize(
    ("pattern", "sent"),
    [
        (r"^\d{5}(-\d{4})?$", "^[0-9]{5}(-[0-9]{4})?$"),
        (r"^\w+$", "^[0-9A-Z_a-z]+$"),
        (r"^[\d.]+$", r"^[\x2E0-9]+$"),
        (r"^a\/b\-c$", "^a/b-c$"),
        ("^(?:ab|cd)$", "^(ab|cd)$"),
        (r"^(?P<y>\d)$", "^([0-9])$"),
        ("^a+?b*?$", "^a+b*$"),
        ("^.$", r"^[^\x00-\x1F\x22\x5C\x7F]$"),
        ("^[^@]$", r"^[^\x00-\x1F\x22\x40\x5C\x7F]$"),
        ("^[ -~]$", r"^[ -\x21\x23-\x5B\x5D-\x7E]$"),
        ("^https?://", r"^https?://[^\x00-\x1F\x22\x5C\x7F]*$"),
        (r"\.pdf$", r"^[^\x00-\x1F\x22\x5C\x7F]*\.pdf$"),
        ("^[ä-ü]$", "^[ä-ü]$"),
        (r"^a\$", r"^a\$[^\x00-\x1F\x22\x5C\x7F]*$"),
        ("^[]a]$", r"^[\x5Da]$"),
        (r"^\(?\d{3}\)?$", r"^\(?[0-9]{3}\)?$"),
        (r"^\|*$", r"^\|*$"),
        ("^a|b$", "^(a|b)$"),
        ("^(a|b)$", "^(a|b)$"),
        ("^(?:*a)$", None),
        ("^a|*b$", None),
        ("+a", None),
        ("^a|b", None),
        (r"^\p{L}$", None),
        (r"^\bfoo$", None),
        ("^(?i)a$", None),
        ("^a++$", None),
        ("^*a$", None),
        ("^a{b}$", None),
        ("^(a^b)$", None),
        (r"^\\\\$", None),
        ('^["]$', None),
        ("^[a", None),
        ("^a\\", None),
    ],
)
def test_pattern_is_written_for_every_engine(pattern: str, sent: str | None) -> None:
    assert engine_pattern(pattern) == sent


@given(st.text(alphabet="ab09_ -.@/", max_size=6))
@pytest.mark.parametrize(
    "pattern", [r"^\d+$", r"^[\w.]+@\w+$", "a", "^a", "9$", "^[^b]*$", "^.{1,3}$", "^(?:a|b9)+?$", r"\s"]
)
def test_pattern_for_engines_matches_the_same_plain_strings(pattern: str, text: str) -> None:
    made = engine_pattern(pattern)
    assert made is not None
    assert bool(re.search(made, text)) == bool(re.search(pattern, text))


@given(st.text(max_size=12) | st.text(alphabet='^$.[]()|{}*+?\\"ad09-,:=<P!', max_size=12))
def test_pattern_for_engines_is_well_formed_or_none(pattern: str) -> None:
    made = engine_pattern(pattern)
    assert made is None or re.compile(made).pattern == made


def test_schema_that_contains_itself_is_an_error_that_names_the_tool() -> None:
    loop: dict[str, Any] = {"type": "object", "properties": {}}
    loop["properties"]["a"] = loop
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(500):
        deep = {"type": "array", "items": deep}
    for schema in (loop, {"properties": {"a": deep}}):
        with pytest.raises(LMStudioValueError, match="the tool 'f' contains itself, or is nested more than"):
            tool_definition({"name": "f", "parameters": schema})
        with pytest.raises(LMStudioValueError, match="The schema of the structured output contains itself"):
            answer_schema(schema)
