"""``dimensions`` of both embedding classes: LM Studio has no such setting, so the vectors are shortened here."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from lmstudio_integrations.compat.embedding_vectors import shorten_vectors
from lmstudio_integrations.emulator import EmulatedModel, Emulator
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings
from lmstudio_integrations.llama_index import LMStudioEmbedding

SIZE = 16
KINDS: list[Any] = [LMStudioEmbeddings, LMStudioEmbedding]


def vectors_of(model: Any) -> list[list[float]]:
    """One vector from each method."""
    if isinstance(model, LMStudioEmbeddings):
        one, many, aone, amany = model.embed_query, model.embed_documents, model.aembed_query, model.aembed_documents
    else:
        one, many = model.get_text_embedding, model.get_text_embedding_batch
        aone, amany = model.aget_text_embedding, model.aget_text_embedding_batch
    return [one("a"), *many(["a"]), asyncio.run(aone("a")), *asyncio.run(amany(["a"]))]


@pytest.mark.parametrize("kind", KINDS)
def test_dimensions_keeps_the_first_numbers_and_scales_them_to_length_one(kind: Any) -> None:
    with Emulator(models=[EmulatedModel("e", "embedding", dimensions=SIZE)]) as server:
        whole = vectors_of(kind(model="e", base_url=server.url))
        short = vectors_of(kind(model="e", base_url=server.url, dimensions=4))
    assert {len(vector) for vector in whole} == {SIZE}
    for vector, all_of_it in zip(short, whole, strict=True):
        length = math.hypot(*all_of_it[:4])
        assert vector == pytest.approx([value / length for value in all_of_it[:4]])
        assert math.hypot(*vector) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_more_dimensions_than_the_model_makes_are_an_error_with_both_numbers(kind: Any) -> None:
    with Emulator(models=[EmulatedModel("e", "embedding", dimensions=SIZE)]) as server:
        model = kind(model="e", base_url=server.url, dimensions=SIZE + 1)
        with pytest.raises(ValueError, match=f"dimensions={SIZE + 1}.* {SIZE} numbers"):
            vectors_of(model)
        assert vectors_of(kind(model="e", base_url=server.url, dimensions=SIZE)) == vectors_of(
            kind(model="e", base_url=server.url)
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0, -1, 1.5, "many"])
def test_dimensions_that_are_no_positive_number_are_refused(kind: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="dimensions"):
        kind(dimensions=value)


def test_dimensions_of_a_chat_model_are_refused() -> None:
    model: Any = ChatLMStudio
    with pytest.raises(ValueError, match="only embeddings"):
        model(dimensions=3)


def test_shorten_vectors_leaves_zeros_and_whole_vectors_alone() -> None:
    assert shorten_vectors([[0.0, 0.0, 1.0]], 2) == [[0.0, 0.0]]
    assert shorten_vectors([[3.0, 4.0]], None) == shorten_vectors([[3.0, 4.0]], 2) == [[3.0, 4.0]]
    assert shorten_vectors([], 2) == []
    with pytest.raises(LMStudioValueError):
        shorten_vectors([[1.0]], 2)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_shorten_vectors_of_very_large_or_small_numbers_has_length_one(scale: float) -> None:
    assert shorten_vectors([[3 * scale, 4 * scale, scale]], 2) == [pytest.approx([0.6, 0.8])]
