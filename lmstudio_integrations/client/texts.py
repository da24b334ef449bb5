"""The texts that users pass to be embedded or tokenized, in every form of Python and of both frameworks."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lmstudio_integrations.errors import LMStudioError, LMStudioValueError

__all__ = ["check_text", "check_texts", "numbers_from"]

# Objects of the frameworks that hold a text, by the attribute that shows what they are, and how to get at the text.
_HOLDERS = (
    ("page_content", "its page_content"),  # LangChain's Document, which is iterable itself
    ("get_content", "the result of its get_content()"),  # LlamaIndex's nodes, iterable, too
    ("query_str", "its query_str"),
)


def check_texts(texts: Any) -> list[str]:
    """The texts as a list. What an iterator itself raises passes through.

    Raises:
        LMStudioValueError: A bare string, whose characters would be embedded one by one, or a mapping; anything else
            that is no iterable of strings; a string with half a character. The message has the number of the text, and
            positions are those in the caller's text, without a prefix.
    """
    kind = type(texts).__name__
    if isinstance(texts, AsyncIterable):
        raise LMStudioValueError(f"expected an iterable of texts, got {kind}: pass [text async for text in …]")
    if hint := _holder_hint(texts):
        raise LMStudioValueError(f"expected an iterable of texts, got {kind}: pass a list with {hint}")
    wrong = isinstance(texts, (str, bytes, bytearray, memoryview, Mapping))
    try:
        iterator = None if wrong else iter(texts)
    except TypeError:  # also of a numpy array without dimensions, which has `__iter__`
        iterator = None
    if iterator is None:
        raise LMStudioValueError(f"expected an iterable of texts, got {kind}: pass [text]")
    return [check_text(text, f"text {number}") for number, text in enumerate(iterator)]


def check_text(text: Any, what: str = "the text") -> str:
    """``text`` itself. Raises ``LMStudioValueError`` unless it is a string of complete characters."""
    if not isinstance(text, str):
        hint = _holder_hint(text)
        shown = f"pass {hint}" if hint else _shown(text)
        raise LMStudioValueError(f"{what}: expected a string, got {type(text).__name__}: {shown}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise LMStudioValueError(
                f"{what} has half a character (a lone surrogate) at position {error.start}: remove or replace it"
            ) from None
    return text


@contextmanager
def numbers_from(first: int) -> Iterator[None]:
    """Errors inside are about texts that are numbered from ``first``, and not from 0."""
    try:
        yield
    except LMStudioError as error:
        if error.text_number is not None:
            error.text_number += first
        raise


def _holder_hint(value: Any) -> str | None:
    """How to get at the text of an object of a framework; ``None`` for anything else."""
    return next((hint for name, hint in _HOLDERS if hasattr(type(value), name) or name in _fields(value)), None)


def _fields(value: Any) -> Any:
    """The names of a pydantic model's or a dataclass's fields."""
    kind = type(value)
    return getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", ())


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.80}"
    except Exception:  # noqa: BLE001  # a foreign object's own `__repr__`
        return "its repr() raises"
