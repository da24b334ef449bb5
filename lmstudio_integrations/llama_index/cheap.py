"""Response objects for the hot path, made without pydantic's validation.

A stream makes one ``ChatResponse``, one ``ChatMessage`` and its blocks for every fragment, from values that this
package made itself. Setting pydantic's four slots directly, as ``BaseModel.model_construct`` does, takes half the time
of the constructors (and a third of that of ``model_construct``). A test holds that the results equal constructed ones.
"""

from __future__ import annotations

from typing import Any, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, MessageRole, TextBlock
from pydantic import BaseModel

__all__ = ["chat_response", "completion_response", "text_block"]

_M = TypeVar("_M", bound=BaseModel)
_new = object.__new__
_set = object.__setattr__
_ASSISTANT = MessageRole.ASSISTANT


def _make(kind: type[_M], values: dict[str, Any], given: set[str]) -> _M:
    made = _new(kind)
    _set(made, "__dict__", values)
    _set(made, "__pydantic_fields_set__", given)
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made


def text_block(text: str) -> TextBlock:
    """``TextBlock(text=text)``."""
    return _make(TextBlock, {"block_type": "text", "text": text}, {"text"})


def chat_response(
    blocks: list[Any],
    *,
    delta: str | None,
    message_kwargs: dict[str, Any] | None = None,
    additional_kwargs: dict[str, Any] | None = None,
) -> ChatResponse:
    """A ``ChatResponse`` of the assistant with these blocks."""
    message = _make(
        ChatMessage,
        {"role": _ASSISTANT, "additional_kwargs": {} if message_kwargs is None else message_kwargs, "blocks": blocks},
        {"role", "additional_kwargs", "blocks"},
    )
    return _make(
        ChatResponse,
        {
            "message": message,
            "raw": None,
            "delta": delta,
            "logprobs": None,
            "additional_kwargs": {} if additional_kwargs is None else additional_kwargs,
        },
        {"message", "delta", "additional_kwargs"},
    )


def completion_response(
    text: str, *, delta: str | None, additional_kwargs: dict[str, Any] | None = None
) -> CompletionResponse:
    """A ``CompletionResponse`` with the text so far."""
    return _make(
        CompletionResponse,
        {
            "text": text,
            "additional_kwargs": {} if additional_kwargs is None else additional_kwargs,
            "raw": None,
            "logprobs": None,
            "delta": delta,
        },
        {"text", "delta", "additional_kwargs"},
    )
