"""Names that users bring from other integrations."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from lmstudio_integrations import Timeout
from lmstudio_integrations.compat.names import IGNORED, translate_call, translate_constructor
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain import LMStudioEmbeddings
from lmstudio_integrations.llama_index import LMStudioEmbedding

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


MORE = {"temperature", "ttl", "context_length", "top_k", "stop", "timeout", "max_retries"}


@pytest.mark.parametrize("bundle", ["model_kwargs", "extra_body", "options", "additional_kwargs", "prediction_config"])
@pytest.mark.parametrize(
    ("given", "beside", "kept"),
    [
        ({"ttl": 300}, {"ttl": 300}, {}),
        ({"top_k": 5, "topPSampling": 0.5}, {"top_k": 5}, {"topPSampling": 0.5}),
        ({"num_ctx": 4096, "num_predict": 9}, {"context_length": 4096, "max_tokens": 9}, {}),
        ({"keep_alive": "5m"}, {"ttl": 300.0}, {}),
        ({"chat_template_kwargs": {"enable_thinking": False}}, {"reasoning": False}, {}),
        ({"temperature": 0.5, "cpu_threads": 3}, {}, {"temperature": 0.5, "cpu_threads": 3}),
        ({"store": True, "user": "x"}, {}, {}),
        ({"temprature": 1}, {}, {"temprature": 1}),
    ],
)
def test_foreign_names_in_a_dictionary_of_settings_are_settings_beside_it(
    bundle: str, given: dict[str, Any], beside: dict[str, Any], kept: dict[str, Any]
) -> None:
    for translate in (translate_call, translate_constructor):
        assert translate({bundle: given}, FIELDS | MORE, {}) == {**beside, "prediction_config": kept}


def test_setting_beside_a_dictionary_of_settings_wins() -> None:
    given = {"extra_body": {"ttl": 300}, "ttl": 60}
    assert translate_call(given, FIELDS | MORE, {}) == {"ttl": 60, "prediction_config": {}}


def test_refused_name_in_a_dictionary_of_settings_is_refused() -> None:
    with pytest.raises(LMStudioValueError, match="one answer per request"):
        translate_call({"extra_body": {"n": 2}}, FIELDS | MORE, {})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("timeout", (5, 60), {"connect": 5, "first_packet": 60, "idle": 60}),
        ("request_timeout", (None, 60.0), {"connect": None, "first_packet": 60.0, "idle": 60.0}),
        ("timeout", SimpleNamespace(connect=5, read=None), {"connect": 5, "first_packet": None, "idle": None}),
        ("timeout", Timeout(idle=3), Timeout(idle=3)),
        ("timeout", 60, 60),
    ],
)
def test_time_limits_of_openais_client_are_ours(name: str, value: Any, expected: Any) -> None:
    assert translate_call({name: value}, FIELDS | MORE, {}) == {"timeout": expected}


@pytest.mark.parametrize("name", ["reasoning", "thinking", "think", "enable_thinking"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), ("low", 1024), ("xhigh", True), ("none", False), ("on", "on"), (512, 512)],
)
def test_reasoning_under_each_name_takes_efforts_too(name: str, value: Any, expected: Any) -> None:
    assert translate_call({name: value}, FIELDS, {}) == {"reasoning": expected}


@pytest.mark.parametrize("name", ["reasoning", "thinking"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"effort": "low", "summary": "auto"}, 1024),
        ({"effort": "none"}, False),
        ({"effort": "max"}, True),
        ({"type": "enabled", "budget_tokens": 2000}, 2000),
        ({"type": "enabled"}, True),
        ({"type": "adaptive", "display": "omitted"}, None),
        ({"type": "disabled"}, False),
        ({"enabled": False}, False),
        ({"enabled": True, "exclude": False}, True),
        ({"max_tokens": 300}, 300),
        ({}, None),
    ],
)
def test_reasoning_as_an_object_is_what_it_says(name: str, value: dict[str, Any], expected: Any) -> None:
    assert translate_call({name: value}, FIELDS, {}) == {"reasoning": expected}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"efort": "low"}, "unknown key of reasoning 'efort': did you mean 'effort'"),
        ({"type": "on"}, "expected the type 'enabled', 'disabled' or 'adaptive'"),
        ({"effort": "much"}, "expected one of none, minimal, low"),
    ],
)
def test_reasoning_as_an_object_that_cannot_be_read_raises(value: dict[str, Any], words: str) -> None:
    with pytest.raises(LMStudioValueError, match=words):
        translate_call({"reasoning": value}, FIELDS, {})


@pytest.mark.parametrize(
    ("value", "seconds"), [("1h30m", 5400.0), ("1m30s", 90.0), ("500ms", 0.5), ("-1m", None), ("5 m", 300.0)]
)
def test_keep_alive_takes_durations_of_several_units(value: str, seconds: float | None) -> None:
    assert translate_call({"keep_alive": value}, FIELDS, {}) == {"ttl": seconds}


@pytest.mark.parametrize("value", [0, "0", "0s"])
def test_keep_alive_of_zero_says_what_to_pass(value: Any) -> None:
    with pytest.raises(LMStudioValueError, match="pass some seconds"):
        translate_call({"keep_alive": value}, FIELDS, {})


def test_max_retries_of_none_is_the_default() -> None:
    assert translate_constructor({"max_retries": None}, FIELDS | MORE, {}) == {}


@pytest.mark.parametrize("name", ["model_kwargs", "extra_body", "prediction_config"])
@pytest.mark.parametrize("kind", [LMStudioEmbeddings, LMStudioEmbedding])
def test_prediction_settings_of_embeddings_are_refused_with_what_they_have(kind: Any, name: str) -> None:
    with pytest.raises(ValueError, match="embeddings, which have no settings of a prediction: pass load_config"):
        kind(**{name: {"topKSampling": 5}})


def test_load_settings_in_a_dictionary_of_embeddings_are_understood() -> None:
    embeddings: Any = LMStudioEmbeddings
    assert embeddings(model_kwargs={"num_ctx": 512}).context_length == 512


def test_unknown_setting_of_embeddings_names_load_config() -> None:
    with pytest.raises(ValueError, match="unknown setting 'zzz': settings for loading the model go into load_config"):
        LMStudioEmbeddings(zzz=1)  # type: ignore[call-arg]  # the mistake


_OWN = {"context_length": "context_window", "prediction_config": "additional_kwargs"}
_BUNDLE_FIELDS = {"context_window", "additional_kwargs", "ttl"}


@pytest.mark.parametrize("beside", ["context_window", "context_length", "num_ctx"])
def test_setting_beside_a_dictionary_wins_under_every_name(beside: str) -> None:
    given = {"extra_body": {"num_ctx": 4096, "ttl": 5}, beside: 8192}
    assert translate_constructor(given, _BUNDLE_FIELDS, _OWN) == {
        "context_window": 8192,
        "ttl": 5,
        "additional_kwargs": {},
    }


def test_two_dictionaries_with_different_values_of_one_name_raise() -> None:
    given = {"extra_body": {"num_ctx": 4096}, "options": {"num_ctx": 8192}}
    with pytest.raises(LMStudioValueError, match="'num_ctx' has two values"):
        translate_constructor(given, _BUNDLE_FIELDS, _OWN)


@pytest.mark.parametrize("value", [True, False, "soon"])
def test_keep_alive_that_is_no_duration_raises(value: Any) -> None:
    with pytest.raises(LMStudioValueError, match="expected seconds or a duration"):
        translate_call({"keep_alive": value}, FIELDS, {})


@pytest.mark.parametrize("effort", [["low"], {"a": 1}, 5, "LOW"])
def test_effort_that_is_no_level_raises(effort: Any) -> None:
    for given in ({"reasoning_effort": effort}, {"reasoning": {"effort": effort}}):
        with pytest.raises(LMStudioValueError, match="expected one of none, minimal"):
            translate_call(given, FIELDS, {})


@pytest.mark.parametrize("budget", ["many", 1.5, True])
def test_budget_that_is_no_integer_raises(budget: Any) -> None:
    with pytest.raises(LMStudioValueError, match="an integer of tokens"):
        translate_call({"reasoning": {"type": "enabled", "budget_tokens": budget}}, FIELDS, {})


@pytest.mark.parametrize(
    "given", [{"is_chat_model": None}, {"keep_alive": ""}, {"keep_alive": None}, {"model_kwargs": None}]
)
def test_setting_that_is_left_open_keeps_its_default(given: dict[str, Any]) -> None:
    assert translate_constructor(given, {*FIELDS, "raw_completion"}, {}) == {}


def test_client_kwargs_have_headers_and_a_time_limit() -> None:
    fields = {"headers", "timeout"}
    given = {"client_kwargs": {"headers": {"a": "b"}, "timeout": (1, 2), "auth": None}}
    limits = {"connect": 1, "first_packet": 2, "idle": 2}
    assert translate_constructor(given, fields, {}) == {"headers": {"a": "b"}, "timeout": limits}
    assert translate_constructor({"client_kwargs": {"headers": None, "timeout": None}}, fields, {}) == {}
