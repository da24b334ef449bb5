"""Objects made from a template: equal to constructed ones, and sharing nothing."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from pydantic import BaseModel, Field, PrivateAttr

from lmstudio_integrations.client.model_template import ModelTemplate

numbers = count()


class Inner(BaseModel):
    names: list[str] = Field(default_factory=list)


class Answer(BaseModel):
    text: str
    notes: list[str] = Field(default=[])
    seen: dict[str, Any] = Field(default={"by": []})
    number: int = Field(default_factory=numbers.__next__)
    inner: Inner = Field(default=Inner())
    kind: str = Field(default="answer")


class Private(BaseModel):
    text: str
    _calls: list[str] = PrivateAttr(default_factory=list)


@pytest.mark.parametrize("compact", [False, True])
def test_made_object_equals_a_constructed_one(compact: bool) -> None:
    made = ModelTemplate(Answer(text=""), "text", compact=compact).make({"text": "a"})
    constructed = Answer(text="a", number=made.number)
    assert made == constructed
    assert list(made.__dict__) == list(constructed.__dict__)
    assert made.model_dump_json() == constructed.model_dump_json()
    assert made.model_fields_set == {"text"}


@pytest.mark.parametrize("compact", [False, True])
def test_every_object_has_defaults_of_its_own(compact: bool) -> None:
    template = ModelTemplate(Answer(text=""), "text", compact=compact)
    one, other = template.make({"text": "a"}), template.make({"text": "b"})
    one.notes.append("x")
    one.seen["by"].append("x")
    one.inner.names.append("x")
    one.kind = "changed"
    assert (other.notes, other.seen, other.inner.names) == ([], {"by": []}, [])
    assert one.number != other.number
    assert one.model_fields_set == {"text", "kind"}
    assert other.model_fields_set == {"text"}


def test_class_with_private_attributes_is_constructed() -> None:
    template = ModelTemplate(Private(text=""), "text")
    one, other = template.make({"text": "a"}), template.make({"text": "b"})
    one._calls.append("x")
    assert (one.text, other.text, other._calls) == ("a", "b", [])
