"""The texts of an embedding call, in every form that users of either framework pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["check_texts"]


def check_texts(texts: Any) -> list[str]:
    """The texts as a list.

    Raises:
        LMStudioValueError: A bare string, whose characters would be embedded one by one, or a mapping; anything else
            that is no iterable of strings. The message has the number of the text.
    """
    if isinstance(texts, (str, bytes, Mapping)) or not isinstance(texts, Iterable):
        raise LMStudioValueError(f"expected an iterable of texts, got {type(texts).__name__}: pass [text]")
    checked = list(texts)
    for number, text in enumerate(checked):
        if not isinstance(text, str):
            raise LMStudioValueError(f"text {number}: expected a string, got {type(text).__name__}: {text!r:.80}")
    return checked
