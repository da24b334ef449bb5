"""Settings and the keywords of a call become the same request, whatever adapter they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason="the extra `langchain` is not installed")
pytest.importorskip("llama_index.core", reason="the extra `llama-index` is not installed")

from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage

from lmstudio_integrations import CancelToken
from lmstudio_integrations.compat.prediction_request import PredictionRequest, load_options, prediction_request
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.llama_index import LMStudio
from lmstudio_integrations.llama_index._request import call_keywords


def langchain_request(settings: dict[str, Any], call: dict[str, Any]) -> PredictionRequest:
    return ChatLMStudio(**settings)._request([HumanMessage("x")], None, call)


def llama_index_request(settings: dict[str, Any], call: dict[str, Any]) -> PredictionRequest:
    llm = LMStudio(**settings)
    return llm._request([ChatMessage(role="user", content="x")], call_keywords(llm, call))


TOKEN = CancelToken()


@pytest.mark.parametrize(
    ("settings", "call"),
    [
        ({}, {}),
        ({"model": "a", "temperature": 0.1, "ttl": 60}, {"model": "b", "temperature": None, "ttl": None}),
        ({"context_length": 100}, {}),
        ({"context_length": 100}, {"context_length": 200}),
        ({"context_length": 100}, {"context_length": None}),
        ({"context_length": 100, "load_config": {"context_length": 300}}, {}),
        ({"context_length": 100, "load_config": {"contextLength": 300, "seed": 1}}, {"context_length": 200}),
        ({"load_config": {"seed": 1, "flash_attention": True}}, {"load_config": {"seed": 2}}),
        ({"context_length": 100}, {"load_config": {"contextLength": 400}}),
        ({"prediction_config": {"top_k_sampling": 3, "cpuThreads": 2}}, {"prediction_config": {"topKSampling": 4}}),
        ({"prediction_config": {"temperature": 0.5}, "temperature": 0.1}, {}),
        ({"preset": "p"}, {"reasoning": 99, "max_retries": 0, "timeout": 3, "cancel": TOKEN}),
        ({"draft_model": "small", "max_tokens": -1, "stop": "x"}, {"draft_model": "", "stop": ["y"], "logprobs": True}),
        ({"check_resources": True, "fetch_images": True, "check_context": True}, {"parallel_tool_calls": False}),
        ({}, {"response_format": {"type": "object", "properties": {"a": {"type": "integer"}}}}),
        ({}, {"raise_incomplete": False}),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, dict) else None,
)
def test_same_settings_and_call_give_both_adapters_the_same_request(
    settings: dict[str, Any], call: dict[str, Any]
) -> None:
    langchain, llama_index = langchain_request(settings, call), llama_index_request(settings, call)
    assert langchain.model == llama_index.model
    assert langchain.load == llama_index.load
    assert langchain.context_length == llama_index.context_length
    assert langchain.response == llama_index.response
    assert without_schema(langchain.options) == without_schema(llama_index.options)


def without_schema(options: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of ``response_format`` is wrapped as OpenAI's on one side; the client unwraps it."""
    return {name: name if name == "response_format" else value for name, value in options.items()}


def fixed(**values: Any) -> Any:
    return values.get


def test_none_in_a_call_leaves_a_setting_to_lm_studio() -> None:
    request = prediction_request(fixed(temperature=0.5, model="a"), {"temperature": None, "model": None}, "text")
    assert request.model is None
    assert "temperature" not in request.options["config"]


def test_config_of_a_call_wins_over_every_other_setting() -> None:
    settings = fixed(temperature=0.1, prediction_config={"temperature": 0.2})
    request = prediction_request(settings, {"temperature": 0.3, "config": {"temperature": 0.4}}, "text")
    assert request.options["config"]["temperature"] == 0.4


@pytest.mark.parametrize(
    ("settings", "call", "expected"),
    [
        ({}, {}, None),
        ({"context_length": 1}, {}, 1),
        ({"context_length": 1, "load_config": {"contextLength": 2}}, {}, 2),
        ({"context_length": 1, "load_config": {"contextLength": 2}}, {"context_length": 3}, 3),
        ({"context_length": 1, "load_config": {"contextLength": 2}}, {"context_length": None}, None),
        ({"context_length": 1}, {"context_length": 3, "load_config": {"context_length": 4}}, 4),
    ],
)
def test_context_length_comes_from_the_call_then_from_load_config_then_from_the_setting(
    settings: dict[str, Any], call: dict[str, Any], expected: int | None
) -> None:
    config = load_options(fixed(**settings), call)["config"] or {}
    assert config.get("contextLength") == expected
    assert "context_length" not in config


@pytest.mark.parametrize(("choice", "forced"), [(None, False), ("auto", False), ("none", False), ("required", True)])
def test_forced_call_is_a_tool_choice_that_leaves_no_answer_without_a_call(choice: str | None, forced: bool) -> None:
    assert prediction_request(fixed(), {}, "text", tool_choice=choice).response.is_forced_call is forced
