from __future__ import annotations

import sys
import typing
from collections.abc import Callable
from typing import Any, NotRequired

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.structured import structured_value
from tests.frame_validation import schema, transcripts
from tests.frame_validation.shared import needs_shared
from tests.protocol.closed import closed


class Book(BaseModel):
    title: str
    year: int


class Shelf(BaseModel):
    books: list[Book]


class _Duck:
    def model_json_schema(self) -> dict[str, Any]:
        return {"type": "object"}


JSON_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
ACCEPTED: list[tuple[Any, dict[str, Any]]] = [
    (None, {"type": "none"}),
    ({"type": "none"}, {"type": "none"}),
    ({"type": "text"}, {"type": "none"}),
    (Book, {"type": "json", "jsonSchema": closed(Book.model_json_schema())}),
    (Shelf, {"type": "json", "jsonSchema": closed(Shelf.model_json_schema())}),
    (_Duck(), {"type": "json", "jsonSchema": {"type": "object"}}),
    (JSON_SCHEMA, {"type": "json", "jsonSchema": closed(JSON_SCHEMA)}),
    ({"anyOf": [JSON_SCHEMA]}, {"type": "json", "jsonSchema": {"anyOf": [closed(JSON_SCHEMA)]}}),
    (
        {"type": "array", "items": {}},
        {
            "type": "json",
            "jsonSchema": {
                "type": "array",
                "items": {"type": ["object", "array", "string", "number", "boolean", "null"]},
            },
        },
    ),
    ({"type": "json"}, {"type": "json"}),
    ({"type": "json", "jsonSchema": JSON_SCHEMA}, {"type": "json", "jsonSchema": closed(JSON_SCHEMA)}),
    ({"type": "json", "json_schema": JSON_SCHEMA}, {"type": "json", "jsonSchema": closed(JSON_SCHEMA)}),
    ({"type": "json_object"}, {"type": "json", "jsonSchema": {"type": "object"}}),
    (
        {"type": "json_schema", "json_schema": {"name": "x", "schema": JSON_SCHEMA}},
        {"type": "json", "jsonSchema": closed(JSON_SCHEMA)},
    ),
    ({"type": "gbnf", "gbnfGrammar": 'root ::= "a"'}, {"type": "gbnf", "gbnfGrammar": 'root ::= "a"'}),
]


@pytest.mark.parametrize(("asked", "value"), ACCEPTED)
def test_every_response_format_has_one_wire_form(asked: Any, value: dict[str, Any]) -> None:
    assert structured_value(asked) == value
    assert structured_value(value) == value


@needs_shared
def test_every_structured_setting_is_valid_by_the_schema() -> None:
    for asked, _ in ACCEPTED:
        schema.check_definition("llmStructuredPredictionSetting", structured_value(asked))


def test_definitions_move_to_defs() -> None:
    value = structured_value({"$ref": "#/definitions/A", "definitions": {"A": {"type": "string"}}})
    assert value["jsonSchema"] == {"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}}


@pytest.mark.parametrize(
    "asked",
    [
        5,
        "json",
        [JSON_SCHEMA],
        True,
        int,
        {"type": "json", "jsonSchema": []},
        {"type": "json", "jsonSchema": "{}"},
        {"type": "json", "jsonSchema": True},
        {"type": "gbnf"},
        {"type": "gbnf", "gbnfGrammar": 5},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"schema": 5}},
        {"properties": {"a": {"minimum": float("inf")}}},
        {"properties": {"a": {1, 2}}},
        {"properties": {"a": "\ud83d"}},
    ],
)
def test_invalid_schema_is_refused(asked: Any) -> None:
    with pytest.raises(LMStudioValueError):
        structured_value(asked)


def test_default_that_json_cannot_hold_is_left_out() -> None:
    number = {"type": "number", "default": float("inf"), "examples": [1, float("nan")]}
    asked = {"type": "object", "properties": {"default": number, "b": {"type": "string", "default": "\ud83d"}}}
    properties = structured_value(asked)["jsonSchema"]["properties"]
    assert properties == {"default": {"type": "number"}, "b": {"type": "string"}}


def test_anchor_and_encoded_pointer_are_references() -> None:
    asked = {
        "type": "object",
        "properties": {"a": {"$ref": "#/definitions/List%3CA%3E"}, "b": {"$ref": "#/$defs/B%20~1c"}},
        "definitions": {"List<A>": {"type": "string"}},
        "$defs": {"B /c": {"type": "integer"}},
    }
    made = structured_value(asked)["jsonSchema"]
    kinds = [made["$defs"][item["$ref"].rpartition("/")[2]]["type"] for item in made["properties"].values()]
    assert kinds == ["string", "integer"]
    with pytest.raises(LMStudioValueError, match="'#nowhere', which is not in the schema"):
        structured_value({"properties": {"a": {"$ref": "#nowhere"}}})


def test_given_schema_shares_no_object_with_the_sent_one() -> None:
    given: dict[str, Any] = {"type": "object", "properties": {"a": {}}}
    sent = structured_value(given)
    sent["jsonSchema"]["properties"]["b"] = {}
    assert given == {"type": "object", "properties": {"a": {}}}


@needs_shared
@pytest.mark.parametrize("name", ["structured.js20", "structured.py16"])
def test_recorded_schemas_of_the_official_sdks_are_sent_equally(name: str) -> None:
    recorded = transcripts.settings(name, "predict")
    assert recorded
    for sent in recorded:
        assert structured_value(sent["llm.prediction.structured"]) == closed(sent["llm.prediction.structured"])


class BookDict(TypedDict):
    title: str
    year: NotRequired[int]


def test_typed_dict_is_sent_as_its_schema() -> None:
    value = structured_value(BookDict)
    assert value["type"] == "json"
    assert value["jsonSchema"]["properties"].keys() == {"title", "year"}
    assert value["jsonSchema"]["required"] == ["title"]
    assert value["jsonSchema"]["additionalProperties"] is False


class Unknown(TypedDict):
    value: Callable[[], int]


class UnknownModel(BaseModel):
    value: Callable[[], int]


class Undefined(TypedDict):
    value: Nowhere  # type: ignore[name-defined]  # noqa: F821


class UndefinedModel(BaseModel):
    value: Nowhere  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("kind", [Unknown, UnknownModel, Undefined, UndefinedModel])
def test_class_without_a_schema_is_refused_by_its_name(kind: type) -> None:
    with pytest.raises(LMStudioValueError, match=f"{kind.__name__} has no JSON Schema"):
        structured_value(kind)


class PlainBook(typing.TypedDict):
    title: str


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic reads typing.TypedDict from Python 3.12 on")
def test_typed_dict_of_typing_is_refused_with_advice_on_python_3_11() -> None:
    with pytest.raises(LMStudioValueError, match=r"typing_extensions\.TypedDict"):
        structured_value(PlainBook)
