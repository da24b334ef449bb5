"""The statistics of a prediction, of old, present and future servers."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from lmstudio_integrations.protocol.prediction import PredictionStats
from tests.frame_validation import schema
from tests.frame_validation.shared import needs_shared
from tests.protocol.strategies import json_values


@needs_shared
def test_statistics_are_those_of_the_schema() -> None:
    known = set(schema.definition("llmPredictionStats")["properties"])
    assert known == {field.alias for field in PredictionStats.model_fields.values()}
    for reason in schema.definition("llmPredictionStopReason")["enum"]:
        assert reason in (PredictionStats.__doc__ or "")


def test_unknown_stop_reason_stays_text() -> None:
    assert PredictionStats.model_validate({"stopReason": "bored"}).stop_reason == "bored"


def test_extra_members_of_statistics_are_kept() -> None:
    stats = PredictionStats.model_validate({"stopReason": "eosFound", "newSec": 1.5, "promptTokensCount": 3.0})
    assert stats.model_extra == {"newSec": 1.5}
    assert stats.prompt_tokens_count == 3
    assert stats.to_wire() == {"stopReason": "eosFound", "promptTokensCount": 3, "newSec": 1.5}


@given(json_values)
def test_malformed_values_of_statistics_are_read(value: Any) -> None:
    for name, field in PredictionStats.model_fields.items():
        assert isinstance(PredictionStats.model_validate({field.alias: value}), PredictionStats), name
