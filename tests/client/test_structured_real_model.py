"""Schemas of pydantic classes before the real model: the engine compiles what the client sends of each."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    Field,
    FilePath,
    HttpUrl,
    IPvAnyAddress,
    Json,
    NegativeInt,
    RootModel,
    SecretStr,
    StringConstraints,
)

from lmstudio_integrations import LLM, Client, LMStudioInvalidRequestError
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.emulator.backends.llama_cpp import available, find_model

WHY_NOT = available()
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or ""),
]


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Node(BaseModel):
    name: str
    children: list[Node] = []


TYPES: dict[str, Any] = {
    "set": set[str],
    "frozenset of a literal": frozenset[Literal["a", "b"]],
    "HttpUrl": HttpUrl,
    "AnyUrl": AnyUrl,
    "SecretStr": SecretStr,
    "Path": Path,
    "FilePath": FilePath,
    "look-ahead": Annotated[str, Field(json_schema_extra={"pattern": "^(?=a)a$"})],
    "pattern without anchors": Annotated[str, StringConstraints(pattern="a+")],
    "length": Annotated[str, StringConstraints(min_length=1, max_length=4000)],
    "decimal": Decimal,
    "bytes": bytes,
    "uuid": uuid.UUID,
    "date": dt.date,
    "datetime": AwareDatetime,
    "time": dt.time,
    "timedelta": dt.timedelta,
    "address": IPvAnyAddress,
    "enum": Colour,
    "negative": NegativeInt,
    "tuple": tuple[int, str],
    "dict": dict[str, int],
    "dict of a literal": dict[Literal["a", "b"], int],
    "dict of an enum": dict[Colour, int],
    "dict of numbers": dict[int, str],
    "union": int | str | None,
    "multiple": Annotated[int, Field(multiple_of=7)],
    "json": Json[list[int]],
    "any": Any,
    "list of any": list[Any],
    "zip code": Annotated[str, StringConstraints(pattern=r"^\d{5}$")],
    "mail pattern": Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[\w.-]+$")],
    "slash": Annotated[str, StringConstraints(pattern=r"^a\/b$")],
    "enum of lists": Literal[1, "a"] | Annotated[list[int], Field(json_schema_extra={"enum": [[1], [2, 3]]})],
    "list bounds": Annotated[list[int], Field(min_length=1, max_length=3)],
}


@pytest.fixture(scope="module")
def model() -> Iterator[LLM]:
    with Emulator(model_path=find_model()) as server, Client(server.url) as client:
        yield client.llm.model()


@pytest.mark.parametrize("name", TYPES)
def test_response_format_of_a_pydantic_field_compiles(model: LLM, name: str) -> None:
    holder: type[BaseModel] = type("Holder", (BaseModel,), {"__annotations__": {"value": TYPES[name]}})
    result = model.respond("Hi", response_format=holder, config={"maxTokens": 4})
    assert result.content.lstrip().startswith("{")


def test_response_format_of_a_recursive_class_compiles(model: LLM) -> None:
    assert model.respond("Hi", response_format=Node, config={"maxTokens": 4}).content.lstrip().startswith("{")


def test_response_format_of_a_root_model_compiles(model: LLM) -> None:
    result = model.respond("Hi", response_format=RootModel[set[int]], config={"maxTokens": 4})
    assert result.content.lstrip().startswith("[")


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {"enum": [1]}, "b": {"enum": [2]}}},
        {"allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {"const": 2}}}], "$defs": {"A": {"required": ["a"]}}},
        {"properties": {"a": {"const": {"x": [1, None]}}}, "required": ["a"]},
        {"properties": {"a": {"$ref": "#/$defs/a~1b"}}, "required": ["a"], "$defs": {"a/b": {"const": "c"}}},
    ],
)
def test_response_format_of_a_schema_with_alternatives_compiles(model: LLM, schema: dict[str, Any]) -> None:
    result = model.respond("Hi", response_format={"type": "object", **schema}, config={"maxTokens": 4})
    assert result.content.lstrip().startswith("{")


@pytest.mark.parametrize(
    ("grammar", "accepted"),
    [
        (r"\d{3,3}", False),
        (r'("\d"{3,3})', False),
        (r"[\d-]{3,3}", False),
        (r'"a\/b"', False),
        ("[a-z]{2500,}", False),
        ("[0-9]{3,3}", True),
        (r"[\x2D-\x2E0-9A-Z_a-z]{1,3}", True),
        (r"[ -\x21\x23-\x5B\x5D-\x7E]{1,3}", True),
        (r"[^\x00-\x1F\x22\x40\x5C\x7F]{1,3}", True),
        ('"ä" [ö-ü]', True),
    ],
)
def test_grammars_as_llama_cpp_makes_them_of_patterns_compile_only_in_our_notation(
    model: LLM, grammar: str, *, accepted: bool
) -> None:
    response_format = {"type": "gbnf", "gbnfGrammar": f'root ::= "x" {grammar}'}
    if accepted:
        assert model.respond("Hi", response_format=response_format, config={"maxTokens": 8}).content
    else:
        with pytest.raises(LMStudioInvalidRequestError, match="failed to parse grammar"):
            model.respond("Hi", response_format=response_format, config={"maxTokens": 8})
