"""Predictions: what starts them, and packets of old, present and future servers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol import models, prediction
from lmstudio_integrations.protocol.config import kv_config, kv_stack
from lmstudio_integrations.protocol.history import ChatHistory, TextPart, UserMessage
from lmstudio_integrations.protocol.prediction import (
    PREDICTION_PACKETS,
    CompleteRawTextCreation,
    FragmentPacket,
    PredictCreation,
    PredictionStats,
    PromptProcessingProgress,
    SuccessPacket,
    ToolCallGenerationEnd,
    ToolCallGenerationFailed,
)
from tests.protocol.strategies import json_values
from tests.witnesses import schema, transcripts
from tests.witnesses.shared import needs_shared


def _packets(name: str) -> list[dict[str, Any]]:
    channels: dict[tuple[int, int], str] = {}
    found = []
    for item in transcripts.load(name):
        kind = item.frame.get("type")
        if kind == "channelCreate":
            channels[item.connection, item.frame["channelId"]] = item.frame["endpoint"]
        elif kind == "channelSend" and item.direction == "s2c":
            if channels[item.connection, item.frame["channelId"]] not in ("predict", "completeRawText"):
                continue
            found.append(item.frame["message"])
    return found


@needs_shared
@pytest.mark.parametrize("name", transcripts.names())
def test_every_recorded_packet_comes_back_as_it_was(name: str) -> None:
    for raw in _packets(name):
        assert PREDICTION_PACKETS[raw["type"]].model_validate(raw).to_wire() == raw


@needs_shared
@pytest.mark.parametrize("name", transcripts.names())
def test_every_recorded_request_comes_back_as_it_was(name: str) -> None:
    for endpoint, kind in (("predict", PredictCreation), ("completeRawText", CompleteRawTextCreation)):
        for frame in transcripts.client_frames(name, "channelCreate", endpoint):
            assert kind.from_wire(frame["creationParameter"]).to_wire() == frame["creationParameter"]


@needs_shared
def test_the_packets_are_those_of_the_schema() -> None:
    branches = schema.definition("llm/channel/predict/toClientPacket")["anyOf"]
    assert {branch["properties"]["type"]["const"] for branch in branches} == set(PREDICTION_PACKETS)
    assert tuple(schema.definition("llmPredictionStopReason")["enum"]) == prediction.STOP_REASONS
    schema.check_definition("llm/channel/predict/toServerPacket", prediction.CANCEL)
    known = set(schema.definition("llmPredictionStats")["properties"])
    assert known == {field.alias for field in PredictionStats.model_fields.values()}


def _creation(**more: Any) -> dict[str, Any]:
    wire = PredictCreation(
        model_specifier=models.query("m"),
        history=ChatHistory(messages=[UserMessage(content=[TextPart(text="Hi")])]),
        prediction_config_stack=kv_stack(("apiOverride", kv_config({}))),
    ).to_wire()
    return wire | more


@needs_shared
def test_a_request_of_ours_is_valid_by_the_schema() -> None:
    schema.check_definition("llm/channel/predict/creationParameter", _creation())
    schema.check_definition("llm/channel/predict/creationParameter", _creation(fuzzyPresetIdentifier="p"))
    raw = CompleteRawTextCreation(
        model_specifier=models.instance_reference("r"), raw_prompt="x", prediction_config_stack=kv_stack()
    )
    schema.check_definition("llm/channel/completeRawText/creationParameter", raw.to_wire())


@pytest.mark.parametrize(
    "wrong",
    [
        {"fuzzyPresetIdentifier": None},
        {"ignoreServerSessionConfig": "yes"},
        {"ignoreServerSessionConfig": 1},
        {"modelSpecifier": {"type": "key", "key": "m"}},
        {"modelSpecifier": {"type": "query", "query": {"identifier": ""}}},
        {"modelSpecifier": {"type": "query", "query": {"identifier": "a\nb"}}},
        {"modelSpecifier": {"type": "query", "query": {"identifier": "__proto__"}}},
        {"predictionConfigStack": {"layers": [{"layerName": "mine", "config": {"fields": []}}]}},
        {"predictionConfigStack": {"layers": [{"layerName": "preset", "config": {"fields": [{"value": 1}]}}]}},
        {"predictionConfigStack": {"layers": [{"layerName": "preset"}]}},
        {"predictionConfigStack": {}},
        {"predictionConfigStack": []},
        {"history": []},
    ],
)
def test_a_request_that_lm_studio_would_refuse_is_not_read(wrong: dict[str, Any]) -> None:
    PredictCreation.from_wire(_creation())
    with pytest.raises(ValueError):
        PredictCreation.from_wire(_creation(**wrong))


@pytest.mark.parametrize("key", ["modelSpecifier", "history", "predictionConfigStack"])
def test_what_a_request_needs_must_be_there(key: str) -> None:
    wire = _creation()
    del wire[key]
    with pytest.raises(ValueError):
        PredictCreation.from_wire(wire)


def test_a_wrong_layer_of_ours_is_our_error() -> None:
    with pytest.raises(LMStudioValueError, match="prediction_config_stack"):
        PredictCreation.checked(
            model_specifier=models.query("m"), history=ChatHistory(), prediction_config_stack={"layers": [{}]}
        )


# --- leniency ---------------------------------------------------------------------------------------------------------


def test_a_fragment_of_an_older_server_has_defaults() -> None:
    old = {"content": "Hi", "tokensCount": 1, "containsDrafted": False, "reasoningType": "none"}
    fragment = FragmentPacket.model_validate({"type": "fragment", "fragment": old}).fragment
    assert fragment.is_structural is False
    assert fragment.tokens is None


def test_enum_members_of_newer_servers_stay_text() -> None:
    fragment = FragmentPacket.model_validate(
        {"type": "fragment", "fragment": {"content": "", "reasoningType": "musing"}}
    )
    assert fragment.fragment.reasoning_type == "musing"
    assert PredictionStats.model_validate({"stopReason": "bored"}).stop_reason == "bored"


@pytest.mark.parametrize("progress", [0, 1, 0.5])
def test_progress_may_be_an_integer_and_details_may_be_missing(progress: float) -> None:
    packet = PromptProcessingProgress.model_validate({"type": "promptProcessingProgress", "progress": progress})
    assert packet.progress == progress
    assert packet.details is None


def test_what_newer_servers_add_to_the_stats_is_kept() -> None:
    stats = PredictionStats.model_validate({"stopReason": "eosFound", "newSec": 1.5, "promptTokensCount": 3.0})
    assert stats.model_extra == {"newSec": 1.5}
    assert stats.prompt_tokens_count == 3
    assert stats.to_wire() == {"stopReason": "eosFound", "promptTokensCount": 3, "newSec": 1.5}


@given(json_values)
def test_no_odd_value_of_a_statistic_is_fatal(value: Any) -> None:
    for name, field in PredictionStats.model_fields.items():
        assert isinstance(PredictionStats.model_validate({field.alias: value}), PredictionStats), name


@given(st.sampled_from(["stats", "modelInfo", "loadModelConfig", "predictionConfig"]), json_values)
def test_no_odd_member_of_the_last_packet_is_fatal(name: str, value: Any) -> None:
    packet = SuccessPacket.model_validate({"type": "success", name: value})
    assert packet.stats.stop_reason
    assert isinstance(packet.load_model_config, dict)


@given(json_values)
def test_no_error_of_a_failed_tool_call_is_fatal(value: Any) -> None:
    packet = ToolCallGenerationFailed.model_validate({"type": "toolCallGenerationFailed", "error": value})
    assert isinstance(packet.error.title, str)


@pytest.mark.parametrize("missing", ["id", "arguments"])
def test_a_tool_call_may_lack_its_id_or_its_arguments(missing: str) -> None:
    request = {"id": "1", "type": "function", "name": "f", "arguments": {"a": 1}}
    del request[missing]
    packet = ToolCallGenerationEnd.model_validate({"type": "toolCallGenerationEnd", "toolCallRequest": request})
    assert getattr(packet.tool_call_request, missing) is None
    assert packet.to_wire()["toolCallRequest"] == request


def test_a_fragment_without_its_body_cannot_be_read() -> None:
    with pytest.raises(ValidationError):
        FragmentPacket.model_validate({"type": "fragment"})
