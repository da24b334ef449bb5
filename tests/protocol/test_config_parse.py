"""Settings that a person wrote: what is accepted, and what the error says if not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel, ValidationError

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol import config as c
from lmstudio_integrations.protocol import config_dicts
from tests.protocol.closed import closed

PREDICTION, LOAD, EMBEDDING = c.LlmPredictionConfig, c.LlmLoadModelConfig, c.EmbeddingLoadModelConfig


def test_camel_case_and_snake_case_names_are_equal() -> None:
    camel = c.parse_config(PREDICTION, {"maxTokens": 5, "topPSampling": 0.5})
    snake = c.parse_config(PREDICTION, {"max_tokens": 5, "top_p_sampling": 0.5})
    assert camel == snake == PREDICTION(max_tokens=5, top_p_sampling=0.5)


def test_none_and_empty_settings_give_no_fields() -> None:
    for cls in (PREDICTION, LOAD, EMBEDDING):
        assert c.to_kv(c.parse_config(cls, None)) == {"fields": []}
        assert c.to_kv(c.parse_config(cls, {})) == {"fields": []}
    assert c.to_kv(c.parse_config(PREDICTION, {"temperature": None, "maxTokens": None})) == {"fields": []}


def test_settings_objects_and_mappings_are_accepted() -> None:
    config = PREDICTION(temperature=1)
    assert c.parse_config(PREDICTION, config) is config
    read_only: Mapping[str, Any] = MappingProxyType({"temperature": 1})
    assert c.parse_config(PREDICTION, read_only) == config


@pytest.mark.parametrize("value", [5, "temperature", [("temperature", 1)], LOAD()])
def test_settings_that_are_no_mapping_are_refused(value: Any) -> None:
    with pytest.raises(LMStudioValueError, match="settings of a prediction must be a mapping"):
        c.parse_config(PREDICTION, value)


@pytest.mark.parametrize(
    ("cls", "wrong", "right"),
    [
        (PREDICTION, "temprature", "temperature"),
        (PREDICTION, "maxtokens", "maxTokens"),
        (PREDICTION, "max_token", "max_tokens"),
        (PREDICTION, "topP", "topPSampling"),
        (PREDICTION, "stop_string", "stop_strings"),
        (PREDICTION, "TEMPERATURE", "temperature"),
        (LOAD, "contextlength", "contextLength"),
        (LOAD, "gpus", "gpu"),
        (EMBEDDING, "context_lenght", "context_length"),
    ],
)
def test_misspelt_setting_raises_with_the_nearest_name(cls: type[c.Config], wrong: str, right: str) -> None:
    with pytest.raises(LMStudioValueError) as caught:
        c.parse_config(cls, {wrong: 1})
    assert f"'{wrong}'" in str(caught.value)
    assert f"did you mean '{right}'?" in str(caught.value)


def test_misspelt_setting_in_gpu_raises_with_the_nearest_name() -> None:
    with pytest.raises(LMStudioValueError, match="'ration' for the GPU; did you mean 'ratio'"):
        c.parse_config(LOAD, {"gpu": {"ration": 1}})
    with pytest.raises(LMStudioValueError, match="'ratio' must be a number from 0 to 1"):
        c.parse_config(LOAD, {"gpu": {"ratio": 2}})


def test_unknown_setting_without_a_near_name_lists_all_names() -> None:
    with pytest.raises(LMStudioValueError, match="there are temperature, contextOverflowPolicy"):
        c.parse_config(PREDICTION, {"qqqqqqq": 1})
    with pytest.raises(LMStudioValueError, match="no setting 5"):
        c.parse_config(PREDICTION, {5: 1})  # type: ignore[dict-item]


def test_setting_under_both_spellings_is_refused() -> None:
    with pytest.raises(LMStudioValueError, match="'maxTokens' and 'max_tokens' are the same"):
        c.parse_config(PREDICTION, {"maxTokens": 1, "max_tokens": 2})
    assert c.parse_config(PREDICTION, {"maxTokens": None, "max_tokens": 2}).max_tokens == 2


@pytest.mark.parametrize(
    ("cls", "name", "value", "would_do"),
    [
        (PREDICTION, "temperature", -0.1, "a number of at least 0"),
        (PREDICTION, "temperature", "warm", "a number of at least 0"),
        (PREDICTION, "temperature", "0.5", "a number of at least 0"),
        (PREDICTION, "temperature", True, "a number of at least 0"),
        (PREDICTION, "temperature", math.nan, "a number of at least 0"),
        (PREDICTION, "temperature", math.inf, "a number of at least 0"),
        (PREDICTION, "maxTokens", -1, "or false for no limit"),
        (PREDICTION, "maxTokens", 0, "or false for no limit"),
        (PREDICTION, "maxTokens", 1.5, "or false for no limit"),
        (PREDICTION, "max_tokens", True, "or false for no limit"),
        (PREDICTION, "topKSampling", 501, "from -1 to 500"),
        (PREDICTION, "topKSampling", False, "from -1 to 500"),
        (PREDICTION, "topPSampling", 1.01, "from 0 to 1"),
        (PREDICTION, "stopStrings", "END", "a list of texts"),
        (PREDICTION, "stopStrings", [1], "a list of texts"),
        (PREDICTION, "contextOverflowPolicy", "stop", "stopAtLimit"),
        (PREDICTION, "enableThinking", 1, "true or false"),
        (PREDICTION, "rawTools", {"type": "array"}, "toolArray"),
        (PREDICTION, "promptTemplate", {"type": "jinja", "template": "x"}, "jinjaPromptTemplate"),
        (PREDICTION, "reasoningParsing", {"enabled": "yes"}, "startString"),
        (PREDICTION, "mirostatSampling", {"version": 3}, "learningRate"),
        (PREDICTION, "raw", [1], "LM Studio's own keys"),
        (PREDICTION, "raw", {"fields": [1]}, "LM Studio's own keys"),
        (PREDICTION, "raw", {"fields": [{"value": 1}]}, "LM Studio's own keys"),
        (PREDICTION, "seed", -2, "at least -1"),
        (LOAD, "contextLength", 0, "at least 1"),
        (LOAD, "maxParallelPredictions", 1024, "from 1 to 1023"),
        (LOAD, "llamaKCacheQuantizationType", "q9", "q8_0"),
        (LOAD, "gpu", "max", "ratio"),
        (LOAD, "flashAttention", "on", "true or false"),
        (EMBEDDING, "ropeFrequencyBase", -1, "at least 0"),
    ],
)
def test_invalid_value_raises_with_what_is_expected(cls: type[c.Config], name: str, value: Any, would_do: str) -> None:
    with pytest.raises(LMStudioValueError) as caught:
        c.parse_config(cls, {name: value})
    message = str(caught.value)
    assert message.startswith(f"'{name}' must be ")
    assert would_do in message
    assert message.endswith(f"not {value!r}.")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("toolChoice", "any", "none, auto, required"),
        ("structured", 5, "JSON Schema"),
        ("structured", {"properties": {"a": {"not": {}}}}, "'not' at $.properties.a"),
        ("rawTools", {"type": "toolArray", "tools": [{}]}, "needs a name"),
        ("raw_tools", {"type": "toolArray", "tools": [{"name": "f", "parameters": {"$ref": "#no"}}]}, "tool 'f'"),
    ],
)
def test_invalid_schema_or_tool_in_a_setting_raises_with_its_own_reason(name: str, value: Any, reason: str) -> None:
    with pytest.raises(LMStudioValueError) as caught:
        c.parse_config(PREDICTION, {name: value})
    assert str(caught.value).startswith(f"'{name}': ")
    assert reason in str(caught.value)


def test_long_value_is_shortened_in_the_error() -> None:
    with pytest.raises(LMStudioValueError) as caught:
        c.parse_config(PREDICTION, {"temperature": "x" * 10_000})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [math.nan, {1, 2}, "\ud83d", object()])
def test_raw_values_outside_json_are_refused(value: Any) -> None:
    with pytest.raises(LMStudioValueError, match=r"'raw' cannot be sent: \$\.k"):
        c.parse_config(PREDICTION, {"raw": {"k": value}})


def test_text_with_lone_surrogates_is_refused() -> None:
    with pytest.raises(LMStudioValueError, match="'stopStrings' cannot be sent"):
        c.parse_config(PREDICTION, {"stopStrings": ["ok", "\ud83d"]})


def test_pydantic_class_is_a_structured_setting() -> None:
    class Book(BaseModel):
        title: str

    config = c.parse_config(PREDICTION, {"structured": Book})
    assert config.structured == {"type": "json", "jsonSchema": closed(Book.model_json_schema())}


def test_tools_in_every_form_are_accepted() -> None:
    tools = {"type": "toolArray", "tools": [{"name": "f", "parameters": {}}]}
    config = c.parse_config(PREDICTION, {"rawTools": tools})
    assert config.raw_tools == {
        "type": "toolArray",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    }


def test_settings_classes_refuse_unknown_names() -> None:
    with pytest.raises(ValidationError):
        PREDICTION(temprature=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("cls", "dictionary"),
    [
        (PREDICTION, config_dicts.LlmPredictionConfigDict),
        (LOAD, config_dicts.LlmLoadModelConfigDict),
        (EMBEDDING, config_dicts.EmbeddingLoadModelConfigDict),
        (c.GpuSetting, config_dicts.GpuSettingDict),
    ],
)
def test_typed_dicts_have_the_names_of_the_settings_classes(cls: type[c.Config], dictionary: Any) -> None:
    names = [name for own, field in cls.model_fields.items() for name in dict.fromkeys([field.alias, own])]
    assert list(get_type_hints(dictionary)) == names


@pytest.mark.parametrize("cls", [PREDICTION, LOAD, EMBEDDING, c.GpuSetting])
def test_every_setting_has_a_description(cls: type[c.Config]) -> None:
    assert all(field.description for field in cls.model_fields.values())


@pytest.mark.parametrize(
    ("setting", "made"),
    [
        ({"temperature": "float32:0.5"}, 0.5),
        ({"temperature": "int64:1"}, 1),
        ({"seed": "int64:7"}, 7),
        ({"maxTokens": "uint8:5"}, 5),
        ({"topKSampling": "float64:40"}, 40),
    ],
)
def test_scalars_of_numpy_are_numbers(setting: dict[str, str], made: float) -> None:
    numpy = pytest.importorskip("numpy")
    ((key, text),) = setting.items()
    kind, _, number = text.partition(":")
    wire = c.to_kv(c.parse_config(PREDICTION, {key: getattr(numpy, kind)(float(number))}))
    value = wire["fields"][0]["value"]
    value = value["value"] if isinstance(value, dict) else value
    assert value == made
    assert type(value) is type(made)


def test_fraction_is_a_number_and_not_an_integer() -> None:
    assert c.parse_config(PREDICTION, {"temperature": Fraction(1, 2)}).temperature == 0.5
    with pytest.raises(LMStudioValueError, match="'seed' must be a whole number"):
        c.parse_config(PREDICTION, {"seed": Fraction(1, 2)})


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), 10**5000, Fraction(10**400), math.inf, True],
    ids=["large", "negative", "larger than can be shown", "fraction", "inf", "true"],
)
@pytest.mark.parametrize("key", ["temperature", "seed"])
def test_number_that_json_readers_have_as_infinite_is_refused(key: str, value: Any) -> None:
    with pytest.raises(LMStudioValueError, match=f"'{key}' must be a"):
        c.parse_config(PREDICTION, {key: value})


def test_value_that_is_nested_too_deeply_to_be_shown_is_named_by_its_type() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(LMStudioValueError, match="not this list"):
        c.parse_config(PREDICTION, {"temperature": deep})
