"""References in JSON Schemas, and names that look like keywords."""

from __future__ import annotations

from typing import Any

import pytest

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.schema_references import check_references, hoist_references, with_defs
from lmstudio_integrations.protocol.structured import answer_schema
from lmstudio_integrations.protocol.tools import tool_definition

# Names of properties that are keywords of JSON Schema elsewhere.
KEYWORDS = [
    "example",
    "examples",
    "default",
    "const",
    "enum",
    "properties",
    "$defs",
    "definitions",
    "items",
    "$ref",
    "id",
]


@pytest.mark.parametrize("name", KEYWORDS)
def test_reference_in_a_property_that_is_named_like_a_keyword_is_checked(name: str) -> None:
    schema = {"type": "object", "properties": {name: {"$ref": "#/$defs/Nowhere"}}}
    with pytest.raises(LMStudioValueError, match=r"'#/\$defs/Nowhere', which is not in the schema"):
        check_references(schema, "the schema")


@pytest.mark.parametrize("name", KEYWORDS)
def test_reference_in_a_property_that_is_named_like_a_keyword_is_moved(name: str) -> None:
    moved = with_defs({"properties": {name: {"$ref": "#/definitions/A"}}, "definitions": {"A": {}}}, "the schema")
    assert moved == {"properties": {name: {"$ref": "#/$defs/A"}}, "$defs": {"A": {}}}
    hoisted = hoist_references({"properties": {name: {"$ref": "#"}}})
    assert hoisted["properties"][name] == {"$ref": "#/$defs/root"}


@pytest.mark.parametrize("keyword", ["enum", "const", "default", "examples", "example"])
def test_reference_in_data_is_data(keyword: str) -> None:
    schema = {keyword: [{"$ref": "#/definitions/No"}], "definitions": {}}
    check_references(schema, "the schema")
    assert hoist_references(schema) is schema
    assert with_defs(schema, "the schema")[keyword] == schema[keyword]


@pytest.mark.parametrize("anchor", ["$anchor", "$dynamicAnchor"])
@pytest.mark.parametrize("reference", ["#city", "#ci%74y"])
def test_reference_to_an_anchor_gets_a_definition(anchor: str, reference: str) -> None:
    schema = {
        "type": "object",
        "properties": {"from": {"type": "string", anchor: "city"}, "to": {"$ref": reference}},
        "required": ["from", "to"],
    }
    for made in (
        answer_schema(schema),
        tool_definition({"name": "go", "parameters": schema}).to_wire()["function"]["parameters"],
    ):
        (name,) = made["$defs"]
        assert made["properties"]["to"] == {"$ref": f"#/$defs/{name}"}
        assert made["$defs"][name] == made["properties"]["from"] == {"type": "string"}


@pytest.mark.parametrize("name", ["a b", "ä", "a/b", "a~b", "100%"])
def test_reference_with_escapes_finds_its_definition(name: str) -> None:
    escaped = name.replace("~", "~0").replace("/", "~1").replace("%", "%25").replace(" ", "%20").replace("ä", "%C3%A4")
    schema: dict[str, Any] = {"properties": {"x": {"$ref": f"#/$defs/{escaped}"}}, "$defs": {name: {"type": "null"}}}
    check_references(schema, "the schema")
    made = hoist_references(schema)
    assert made["$defs"][made["properties"]["x"]["$ref"].removeprefix("#/$defs/")] == {"type": "null"}


@pytest.mark.parametrize(
    "reference",
    ["#nowhere", "#/title", "#/required", "#/required/0", "#/type/0/x", "other.json#/a", "", "#a/b", "#/x/9"],
)
def test_reference_that_leads_to_no_schema_raises(reference: str) -> None:
    schema = {"title": "T", "required": ["a"], "type": "object", "properties": {"a": {"$ref": reference}}, "x": [{}]}
    for make in (answer_schema, lambda given: tool_definition({"name": "go", "parameters": given})):
        with pytest.raises(LMStudioValueError, match="not in the schema"):
            make(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"$anchor": "me", "$ref": "#me"},
    ],
)
def test_reference_that_refers_only_to_itself_raises(schema: dict[str, Any]) -> None:
    for make in (answer_schema, lambda given: tool_definition({"name": "go", "parameters": given})):
        with pytest.raises(LMStudioValueError, match="back to itself"):
            make({"type": "object", **schema})


@pytest.mark.parametrize("defs", [None, [], "x"])
def test_definitions_beside_defs_that_are_no_mapping_are_used(defs: Any) -> None:
    schema = {"$defs": defs, "definitions": {"A": {"type": "null"}}, "properties": {"a": {"$ref": "#/definitions/A"}}}
    assert with_defs(schema, "the schema")["$defs"] == {"A": {"type": "null"}}


@pytest.mark.parametrize("properties", [[], ["a"], None, "a"])
def test_properties_that_are_no_mapping_raise_no_foreign_error(properties: Any) -> None:
    schema = {"type": "object", "properties": properties, "required": ["a"]}
    tool_definition({"name": "go", "parameters": schema})
    answer_schema(schema)
