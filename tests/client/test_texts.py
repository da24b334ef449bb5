"""Texts to embed or to tokenize, as users pass them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from lmstudio_integrations.client.texts import check_texts
from lmstudio_integrations.errors import LMStudioValueError


@pytest.mark.parametrize("texts", [("a", "b"), iter(["a", "b"]), {"a": 1, "b": 2}.keys(), (text for text in "ab")])
def test_check_texts_of_any_iterable_is_a_list(texts: Any) -> None:
    assert check_texts(texts) == ["a", "b"]


class Indexed:
    """An iterable by its indexes alone."""

    def __getitem__(self, index: int) -> str:
        return "ab"[index]


class Dimensionless:
    """Like ``numpy.array("a")``, which has ``__iter__`` and cannot be iterated."""

    def __iter__(self) -> Iterator[str]:
        raise TypeError("iteration over a 0-d array")


class BadRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


async def awaited_texts() -> AsyncIterator[str]:
    yield "a"


def test_check_texts_of_an_iterable_by_indexes_is_a_list() -> None:
    assert check_texts(Indexed()) == ["a", "b"]


def test_check_texts_passes_through_what_an_iterator_raises() -> None:
    def texts() -> Iterator[str]:
        yield "a"
        raise KeyError("of the caller")

    with pytest.raises(KeyError, match="of the caller"):
        check_texts(texts())


@pytest.mark.parametrize("texts", [bytearray(b"ab"), memoryview(b"ab"), Dimensionless()])
def test_check_texts_of_bytes_or_of_what_cannot_be_iterated_raises(texts: Any) -> None:
    with pytest.raises(LMStudioValueError, match=r"iterable of texts, got \w+: pass \[text\]"):
        check_texts(texts)


def test_check_texts_of_an_async_generator_says_how_to_collect_it() -> None:
    with pytest.raises(LMStudioValueError, match=r"got async_generator: pass \[text async for text in"):
        check_texts(awaited_texts())


def test_value_whose_repr_raises_is_named_by_its_type() -> None:
    with pytest.raises(LMStudioValueError, match="text 1: expected a string, got BadRepr"):
        check_texts(["a", BadRepr()])


def test_half_a_character_is_an_error_with_the_text_and_the_position() -> None:
    with pytest.raises(LMStudioValueError, match=r"text 1 has half a character .* at position 2"):
        check_texts(["ä", "ab\ud800"])


@pytest.mark.parametrize("texts", ["ab", b"ab", {"a": 1}, None, 5])
def test_check_texts_of_a_bare_text_or_a_mapping_raises(texts: Any) -> None:
    with pytest.raises(LMStudioValueError, match="iterable of texts"):
        check_texts(texts)


@pytest.mark.parametrize("wrong", [None, 5, b"a", ["a"]])
def test_check_texts_with_another_value_names_its_number(wrong: Any) -> None:
    with pytest.raises(LMStudioValueError, match="text 1: expected a string"):
        check_texts(["a", wrong])
