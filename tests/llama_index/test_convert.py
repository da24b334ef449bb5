from __future__ import annotations

import json
from types import SimpleNamespace

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
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.llama_index.convert import images_in, to_history

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


def file_part(number: int) -> dict[str, object]:
    return {"type": "file", "name": f"{number}.png", "identifier": f"id-{number}", "sizeBytes": 24, "fileType": "image"}


def roles_of(*messages: ChatMessage) -> list[str]:
    return [message["role"] for message in to_history(messages)["messages"]]


def content_of(message: ChatMessage, *, replay_thinking: bool = False) -> list[dict[str, object]]:
    content: list[dict[str, object]] = to_history([message], replay_thinking=replay_thinking)["messages"][0]["content"]
    return content


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
def test_every_role_of_llama_index_has_one_of_lm_studio(role: str, expected: str) -> None:
    assert roles_of(ChatMessage(role=role, content="x")) == [expected]


def test_roles_are_all_converted() -> None:
    for role in MessageRole:
        assert roles_of(ChatMessage(role=role, content="x"))


def test_text_is_a_part_even_if_the_content_was_a_plain_string() -> None:
    assert content_of(ChatMessage(role="user", content="Hi 👋")) == [{"type": "text", "text": "Hi 👋"}]


def test_a_message_without_content_has_no_parts() -> None:
    assert content_of(ChatMessage(role="assistant", blocks=[])) == []


def test_adjacent_texts_are_joined_as_llama_index_itself_joins_them() -> None:
    message = ChatMessage(role="user", blocks=[TextBlock(text="a"), TextBlock(text="b")])
    assert content_of(message) == [{"type": "text", "text": message.content}]


def test_images_stay_where_they_stand_between_texts() -> None:
    message = ChatMessage(
        role="user",
        blocks=[TextBlock(text="one"), ImageBlock(image=PNG), ImageBlock(image=PNG + b"2"), TextBlock(text="two")],
    )
    history = to_history([message], [file_part(1), file_part(2)])
    assert history["messages"][0]["content"] == [
        {"type": "text", "text": "one"},
        file_part(1),
        file_part(2),
        {"type": "text", "text": "two"},
    ]


def test_images_are_found_in_the_order_in_which_their_files_are_used() -> None:
    first, second, third = (ImageBlock(image=PNG + bytes([n])) for n in range(3))
    messages = [
        ChatMessage(role="user", blocks=[first, TextBlock(text="and"), second]),
        ChatMessage(role="assistant", content="ok"),
        ChatMessage(role="user", blocks=[third]),
    ]
    assert images_in(messages) == [first, second, third]


def test_an_image_that_was_not_uploaded_is_refused() -> None:
    with pytest.raises(LMStudioValueError, match="not uploaded"):
        to_history([ChatMessage(role="user", blocks=[ImageBlock(image=PNG)])])


def test_images_can_be_left_out_for_counting() -> None:
    message = ChatMessage(role="user", blocks=[TextBlock(text="a"), ImageBlock(image=PNG)])
    assert to_history([message], skip_images=True)["messages"][0]["content"] == [{"type": "text", "text": "a"}]


@pytest.mark.parametrize(
    ("block", "hint"),
    [
        (AudioBlock(audio=b"RIFFxxxxWAVE"), "transcribe"),
        (VideoBlock(video=b"\0\0\0\x18ftypmp42"), "frames as ImageBlock"),
        (DocumentBlock(data=b"%PDF-1.7"), "TextBlock"),
    ],
)
def test_what_lm_studio_cannot_take_is_refused_by_name_with_a_way_out(block: object, hint: str) -> None:
    message = ChatMessage(role="user", blocks=[block])
    with pytest.raises(ValueError, match=type(block).__name__) as caught:
        to_history([message])
    assert hint in str(caught.value)
    with pytest.raises(ValueError, match=type(block).__name__):
        images_in([message])


def test_cited_content_is_taken_out_of_its_containers() -> None:
    message = ChatMessage(
        role="user",
        blocks=[
            CitableBlock(title="t", source="s", content=[TextBlock(text="cited")]),
            CitationBlock(cited_content=TextBlock(text="quoted"), source="s", title="t", additional_location_info={}),
        ],
    )
    assert content_of(message) == [{"type": "text", "text": "cited\nquoted"}]


def test_a_cache_hint_changes_nothing() -> None:
    with_hint = ChatMessage(
        role="user",
        blocks=[TextBlock(text="a"), CachePoint(cache_control=CacheControl(type="ephemeral")), TextBlock(text="b")],
    )
    without = ChatMessage(role="user", blocks=[TextBlock(text="a"), TextBlock(text="b")])
    assert to_history([with_hint]) == to_history([without])


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


def test_the_text_beside_tool_calls_is_kept_before_them() -> None:
    message = ChatMessage(
        role="assistant", blocks=[TextBlock(text="Let me see."), ToolCallBlock(tool_name="add", tool_kwargs="{}")]
    )
    assert content_of(message) == [{"type": "text", "text": "Let me see."}, call_part(None, "add", {})]


def test_arguments_in_json_text_become_an_object() -> None:
    message = ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_name="f", tool_kwargs='{"z": 1, "a": [2]}')])
    assert content_of(message)[1] == call_part(None, "f", {"z": 1, "a": [2]})


@pytest.mark.parametrize("broken", ['{"a": ', "[1]", "7"])
def test_arguments_that_are_no_object_are_refused_with_what_came(broken: str) -> None:
    message = ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_name="f", tool_kwargs=broken)])
    with pytest.raises(LMStudioValueError, match="'f'"):
        to_history([message])


def test_a_tool_call_in_a_user_message_is_refused() -> None:
    with pytest.raises(LMStudioValueError, match="ToolCallBlock in a user message"):
        to_history([ChatMessage(role="user", blocks=[ToolCallBlock(tool_name="f")])])


def test_calls_that_other_integrations_keep_in_additional_kwargs_are_understood() -> None:
    as_dict = {"id": "9", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    as_object = SimpleNamespace(id="9", function=SimpleNamespace(name="f", arguments='{"a": 1}'))
    for call in (as_dict, as_object):
        message = ChatMessage.model_construct(
            role=MessageRole.ASSISTANT, blocks=[], additional_kwargs={"tool_calls": [call]}
        )
        assert content_of(message) == [{"type": "text", "text": ""}, call_part("9", "f", {"a": 1})]


def test_blocks_win_over_the_same_calls_in_additional_kwargs() -> None:
    message = ChatMessage(
        role="assistant",
        blocks=[ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={})],
        additional_kwargs={"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
    )
    assert content_of(message)[1:] == [call_part("1", "f", {})]


def test_a_tool_result_bears_its_id_and_the_name_of_the_call() -> None:
    history = to_history(
        [
            ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={})]),
            ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "c1"}),
        ]
    )
    assert history["messages"][1] == {
        "role": "tool",
        "content": [{"type": "toolCallResult", "content": "3", "toolCallId": "c1", "name": "add"}],
    }


def test_a_tool_result_of_an_unknown_call_keeps_what_is_known() -> None:
    message = ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "c1", "name": "add"})
    assert content_of(message) == [{"type": "toolCallResult", "content": "3", "toolCallId": "c1", "name": "add"}]
    assert content_of(ChatMessage(role="tool", content="3")) == [{"type": "toolCallResult", "content": "3"}]


def test_an_image_in_a_tool_result_is_refused() -> None:
    with pytest.raises(LMStudioValueError, match="ImageBlock in a tool's result"):
        to_history([ChatMessage(role="tool", blocks=[ImageBlock(image=PNG)])])


THOUGHT = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="Yes.")])


def test_reasoning_is_left_out_unless_asked_for() -> None:
    assert content_of(THOUGHT) == [{"type": "text", "text": "Yes."}]


def test_reasoning_is_replayed_between_the_tags_it_came_with() -> None:
    assert content_of(THOUGHT, replay_thinking=True) == [{"type": "text", "text": "<think>hm</think>Yes."}]
    tags = {"start_tag": "[R]", "end_tag": "[/R]\n"}
    tagged = ChatMessage(
        role="assistant", blocks=[ThinkingBlock(content="hm", additional_information=tags), TextBlock(text="Yes.")]
    )
    assert content_of(tagged, replay_thinking=True) == [{"type": "text", "text": "[R]hm[/R]\nYes."}]


def test_only_the_reasoning_stands_right_before_its_answer() -> None:
    blocks = [ThinkingBlock(content="hm"), TextBlock(text="a"), TextBlock(text="b")]
    message = ChatMessage(role="assistant", blocks=blocks)
    assert content_of(message, replay_thinking=True) == [{"type": "text", "text": "<think>hm</think>a\nb"}]


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


def test_the_same_conversation_gives_the_same_bytes_every_turn() -> None:
    turns = [json.dumps(to_history(conversation(), [file_part(1)])) for _ in range(2)]
    assert turns[0] == turns[1]
    longer = to_history([*conversation(), ChatMessage(role="user", content="Sure?")], [file_part(1)])
    assert json.dumps(longer["messages"][:-1]) == json.dumps(to_history(conversation(), [file_part(1)])["messages"])


def test_a_conversation_survives_being_stored_and_read_again() -> None:
    messages = [message for message in conversation() if not images_in([message])]
    stored = [ChatMessage.model_validate_json(message.model_dump_json()) for message in messages]
    assert json.dumps(to_history(stored)) == json.dumps(to_history(messages))


def test_the_callers_messages_are_left_alone() -> None:
    messages = conversation()[2:]
    before = [message.model_dump_json() for message in messages]
    history = to_history(messages)
    history["messages"][0]["content"][1]["toolCallRequest"]["arguments"]["new"] = 1
    assert [message.model_dump_json() for message in messages] == before


def test_the_client_accepts_every_history() -> None:
    as_history(to_history(conversation(), [file_part(1)]))
