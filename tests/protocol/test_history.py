from __future__ import annotations

from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmstudio_integrations.protocol.files import FILE_TYPES, UploadFileResult
from lmstudio_integrations.protocol.history import (
    AssistantMessage,
    ChatHistory,
    FilePart,
    SystemMessage,
    TextPart,
    ToolCallRequest,
    ToolCallRequestPart,
    ToolCallResultPart,
    ToolMessage,
    UserMessage,
)
from lmstudio_integrations.protocol.json_text import decode, encode
from tests.frame_validation import schema, transcripts
from tests.frame_validation.shared import SCHEMA_PATH, needs_shared
from tests.protocol.strategies import json_values, text

Part = TypeVar("Part", FilePart, ToolCallRequestPart, ToolCallResultPart)


def _of(model: type[Part], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Part]:
    """Like ``st.builds``, which would read a model's signature, where the members have the names of the wire."""
    return st.fixed_dictionaries(fields).map(lambda values: model(**values))


texts = st.builds(TextPart, text=text)
files = _of(
    FilePart,
    name=text,
    identifier=text,
    size_bytes=st.integers(min_value=0, max_value=2**53),
    file_type=st.sampled_from(FILE_TYPES),
)
requests = _of(
    ToolCallRequestPart,
    tool_call_request=st.builds(
        ToolCallRequest,
        id=st.none() | text,
        name=text,
        arguments=st.none() | st.dictionaries(text, json_values, max_size=4),
    ),
)
results = _of(ToolCallResultPart, content=text, tool_call_id=st.none() | text, name=st.none() | text)
histories = st.builds(
    ChatHistory,
    messages=st.lists(
        st.builds(SystemMessage, content=st.lists(texts | files, max_size=3))
        | st.builds(UserMessage, content=st.lists(texts | files, max_size=3))
        | st.builds(AssistantMessage, content=st.lists(texts | files | requests, max_size=3))
        | st.builds(ToolMessage, content=st.lists(results, max_size=3)),
        max_size=5,
    ),
)


@given(histories)
def test_history_survives_writing_and_reading(history: ChatHistory) -> None:
    assert ChatHistory.from_wire(decode(encode(history))) == history


@given(histories)
def test_history_gives_equal_bytes_also_after_reading(history: ChatHistory) -> None:
    once = encode(history)
    assert encode(history) == once
    assert encode(ChatHistory.from_wire(decode(once))) == once


@given(histories)
def test_every_history_is_valid_by_the_schema(history: ChatHistory) -> None:
    if not SCHEMA_PATH.is_file():
        pytest.skip("../shared/protocol is not beside this checkout")
    schema.check_definition("chatHistoryData", decode(encode(history)))


def test_tool_arguments_keep_their_order_and_nulls() -> None:
    request = ToolCallRequest(name="f", arguments={"b": None, "a": [None, {"z": None}]})
    assert encode(request) == '{"type":"function","name":"f","arguments":{"b":null,"a":[null,{"z":null}]}}'


def test_missing_values_leave_no_key() -> None:
    assert ToolCallResultPart(content="3").to_wire() == {"type": "toolCallResult", "content": "3"}
    assert ToolCallRequest(name="f").to_wire() == {"type": "function", "name": "f"}
    assert ChatHistory().to_wire() == {"messages": []}


REFUSED: dict[str, Any] = {
    "a role nobody knows": {"role": "developer", "content": []},
    "no role": {"content": []},
    "content as text": {"role": "user", "content": "Hello"},
    "no content": {"role": "user"},
    "a tool call of the user": {
        "role": "user",
        "content": [{"type": "toolCallRequest", "toolCallRequest": {"type": "function", "name": "f"}}],
    },
    "text in a tool message": {"role": "tool", "content": [{"type": "text", "text": "3"}]},
    "a tool result that is no text": {"role": "tool", "content": [{"type": "toolCallResult", "content": 3}]},
    "an id that is null": {"role": "tool", "content": [{"type": "toolCallResult", "content": "3", "toolCallId": None}]},
    "a call's id that is null": {
        "role": "assistant",
        "content": [{"type": "toolCallRequest", "toolCallRequest": {"id": None, "type": "function", "name": "f"}}],
    },
    "arguments as text": {
        "role": "assistant",
        "content": [
            {"type": "toolCallRequest", "toolCallRequest": {"type": "function", "name": "f", "arguments": "{}"}}
        ],
    },
    "a file type nobody knows": {
        "role": "user",
        "content": [{"type": "file", "name": "a", "identifier": "b", "sizeBytes": 1, "fileType": "audio"}],
    },
    "a size with a fraction": {
        "role": "user",
        "content": [{"type": "file", "name": "a", "identifier": "b", "sizeBytes": 1.5, "fileType": "image"}],
    },
    "our own spelling": {"role": "tool", "content": [{"type": "toolCallResult", "content": "3", "tool_call_id": None}]},
}


@pytest.mark.parametrize("what", [name for name in REFUSED if name != "our own spelling"])
def test_histories_that_lm_studio_refuses_are_refused(what: str) -> None:
    with pytest.raises(ValueError):
        ChatHistory.from_wire({"messages": [REFUSED[what]]})
    if SCHEMA_PATH.is_file():
        with pytest.raises(AssertionError):
            schema.check_definition("chatHistoryData", {"messages": [REFUSED[what]]})


def test_unknown_keys_of_a_history_are_stripped() -> None:
    (message,) = ChatHistory.from_wire({"messages": [REFUSED["our own spelling"] | {"name": "x"}]}).messages
    assert message.to_wire() == {"role": "tool", "content": [{"type": "toolCallResult", "content": "3"}]}


@needs_shared
@pytest.mark.parametrize(
    "name", [name for name in transcripts.names() if transcripts.client_frames(name, "channelCreate", "predict")]
)
def test_recorded_histories_survive_reading_and_writing(name: str) -> None:
    for frame in transcripts.client_frames(name, "channelCreate", "predict"):
        history = frame["creationParameter"]["history"]
        assert ChatHistory.from_wire(history).to_wire() == history


def test_uploaded_file_becomes_a_part_and_a_new_file_type_is_unknown() -> None:
    raw = {"identifier": "1 - 2.png", "fileType": "image", "sizeBytes": 70}
    assert UploadFileResult.model_validate(raw).file_part("a.png").to_wire() == {
        "type": "file",
        "name": "a.png",
        "identifier": "1 - 2.png",
        "sizeBytes": 70,
        "fileType": "image",
    }
    assert UploadFileResult.model_validate(raw | {"fileType": "video"}).file_part("a").file_type == "unknown"


@needs_shared
def test_file_types_are_lm_studios() -> None:
    assert list(FILE_TYPES) == schema.definition("fileType")["enum"]
