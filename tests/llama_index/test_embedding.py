"""Embeddings: queries and texts, batches, instructions, order."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.schema import QueryBundle, TextNode

from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.errors import (
    LMStudioAuthenticationError,
    LMStudioContextOverflowError,
    LMStudioDisconnectedError,
    LMStudioModelNotFoundError,
    LMStudioValueError,
)
from lmstudio_integrations.llama_index import LMStudioEmbedding
from lmstudio_integrations.llama_index.embedding import instructed
from tests.sent_requests import calls, creations, settings


def sent(server: Emulator) -> list[str]:
    return [call["inputString"] for call in calls(server, "embedString")]


def test_embedding_is_a_base_embedding(embed_model: LMStudioEmbedding) -> None:
    assert isinstance(embed_model, BaseEmbedding)
    assert embed_model.class_name() == "LMStudioEmbedding"


async def test_vector_is_a_list_of_floats(embed_model: LMStudioEmbedding) -> None:
    vectors = [
        embed_model.get_query_embedding("one"),
        embed_model.get_text_embedding("one"),
        await embed_model.aget_query_embedding("one"),
        await embed_model.aget_text_embedding("one"),
    ]
    assert all(type(vector) is list and len(vector) == 768 for vector in vectors)
    assert all(type(value) is float for value in vectors[0])
    assert vectors[0] == vectors[1] == vectors[2] == vectors[3]


TEXTS = [f"text number {number}" for number in range(150)]


async def test_batch_keeps_the_order(server: Emulator, embed_model: LMStudioEmbedding) -> None:
    one_by_one = [embed_model.get_text_embedding(text) for text in TEXTS]
    assert embed_model.get_text_embedding_batch(TEXTS) == one_by_one
    assert await embed_model.aget_text_embedding_batch(TEXTS) == one_by_one
    assert len(sent(server)) == 3 * len(TEXTS)


async def test_empty_list_gives_no_vectors(embed_model: LMStudioEmbedding) -> None:
    assert embed_model.get_text_embedding_batch([]) == []
    assert await embed_model.aget_text_embedding_batch([]) == []


def test_unanswered_calls_of_a_batch_are_bounded(server: Emulator) -> None:
    embed_model = LMStudioEmbedding(model="emulator/embedding", base_url=server.url, embed_batch_size=500)
    embed_model.get_text_embedding_batch([str(number) for number in range(500)])
    frames = sorted([*server.requests, *server.sent], key=lambda frame: frame.order)
    unanswered = most = 0
    for frame in frames:
        if frame.message.get("type") == "rpcCall" and frame.message["endpoint"] == "embedString":
            unanswered += 1
        elif frame.direction == "server" and frame.message.get("type") == "rpcResult":
            unanswered -= 1
        most = max(most, unanswered)
    assert 1 < most <= 64


async def test_instructions_are_prepended_to_queries_and_texts(server: Emulator) -> None:
    embed_model = LMStudioEmbedding(
        model_name="emulator/embedding",
        base_url=server.url,
        query_instruction="search_query:",
        text_instruction="search_document: ",
    )
    embed_model.get_query_embedding("q")
    await embed_model.aget_query_embedding("q")
    embed_model.get_text_embedding("t")
    embed_model.get_text_embedding_batch(["t"])
    await embed_model.aget_text_embedding_batch(["t"])
    assert sent(server) == ["search_query: q"] * 2 + ["search_document: t"] * 3


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [(None, " t\n"), ("", " t\n"), ("do:", "do:  t\n"), ("do: ", "do:  t\n"), ("do\n", "do\n t\n")],
)
def test_text_is_unchanged(instruction: str | None, expected: str) -> None:
    assert instructed(instruction, " t\n") == expected


def test_model_name_none_uses_any_loaded_model(server: Emulator) -> None:
    cases: list[Any] = [{}, {"model": None}, {"model_name": None}]
    for given in cases:
        assert len(LMStudioEmbedding(base_url=server.url, **given).get_text_embedding("x")) == 768


def test_unknown_model_raises_model_not_found(server: Emulator) -> None:
    with pytest.raises(LMStudioModelNotFoundError):
        LMStudioEmbedding(model="nobody/nothing", base_url=server.url).get_text_embedding("x")


def test_load_config_and_ttl_are_sent(server: Emulator) -> None:
    embed_model = LMStudioEmbedding(
        model="emulator/embedding", base_url=server.url, ttl=60, load_config={"contextLength": 2048}
    )
    embed_model.get_text_embedding("x")
    (creation,) = creations(server, "getOrLoad")
    assert creation["loadTtlMs"] == 60_000
    assert settings(creation, "loadConfigStack")["embedding.load.contextLength"] == 2048


async def test_concurrent_batches_do_not_mix(embed_model: LMStudioEmbedding) -> None:
    batches = [[f"{batch}/{number}" for number in range(10)] for batch in range(5)]
    got = await asyncio.gather(*(embed_model.aget_text_embedding_batch(batch) for batch in batches))
    assert got == [embed_model.get_text_embedding_batch(batch) for batch in batches]


def test_nodes_get_their_vectors(embed_model: LMStudioEmbedding) -> None:
    nodes: list[Any] = [TextNode(text="a"), TextNode(text="b")]
    embedded = embed_model(nodes)
    assert [node.embedding for node in embedded] == embed_model.get_text_embedding_batch(["a", "b"])


def test_related_texts_are_more_similar(embed_model: LMStudioEmbedding) -> None:
    cat, kitten, car = embed_model.get_text_embedding_batch(["the cat sat", "the cat slept", "engines need oil"])
    assert embed_model.similarity(cat, kitten) > embed_model.similarity(cat, car)


def test_lost_connection_is_retried(server: Emulator) -> None:
    embed_model = LMStudioEmbedding(model="emulator/embedding", base_url=server.url, max_retries=2)
    server.faults.add("drop", endpoint="embedString", times=2)  # number 10: three sends at most
    assert len(embed_model.get_text_embedding("x")) == 768


async def test_retries_stop_after_max_retries(server: Emulator) -> None:
    embed_model = LMStudioEmbedding(model="emulator/embedding", base_url=server.url, max_retries=1)
    server.faults.add("drop", endpoint="embedString", times=None)
    with pytest.raises(LMStudioDisconnectedError):
        embed_model.get_text_embedding("x")
    with pytest.raises(LMStudioDisconnectedError):
        await embed_model.aget_text_embedding("x")


def test_batch_dispatches_one_event(server: Emulator) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    embed_model = LMStudioEmbedding(
        model="emulator/embedding", base_url=server.url, callback_manager=CallbackManager([debug]), embed_batch_size=2
    )
    embed_model.get_text_embedding_batch(["a", "b", "c"])
    assert len(debug.get_event_pairs(CBEventType.EMBEDDING)) == 2


def test_pickle_has_no_token(server: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    embed_model = LMStudioEmbedding(
        model="emulator/embedding", base_url=server.url, api_key="sk-lm-secret00:01234567890123456789"
    )
    for stored in (embed_model.to_dict(), repr(embed_model), embed_model.to_json()):
        assert "secret" not in str(stored)
    assert b"secret00" not in pickle.dumps(embed_model)
    vector = embed_model.get_text_embedding("x")
    assert copy.deepcopy(embed_model).get_text_embedding("x") == vector
    restored = pickle.loads(pickle.dumps(embed_model))
    with pytest.raises(LMStudioAuthenticationError, match="pickles"):  # number 15: its token is lost, and it says so
        restored.get_text_embedding("x")
    monkeypatch.setenv("LMSTUDIO_API_TOKEN", "sk-lm-secret00:01234567890123456789")
    assert restored.get_text_embedding("x") == vector
    assert LMStudioEmbedding.from_dict(embed_model.to_dict()).get_text_embedding("x") == vector


@pytest.mark.parametrize("texts", [("a", "b"), (text for text in "ab"), {"a": 1, "b": 2}, deque(["a", "b"])])
async def test_batch_takes_any_iterable(embed_model: LMStudioEmbedding, texts: Any) -> None:
    given = list(texts)
    expected = embed_model.get_text_embedding_batch(["a", "b"])
    assert embed_model.get_text_embedding_batch(iter(given)) == expected
    assert await embed_model.aget_text_embedding_batch(iter(given)) == expected


@pytest.mark.parametrize("texts", ["abc", b"ab", None, 5])
async def test_batch_that_is_no_iterable_of_texts_is_an_error(embed_model: LMStudioEmbedding, texts: Any) -> None:
    with pytest.raises(LMStudioValueError, match="expected an iterable of texts"):
        embed_model.get_text_embedding_batch(texts)
    with pytest.raises(LMStudioValueError, match="expected an iterable of texts"):
        await embed_model.aget_text_embedding_batch(texts)


def test_batch_with_something_else_among_its_texts_names_its_number(embed_model: LMStudioEmbedding) -> None:
    with pytest.raises(LMStudioValueError, match="text 1: expected a string, got int: 7"):
        embed_model.get_text_embedding_batch(["a", 7])  # type: ignore[list-item]


SINGLE = ["get_query_embedding", "aget_query_embedding", "get_text_embedding", "aget_text_embedding"]


@pytest.mark.parametrize("method", SINGLE)
@pytest.mark.parametrize("text", [None, 5, float("nan"), b"a", ["a", "b"], QueryBundle("a")])
async def test_single_text_that_is_no_string_is_an_error_and_is_not_sent(
    server: Emulator, method: str, text: Any
) -> None:
    embed_model = LMStudioEmbedding(
        model="emulator/embedding", base_url=server.url, query_instruction="query:", text_instruction="text:"
    )
    with pytest.raises(LMStudioValueError, match="the text: expected a string, got"):
        result = getattr(embed_model, method)(text)
        await result
    assert sent(server) == []


@pytest.mark.parametrize("method", SINGLE)
async def test_half_a_character_has_its_position_in_the_text_without_instruction(server: Emulator, method: str) -> None:
    embed_model = LMStudioEmbedding(
        model="emulator/embedding", base_url=server.url, query_instruction="query:", text_instruction="text:"
    )
    with pytest.raises(LMStudioValueError, match="position 1:"):
        await getattr(embed_model, method)("a\ud800")


def test_blocking_batch_by_default_keeps_more_than_ten_calls_in_flight(server: Emulator) -> None:
    hold = server.faults.add("stall", endpoint="embedString", times=None)
    embed_model = LMStudioEmbedding(model="emulator/embedding", base_url=server.url)
    with ThreadPoolExecutor(1) as pool:
        vectors = pool.submit(embed_model.get_text_embedding_batch, [str(number) for number in range(40)])
        server.wait_until(lambda: len(sent(server)) == 40)
        hold.release()
        assert len(vectors.result(10)) == 40


@pytest.mark.parametrize("num_workers", [None, 2])
async def test_failed_batch_cancels_the_others(server: Emulator, num_workers: int | None) -> None:
    server.faults.add("silent", endpoint="embedString", times=None)
    embed_model = LMStudioEmbedding(
        model="emulator/embedding", base_url=server.url, embed_batch_size=2, num_workers=num_workers
    )
    before = asyncio.all_tasks()
    with pytest.raises(LMStudioContextOverflowError):
        await embed_model.aget_text_embedding_batch(["too long " * 10_000, *[str(number) for number in range(20)]])
    others = asyncio.all_tasks() - before
    await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 5)
    assert all(task.done() for task in others)
