from __future__ import annotations

from typing import Any

import pytest

from lmstudio_integrations.client.result import PredictionResult
from lmstudio_integrations.compat.prediction_request import ResponseOptions
from lmstudio_integrations.langchain._response import finish_reason, metadata_of, usage_of
from tests.packet_builders import (
    complete_success,
    events_and_result,
    fragment,
    prompt_progress,
    reasoning,
    tool_call,
)


def result(*packets: dict[str, Any]) -> PredictionResult:
    made = events_and_result(*packets)[-1]
    assert isinstance(made, PredictionResult)
    return made


def test_usage_has_the_counts_of_the_server() -> None:
    assert usage_of(result()) == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def test_usage_has_only_integers() -> None:
    usage = usage_of(result(complete_success(promptTokensCount=10.0)))
    assert usage is not None
    assert all(type(usage[key]) is int for key in ("input_tokens", "output_tokens", "total_tokens"))


def test_usage_details_have_cached_and_reasoning_tokens() -> None:
    usage = usage_of(result(prompt_progress(1.0, cached=4), *reasoning("a", "b")))
    assert usage is not None
    assert usage["input_token_details"] == {"cache_read": 4}
    assert usage["output_token_details"] == {"reasoning": 2}


def test_usage_details_never_exceed_the_totals() -> None:
    usage = usage_of(result(prompt_progress(1.0, cached=99), fragment("x", "reasoning", tokensCount=99)))
    assert usage is not None
    assert usage["input_token_details"] == {"cache_read": 10}
    assert usage["output_token_details"] == {"reasoning": 5}


def test_usage_is_none_without_counts() -> None:
    assert (
        usage_of(result(complete_success(promptTokensCount=None, predictedTokensCount=None, totalTokensCount=None)))
        is None
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("eosFound", "stop"),
        ("stopStringFound", "stop"),
        ("toolCalls", "stop"),
        ("maxPredictedTokensReached", "length"),
        ("contextLengthReached", "length"),
        ("userStopped", "cancelled"),
        ("somethingNew", "somethingNew"),
    ],
)
def test_finish_reason_is_the_word_of_openais_api(reason: str, expected: str) -> None:
    made = result(complete_success(reason))
    assert finish_reason(made, ResponseOptions()) == expected
    assert metadata_of(made, ResponseOptions())["stop_reason"] == reason


@pytest.mark.parametrize("reason", ["eosFound", "toolCalls"])
def test_finish_reason_of_tool_calls_is_tool_calls(reason: str) -> None:
    assert finish_reason(result(*tool_call("add", {}), complete_success(reason)), ResponseOptions()) == "tool_calls"


def test_metadata_has_statistics_and_model() -> None:
    metadata = metadata_of(result(), ResponseOptions())
    assert metadata["stats"]["time_to_first_token_sec"] == 0.25
    assert metadata["model_info"]["context_length"] == 4096
    assert metadata["model_name"] == "some/model"
