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

from lmstudio_integrations import LLM, Client
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
