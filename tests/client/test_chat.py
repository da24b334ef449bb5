"""``Chat``, and every other form in which a history may be passed."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmstudio_integrations import Chat, FileHandle, LMStudioValueError, PredictionResult, ToolCallRequest
from lmstudio_integrations.client.chat import as_history, encode_history
from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.client.images import ImagePart
from lmstudio_integrations.protocol.history import (
    ChatHistory,
    SystemMessage,
    TextPart,
    ToolCallResultPart,
    UserMessage,
)
from lmstudio_integrations.protocol.json_text import encode
from tests.packet_builders import call_end, fragment, read_all, success

IMAGE = FileHandle(name="cat.png", identifier="file-1", size_bytes=5, file_type="image")
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
IMAGE_WIRE = {"type": "file", "name": "cat.png", "identifier": "file-1", "sizeBytes": 5, "fileType": "image"}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def result_of(*packets: Any, structured: bool = False) -> PredictionResult:
    reader, _ = read_all(*packets, success(), structured=structured)
    assert reader.result is not None
    return reader.result


def test_chat_of_every_kind_of_message_has_the_wire_form() -> None:
    chat = Chat("Be terse.")
    chat.add_user_message("What is in it?", images=[IMAGE])
    chat.add_assistant_response("I'll add.", tool_calls=[{"id": "1", "name": "add", "arguments": {"a": 1}}])
    chat.add_tool_results([{"content": "3", "tool_call_id": "1", "name": "add"}])
    chat.add_assistant_response("Three.")
    assert chat.to_history() == {
        "messages": [
            {"role": "system", "content": [text("Be terse.")]},
            {"role": "user", "content": [text("What is in it?"), IMAGE_WIRE]},
            {
                "role": "assistant",
                "content": [
                    text("I'll add."),
                    {
                        "type": "toolCallRequest",
                        "toolCallRequest": {"id": "1", "type": "function", "name": "add", "arguments": {"a": 1}},
                    },
                ],
            },
            {"role": "tool", "content": [{"type": "toolCallResult", "content": "3", "toolCallId": "1", "name": "add"}]},
            {"role": "assistant", "content": [text("Three.")]},
        ]
    }


def test_chat_keeps_images_that_are_not_on_the_server_yet(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    encoded = base64.b64encode(PNG).decode()
    forms: list[Any] = [path, str(path), PNG, BytesIO(PNG), f"data:image/png;base64,{encoded}", ImagePart(PNG), IMAGE]
    chat = Chat()
    chat.add_user_message("What is it?", images=forms)
    _, *parts = as_history(chat)["messages"][0]["content"]
    assert [part.read().data for part in parts[:-1]] == [PNG] * 6
    assert parts[-1] == IMAGE_WIRE


def test_history_keeps_images_that_are_not_on_the_server_yet() -> None:
    encoded = base64.b64encode(PNG).decode()
    parts: list[Any] = ["a", {"type": "image", "base64": encoded, "name": "cat.png"}, ImagePart(PNG, "cat.png")]
    for history in (
        as_history([{"role": "user", "content": parts}]),
        as_history(Chat.from_history([{"role": "user", "content": parts}])),
    ):
        assert history["messages"][0]["content"] == [text("a"), ImagePart(PNG, "cat.png"), ImagePart(PNG, "cat.png")]
    with pytest.raises(LMStudioValueError, match="tool message"):
        as_history([{"role": "tool", "content": [ImagePart(PNG)]}])


def test_chat_with_an_image_survives_json() -> None:
    chat = Chat()
    chat.add_user_message("What is it?", images=[ImagePart(PNG, "cat.png")])
    assert Chat.from_json(chat.to_json()) == chat


def test_prepared_history_is_taken_as_it_is() -> None:
    prepared = PreparedHistory([{"role": "user", "content": [text("Hi")]}])
    assert as_history(prepared)["messages"] is prepared.messages


def test_chat_without_a_prompt_is_empty() -> None:
    assert Chat().to_history() == {"messages": []}
    assert len(Chat()) == 0


def test_empty_system_prompt_is_a_message() -> None:
    assert Chat("").to_history() == {"messages": [{"role": "system", "content": [text("")]}]}


def test_methods_that_add_return_the_message() -> None:
    chat = Chat()
    added = [
        chat.add_system_prompt("s"),
        chat.add_user_message("u"),
        chat.add_assistant_response("a"),
        chat.add_tool_results([{"content": "t"}]),
        chat.append({"role": "user", "content": "v"}),
    ]
    assert list(chat) == added
    assert chat.messages == tuple(added)


def test_result_is_added_as_its_content_and_tool_calls() -> None:
    result = result_of(fragment("hm", "reasoning"), fragment("Hi"), call_end("add", {"a": 1}, "7"))
    chat = Chat()
    chat.add_assistant_response(result)
    by_hand = Chat()
    by_hand.add_assistant_response("Hi", tool_calls=[ToolCallRequest(id="7", name="add", arguments={"a": 1})])
    assert chat == by_hand


def test_structured_result_is_added_as_its_content() -> None:
    result = result_of(fragment('{"a":1}'), structured=True)
    assert result.structured
    chat = Chat()
    chat.add_assistant_response(result)
    assert chat.to_history() == {"messages": [{"role": "assistant", "content": [text('{"a":1}')]}]}


def test_tool_calls_beside_a_result_replace_its_own() -> None:
    chat = Chat()
    chat.add_assistant_response(result_of(call_end("add")), tool_calls=[{"name": "sub"}])
    content = chat.to_history()["messages"][0]["content"]
    assert [part["toolCallRequest"]["name"] for part in content[1:]] == ["sub"]


def test_tool_results_may_be_objects() -> None:
    chat = Chat()
    chat.add_tool_results([ToolCallResultPart(content="3", tool_call_id="1"), {"content": "4", "toolCallId": "2"}])
    assert chat.to_history()["messages"][0]["content"] == [
        {"type": "toolCallResult", "content": "3", "toolCallId": "1"},
        {"type": "toolCallResult", "content": "4", "toolCallId": "2"},
    ]


# Forms of a history


@pytest.mark.parametrize(
    "history",
    [
        "What is LM Studio?",
        {"messages": [{"role": "user", "content": "What is LM Studio?"}]},
        [{"role": "user", "content": "What is LM Studio?"}],
        ({"role": "user", "content": [text("What is LM Studio?")]},),
        [{"role": "user", "content": ["What is LM Studio?"]}],
        [UserMessage(content=[TextPart(text="What is LM Studio?")])],
        ChatHistory(messages=[UserMessage(content=[TextPart(text="What is LM Studio?")])]),
        Chat.from_history("What is LM Studio?"),
    ],
    ids=lambda history: type(history).__name__,
)
def test_every_form_of_a_history_gives_the_same_messages(history: Any) -> None:
    expected = {"messages": [{"role": "user", "content": [text("What is LM Studio?")]}]}
    assert as_history(history) == expected
    assert Chat.from_history(history).to_history() == expected


def test_json_history_of_the_documentation_is_read() -> None:
    chat = Chat.from_history(
        {
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "What is LM Studio?"},
            ]
        }
    )
    by_hand = Chat("You are a helpful assistant.")
    by_hand.add_user_message("What is LM Studio?")
    assert chat == by_hand


def test_keys_of_parts_may_be_snake_case() -> None:
    part = {"type": "file", "name": "cat.png", "identifier": "file-1", "size_bytes": 5, "file_type": "image"}
    assert as_history([{"role": "user", "content": [part]}])["messages"][0]["content"] == [IMAGE_WIRE]


@pytest.mark.parametrize("words", ["", "Hi", "ü 🎈", "\x00", "a\u2028b"])
def test_text_in_every_form_becomes_the_same_bytes(words: str) -> None:
    class Words(str):
        __slots__ = ()

    chat = Chat()
    chat.add_user_message(words)
    forms: list[Any] = [
        words,
        Words(words),
        [{"role": "user", "content": words}],
        [{"content": [words], "role": "user"}],
        [{"role": "user", "content": [{"text": words, "type": "text"}]}],
        [{"role": "user", "content": (Words(words),)}],
        [{"role": "user", "content": [TextPart(text=words)]}],
        [UserMessage(content=[TextPart(text=words)])],
        chat,
    ]
    assert {json.dumps(as_history(form)) for form in forms} == {
        json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": words}]}]})
    }


def test_chat_shares_no_object_with_its_input_or_output() -> None:
    arguments = {"list": [1]}
    part = {"type": "toolCallRequest", "toolCallRequest": {"id": "1", "name": "f", "arguments": arguments}}
    chat = Chat.from_history([{"role": "user", "content": [text("Hi")]}, {"role": "assistant", "content": [part]}])
    before = chat.to_json()
    chat.to_history()["messages"][0]["content"].clear()
    as_history(chat)["messages"][0]["content"][0]["text"] = "changed"
    arguments["list"].append(2)
    assert chat.to_json() == before


def test_optional_values_of_none_leave_no_key() -> None:
    history = [
        {
            "role": "assistant",
            "content": [{"type": "toolCallRequest", "toolCallRequest": {"id": None, "name": "f", "arguments": None}}],
        },
        {"role": "tool", "content": [{"type": "toolCallResult", "content": "x", "toolCallId": None, "name": None}]},
    ]
    assert as_history(history)["messages"] == [
        {
            "role": "assistant",
            "content": [{"type": "toolCallRequest", "toolCallRequest": {"type": "function", "name": "f"}}],
        },
        {"role": "tool", "content": [{"type": "toolCallResult", "content": "x"}]},
    ]


BAD: list[tuple[Any, str]] = [
    (None, "got NoneType"),
    (5, "got int"),
    (b"bytes", "got bytes"),
    ({}, "keys \\[\\]"),
    ({"messages": []} | {"extra": 1}, "extra"),
    ({"messages": "Hi"}, "messages"),
    (["Hi"], "message 0: .*got str"),
    ([None], "message 0: .*got NoneType"),
    ([{"content": "Hi"}], "role None"),
    ([{"role": "developer", "content": "Hi"}], "role 'developer'"),
    ([{"role": "function", "content": "Hi"}], "role 'function'"),
    ([{"role": ["user"], "content": "Hi"}], "role \\['user'\\]"),
    ([{"role": "user"}], "content None"),
    ([{"role": "user", "content": None}], "content None"),
    ([{"role": "user", "content": 5}], "content 5"),
    ([{"role": "user", "content": "Hi", "name": "Bob"}], "'name'"),
    ([{"role": "assistant", "content": "Hi", "tool_calls": []}], "'tool_calls'"),
    ([{"role": "tool", "content": "Hi"}], "toolCallResult parts"),
    ([{"role": "tool", "content": [text("Hi")]}], "a tool message cannot hold"),
    ([{"role": "user", "content": [5]}], "as a part"),
    ([{"role": "user", "content": [{}]}], "type ''"),
    ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "type 'image_url'"),
    ([{"role": "user", "content": [{"type": ["text"]}]}], "expected a part of a type"),
    ([{"role": "user", "content": [{"type": "text"}]}], "text"),
    ([{"role": "user", "content": [{"type": "text", "text": 5}]}], "got 5"),
    ([{"role": "user", "content": [{"type": "text", "text": None}]}], "text"),
    ([{"role": "user", "content": [{"type": "text", "txt": "Hi"}]}], "no key 'txt'"),
    ([{"role": "user", "content": [IMAGE_WIRE | {"sizeBytes": 1.5}]}], "sizeBytes"),
    ([{"role": "user", "content": [IMAGE_WIRE | {"sizeBytes": None}]}], "sizeBytes"),
    ([{"role": "user", "content": [IMAGE_WIRE | {"fileType": "picture"}]}], "fileType"),
    ([{"role": "tool", "content": [IMAGE_WIRE]}], "cannot hold"),
    ([{"role": "user", "content": [{"type": "toolCallRequest", "toolCallRequest": {"name": "f"}}]}], "cannot hold"),
    ([{"role": "assistant", "content": [{"type": "toolCallResult", "content": "x"}]}], "cannot hold"),
    ([{"role": "assistant", "content": [{"type": "toolCallRequest"}]}], "toolCallRequest"),
    ([{"role": "assistant", "content": [{"type": "toolCallRequest", "toolCallRequest": 5}]}], "expected a tool call"),
    ([{"role": "assistant", "content": [{"type": "toolCallRequest", "toolCallRequest": {}}]}], "expected a tool call"),
    (
        [{"role": "assistant", "content": [{"type": "toolCallRequest", "toolCallRequest": {"name": 5}}]}],
        "expected a tool call",
    ),
    (
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "toolCallRequest", "toolCallRequest": {"id": "1", "name": "f", "arguments": {}, "args": 1}}
                ],
            }
        ],
        "no key 'args'",
    ),
    (
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "toolCallRequest", "toolCallRequest": {"id": "1", "name": "f", "arguments": {1: 2}}}
                ],
            }
        ],
        "wrong type",
    ),
    (
        [
            {
                "role": "assistant",
                "content": [{"type": "toolCallRequest", "toolCallRequest": {"name": "f", "argumnets": {}}}],
            }
        ],
        "argumnets",
    ),
    (
        [
            {
                "role": "assistant",
                "content": [{"type": "toolCallRequest", "toolCallRequest": {"name": "f", "arguments": "{}"}}],
            }
        ],
        "expected a tool call",
    ),
    (
        [
            {
                "role": "assistant",
                "content": [{"type": "toolCallRequest", "toolCallRequest": {"name": "f", "type": "tool"}}],
            }
        ],
        "expected a tool call",
    ),
    ([{"role": "tool", "content": [{"type": "toolCallResult", "content": {"a": 1}}]}], "content"),
    ([{"role": "tool", "content": [{"type": "toolCallResult", "content": None}]}], "content"),
    ([{"role": "tool", "content": [{"type": "toolCallResult", "content": "x", "toolCallId": 5}]}], "toolCallId"),
    ([{"role": "user", "content": "ok"}, {"role": "user", "content": 5}], "message 1"),
]


@pytest.mark.parametrize(("history", "words"), BAD, ids=[repr(item[0])[:70] for item in BAD])
def test_invalid_history_raises_and_names_the_reason(history: Any, words: str) -> None:
    with pytest.raises(LMStudioValueError, match=words):
        as_history(history)
    with pytest.raises(LMStudioValueError, match=words):
        Chat.from_history(history)


@pytest.mark.parametrize(
    "add",
    [
        lambda chat: chat.add_system_prompt(None),
        lambda chat: chat.add_user_message(5),
        lambda chat: chat.add_user_message("Hi", images=[5]),  # a path is an image now: issue 10, item 1
        lambda chat: chat.add_user_message("Hi", images=[b"..."]),
        lambda chat: chat.add_assistant_response(None),
        lambda chat: chat.add_assistant_response("Hi", tool_calls=[{"arguments": {}}]),
        lambda chat: chat.add_assistant_response("Hi", tool_calls=[{"name": "f", "args": {}}]),
        lambda chat: chat.add_assistant_response("Hi", tool_calls=[5]),
        lambda chat: chat.add_tool_results([]),
        lambda chat: chat.add_tool_results(None),
        lambda chat: chat.add_tool_results("12 degrees"),
        lambda chat: chat.add_tool_results({"content": "12 degrees"}),
        lambda chat: chat.add_tool_result("12 degrees"),
        lambda chat: chat.add_entry("tool", None),
        lambda chat: chat.add_entry("user", None),
        lambda chat: chat.add_entry("user", 5),
        lambda chat: chat.add_entry("user", b"Hi"),
        lambda chat: chat.add_tool_results([{"tool_call_id": "1"}]),
        lambda chat: chat.add_tool_results([{"content": 5}]),
        lambda chat: chat.add_tool_results([{"content": "x", "extra": 1}]),
        lambda chat: chat.append("Hi"),
        lambda chat: chat.append({"role": "nobody", "content": "Hi"}),
    ],
)
def test_invalid_message_raises_and_leaves_the_chat_unchanged(add: Any) -> None:
    chat = Chat("s")
    with pytest.raises(LMStudioValueError):
        add(chat)
    assert len(chat) == 1


# A chat as a thing


@pytest.mark.parametrize("copied", [Chat.copy, copy.copy, copy.deepcopy])
def test_copy_is_independent(copied: Any) -> None:
    chat = Chat("s")
    chat.add_assistant_response("Hi", tool_calls=[{"name": "f", "arguments": {"a": [1]}}])
    twin = copied(chat)
    assert twin == chat
    twin.add_user_message("u")
    part: Any = twin.messages[1].content[1]
    part.tool_call_request.arguments["a"].append(2)
    assert len(chat) == 2
    assert chat.to_history()["messages"][1]["content"][1]["toolCallRequest"]["arguments"] == {"a": [1]}


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda chat: pickle.loads(pickle.dumps(chat))])
def test_chat_can_be_copied_and_pickled(again: Any) -> None:
    chat = Chat("s")
    chat.add_user_message("u", images=[IMAGE])
    assert again(chat) == chat


def test_from_history_shares_no_messages() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    chat = Chat.from_history(messages)
    chat.add_user_message("more")
    other = Chat.from_history(chat)
    other.add_user_message("even more")
    assert (len(messages), len(chat), len(other)) == (1, 2, 3)


def test_chat_may_grow_while_it_is_iterated() -> None:
    chat = Chat("s")
    for message in chat:
        chat.append(message)
    assert len(chat) == 2


def test_subclass_methods_return_the_subclass() -> None:
    class Mine(Chat):
        pass

    assert type(Mine.from_history("Hi")) is Mine
    assert type(Mine("s").copy()) is Mine


def test_chats_are_equal_if_their_messages_are() -> None:
    assert Chat("s") == Chat("s")
    assert Chat("s") != Chat("t")
    assert Chat("s") != "s"
    with pytest.raises(TypeError):
        hash(Chat())
    assert repr(Chat("s")) == "Chat(1 messages)"


def test_append_copies_the_message() -> None:
    message = SystemMessage(content=[TextPart(text="s")])
    chat = Chat()
    chat.append(message)
    message.content.append(TextPart(text="more"))
    assert chat.to_history() == {"messages": [{"role": "system", "content": [text("s")]}]}


@pytest.mark.parametrize("junk", ["", "{", "[]x", "5", "null", '{"messages": 5}'])
def test_from_json_of_anything_else_raises(junk: str) -> None:
    with pytest.raises(LMStudioValueError):
        Chat.from_json(junk)


words = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
# Not with `builds`, which tries to understand pydantic's types and warns.
images = st.tuples(words, words, st.integers(0, 2**40)).map(
    lambda it: FileHandle(name=it[0], identifier=it[1], size_bytes=it[2], file_type="image")
)
calls = st.builds(
    ToolCallRequest,
    id=st.none() | words,
    name=words,
    arguments=st.none() | st.dictionaries(words, json_values, max_size=2),
)
results = st.builds(ToolCallResultPart, content=words, tool_call_id=st.none() | words, name=st.none() | words)
steps = st.lists(
    st.tuples(st.just("system"), words)
    | st.tuples(st.just("user"), words, st.lists(images, max_size=2))
    | st.tuples(st.just("assistant"), words, st.lists(calls, max_size=2))
    | st.tuples(st.just("tool"), st.lists(results, min_size=1, max_size=2)),
    max_size=5,
)


@given(steps)
@settings(max_examples=60, deadline=None)
def test_chat_survives_json(conversation: list[Any]) -> None:
    chat = Chat()
    for step in conversation:
        match step:
            case ("system", words):
                chat.add_system_prompt(words)
            case ("user", words, pictures):
                chat.add_user_message(words, images=pictures)
            case ("assistant", words, requests):
                chat.add_assistant_response(words, tool_calls=requests)
            case ("tool", parts):
                chat.add_tool_results(parts)
    assert Chat.from_json(chat.to_json()) == chat
    assert Chat.from_history(json.loads(json.dumps(chat.to_history()))) == chat
    assert as_history(chat) == chat.to_history()
    assert len(chat) == len(conversation)


def _unreachable(value: object) -> str:
    raise TypeError(f"{type(value).__name__} is not JSON")


def test_encode_history_of_a_chat_equals_the_json_of_its_parts() -> None:
    chat = Chat('Be "brief".\n')
    chat.add_user_message("Grüße 🎈 \u2028 \x00")
    chat.add_assistant_response("", [{"id": "1", "name": "add", "arguments": {"a": 1.5}}])
    chat.add_tool_results([{"content": "3", "tool_call_id": "1"}])
    chat.append({"role": "user", "content": ["a", "b"]})
    assert encode_history(chat, _unreachable) == encode(as_history(chat))


def test_encode_history_names_the_place_of_a_lone_surrogate() -> None:
    chat = Chat()
    chat.add_user_message("a")
    chat.add_user_message("b\ud800")
    with pytest.raises(LMStudioValueError, match=r"messages\[1\]"):
        encode_history(chat, _unreachable)
