"""Settings under common names -> LM Studio's configuration."""

from __future__ import annotations

from typing import Any

import pytest

from lmstudio_integrations.compat.prediction_settings import prediction_config as common_config
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.config import LlmPredictionConfig, parse_config


def prediction_config(settings: dict[str, Any]) -> dict[str, Any]:
    return common_config(settings, preset=True)


def test_every_setting_has_lm_studios_name() -> None:
    config = prediction_config(
        {
            "temperature": 0.0,
            "max_tokens": 7,
            "stop": ["a"],
            "top_p": 0.9,
            "top_k": 40,
            "min_p": 0.1,
            "repeat_penalty": 1.1,
            "seed": 3,
            "context_overflow_policy": "stopAtLimit",
            "reasoning": 100,
        }
    )
    assert config == {
        "temperature": 0.0,
        "maxTokens": 7,
        "stopStrings": ["a"],
        "topPSampling": 0.9,
        "topKSampling": 40,
        "minPSampling": 0.1,
        "repeatPenalty": 1.1,
        "seed": 3,
        "contextOverflowPolicy": "stopAtLimit",
        "enableThinking": True,
        "reasoningBudget": 100,
    }
    parse_config(LlmPredictionConfig, config)  # the client takes it


def test_what_is_not_set_is_left_to_lm_studio() -> None:
    assert prediction_config({"temperature": None, "stop": [], "reasoning": None, "prediction_config": None}) == {}


def test_false_switches_off() -> None:
    assert prediction_config({"top_p": False, "max_tokens": False}) == {"topPSampling": False, "maxTokens": False}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, {"enableThinking": True}),
        ("on", {"enableThinking": True}),
        (False, {"enableThinking": False}),
        ("off", {"enableThinking": False}),
        (0, {"enableThinking": True, "reasoningBudget": 0}),
    ],
)
def test_reasoning_is_on_off_or_a_budget(value: Any, expected: dict[str, Any]) -> None:
    assert prediction_config({"reasoning": value}) == expected


@pytest.mark.parametrize("value", ["high", -1])
def test_any_other_reasoning_is_refused(value: Any) -> None:
    with pytest.raises(LMStudioValueError, match=repr(value)):
        prediction_config({"reasoning": value})


def test_other_settings_pass_under_either_name() -> None:
    given = {"presence_penalty": 0.5, "topPSampling": 0.1, "cpuThreads": 2}
    assert prediction_config({"prediction_config": given, "top_p": 0.9}) == {
        "presencePenalty": 0.5,
        "topPSampling": 0.9,
        "cpuThreads": 2,
    }


def test_prediction_config_without_a_preset_stops_at_the_context_limit() -> None:
    assert common_config({}) == {"contextOverflowPolicy": "stopAtLimit"}
    given = {"prediction_config": {"context_overflow_policy": "rollingWindow"}}
    assert common_config(given) == {"contextOverflowPolicy": "rollingWindow"}


@pytest.mark.parametrize("value", [-1, False])
def test_max_tokens_without_a_limit_switches_the_limit_off(value: Any) -> None:
    assert prediction_config({"max_tokens": value}) == {"maxTokens": False}


@pytest.mark.parametrize("value", [0, -2, True, 1.5, "7"])
def test_max_tokens_of_another_kind_raises_value_error(value: Any) -> None:
    with pytest.raises(LMStudioValueError, match="max_tokens"):
        prediction_config({"max_tokens": value})


def test_stop_as_a_string_is_one_stop_string() -> None:
    assert prediction_config({"stop": "END"}) == {"stopStrings": ["END"]}


def test_logprobs_true_asks_for_one_candidate() -> None:
    assert prediction_config({"logprobs": True}) == {"logProbs": 1}
