"""Text chunks that are made without validation must be what the constructors would have made."""

import copy
import json
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.load import dumps
from langchain_core.messages import AIMessageChunk, message_chunk_to_message, message_to_dict
from langchain_core.outputs import ChatGenerationChunk
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from lmstudio_integrations.langchain.convert.plain import PlainText

CALLS = ("tool_calls", "invalid_tool_calls", "tool_call_chunks")


def constructed(content: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=content))


def later(content: str = "word") -> ChatGenerationChunk:
    """A chunk that is not the first."""
    plain = PlainText()
    plain.chunk("first")
    return plain.chunk(content)


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
def test_a_stamped_chunk_is_what_the_constructors_make(view: str, content: str) -> None:
    assert VIEWS[view](later(content)) == VIEWS[view](constructed(content))


@pytest.mark.parametrize("name", ["__pydantic_fields_set__", *CALLS, "additional_kwargs", "response_metadata"])
def test_the_first_chunk_has_containers_of_its_own(name: str) -> None:
    plain = PlainText()
    first, second = plain.chunk("a").message, plain.chunk("b").message
    assert type(getattr(first, name)) is type(getattr(constructed("a").message, name))
    assert getattr(first, name) is not getattr(second, name)


def test_what_a_handler_writes_into_one_chunk_is_in_no_other() -> None:
    plain = PlainText()
    plain.chunk("first")
    one, other = plain.chunk("one"), plain.chunk("other")
    one.generation_info = {"seen": True}
    message = message_of(one)
    message.additional_kwargs["seen"] = True
    message.response_metadata["seen"] = True
    message.tool_calls = [{"name": "f", "args": {}, "id": "1", "type": "tool_call"}]
    message.name = "somebody"
    message.tag = "extra"  # type: ignore[attr-defined]  # messages take attributes that are no fields
    for untouched in (other, plain.chunk("next"), later()):
        assert untouched == constructed(str(untouched.message.content))
        assert not hasattr(untouched.message, "tag")
        assert untouched.model_dump(exclude_unset=True) == untouched.model_dump()
    assert message.tool_calls[0]["name"] == "f"


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "change",
    [
        lambda calls: calls.append({}),
        lambda calls: calls.extend([{}]),
        lambda calls: calls.insert(0, {}),
        lambda calls: calls.__setitem__(slice(0), [{}]),
        lambda calls: calls.__iadd__([{}]),
    ],
    ids=["append", "extend", "insert", "slice", "+="],
)
def test_the_shared_empty_list_says_what_to_do_in_place_of_changing_it(
    change: Callable[[list[Any]], object], name: str
) -> None:
    calls = getattr(later().message, name)
    assert isinstance(calls, list)
    with pytest.raises(TypeError, match=r"a list of its own \(chunk\.tool_calls = "):
        change(calls)
    assert calls == []


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        list,
        lambda calls: calls.copy(),
        lambda calls: operator.add(calls, []),
        lambda calls: calls * 1,
        lambda calls: pickle.loads(pickle.dumps(calls)),
    ],
)
def test_copies_of_the_shared_list_are_ordinary_lists(copied: Callable[[list[Any]], list[Any]], name: str) -> None:
    assert type(copied(getattr(later().message, name))) is list


def test_a_sum_of_chunks_has_ordinary_lists() -> None:
    whole = message_of(later("a")) + message_of(later("b"))
    assert whole.content == "ab"
    assert [type(getattr(whole, name)) for name in CALLS] == [list, list, list]
