"""A model that cannot be loaded, and one that is gone by the server's words alone: the same on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.exceptions import ModelError
from llama_index.core.llms import ChatMessage

from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply
from lmstudio_integrations.errors import LMStudioModelLoadError
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding

CHAT, EMBEDDING = "some/chat", "some/embedding"
NO_MEMORY = {
    "title": "Failed to load model",
    "cause": "Model loading was stopped due to insufficient system resources.",
}


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator([EmulatedModel(CHAT), EmulatedModel(EMBEDDING, "embedding")]) as running:
        yield running


def ask(kind: type[Any], url: str) -> Any:
    """One request of each class."""
    if kind is ChatLMStudio:
        return kind(model=CHAT, base_url=url).invoke("Hi")
    if kind is LMStudio:
        return kind(model=CHAT, base_url=url).chat([ChatMessage(content="Hi")])
    embeddings = kind(model=EMBEDDING, base_url=url)
    return embeddings.embed_query("Hi") if kind is LMStudioEmbeddings else embeddings.get_text_embedding("Hi")


def count(server: Emulator, endpoint: str) -> int:
    return sum(record.message.get("endpoint") == endpoint for record in server.requests)


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudioEmbeddings, LMStudio, LMStudioEmbedding])
def test_load_that_lacks_memory_is_a_load_error_and_is_not_sent_again(server: Emulator, kind: type[Any]) -> None:
    server.faults.add("error_mid_stream", endpoint="getOrLoad", error=NO_MEMORY, times=None)
    with pytest.raises(LMStudioModelLoadError, match="insufficient system resources") as caught:
        ask(kind, server.url)
    if kind in (ChatLMStudio, LMStudioEmbeddings):
        assert isinstance(caught.value, ModelError)
        assert not caught.value.is_retryable
    assert count(server, "getOrLoad") == 1


@pytest.mark.parametrize("kind", [ChatLMStudio, LMStudioEmbeddings, LMStudio, LMStudioEmbedding])
def test_model_that_is_unloaded_by_its_text_alone_is_loaded_again(server: Emulator, kind: type[Any]) -> None:
    chat = kind in (ChatLMStudio, LMStudio)
    endpoint = "predict" if chat else "embedString"
    server.faults.add("error_mid_stream", endpoint=endpoint, error="Model is unloaded.")
    if chat:  # without progress, which would be a beginning
        server.script(Reply("1", progress=()), Reply("2", progress=()))
    assert ask(kind, server.url)
    assert count(server, "getOrLoad") == 2
    assert count(server, endpoint) == 2
