"""What is asked of LM Studio, as values: every option in its place on the wire, and every answer read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from lmstudio_integrations import (
    EmbeddingLoadModelConfig,
    LlmLoadModelConfig,
    LlmPredictionConfig,
    LMStudioModelNotFoundError,
    LMStudioProtocolError,
    LMStudioValueError,
)
from lmstudio_integrations.client import requests
from lmstudio_integrations.client.images import ImageFile, ImagePart
from tests.frame_validation.conversation import ABSENT
from tests.frame_validation.schema import SchemaWitness
from tests.frame_validation.shared import KEYS_PATH, SCHEMA_PATH, needs_shared
from tests.packet_builders import INSTANCE
from tests.protocol.closed import closed

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
SUBTRACT = {"name": "subtract", "parameters": {"type": "object", "properties": {}}}


class Person(BaseModel):
    name: str


def valid(prediction: requests.Prediction) -> requests.Prediction:
    if SCHEMA_PATH.is_file():
        SchemaWitness().complain("llm", "channel", prediction.endpoint, "creationParameter", creation_of(prediction))
    return prediction


def creation_of(prediction: requests.Prediction, identifier: str | None = "m") -> dict[str, Any]:
    creation: dict[str, Any] = json.loads(prediction.parameter.text(identifier))
    return creation


def fields_of(layer: str = "apiOverride", history: Any = "Hi", **options: Any) -> dict[str, Any]:
    """The settings that a prediction sends in one layer."""
    prediction = valid(requests.prediction(history, **options))
    layers = creation_of(prediction)["predictionConfigStack"]["layers"]
    (found,) = [item for item in layers if item["layerName"] == layer]
    return {field["key"].removeprefix("llm.prediction."): field["value"] for field in found["config"]["fields"]}


# Predictions


def test_prediction_specifies_its_model_by_identifier_or_any() -> None:
    assert creation_of(valid(requests.prediction("Hi")))["modelSpecifier"] == {
        "type": "query",
        "query": {"identifier": "m"},
    }
    assert creation_of(valid(requests.prediction("Hi")), None)["modelSpecifier"] == {"type": "query", "query": {}}


def test_prediction_without_options_sends_no_settings() -> None:
    prediction = valid(requests.prediction("Hi"))
    assert fields_of() == {}
    assert set(creation_of(prediction)) == {"modelSpecifier", "history", "predictionConfigStack"}
    assert (prediction.endpoint, prediction.structured) == ("predict", False)


@pytest.mark.parametrize(
    "config",
    [
        {"maxTokens": 9, "topPSampling": 0.5, "temperature": 0},
        {"max_tokens": 9, "top_p_sampling": 0.5, "temperature": 0},
        {"maxTokens": 9, "top_p_sampling": 0.5, "temperature": 0, "seed": None},
        LlmPredictionConfig(max_tokens=9, top_p_sampling=0.5, temperature=0),
        LlmPredictionConfig.model_validate({"maxTokens": 9, "topPSampling": 0.5, "temperature": 0}),
    ],
)
def test_settings_have_camel_case_and_snake_case_names(config: Any) -> None:
    assert fields_of(config=config) == {
        "temperature": 0,
        "maxPredictedTokens": {"checked": True, "value": 9},
        "topPSampling": {"checked": True, "value": 0.5},
    }


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("temprature", "temperature"),
        ("max_token", "max_tokens"),
        ("maxtokens", "maxTokens"),
        ("MaxTokens", "maxTokens"),
        ("max-tokens", "maxTokens"),
        ("topPSamplign", "topPSampling"),
        ("stop_string", "stop_strings"),
        ("repeatpenalty", "repeatPenalty"),
    ],
)
def test_misspelt_setting_raises_with_the_nearest_name(wrong: str, right: str) -> None:
    with pytest.raises(LMStudioValueError, match=f"'{wrong}'.*did you mean '{right}'"):
        requests.prediction("Hi", config={wrong: 1})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"temperature": "hot"}, "'temperature' must be a number of at least 0, not 'hot'"),
        ({"temperature": -1}, "'temperature' must be"),
        ({"temperature": True}, "'temperature' must be"),
        ({"temperature": float("nan")}, "'temperature' must be"),
        ({"maxTokens": -1}, "'maxTokens' must be a whole number of at least 1, or false"),
        ({"max_tokens": 1.5}, "'max_tokens' must be"),
        ({"stopStrings": "END"}, "'stopStrings' must be a list of texts"),
        ({"topPSampling": 2}, "'topPSampling' must be a number from 0 to 1"),
        ({"contextOverflowPolicy": "cut"}, "stopAtLimit"),
        ({"maxTokens": 5, "max_tokens": 6}, "same setting"),
        ({"raw": {"x": float("inf")}}, "'raw' cannot be sent"),
        ([("temperature", 1)], "must be a mapping"),
        ("temperature", "must be a mapping"),
        (LlmLoadModelConfig(), "must be a mapping or LlmPredictionConfig"),
    ],
)
def test_ill_typed_setting_raises_with_what_is_expected(config: Any, words: str) -> None:
    with pytest.raises(LMStudioValueError, match=words):
        requests.prediction("Hi", config=config)


def test_false_unchecks_a_setting() -> None:
    assert fields_of(config={"maxTokens": False})["maxPredictedTokens"]["checked"] is False


PERSON_SCHEMA = Person.model_json_schema()


@pytest.mark.parametrize(
    ("response_format", "value", "structured"),
    [
        (Person, {"type": "json", "jsonSchema": closed(PERSON_SCHEMA)}, True),
        (PERSON_SCHEMA, {"type": "json", "jsonSchema": closed(PERSON_SCHEMA)}, True),
        ({"type": "json", "jsonSchema": PERSON_SCHEMA}, {"type": "json", "jsonSchema": closed(PERSON_SCHEMA)}, True),
        ({"type": "json"}, {"type": "json"}, True),
        ({"type": "json_object"}, {"type": "json", "jsonSchema": {"type": "object"}}, True),
        (
            {"type": "json_schema", "json_schema": {"name": "Person", "schema": PERSON_SCHEMA, "strict": True}},
            {"type": "json", "jsonSchema": closed(PERSON_SCHEMA)},
            True,
        ),
        ({"type": "gbnf", "gbnfGrammar": 'root ::= "x"'}, {"type": "gbnf", "gbnfGrammar": 'root ::= "x"'}, False),
        ({"type": "none"}, {"type": "none"}, False),
    ],
)
def test_response_format_in_every_form_is_sent_as_a_schema(response_format: Any, value: Any, structured: bool) -> None:
    assert fields_of(response_format=response_format) == {"structured": value}
    assert requests.prediction("Hi", response_format=response_format).structured is structured


def test_object_with_a_json_schema_is_a_response_format() -> None:
    class Shape:
        @staticmethod
        def model_json_schema() -> dict[str, Any]:
            return {"type": "object", "properties": {}}

    assert fields_of(response_format=Shape)["structured"]["jsonSchema"] == {"type": "object", "properties": {}}
    assert fields_of(response_format=Shape())["structured"]["type"] == "json"


def test_definitions_of_older_schemas_move_to_defs() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/definitions/A"}},
        "definitions": {"A": {"type": "integer"}},
    }
    sent = fields_of(response_format=schema)["structured"]["jsonSchema"]
    assert sent["properties"]["a"] == {"$ref": "#/$defs/A"}
    assert sent["$defs"] == {"A": {"type": "integer"}}


@pytest.mark.parametrize(
    "response_format",
    [
        5,
        "json",
        str,
        [],
        {"type": "gbnf"},
        {"type": "gbnf", "gbnfGrammar": ""},
        {"type": "json_schema"},
        {"x": float("nan")},
    ],
)
def test_invalid_response_format_is_refused(response_format: Any) -> None:
    with pytest.raises(LMStudioValueError):
        requests.prediction("Hi", response_format=response_format)


def test_structured_in_the_settings_is_a_response_format() -> None:
    assert requests.prediction("Hi", config={"structured": Person}).structured is True


def test_keyword_wins_over_the_settings() -> None:
    fields = fields_of(
        config={"structured": {"type": "none"}, "draftModel": "old", "toolChoice": "none"},
        response_format={"type": "gbnf", "gbnfGrammar": "g"},
        draft_model="new",
    )
    assert fields["structured"]["type"] == "gbnf"
    assert fields["speculativeDecoding.draftModel"] == "new"


def test_empty_draft_model_switches_drafting_off() -> None:
    assert fields_of(draft_model="small/model") == {"speculativeDecoding.draftModel": "small/model"}
    assert fields_of(draft_model="") == {"speculativeDecoding.draftModel": ""}


def test_preset_is_sent_beside_the_settings() -> None:
    assert creation_of(valid(requests.prediction("Hi", preset="my preset")))["fuzzyPresetIdentifier"] == "my preset"


# Tools


def test_tools_in_both_forms_are_sent_alike() -> None:
    fields = fields_of(tools=[ADD, SUBTRACT])
    assert [tool["function"]["name"] for tool in fields["tools"]["tools"]] == ["add", "subtract"]
    assert fields["tools"]["tools"][0] == closed(ADD)
    assert fields["toolNaming"] == "passThrough"
    assert "toolChoice" not in fields


@pytest.mark.parametrize("mode", ["auto", "none", "required"])
def test_tool_choice_is_sent_unchanged(mode: str) -> None:
    fields = fields_of(tools=[ADD, SUBTRACT], tool_choice=mode)
    assert fields["toolChoice"] == {"type": "generic", "mode": mode}
    assert len(fields["tools"]["tools"]) == 2


def test_named_tool_choice_sends_only_that_tool_as_required() -> None:
    fields = fields_of(tools=[ADD, SUBTRACT], tool_choice="subtract")
    assert fields["toolChoice"] == {"type": "generic", "mode": "required"}
    assert [tool["function"]["name"] for tool in fields["tools"]["tools"]] == ["subtract"]


def test_tool_parameters_without_properties_get_empty_ones() -> None:
    (tool,) = fields_of(tools=[{"name": "now", "parameters": {"type": "object"}}])["tools"]["tools"]
    assert tool["function"]["parameters"] == {"type": "object", "properties": {}}


def test_empty_tools_send_no_setting() -> None:
    assert fields_of(tools=[]) == {}


@pytest.mark.parametrize(
    "options",
    [
        {"tools": "add"},
        {"tools": ADD},
        {"tools": 5},
        {"tools": [5]},
        {"tools": [{}]},
        {"tools": [{"name": ""}]},
        {"tools": [{"name": "f", "parameters": []}]},
        {"tools": [ADD, ADD]},
        {"tools": [ADD], "tool_choice": "sub"},
        {"tools": [ADD], "tool_choice": {"type": "function"}},
        {"tools": [], "tool_choice": "required"},
        {"tool_choice": "add"},
        {"tools": [{"name": "f", "parameters": {"type": "object", "properties": {"x": {"minimum": float("nan")}}}}]},
    ],
)
def test_invalid_tools_and_tool_choices_are_refused(options: Any) -> None:
    with pytest.raises(LMStudioValueError):
        requests.prediction("Hi", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [ADD], "response_format": Person},
        {"tools": [ADD], "config": {"structured": Person}},
        {"config": {"rawTools": {"type": "toolArray", "tools": [ADD]}}, "response_format": Person},
        {"tools": [ADD], "tool_choice": "required", "response_format": {"type": "gbnf", "gbnfGrammar": "g"}},
    ],
)
def test_grammar_with_tools_is_refused(options: Any) -> None:
    with pytest.raises(LMStudioValueError, match="exclude each other"):
        requests.prediction("Hi", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [ADD], "tool_choice": "none", "response_format": Person},
        {"tools": [ADD], "response_format": {"type": "none"}},
        {"tools": [], "response_format": Person},
    ],
)
def test_grammar_with_tool_choice_none_is_accepted(options: Any) -> None:
    valid(requests.prediction("Hi", **options))


@pytest.mark.parametrize("raw", ["x", 5, None, [], {"type": 5}])
def test_raw_settings_are_sent_unchanged(raw: Any) -> None:
    prediction = requests.prediction("Hi", config={"raw": {"llm.prediction.structured": raw}})
    assert {"key": "llm.prediction.structured", "value": raw} in creation_of(prediction)["predictionConfigStack"][
        "layers"
    ][0]["config"]["fields"]
    assert prediction.structured is False


# Raw completion


def test_completion_sends_the_prompt_with_an_empty_template() -> None:
    prediction = valid(requests.prediction("Once upon", raw_prompt=True, config={"temperature": 0}))
    assert creation_of(prediction)["history"] == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Once upon"}]}]
    }
    template = fields_of("completeModeFormatting", "Once upon", raw_prompt=True)["promptTemplate"]
    assert template["stopStrings"] == []
    assert "message['content']" in template["jinjaPromptTemplate"]["template"]
    assert fields_of("apiOverride", "Once upon", raw_prompt=True, config={"temperature": 0}) == {"temperature": 0}


@pytest.mark.parametrize("prompt", [None, 5, ["Hi"], {"messages": []}, b"Hi"])
def test_completion_takes_text_only(prompt: Any) -> None:
    with pytest.raises(LMStudioValueError, match="as text"):
        requests.prediction(prompt, raw_prompt=True)


@pytest.mark.parametrize("options", [{"tools": [ADD]}, {"config": {"rawTools": {"type": "toolArray", "tools": [ADD]}}}])
def test_completion_refuses_tools(options: Any) -> None:
    with pytest.raises(LMStudioValueError, match="use respond"):
        requests.prediction("Hi", raw_prompt=True, **options)


# What JSON cannot hold


@pytest.mark.parametrize(
    ("history", "options"),
    [
        ("\ud800", {}),
        ([{"role": "user", "content": "half \udc00"}], {}),
        (
            [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "toolCallRequest", "toolCallRequest": {"name": "f", "arguments": {"x": float("nan")}}}
                    ],
                }
            ],
            {},
        ),
        (
            [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "toolCallRequest", "toolCallRequest": {"name": "f", "arguments": {"x": object()}}}
                    ],
                }
            ],
            {},
        ),
        ("Hi", {"preset": "\ud800"}),
        ("Hi", {"preset": ""}),
        ("Hi", {"preset": 5}),
        ("Hi", {"draft_model": 5}),
        ("Hi", {"draft_model": 0}),
        ("Hi", {"draft_model": "a\nb"}),
        ("Hi", {"draft_model": "__proto__"}),
    ],
)
def test_values_outside_json_or_lm_studios_range_are_refused_at_once(history: Any, options: Any) -> None:
    with pytest.raises(LMStudioValueError):
        requests.prediction(history, **options)


# Loading


def test_default_load_has_a_ttl_and_no_load_settings() -> None:
    creation = requests.get_or_load_parameter("llm", "m", requests.DEFAULT_TTL, None)
    assert creation == {
        "identifier": "m",
        "loadConfigStack": {"layers": [{"layerName": "apiOverride", "config": {"fields": []}}]},
        "loadTtlMs": 3_600_000,
    }
    assert requests.model_reference("llm", "m").load == creation


def test_new_instance_has_the_same_defaults() -> None:
    creation = requests.load_model_parameter("llm", "m", None, requests.DEFAULT_TTL, None)
    assert (creation["ttlMs"], "identifier" in creation) == (3_600_000, False)
    assert requests.load_model_parameter("llm", "m", "mine", 5, None)["identifier"] == "mine"


@pytest.mark.parametrize(("seconds", "ms"), [(1, 1000), (0.5, 500), (0.001, 1), (1.0001, 1001), (86400, 86_400_000)])
def test_ttl_in_seconds_is_sent_in_milliseconds(seconds: Any, ms: int) -> None:
    sent = requests.get_or_load_parameter("llm", "m", seconds, None)["loadTtlMs"]
    assert (sent, type(sent)) == (ms, int)
    assert requests.load_model_parameter("llm", "m", None, seconds, None)["ttlMs"] == ms


def test_ttl_of_none_sends_no_key() -> None:
    assert "loadTtlMs" not in requests.get_or_load_parameter("llm", "m", None, None)
    assert "ttlMs" not in requests.load_model_parameter("llm", "m", None, None, None)


@pytest.mark.parametrize("ttl", [0, -1, 0.0001, float("nan"), float("inf"), 10**400, True, "60", [60]])
def test_invalid_ttl_is_refused(ttl: Any) -> None:
    for make in (
        lambda: requests.get_or_load_parameter("llm", "m", ttl, None),
        lambda: requests.load_model_parameter("llm", "m", None, ttl, None),
        lambda: requests.model_reference("llm", None, ttl),
    ):
        with pytest.raises(LMStudioValueError, match="ttl"):
            make()


@pytest.mark.parametrize("key", ["", "a\nb", "a\x00", "a\x7f", "__proto__", "x" * 1025, 5, None, b"m"])
def test_invalid_model_key_is_refused(key: Any) -> None:
    with pytest.raises(LMStudioValueError):
        requests.get_or_load_parameter("llm", key, 5, None)
    with pytest.raises(LMStudioValueError):
        requests.load_model_parameter("llm", key, None, 5, None)
    with pytest.raises(LMStudioValueError):
        requests.unload("llm", key)
    if key is not None:
        with pytest.raises(LMStudioValueError):
            requests.load_model_parameter("llm", "m", key, 5, None)


LLM_LOAD: dict[str, Any] = {
    "contextLength": 4096,
    "gpu": {
        "ratio": 0.5,
        "numCpuExpertLayersRatio": "off",
        "mainGpu": 1,
        "splitStrategy": "favorMainGpu",
        "disabledGpus": [0],
    },
    "autoFit": False,
    "autoFitMinContextLength": 512,
    "gpuStrictVramCap": True,
    "offloadKVCacheToGpu": True,
    "numExperts": 2,
    "seed": 7,
    "maxParallelPredictions": 4,
    "useUnifiedKvCache": True,
    "promptTemplate": {"type": "jinja", "jinjaPromptTemplate": {"template": "x"}},
    "cpuThreadPoolSize": 4,
    "evalBatchSize": 256,
    "physicalBatchSize": 128,
    "flashAttention": True,
    "contextCheckpoints": 2,
    "reasoningBudgetMessage": "enough",
    "keepModelInMemory": True,
    "useFp16ForKVCache": True,
    "tryMmap": False,
    "tryDirectIO": True,
    "ropeFrequencyBase": 10000,
    "ropeFrequencyScale": False,
    "llamaKCacheQuantizationType": "q8_0",
    "llamaVCacheQuantizationType": False,
    "speculativeDraftMtp": False,
    "speculativeDraftSimple": True,
    "speculativeDraftModel": "draft",
    "speculativeDraftMaxTokens": 8,
    "speculativeDraftMinTokens": 1,
    "speculativeDraftMinContinueProbability": 0.5,
    "mlxDiskCache": True,
    "mlxKvCacheQuantization": {"bits": 4},
}
EMBEDDING_LOAD: dict[str, Any] = {
    "contextLength": 512,
    "gpu": {"ratio": "max"},
    "seed": False,
    "evalBatchSize": 64,
    "keepModelInMemory": False,
    "tryMmap": True,
    "ropeFrequencyBase": 1,
    "ropeFrequencyScale": 1,
}


def load_fields(namespace: str, config: Any) -> dict[str, Any]:
    (layer,) = requests.get_or_load_parameter(namespace, "m", None, config)["loadConfigStack"]["layers"]
    assert layer["layerName"] == "apiOverride"
    return {field["key"]: field["value"] for field in layer["config"]["fields"]}


def test_every_load_option_has_its_user_name() -> None:
    names = {field.alias for field in LlmLoadModelConfig.model_fields.values()}
    assert names == {*LLM_LOAD, "raw"}
    names = {field.alias for field in EmbeddingLoadModelConfig.model_fields.values()}
    assert names == {*EMBEDDING_LOAD, "raw"}


@needs_shared
@pytest.mark.parametrize("kind", ["llm.load.", "embedding.load.", "load."])
def test_every_load_key_of_lm_studio_can_be_set(kind: str) -> None:
    known = {entry["key"] for entry in json.loads(KEYS_PATH.read_text(encoding="utf-8"))}
    wanted = {key for key in known if key.startswith(kind)}
    reached = {**load_fields("llm", LLM_LOAD), **load_fields("embedding", EMBEDDING_LOAD)}
    assert wanted
    assert wanted - set(reached) == set()


def test_load_options_have_snake_case_names() -> None:
    assert load_fields("llm", {"context_length": 8, "flash_attention": True, "auto_fit": False}) == load_fields(
        "llm", {"contextLength": 8, "flashAttention": True, "autoFit": False}
    )
    assert load_fields("llm", LlmLoadModelConfig(context_length=8)) == load_fields("llm", {"contextLength": 8})
    assert load_fields("embedding", EmbeddingLoadModelConfig(context_length=8)) == {"embedding.load.contextLength": 8}


@pytest.mark.parametrize(
    ("namespace", "config", "words"),
    [
        ("llm", {"contextLenght": 5}, "did you mean 'contextLength'"),
        ("llm", {"contextLength": 0}, "'contextLength' must be"),
        ("llm", {"gpu": {"ration": 1}}, "ratio"),
        ("llm", {"gpu": {"ratio": 2}}, "ratio"),
        ("llm", {"llamaKCacheQuantizationType": "q3"}, "q8_0"),
        ("embedding", {"flashAttention": True}, "embedding model"),
        ("embedding", LlmLoadModelConfig(), "EmbeddingLoadModelConfig"),
    ],
)
def test_wrong_load_option_is_named_in_the_error(namespace: str, config: Any, words: str) -> None:
    for make in (
        lambda: requests.get_or_load_parameter(namespace, "m", 5, config),
        lambda: requests.load_model_parameter(namespace, "m", None, 5, config),
        lambda: requests.model_reference(namespace, "m", 5, config),
        lambda: requests.model_reference(namespace, None, 5, config),
    ):
        with pytest.raises(LMStudioValueError, match=words):
            make()


# Other calls

LLM = requests.ModelCalls("llm", "m")
EMBEDDING = requests.ModelCalls("embedding", "m")
EMBED: requests.Call[list[float]] = requests.Call(
    "embedding", "embedString", requests.embedding_parameters(["Hi"])[0], requests.read_embedding
)
EVERY_CALL: list[requests.Call[Any]] = [
    LLM.tokenize("Hi"),
    LLM.count_tokens(""),
    LLM.get_info(),
    LLM.get_load_config(),
    requests.unload("llm", "m"),
    LLM.apply_prompt_template("Hi", None, None, None, None),
    LLM.apply_prompt_template("Hi", [ADD], {"temperature": 0}, True, False),
    EMBEDDING.tokenize("Hi"),
    EMBEDDING.count_tokens("Hi"),
    EMBEDDING.get_info(),
    EMBEDDING.get_load_config(),
    EMBED,
    requests.unload("embedding", "m"),
    requests.list_loaded("llm"),
    requests.list_loaded("embedding"),
    requests.list_downloaded(),
    requests.version(),
    requests.upload(ImageFile("cat.png", bytes(3))),
]


@needs_shared
@pytest.mark.parametrize("call", EVERY_CALL, ids=lambda call: f"{call.namespace}.{call.endpoint}")
def test_every_call_is_valid_by_lm_studios_schema(call: requests.Call[Any]) -> None:
    value = ABSENT if call.parameter is None else json.loads(call.parameter.text("m"))
    SchemaWitness().complain(call.namespace, "rpc", call.endpoint, "parameter", value)


@pytest.mark.parametrize(
    "junk", [5, "x", [], {}, [5], [{}], {"tokens": "x"}, {"tokens": None}, {"embedding": []}, {"embedding": ["x"]}]
)
@pytest.mark.parametrize(
    "call",
    [call for call in EVERY_CALL if call.endpoint not in ("unloadModel", "getLoadConfig")],
    ids=lambda call: f"{call.namespace}.{call.endpoint}",
)
def test_unreadable_rpc_result_raises_protocol_error(call: requests.Call[Any], junk: Any) -> None:
    if call.endpoint in ("listLoaded", "listDownloadedModels") and junk in ([], {}):
        return  # that is an empty list, or near enough
    if call.endpoint == "version" and isinstance(junk, dict):
        return  # all that it holds has a default
    with pytest.raises(LMStudioProtocolError, match=call.endpoint):
        call.answer(junk)


def test_rpc_results_are_parsed() -> None:
    assert LLM.tokenize("Hi").answer({"tokens": [1, 2.0]}) == [1, 2]
    assert LLM.count_tokens("Hi").answer({"tokenCount": 3}) == 3
    assert EMBED.answer({"embedding": [0, 1, -0.5]}) == [0.0, 1.0, -0.5]
    assert LLM.get_info().answer(INSTANCE).context_length == 4096
    assert requests.unload("llm", "m").answer(None) is None
    fields = {"fields": [{"key": "llm.load.contextLength", "value": 5}]}
    assert LLM.get_load_config().answer(fields) == {"contextLength": 5}
    fields = {"fields": [{"key": "embedding.load.contextLength", "value": 5}]}
    assert EMBEDDING.get_load_config().answer(fields) == {"contextLength": 5}
    assert [info.identifier for info in requests.list_loaded("llm").answer([INSTANCE])] == ["some/model"]
    assert requests.version().answer({"version": "0.4.0", "build": 5}).build == 5
    uploaded = requests.upload(ImageFile("cat.png", bytes(3))).answer(
        {"identifier": "f", "fileType": "image", "sizeBytes": 3}
    )
    assert (uploaded.name, uploaded.identifier, uploaded.size_bytes) == ("cat.png", "f", 3)


def test_info_of_a_model_that_is_not_loaded_raises() -> None:
    with pytest.raises(LMStudioModelNotFoundError, match="'m'"):
        LLM.get_info().answer(None)


def test_unload_of_a_handle_without_an_identifier_raises() -> None:
    with pytest.raises(LMStudioValueError, match="which model"):
        requests.unload("llm", None)


@pytest.mark.parametrize("text", [None, 5, b"Hi", ["Hi"], "half \ud800"])
def test_tokenize_and_embed_refuse_what_is_not_text(text: Any) -> None:
    for make in (LLM.tokenize, LLM.count_tokens, lambda text: requests.embedding_parameters([text])):
        with pytest.raises(LMStudioValueError):
            make(text)


@pytest.mark.parametrize("value", [float("nan"), "half \ud800", object()])
def test_parameter_with_a_value_that_json_cannot_hold_raises_value_error(value: Any) -> None:
    with pytest.raises(LMStudioValueError):
        requests.Parameter.of({"a": value})


def test_parameter_text_inserts_the_specifier_and_each_image_in_its_place() -> None:
    image = ImagePart(b"\x89PNG\r\n\x1a\n")
    history = [{"role": "user", "content": [image, "and", image]}]
    parameter = requests.prediction(history).parameter
    sent = json.loads(parameter.text("m", ['{"n":1}', '{"n":2}']))
    assert sent["modelSpecifier"] == {"type": "query", "query": {"identifier": "m"}}
    assert sent["history"]["messages"][0]["content"] == [{"n": 1}, {"type": "text", "text": "and"}, {"n": 2}]


def test_prediction_knows_its_tools_and_the_ids_of_earlier_calls() -> None:
    call = {"type": "toolCallRequest", "toolCallRequest": {"id": "7", "type": "function", "name": "add"}}
    history = [{"role": "assistant", "content": [call]}]
    prediction = requests.prediction(history, tools=[ADD])
    assert prediction.tool_names == ("add",)
    assert prediction.call_ids == {"7"}
