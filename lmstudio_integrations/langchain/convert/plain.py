"""Chunks of plain text, one for each token: made without validation, and light.

LangChain keeps every chunk of a stream until its end, so what counts is how many objects of a chunk the garbage
collector has to visit again and again. A chunk made in the usual way is nine, one from here three: measured in
langchain-core 1.7, that is 11 in place of 21 microseconds for each of 20,000 tokens. The text is a string that this
package has read itself, so there is nothing to validate; pydantic's four slots are set as
``BaseModel.model_construct`` sets them. A test holds that the results equal constructed ones.
"""

from __future__ import annotations

from typing import Any, NoReturn

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

__all__ = ["PlainText"]

_new = object.__new__
_set = object.__setattr__


class _NoCalls(list[Any]):
    """The empty list of all chunks that have no tool calls. It refuses to become another, and its copies are lists."""

    __slots__ = ()

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError(
            "chunks of plain text share one empty list of tool calls: give the chunk a list of its own "
            "(chunk.tool_calls = [...]), or add chunks together"
        )

    append = extend = insert = __setitem__ = __iadd__ = _refuse

    def __reduce__(self) -> tuple[type[list[Any]], tuple[()]]:
        return list, ()


_MESSAGE = AIMessageChunk(content="")
_GENERATION = ChatGenerationChunk(message=_MESSAGE)
_MESSAGE_VALUES = _MESSAGE.__dict__ | dict.fromkeys(
    ("tool_calls", "invalid_tool_calls", "tool_call_chunks"), _NoCalls()
)
_GENERATION_VALUES = [item for item in _GENERATION.__dict__.items() if item[0] not in ("message", "text")]


class PlainText:
    """Makes the text chunks of one prediction.

    The first is an ordinary one, with containers of its own: a loop may take it to add the others to.
    """

    def __init__(self) -> None:
        self._first = True
        # Every field counts as set, so that setting one changes nothing for the other chunks.
        self._message_fields = set(AIMessageChunk.model_fields)
        self._generation_fields = set(ChatGenerationChunk.model_fields)

    def chunk(self, content: str) -> ChatGenerationChunk:
        """``ChatGenerationChunk(message=AIMessageChunk(content=content))``."""
        if self._first:
            self._first = False
            return ChatGenerationChunk(message=AIMessageChunk(content=content))
        values = _MESSAGE_VALUES.copy()
        values["content"] = content
        values["additional_kwargs"] = {}
        values["response_metadata"] = {}
        message = _new(AIMessageChunk)
        _set(message, "__dict__", values)
        _set(message, "__pydantic_fields_set__", self._message_fields)
        _set(message, "__pydantic_extra__", {})
        _set(message, "__pydantic_private__", None)
        made = _new(ChatGenerationChunk)
        _set(made, "__pydantic_fields_set__", self._generation_fields)
        _set(made, "__pydantic_extra__", None)
        _set(made, "__pydantic_private__", None)
        # One by one: Python then keeps them within the object, and makes no dictionary that would have to be visited.
        _set(made, "text", content)
        for name, value in _GENERATION_VALUES:
            _set(made, name, value)
        _set(made, "message", message)
        return made
