from __future__ import annotations

import json
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from lmstudio_integrations.client.chat import as_history
from lmstudio_integrations.client.images import ImagePart
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.llama_index._messages import to_history

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


def written(*messages: ChatMessage, **options: Any) -> list[dict[str, Any]]:
    history = to_history(messages, **options)
    as_history(history.messages)  # the client's own check finds nothing wrong with it
    return history.messages


def roles_of(*messages: ChatMessage) -> list[str]:
    return [message["role"] for message in written(*messages)]


def content_of(message: ChatMessage, **options: Any) -> list[Any]:
    content: list[Any] = written(message, **options)[0]["content"]
    return content


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("assistant", "assistant"),
        ("chatbot", "assistant"),
        ("model", "assistant"),
        ("tool", "tool"),
        ("function", "tool"),
    ],
)
def test_each_role_has_its_role_in_the_history(role: str, expected: str) -> None:
    assert roles_of(ChatMessage(role=role, content="x")) == [expected]


def test_every_role_is_converted() -> None:
    for role in MessageRole:
        assert roles_of(ChatMessage(role=role, content="x"))


def test_string_content_becomes_a_text_part() -> None:
    assert content_of(ChatMessage(role="user", content="Hi 👋")) == [{"type": "text", "text": "Hi 👋"}]


def test_message_without_content_becomes_an_empty_text() -> None:
    """Number 14, the same on both sides: an answer without blocks had no part at all."""
    assert content_of(ChatMessage(role="assistant", blocks=[])) == [text("")]


def test_adjacent_texts_are_joined_as_in_the_message_content() -> None:
    message = ChatMessage(role="user", blocks=[TextBlock(text="a"), TextBlock(text="b")])
    assert content_of(message) == [{"type": "text", "text": message.content}]


def test_images_stay_between_their_texts() -> None:
    blocks = [TextBlock(text="one"), ImageBlock(image=PNG), ImageBlock(image=PNG + b"2"), TextBlock(text="two")]
    first, *images, last = content_of(ChatMessage(role="user", blocks=blocks))
    assert (first, last) == (text("one"), text("two"))
    assert all(isinstance(image, ImagePart) for image in images)


def test_images_are_listed_in_the_order_of_the_history() -> None:
    first, second, third = (ImageBlock(image=PNG + bytes([n])) for n in range(3))
    history = to_history(
        [
            ChatMessage(role="user", blocks=[first, TextBlock(text="and"), second]),
            ChatMessage(role="assistant", content="ok"),
            ChatMessage(role="user", blocks=[third]),
        ]
    )
    parts = [part for message in history.messages for part in message["content"] if isinstance(part, ImagePart)]
    assert history.images == parts
    assert len(parts) == 3


@pytest.mark.parametrize(
    ("block", "hint"),
    [
        (AudioBlock(audio=b"RIFFxxxxWAVE"), "transcribe"),
        (VideoBlock(video=b"\0\0\0\x18ftypmp42"), "frames as ImageBlock"),
        (DocumentBlock(data=b"%PDF-1.7"), "TextBlock"),
    ],
)
def test_unsupported_block_in_a_user_message_raises_and_names_it(block: object, hint: str) -> None:
    message = ChatMessage(role="user", blocks=[block])
    with pytest.raises(ValueError, match=type(block).__name__) as caught:
        to_history([message])
    assert hint in str(caught.value)


def test_cited_content_is_taken_out_of_its_containers() -> None:
    message = ChatMessage(
        role="user",
        blocks=[
            CitableBlock(title="t", source="s", content=[TextBlock(text="cited")]),
            CitationBlock(cited_content=TextBlock(text="quoted"), source="s", title="t", additional_location_info={}),
        ],
    )
    assert content_of(message) == [{"type": "text", "text": "cited\nquoted"}]


def test_cache_point_changes_nothing() -> None:
    with_hint = ChatMessage(
        role="user",
        blocks=[TextBlock(text="a"), CachePoint(cache_control=CacheControl(type="ephemeral")), TextBlock(text="b")],
    )
    without = ChatMessage(role="user", blocks=[TextBlock(text="a"), TextBlock(text="b")])
    assert written(with_hint) == written(without)


def call_part(call_id: str | None, name: str, arguments: dict[str, object]) -> dict[str, object]:
    request: dict[str, object] = {} if call_id is None else {"id": call_id}
    return {
        "type": "toolCallRequest",
        "toolCallRequest": {**request, "type": "function", "name": name, "arguments": arguments},
    }


def test_tool_calls_follow_a_text_part_in_their_order() -> None:
    message = ChatMessage(
        role="assistant",
        blocks=[
            ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"b": 2, "a": 1}),
            ToolCallBlock(tool_call_id="2", tool_name="add", tool_kwargs={"b": 2, "a": 1}),
        ],
    )
    content = content_of(message)
    assert content == [
        {"type": "text", "text": ""},
        call_part("1", "add", {"b": 2, "a": 1}),
        call_part("2", "add", {"b": 2, "a": 1}),
    ]
    # byte for byte: the arguments keep the order of their keys
    assert '"arguments": {"b": 2, "a": 1}' in json.dumps(content)


def test_text_stands_before_the_tool_calls() -> None:
    message = ChatMessage(
        role="assistant", blocks=[TextBlock(text="Let me see."), ToolCallBlock(tool_name="add", tool_kwargs="{}")]
    )
    assert content_of(message) == [{"type": "text", "text": "Let me see."}, call_part(None, "add", {})]


def test_arguments_as_json_text_become_an_object() -> None:
    message = ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_name="f", tool_kwargs='{"z": 1, "a": [2]}')])
    assert content_of(message)[1] == call_part(None, "f", {"z": 1, "a": [2]})


@pytest.mark.parametrize("broken", ['{"a": ', "[1]", "7"])
def test_call_whose_arguments_are_no_object_is_text_and_a_call_if_a_result_answers_it(broken: str) -> None:
    """Number 19: such a call made the conversation unusable, with an error for each later request."""
    block = ToolCallBlock(tool_call_id="c1", tool_name="f", tool_kwargs=broken)
    message = ChatMessage(role="assistant", blocks=[block])
    assert content_of(message) == [text(broken)]
    result = ChatMessage(role="tool", content="no JSON", additional_kwargs={"tool_call_id": "c1"})
    assert written(message, result)[0]["content"] == [text(broken), call_part("c1", "f", {})]


def test_tool_call_in_a_user_message_raises() -> None:
    with pytest.raises(LMStudioValueError, match="ToolCallBlock in a user message"):
        to_history([ChatMessage(role="user", blocks=[ToolCallBlock(tool_name="f")])])


def test_calls_in_additional_kwargs_become_calls() -> None:
    as_dict = {"id": "9", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    as_object = SimpleNamespace(id="9", function=SimpleNamespace(name="f", arguments='{"a": 1}'))
    for call in (as_dict, as_object):
        kwargs = {"tool_calls": [call]}
        with_text = ChatMessage(role="assistant", content="so", additional_kwargs=kwargs)
        assert content_of(with_text) == [text("so"), call_part("9", "f", {"a": 1})]
        message = ChatMessage.model_construct(role=MessageRole.ASSISTANT, blocks=[], additional_kwargs=kwargs)
        assert content_of(message) == [{"type": "text", "text": ""}, call_part("9", "f", {"a": 1})]


def test_call_blocks_win_over_calls_in_additional_kwargs() -> None:
    message = ChatMessage(
        role="assistant",
        blocks=[ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={})],
        additional_kwargs={"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
    )
    assert content_of(message)[1:] == [call_part("1", "f", {})]


def test_tool_result_has_its_id_and_the_name_of_its_call() -> None:
    history = written(
        ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={})]),
        ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "c1"}),
    )
    assert history[1] == {
        "role": "tool",
        "content": [{"type": "toolCallResult", "content": "3", "toolCallId": "c1", "name": "add"}],
    }


def test_tool_result_without_a_call_keeps_what_is_known() -> None:
    message = ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "c1", "name": "add"})
    assert content_of(message) == [{"type": "toolCallResult", "content": "3", "toolCallId": "c1", "name": "add"}]
    assert content_of(ChatMessage(role="tool", content="3")) == [{"type": "toolCallResult", "content": "3"}]


def test_results_of_a_round_become_one_message() -> None:
    """Number 20: each result was a message of its own."""
    calls = [ToolCallBlock(tool_call_id=call_id, tool_name="add", tool_kwargs={}) for call_id in ("c1", "c2")]
    results = [
        ChatMessage(role="tool", content=words, additional_kwargs={"tool_call_id": call_id})
        for words, call_id in (("3", "c1"), ("4", "c2"))
    ]
    made = written(ChatMessage(role="assistant", blocks=calls), *results)
    assert [[part["content"] for part in message["content"]] for message in made[1:]] == [["3", "4"]]


def test_image_in_a_tool_result_follows_behind_a_short_answer() -> None:
    """Number 18: it was refused, which ended every agent whose tool returns an image."""
    blocks = [TextBlock(text="seen"), ImageBlock(image=PNG)]
    made = written(ChatMessage(role="tool", blocks=blocks, additional_kwargs={"tool_call_id": "c1"}))
    assert [message["role"] for message in made] == ["tool", "assistant", "user"]
    assert made[0]["content"] == [{"type": "toolCallResult", "content": "seen", "toolCallId": "c1"}]
    assert isinstance(made[2]["content"][1], ImagePart)


def test_neighbours_and_late_system_messages_are_merged_unless_switched_off() -> None:
    """Number 20."""
    messages = [ChatMessage(role=role, content=role[0]) for role in ("system", "system", "user", "system", "user")]
    assert written(*messages) == [
        {"role": "system", "content": [text("s\n\ns")]},
        {"role": "user", "content": [text("u\n\ns\n\nu")]},
    ]
    assert [message["role"] for message in written(*messages, merge_messages=False)] == [
        message.role.value for message in messages
    ]


def test_names_stand_before_the_text_on_request() -> None:
    message = ChatMessage(role="user", content="hi", additional_kwargs={"name": "Eve"})
    assert content_of(message) == [text("hi")]
    assert content_of(message, message_names=True) == [text("Eve: hi")]


# Documents, audio, video


PDF = b"%PDF-1.7" + bytes(6000)


@pytest.mark.parametrize(
    "block",
    [
        DocumentBlock(data="naïve".encode()),
        DocumentBlock(data="naïve".encode(), document_mimetype="text/markdown", title="a.md"),
        DocumentBlock(data=BytesIO("naïve".encode())),
        DocumentBlock(url="data:text/plain;base64,bmHDr3Zl"),
        DocumentBlock(url="data:text/plain,na%C3%AFve"),
        CitableBlock(title="t", source="s", content=[DocumentBlock(data="naïve".encode())]),
    ],
)
@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_text_document_becomes_text_in_every_message(role: str, block: Any) -> None:
    (part,) = content_of(ChatMessage(role=role, blocks=[block]))
    assert part.get("text", part.get("content")) == "naïve"


def test_text_document_with_a_path_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("naïve", encoding="utf-8")
    assert content_of(ChatMessage(role="user", blocks=[DocumentBlock(path=path)])) == [text("naïve")]
    path.unlink()
    with pytest.raises(LMStudioValueError, match=r"a\.txt"):
        written(ChatMessage(role="user", blocks=[DocumentBlock(path=str(path))]))


@pytest.mark.parametrize(
    ("block", "described"),
    [
        (DocumentBlock(data=PDF), "file, application/pdf, 6008 bytes"),
        (DocumentBlock(data=PDF, title="a.pdf"), "file a.pdf, application/pdf, 6008 bytes"),
        (DocumentBlock(url="https://example.org/a.pdf"), "file at https://example.org/a.pdf, application/pdf"),
        (AudioBlock(audio=PDF, format="wav"), "audio, audio/wav, 6008 bytes"),
        (AudioBlock(url="https://example.org/a.mp3"), "audio at https://example.org/a.mp3, audio/mp3"),
        (VideoBlock(video=PDF, video_mimetype="video/mp4"), "video, video/mp4, 6008 bytes"),
    ],
)
def test_binary_block_becomes_a_placeholder_except_in_input_messages(block: Any, described: str) -> None:
    placeholder = f"[{described}: left out, because the model takes only text and images]"
    blocks = [TextBlock(text="seen"), block]
    assert content_of(ChatMessage(role="tool", blocks=blocks))[0]["content"] == f"seen\n{placeholder}"
    assert content_of(ChatMessage(role="assistant", blocks=blocks)) == [text(f"seen\n{placeholder}")]
    for role in ("user", "system"):
        with pytest.raises(LMStudioValueError, match=type(block).__name__):
            written(ChatMessage(role=role, blocks=blocks))


# Reasoning

THOUGHT = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="Yes.")])
QUESTION = ChatMessage(role="user", content="Sure?")


def test_reasoning_goes_back_for_the_messages_since_the_last_user_message() -> None:
    """Number 14: it was left out unless asked for."""
    assert content_of(THOUGHT) == [text("<think>hm</think>Yes.")]
    assert written(THOUGHT, QUESTION)[0]["content"] == [text("Yes.")]
    assert written(THOUGHT, QUESTION, send_reasoning=True)[0]["content"] == [text("<think>hm</think>Yes.")]
    assert content_of(THOUGHT, send_reasoning=False) == [text("Yes.")]


def test_reasoning_stands_in_its_own_tags() -> None:
    tags = {"start_tag": "[R]", "end_tag": "[/R]\n"}
    blocks = [ThinkingBlock(content="hm", additional_information=tags), TextBlock(text="Yes.")]
    assert content_of(ChatMessage(role="assistant", blocks=blocks)) == [text("[R]hm[/R]\nYes.")]


def test_reasoning_in_special_tokens_is_left_out() -> None:
    """Number 14, the same on both sides."""
    tags = {"start_tag": "<|channel|>analysis<|message|>", "end_tag": "<|end|>"}
    blocks = [ThinkingBlock(content="hm", additional_information=tags), TextBlock(text="Yes.")]
    assert content_of(ChatMessage(role="assistant", blocks=blocks)) == [text("Yes.")]


def test_reasoning_stands_right_before_its_answer() -> None:
    blocks = [ThinkingBlock(content="hm"), TextBlock(text="a"), TextBlock(text="b")]
    assert content_of(ChatMessage(role="assistant", blocks=blocks)) == [text("<think>hm</think>a\nb")]


# The same conversation again


def conversation() -> list[ChatMessage]:
    return [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), ImageBlock(image=PNG)]),
        ChatMessage(
            role="assistant",
            blocks=[
                ThinkingBlock(content="hm"),
                TextBlock(text="Looking."),
                ToolCallBlock(tool_call_id="1", tool_name="look", tool_kwargs={"z": 1, "a": {"y": 2, "b": 3}}),
            ],
        ),
        ChatMessage(role="tool", content='{"b":1,"a":2}', additional_kwargs={"tool_call_id": "1"}),
        ChatMessage(role="assistant", content="A cat."),
    ]


@pytest.mark.parametrize("send_reasoning", [True, False])
def test_longer_conversation_begins_with_the_bytes_of_the_shorter_one(send_reasoning: bool) -> None:
    messages = [*conversation(), ChatMessage(role="user", content="Sure?")]
    ends = (2, 4, 6)  # the questions and the end of the round of tool calls
    texts = [
        json.dumps(written(*messages[:end], send_reasoning=send_reasoning), default=lambda image: "image")[:-1]
        for end in ends
    ]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))


def test_tool_loop_begins_with_the_bytes_of_its_question() -> None:
    texts = [json.dumps(written(*conversation()[1:end]), default=lambda image: "image")[:-1] for end in (2, 4)]
    assert texts[1].startswith(texts[0])
    assert "<think>hm</think>Looking." in texts[1]


def test_stored_conversation_gives_the_same_history() -> None:
    messages = [message for message in conversation() if message.role != MessageRole.USER]
    stored = [ChatMessage.model_validate_json(message.model_dump_json()) for message in messages]
    assert json.dumps(written(*stored)) == json.dumps(written(*messages))


def test_conversion_leaves_the_messages_alone() -> None:
    messages = conversation()[2:]
    before = [message.model_dump_json() for message in messages]
    history = written(*messages)
    history[0]["content"][1]["toolCallRequest"]["arguments"]["new"] = 1
    assert [message.model_dump_json() for message in messages] == before
