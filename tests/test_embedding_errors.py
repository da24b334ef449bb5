"""Errors of embeddings name the text, in the client and on both sides, however the texts travel; loads report progress."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import llama_index.core.instrumentation as instrument
import pytest
from llama_index.core.instrumentation.event_handlers import BaseEventHandler

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.client import requests
from lmstudio_integrations.client.long_texts import SplitText
from lmstudio_integrations.emulator import EmulatedModel, Emulator
from lmstudio_integrations.errors import (
    LMStudioContextOverflowError,
    LMStudioError,
    LMStudioModelUnloadedError,
    LMStudioProtocolError,
    LMStudioServerError,
)
from lmstudio_integrations.langchain import LMStudioEmbeddings
from lmstudio_integrations.llama_index import LMStudioEmbedding, LoadProgressEvent

MODEL = "some/embedding"
LONG = "word " * 600
TEXTS = [str(number) for number in range(200)]


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator([EmulatedModel(MODEL, "embedding", context_length=512)]) as running:
        yield running


def embed_client(url: str, texts: list[str]) -> Any:
    with Client(url) as client:
        return client.embedding.just_in_time(MODEL).embed(texts)


async def embed_async_client(url: str, texts: list[str]) -> Any:
    async with AsyncClient(url) as client:
        return await client.embedding.just_in_time(MODEL).embed(texts)


def lang_chain(**settings: Any) -> Callable[[str, list[str]], Any]:
    return lambda url, texts: LMStudioEmbeddings(model=MODEL, base_url=url, **settings).embed_documents(texts)


def index(**settings: Any) -> Callable[[str, list[str]], Any]:
    return lambda url, texts: LMStudioEmbedding(model=MODEL, base_url=url, **settings).get_text_embedding_batch(texts)


def awaiting_index(**settings: Any) -> Callable[[str, list[str]], Any]:
    return lambda url, texts: LMStudioEmbedding(model=MODEL, base_url=url, **settings).aget_text_embedding_batch(texts)


WAYS = {
    "client": embed_client,
    "async client": embed_async_client,
    "langchain": lang_chain(),
    "langchain, in steps": lang_chain(show_progress=True),
    "llama_index": index(),
    "llama_index, batches of 3": index(embed_batch_size=3),
    "llama_index, text_instruction": index(text_instruction="text:", embed_batch_size=7),
    "llama_index, awaiting": awaiting_index(embed_batch_size=3),
    "llama_index, workers": awaiting_index(embed_batch_size=3, num_workers=2),
}


def error_of(way: Callable[[str, list[str]], Any], url: str, texts: list[str]) -> LMStudioError:
    with pytest.raises(LMStudioError) as caught:
        result = way(url, texts)
        asyncio.run(result)
    return caught.value


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_text_that_is_too_long_has_its_number_among_all_texts(
    server: Emulator, way: Callable[[str, list[str]], Any]
) -> None:
    error = error_of(way, server.url, [*TEXTS[:150], LONG, *TEXTS[150:]])
    assert isinstance(error, LMStudioContextOverflowError)
    assert error.text_number == 150
    assert str(error).startswith("text 150: it has ")
    assert LONG not in map(str, error.__dict__.values())
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_text_that_the_server_refuses_has_its_number_among_all_texts(
    server: Emulator, way: Callable[[str, list[str]], Any]
) -> None:
    server.faults.add("error_mid_stream", endpoint="embedString", error="no vector", times=None)
    error = error_of(way, server.url, ["only", "two"])
    assert isinstance(error, LMStudioServerError)
    assert error.text_number in (0, 1)
    assert str(error) == f"text {error.text_number}: no vector"


def test_number_of_a_text_counts_texts_and_not_the_parts_of_those_before_it() -> None:
    def vector(text: str) -> list[float]:
        if text == "bad":
            raise LookupError
        return [0.5, 0.5]

    models = [EmulatedModel(MODEL, "embedding", context_length=512)]
    with Emulator(models, embeddings=vector) as server, Client(server.url) as client:
        model = client.embedding.model(MODEL)
        with pytest.raises(LMStudioServerError, match="text 1: "):
            model.embed([LONG, "bad"], long_texts="split")


def test_error_about_the_model_names_no_text(server: Emulator) -> None:
    unloaded = {"title": "gone", "displayData": {"code": "generic.specificModelUnloaded"}}
    server.faults.add("error_mid_stream", endpoint="embedString", error=unloaded, times=None)
    error = error_of(embed_client, server.url, ["a"])
    assert isinstance(error, LMStudioModelUnloadedError)
    assert error.text_number is None


def test_vector_of_another_length_than_the_first_is_an_error_with_the_texts_number() -> None:
    vectors = {"a": [0.5, 0.5], "b": [0.5, 0.5], "c": [0.5]}
    result = requests.Embedded([{"embedding": vectors[text]} for text in "abc"])
    with pytest.raises(LMStudioProtocolError, match="text 2: its vector has 1 numbers, and that of the first text 2"):
        requests.read_embeddings(result)


def test_part_of_a_text_with_a_vector_of_another_length_is_an_error_with_the_texts_number() -> None:
    split = SplitText(1, ["b", "c"], [1, 1])
    result = requests.Embedded([{"embedding": [0.5] * (1 + number // 2)} for number in range(4)], [split])
    with pytest.raises(LMStudioProtocolError, match="text 1: its vector"):
        requests.read_embeddings(result)


def test_vector_with_nan_is_an_error_with_the_number_of_the_text() -> None:
    result = requests.Embedded([{"embedding": [0.5]}, {"embedding": [None]}])
    with pytest.raises(LMStudioProtocolError, match=r"text 1: (?s:.*)no finite numbers"):
        requests.read_embeddings(result)


async def test_embed_reports_the_progress_of_a_load_once(server: Emulator) -> None:
    seen: list[float] = []
    with Client(server.url) as client:
        model = client.embedding.just_in_time(MODEL)
        model.embed("a", on_load_progress=seen.append)
        count = len(seen)
        assert seen == sorted(set(seen))
        assert count > 1
        model.embed("a", on_load_progress=seen.append)
        assert len(seen) == count
    server.unload(MODEL)

    async def see(progress: float) -> None:
        seen.append(progress)

    async with AsyncClient(server.url) as aclient:
        await aclient.embedding.just_in_time(MODEL).embed(["a"], on_load_progress=see)
    assert seen[count:] == seen[:count]


async def test_langchain_embeddings_call_on_load_progress(server: Emulator) -> None:
    seen: list[float] = []
    embeddings = LMStudioEmbeddings(model=MODEL, base_url=server.url, on_load_progress=seen.append)
    embeddings.embed_query("a")
    count = len(seen)
    assert count > 1
    server.unload(MODEL)
    await embeddings.aembed_documents(["a"])
    assert len(seen) == 2 * count


class Progress(BaseEventHandler):
    seen: list[Any] = []  # noqa: RUF012  # a pydantic field

    def handle(self, event: Any, **_: Any) -> None:
        if isinstance(event, LoadProgressEvent):
            self.seen.append(event)


async def test_llama_index_embedding_dispatches_load_progress_within_its_span(
    server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Progress()
    monkeypatch.setattr(instrument.get_dispatcher(), "event_handlers", [handler])
    embed_model = LMStudioEmbedding(model=MODEL, base_url=server.url)
    embed_model.get_text_embedding_batch(["a"])
    count = len(handler.seen)
    assert count > 1
    server.unload(MODEL)
    await embed_model.aget_query_embedding("a")
    assert len(handler.seen) == 2 * count
    assert all(event.model == MODEL and event.span_id for event in handler.seen)
