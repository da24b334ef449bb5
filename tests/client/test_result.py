"""What a prediction leaves behind."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from lmstudio_integrations import LMStudioStructuredOutputError, LMStudioValueError
from lmstudio_integrations.client.result import PredictionResult, read_structured
from tests.packet_builders import fragment, read_all, success


class Person(BaseModel):
    name: str
    born: date


class PersonDict(TypedDict):
    name: str


@dataclass
class PersonData:
    name: str
    born: date


def result_of(*packets: Any, structured: bool = False) -> PredictionResult:
    reader, _ = read_all(*packets, success(), structured=structured)
    assert reader.result is not None
    return reader.result


def test_str_of_a_plain_result_is_its_content(capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of(fragment("Hi "), fragment("there"))
    print(result)  # noqa: T201  # what the documentation shows
    assert capsys.readouterr().out == "Hi there\n"
    assert (result.parsed, result.structured, result.parse_error) == ("Hi there", False, None)


def test_str_of_a_structured_result_is_indented_json(capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of(fragment('{"name":"Zoë",'), fragment('"age":5}'), structured=True)
    print(result)  # noqa: T201
    assert capsys.readouterr().out == '{\n  "name": "Zoë",\n  "age": 5\n}\n'
    assert (result.parsed, result.structured, result.content) == (
        {"name": "Zoë", "age": 5},
        True,
        '{"name":"Zoë","age":5}',
    )


@pytest.mark.parametrize("text", ["", '{"name":"Zo', "no JSON", "[" * 100_000])
def test_truncated_document_is_text_with_a_parse_error(text: str) -> None:
    result = result_of(fragment(text), structured=True)
    assert (result.structured, result.parsed, result.content) == (False, text, text)
    assert result.parse_error is not None
    assert "not a JSON document" in result.parse_error
    assert str(result) == text


def test_document_in_the_reasoning_is_used_if_there_is_no_content() -> None:
    result = result_of(fragment('{"a": 1}', "reasoning"), fragment("\n"), structured=True)
    assert (result.structured, result.parsed, result.parsed_from_reasoning) == (True, {"a": 1}, True)


def test_reasoning_is_not_parsed_if_there_is_content() -> None:
    assert read_structured(True, '{"a": 1}', '{"a": 2}') == (True, {"a": 1}, False, None)
    assert read_structured(True, "oops", '{"a": 2}')[0] is False


def test_content_is_parsed_only_with_a_response_format() -> None:
    assert read_structured(False, '{"a": 1}', "") == (False, '{"a": 1}', False, None)


def test_result_is_immutable() -> None:
    result = result_of(fragment("Hi"))
    with pytest.raises(AttributeError):
        result.content = "other"  # type: ignore[misc]


def test_result_can_be_pickled() -> None:
    result = result_of(fragment('{"a": 1}'), structured=True)
    assert pickle.loads(pickle.dumps(result)) == result


def test_configurations_of_a_result_fit_json() -> None:
    result = result_of(fragment("Hi"))
    json.dumps(
        [result.load_config, result.prediction_config, result.stats.model_dump(), result.model_info.model_dump()]
    )


ZOE = '{"name": "Zoë", "born": "2019-05-01"}'


@pytest.mark.parametrize("kind", [Person, PersonData])
def test_parsed_as_makes_an_object_of_a_class(kind: Any) -> None:
    result = result_of(fragment(ZOE), structured=True)
    assert result.parsed_as(kind) == kind(name="Zoë", born=date(2019, 5, 1))
    assert result.parsed == {"name": "Zoë", "born": "2019-05-01"}  # LM Studio's documentation promises a dictionary


def test_parsed_as_makes_what_a_typed_dict_or_a_list_describes() -> None:
    assert result_of(fragment(ZOE), structured=True).parsed_as(PersonDict) == {"name": "Zoë"}
    assert result_of(fragment("[1, 2]"), structured=True).parsed_as(list[int]) == [1, 2]


def test_parsed_as_reads_the_document_in_the_reasoning_if_there_is_no_answer() -> None:
    result = result_of(fragment(ZOE, "reasoning"), structured=True)
    assert result.parsed_as(Person).name == "Zoë"


def test_parsed_as_reads_a_document_within_a_code_fence() -> None:
    result = result_of(fragment(f"```json\n{ZOE}\n```"), structured=True)
    assert (result.structured, result.parsed_as(Person).name) == (False, "Zoë")


def test_parsed_as_refuses_an_incomplete_or_other_document_and_plain_text() -> None:
    with pytest.raises(LMStudioStructuredOutputError, match="expected a JSON document"):
        result_of(fragment('{"name":"Zo'), structured=True).parsed_as(Person)
    with pytest.raises(LMStudioStructuredOutputError, match=r"does not fit Person: .*\s*born"):
        result_of(fragment('{"name":"Zoë"}'), structured=True).parsed_as(Person)
    with pytest.raises(LMStudioValueError, match="response_format="):
        result_of(fragment(ZOE)).parsed_as(Person)
