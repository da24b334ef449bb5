"""Names that users bring from other integrations."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from lmstudio_integrations.compat.names import IGNORED, translate_call, translate_constructor
from lmstudio_integrations.errors import LMStudioValueError

FIELDS = {
    "model",
    "api_token",
    "base_url",
    "ttl",
    "max_tokens",
    "reasoning",
    "prediction_config",
    "response_format",
    "n_gpu",
}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("api_key", "x", {"api_token": "x"}),
        ("openai_api_base", "x", {"base_url": "x"}),
        ("num_predict", 5, {"max_tokens": 5}),
        ("max_completion_tokens", 5, {"max_tokens": 5}),
        ("keep_alive", "5m", {"ttl": 300.0}),
        ("keep_alive", "1h", {"ttl": 3600.0}),
        ("keep_alive", 60, {"ttl": 60}),
        ("keep_alive", -1, {"ttl": None}),
        ("keep_alive", "-1", {"ttl": None}),
        ("format", "json", {"response_format": {"type": "json_object"}}),
        ("json_mode", True, {"response_format": {"type": "json_object"}}),
        ("json_mode", False, {}),
        ("reasoning_effort", "low", {"reasoning": 1024}),
        ("reasoning_effort", "high", {"reasoning": True}),
        ("model_kwargs", {"seed": 1}, {"prediction_config": {"seed": 1}}),
        ("n", 1, {}),
        ("functions", None, {}),
    ],
)
def test_translate_call_of_a_foreign_name_gives_our_setting(name: str, value: Any, expected: dict[str, Any]) -> None:
    assert translate_call({name: value}, FIELDS, {}) == expected


def test_translate_call_uses_the_adapters_own_names() -> None:
    assert translate_call({"num_ctx": 9}, {"context_window"}, {"context_length": "context_window"}) == {
        "context_window": 9
    }


def test_translate_call_keeps_a_name_that_is_the_adapters_own() -> None:
    assert translate_call({"model_name": "m"}, {"model_name"}, {}) == {"model_name": "m"}


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_translate_call_ignores_what_frameworks_pass(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert translate_call({name: "x"}, FIELDS, {}) == {}
    assert not caplog.records


def test_translate_constructor_warns_of_what_it_ignores(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert translate_constructor({"user": "x"}, FIELDS, {}) == {}
    assert "'user'" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"), [("n", 2), ("functions", [1]), ("reasoning_effort", "huge"), ("keep_alive", "x")]
)
def test_translate_call_refuses_what_would_change_the_answer(name: str, value: Any) -> None:
    with pytest.raises(LMStudioValueError, match=name):
        translate_call({name: value}, FIELDS, {})


def test_translate_call_of_one_setting_under_two_names_raises() -> None:
    with pytest.raises(LMStudioValueError, match="two names"):
        translate_call({"max_tokens": 1, "num_predict": 2}, FIELDS, {})


def test_translate_constructor_of_a_misspelt_name_names_the_nearest() -> None:
    with pytest.raises(LMStudioValueError, match="'max_tokens'"):
        translate_constructor({"max_tokns": 1}, FIELDS, {})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"logprobs": True, "top_logprobs": 3}, 3),
        ({"top_logprobs": 3, "logprobs": True}, 3),
        ({"logprobs": True, "top_logprobs": 0}, True),
        ({"logprobs": True, "top_logprobs": None}, True),
        ({"logprobs": None, "top_logprobs": 3}, 3),
    ],
)
def test_logprobs_and_top_logprobs_together_are_one_setting(given: dict[str, Any], expected: object) -> None:
    for translated in (translate_call(given, {"logprobs"}, {}), translate_constructor(given, {"logprobs"}, {})):
        assert translated == {"logprobs": expected}
        assert translated["logprobs"] is expected or expected == 3


def test_top_logprobs_with_logprobs_off_raises() -> None:
    with pytest.raises(LMStudioValueError, match="one setting under two names"):
        translate_call({"logprobs": False, "top_logprobs": 3}, {"logprobs"}, {})
