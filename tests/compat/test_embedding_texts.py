"""The texts of an embedding call, as users of both adapters pass them."""

from __future__ import annotations

from typing import Any

import pytest

from lmstudio_integrations.compat.embedding_texts import check_texts
from lmstudio_integrations.errors import LMStudioValueError


@pytest.mark.parametrize("texts", [("a", "b"), iter(["a", "b"]), {"a": 1, "b": 2}.keys(), (text for text in "ab")])
def test_check_texts_of_any_iterable_is_a_list(texts: Any) -> None:
    assert check_texts(texts) == ["a", "b"]


@pytest.mark.parametrize("texts", ["ab", b"ab", {"a": 1}, None, 5])
def test_check_texts_of_a_bare_text_or_a_mapping_raises(texts: Any) -> None:
    with pytest.raises(LMStudioValueError, match="iterable of texts"):
        check_texts(texts)


@pytest.mark.parametrize("wrong", [None, 5, b"a", ["a"]])
def test_check_texts_with_another_value_names_its_number(wrong: Any) -> None:
    with pytest.raises(LMStudioValueError, match="text 1: expected a string"):
        check_texts(["a", wrong])
