"""API tokens in every form. An empty one is none: `LMSTUDIO_API_TOKEN=` in a file of variables, or `api_key=""` from a configuration."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from lmstudio_integrations import Client, LMStudioAuthenticationError
from lmstudio_integrations.emulator import EmulatedModel, Emulator
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding

TOKEN = "sk-lm-abcdefgh:ABCDEFGHIJKLMNOPQRST"
MODELS = (EmulatedModel("chat", loaded=True), EmulatedModel("embedding", "embedding", loaded=True))
Call = Callable[..., Any]
CALLS: dict[str, Call] = {
    "Client": lambda url, **token: Client(url, **token).llm.just_in_time("chat").respond("Hello").content,
    "ChatLMStudio": lambda url, **token: ChatLMStudio(model="chat", base_url=url, **token).invoke("Hello").text,
    "LMStudioEmbeddings": lambda url, **token: LMStudioEmbeddings(model="embedding", base_url=url, **token).embed_query(
        "x"
    ),
    "LMStudio": lambda url, **token: LMStudio(model="chat", base_url=url, **token).complete("Hello").text,
    "LMStudioEmbedding": lambda url, **token: LMStudioEmbedding(
        model="embedding", base_url=url, **token
    ).get_query_embedding("x"),
}
NAMES = {"LMStudio": "api_key", "LMStudioEmbedding": "api_key"}


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LMSTUDIO_API_TOKEN", "LM_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize("kind", CALLS)
def test_empty_token_is_no_token(kind: str, empty: str) -> None:
    with Emulator(MODELS) as server:
        assert CALLS[kind](server.url, **{NAMES.get(kind, "api_token"): empty})


@pytest.mark.parametrize("kind", CALLS)
def test_empty_token_means_none_and_not_the_environments(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", TOKEN)
    with Emulator(MODELS, api_token=TOKEN) as server, pytest.raises(LMStudioAuthenticationError):
        CALLS[kind](server.url, **{NAMES.get(kind, "api_token"): ""})


@pytest.mark.parametrize("kind", CALLS)
def test_empty_variable_is_no_token(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", "")
    with Emulator(MODELS) as server:
        assert CALLS[kind](server.url)


@pytest.mark.parametrize("kind", CALLS)
def test_second_variable_has_the_token_if_the_first_is_empty(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", "")
    monkeypatch.setenv("LM_API_TOKEN", TOKEN)
    with Emulator(MODELS, api_token=TOKEN) as server:
        assert CALLS[kind](server.url)


@pytest.mark.parametrize("model", [ChatLMStudio(api_token=""), LMStudio(api_key="")])
def test_pickle_of_an_object_with_an_empty_token_needs_none(model: Any) -> None:
    with Emulator(MODELS) as server:
        copy = pickle.loads(pickle.dumps(model))
        copy.base_url = server.url
        copy.invoke("Hello") if isinstance(copy, ChatLMStudio) else copy.complete("Hello")


@pytest.mark.parametrize("kind", CALLS)
def test_function_that_returns_the_token_is_called(kind: str) -> None:
    with Emulator(MODELS, api_token=TOKEN) as server:
        assert CALLS[kind](server.url, **{NAMES.get(kind, "api_token"): lambda: TOKEN})
        assert CALLS[kind](server.url, **{NAMES.get(kind, "api_token"): lambda: SecretStr(TOKEN)})
