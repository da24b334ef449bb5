"""Texts to embed that are longer than the model's context: an error with the text's number, or split and averaged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.client.long_texts import SplitText, may_exceed, merge_vectors
from lmstudio_integrations.emulator import EmulatedModel, Emulator
from lmstudio_integrations.errors import (
    LMStudioContextOverflowError,
    LMStudioDisconnectedError,
    LMStudioTimeoutError,
    LMStudioValueError,
)
from lmstudio_integrations.langchain import LMStudioEmbeddings
from lmstudio_integrations.llama_index import LMStudioEmbedding
from tests.movable_clock import MovableClock

MODEL = "some/embedding"
LONG = "word " * 2000


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator([EmulatedModel(MODEL, "embedding", loaded=True, context_length=512)]) as running:
        yield running


def endpoints(server: Emulator) -> list[str]:
    return [
        record.message["endpoint"]
        for record in server.requests
        if record.message.get("endpoint") in ("getModelInfo", "countTokens", "embedString")
    ]


def test_long_text_raises_with_its_number_and_counts(server: Emulator) -> None:
    expected = r"text 1: it has .* a context of 512 tokens"
    with Client(server.url) as client, pytest.raises(LMStudioContextOverflowError, match=expected) as caught:
        client.embedding.model(MODEL).embed(["short", LONG, LONG])
    assert caught.value.available == 512
    assert (caught.value.needed or 0) > 2000
    assert "embedString" not in endpoints(server), "nothing is embedded"


async def test_split_text_has_one_vector_among_the_others(server: Emulator) -> None:
    with Client(server.url) as client:
        model = client.embedding.model(MODEL)
        first, second, third, fourth = model.embed(["a", LONG, "b", LONG + "end"], long_texts="split")
        assert [first, third] == model.embed(["a", "b"])
        assert second != fourth
        for vector in (second, fourth):
            assert len(vector) == len(first)
            assert math.isclose(math.hypot(*vector), 1)
        assert model.embed(LONG, long_texts="split") == second
    async with AsyncClient(server.url) as aclient:
        amodel = await aclient.embedding.model(MODEL)
        assert (await amodel.embed(["a", LONG], long_texts="split"))[1] == second
        with pytest.raises(LMStudioContextOverflowError, match="text 0"):
            await amodel.embed(LONG)


def test_every_part_that_is_sent_fits_and_the_parts_are_the_text(server: Emulator) -> None:
    text = "x" * 3000 + " " + "wörter und zeichen 你好 " * 300
    with Client(server.url) as client:
        model = client.embedding.model(MODEL)
        model.embed(text, long_texts="split")
        parts = [
            record.message["parameter"]["inputString"]
            for record in server.requests
            if record.message.get("endpoint") == "embedString"
        ]
        assert "".join(parts) == text
        assert len(parts) > 2
        assert max(model.count_tokens(part) for part in parts) <= 510


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("word " * 50, ["embedString"]),  # 250 bytes: no model has so little context
        ("word " * 80, ["getModelInfo", "embedString"]),  # 400 bytes are at most 400 tokens
        ("word " * 110, ["getModelInfo", "countTokens", "embedString"]),
    ],
)
def test_only_texts_that_may_be_too_long_cost_requests(server: Emulator, text: str, expected: list[str]) -> None:
    with Client(server.url) as client:
        model = client.embedding.model(MODEL)
        server.clear_record()
        model.embed(text)
        assert endpoints(server) == expected
        server.clear_record()
        model.embed(text, long_texts="unchecked")
        assert endpoints(server) == ["embedString"]


def test_total_limit_bounds_counting_and_embedding_together(server: Emulator, clock: MovableClock) -> None:
    stalls = [server.faults.add("stall", endpoint=endpoint) for endpoint in ("countTokens", "embedString")]
    with Client(server.url, timeout={"total": 30}) as client, ThreadPoolExecutor(1) as pool:
        model = client.embedding.model(MODEL)
        embedding = pool.submit(model.embed, LONG, long_texts="split")
        for stall in stalls:
            stall.wait_hit()
            clock.advance(19)
            stall.release()
        with pytest.raises(LMStudioTimeoutError) as caught:
            embedding.result(10)
    assert caught.value.limit == "total"


@pytest.mark.parametrize("max_retries", [1, 2])
def test_retries_of_a_text_count_for_counting_and_embedding_together(server: Emulator, max_retries: int) -> None:
    with Client(server.url, max_retries=max_retries) as client:
        model = client.embedding.model(MODEL)
        for endpoint in ("countTokens", "embedString"):
            server.faults.add("drop", endpoint=endpoint)
        if max_retries == 1:
            with pytest.raises(LMStudioDisconnectedError):
                model.embed([LONG, "b"], long_texts="split")
        else:
            assert len(model.embed([LONG, "b"], long_texts="split")) == 2


def test_unknown_setting_raises(server: Emulator) -> None:
    with Client(server.url) as client, pytest.raises(LMStudioValueError, match="long_texts='cut'"):
        client.embedding.model(MODEL).embed("x", long_texts="cut")  # type: ignore[call-overload]


@pytest.mark.parametrize("kind", [LMStudioEmbeddings, LMStudioEmbedding])
async def test_adapter_raises_or_splits(server: Emulator, kind: Any) -> None:
    texts = ["a", LONG]

    async def both(model: Any) -> list[list[list[float]]]:
        if kind is LMStudioEmbeddings:
            return [model.embed_documents(texts), await model.aembed_documents(texts)]
        return [model.get_text_embedding_batch(texts), await model.aget_text_embedding_batch(texts)]

    with pytest.raises(LMStudioContextOverflowError, match="text 1"):
        await both(kind(model=MODEL, base_url=server.url))
    blocking, awaiting = await both(kind(model=MODEL, base_url=server.url, long_texts="split"))
    assert blocking == awaiting
    assert len(blocking) == 2


@pytest.mark.parametrize(
    ("text", "may"), [("a" * 254, False), ("a" * 255, True), ("é" * 127, False), ("é" * 128, True), ("😀" * 64, True)]
)
def test_text_may_exceed_a_context_by_its_bytes(text: str, may: bool) -> None:
    assert may_exceed(text, 256) is may


def test_part_of_one_character_that_is_too_long_raises() -> None:
    with pytest.raises(LMStudioContextOverflowError):
        SplitText(0, ["x"]).read_counts([9], 4, split=True)


def test_merged_vector_is_the_weighted_average_of_length_1() -> None:
    assert merge_vectors([[1.0, 0.0], [0.0, 1.0]], [3, 4]) == pytest.approx([0.6, 0.8])
    assert merge_vectors([[0.0], [0.0]], [1, 1]) == [0.0]


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_merged_vector_of_any_size_has_length_1(size: float) -> None:
    assert merge_vectors([[3 * size, 4 * size]] * 2, [1, 2]) == pytest.approx([0.6, 0.8])
