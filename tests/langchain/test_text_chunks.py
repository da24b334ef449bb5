"""Text chunks that are made without validation must be what the constructors would have made."""

import copy
import json
import operator
import pickle
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from langchain_core.load import dumps
from langchain_core.messages import AIMessageChunk, message_chunk_to_message, message_to_dict
from langchain_core.outputs import ChatGenerationChunk
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel, Field

from lmstudio_integrations.langchain._chunks import TextChunkFactory

CALLS = ("tool_calls", "invalid_tool_calls", "tool_call_chunks")


def constructed(content: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=content))


def stamped(content: str = "word") -> ChatGenerationChunk:
    return TextChunkFactory().chunk(content)


def message_of(chunk: ChatGenerationChunk) -> AIMessageChunk:
    assert isinstance(chunk.message, AIMessageChunk)
    return chunk.message


VIEWS: dict[str, Callable[[ChatGenerationChunk], Any]] = {
    "the chunk itself": lambda chunk: chunk,
    "its message": lambda chunk: chunk.message,
    "its values": lambda chunk: chunk.__dict__,
    "its message's values": lambda chunk: chunk.message.__dict__,
    "the order of all": lambda chunk: (list(chunk.__dict__), list(chunk.message.__dict__)),
    "what is not a field": lambda chunk: (chunk.__pydantic_extra__, chunk.message.__pydantic_extra__),
    "what is private": lambda chunk: (chunk.__pydantic_private__, chunk.message.__pydantic_private__),
    "how it is shown": repr,
    "its dump": lambda chunk: chunk.model_dump(),
    "its JSON": lambda chunk: json.loads(chunk.model_dump_json()),
    "LangChain's serialisation": dumps,
    "LangGraph's checkpoint": lambda chunk: JsonPlusSerializer().dumps_typed(chunk.message),
    "LangChain's dict": lambda chunk: message_to_dict(chunk.message),
    "the message that it becomes": lambda chunk: message_chunk_to_message(message_of(chunk)),
    "a pickle's other end": lambda chunk: pickle.loads(pickle.dumps(chunk)),
    "a deep copy": copy.deepcopy,
    "its content blocks": lambda chunk: chunk.message.content_blocks,
    "a sum with another": lambda chunk: chunk + constructed("!"),
    "another's sum with it": lambda chunk: operator.add(constructed("!"), [chunk, chunk]),
    "its message as another's sum": lambda chunk: AIMessageChunk(content="") + message_of(chunk),
}


@pytest.mark.parametrize("content", ["word", "ü 🎈\n", " "])
@pytest.mark.parametrize("view", VIEWS)
def test_stamped_chunk_equals_a_constructed_one(view: str, content: str) -> None:
    assert VIEWS[view](stamped(content)) == VIEWS[view](constructed(content))


# Number 17: nothing mutable is shared between chunks. The tests of the one shared list, which refused changes, are gone.


class NewerChunk(AIMessageChunk):
    """What a newer langchain-core may add."""

    citations: list[dict[str, Any]] = Field(default=[])
    notes: dict[str, Any] = Field(default_factory=lambda: {"notes": []})
    number: int = Field(default_factory=count().__next__)


def mutable_ids(value: Any) -> set[int]:
    """The ids of all mutable objects within a chunk."""
    if isinstance(value, BaseModel):
        parts = [value.__dict__, value.__pydantic_extra__, value.__pydantic_fields_set__]
        return {id(value)}.union(*map(mutable_ids, parts))
    if isinstance(value, dict):
        return {id(value)}.union(*map(mutable_ids, value.values()))
    if isinstance(value, list | set):
        return {id(value)}.union(*map(mutable_ids, value))
    return set()


@pytest.mark.parametrize("message_type", [AIMessageChunk, NewerChunk])
def test_chunks_share_no_mutable_object(message_type: type[AIMessageChunk]) -> None:
    factory = TextChunkFactory(message_type)
    one, other = factory.chunk("one"), factory.chunk("other")
    assert len(mutable_ids(one)) > 8
    assert not mutable_ids(one) & mutable_ids(other)


@pytest.mark.parametrize("name", [*CALLS, "citations"])
def test_call_appended_to_one_chunk_is_in_no_other(name: str) -> None:
    factory = TextChunkFactory(NewerChunk)
    one, other = factory.chunk("one").message, factory.chunk("other").message
    getattr(one, name).append({"seen": True})
    assert getattr(one, name) == [{"seen": True}]
    assert getattr(other, name) == []
    assert getattr(factory.chunk("next").message, name) == []


def test_field_that_a_newer_core_adds_has_its_own_default_on_each_chunk() -> None:
    factory = TextChunkFactory(NewerChunk)
    one, other = (chunk.message for chunk in (factory.chunk("one"), factory.chunk("other")))
    assert isinstance(one, NewerChunk)
    assert isinstance(other, NewerChunk)
    assert one.number != other.number
    assert one.notes == other.notes == {"notes": []}
    one.notes["notes"].append(1)
    assert other.notes == {"notes": []}


def test_change_of_one_chunk_by_a_handler_is_in_no_other() -> None:
    factory = TextChunkFactory()
    one, other = factory.chunk("one"), factory.chunk("other")
    one.generation_info = {"seen": True}
    message = message_of(one)
    message.additional_kwargs["seen"] = True
    message.response_metadata["seen"] = True
    message.tool_calls = [{"name": "f", "args": {}, "id": "1", "type": "tool_call"}]
    message.name = "somebody"
    message.tag = "extra"  # type: ignore[attr-defined]  # messages take attributes that are no fields
    for untouched in (other, factory.chunk("next"), stamped()):
        assert untouched == constructed(str(untouched.message.content))
        assert not hasattr(untouched.message, "tag")
        assert untouched.model_dump(exclude_unset=True) == constructed(str(untouched.message.content)).model_dump(
            exclude_unset=True
        )
    assert message.tool_calls[0]["name"] == "f"


def test_sum_of_chunks_has_ordinary_lists() -> None:
    whole = message_of(stamped("a")) + message_of(stamped("b"))
    assert whole.content == "ab"
    assert [type(getattr(whole, name)) for name in CALLS] == [list, list, list]
