"""Completion: an editor offers the keyword arguments that ``inspect.signature``, and so a notebook, shows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lmstudio_integrations as lms
from lmstudio_integrations.client.aio import AsyncModels
from lmstudio_integrations.client.sync import Models
from tests.typing.language_server import LanguageServer

ROOT = Path(__file__).resolve().parents[2]
PREAMBLE = """\
import lmstudio_integrations as lms
client, other = lms.Client(), lms.AsyncClient()
model, waiting = client.llm.just_in_time(), other.llm.just_in_time()
"""
CALLS: dict[str, Callable[..., Any]] = {
    "model.respond(": lms.LLM.respond,
    "model.respond_stream(": lms.LLM.respond_stream,
    "model.complete(": lms.LLM.complete,
    "model.complete_stream(": lms.LLM.complete_stream,
    "model.act(": lms.LLM.act,
    "model.apply_prompt_template(": lms.LLM.apply_prompt_template,
    "waiting.respond(": lms.AsyncLLM.respond,
    "waiting.respond_stream(": lms.AsyncLLM.respond_stream,
    "waiting.complete(": lms.AsyncLLM.complete,
    "waiting.complete_stream(": lms.AsyncLLM.complete_stream,
    "waiting.act(": lms.AsyncLLM.act,
    "lms.llm(": lms.llm,
    "lms.embedding_model(": lms.embedding_model,
    "lms.configure_default_client(": lms.configure_default_client,
    "client.llm.model(": Models.model,
    "client.llm.load_new_instance(": Models.load_new_instance,
    "client.llm.estimate_resources(": Models.estimate_resources,
    "client.embedding.load_new_instance(": Models.load_new_instance,
    "other.llm.model(": AsyncModels.model,
    "other.llm.load_new_instance(": AsyncModels.load_new_instance,
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    with LanguageServer(tmp_path_factory.mktemp("completion"), [ROOT]) as running:
        yield running


@pytest.mark.parametrize("call", CALLS)
def test_editor_offers_the_keywords_that_the_signature_shows(server: LanguageServer, call: str) -> None:
    offered = server.keywords(PREAMBLE + call)
    shown = [name for name in inspect.signature(CALLS[call]).parameters if name != "self"]
    assert sorted(offered) == sorted(shown)
    assert not any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in inspect.signature(CALLS[call]).parameters.values()
    )
    if "respond" in call:
        assert {"config", "on_message", "on_first_token", "response_format"} <= set(offered)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ('model.respond("Hi", config={"', lms.LlmPredictionConfigDict),
        ('model.respond("Hi", response_format={"type": "object"}, config={"', lms.LlmPredictionConfigDict),
        ('model.act("Hi", [print], config={"', lms.LlmPredictionConfigDict),
        ('waiting.respond_stream("Hi", config={"', lms.LlmPredictionConfigDict),
        ('lms.llm("x", config={"', lms.LlmLoadModelConfigDict),
        ('client.embedding.model("x", config={"', lms.EmbeddingLoadModelConfigDict),
    ],
)
def test_editor_offers_the_keys_of_a_configuration(server: LanguageServer, call: str, kind: Any) -> None:
    offered = set(server.keys(PREAMBLE + call))
    assert {name for name in kind.__annotations__ if name.isascii()} <= offered
    assert not {"strategy", "contextLenght"} & offered
