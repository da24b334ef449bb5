from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from lmstudio_integrations.client.chat import as_history
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain.convert.history import conversation

CALL = {"name": "add", "args": {"b": 1, "a": 2}, "id": "c1", "type": "tool_call"}


def written(*messages: BaseMessage, **options: bool) -> list[dict[str, Any]]:
    made = conversation(messages, **options)
    as_history(made.history())  # the client takes it
    return made.messages


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def test_each_role_is_said_in_lm_studios_words() -> None:
    assert written(SystemMessage("s"), HumanMessage("h"), AIMessage("a")) == [
        {"role": "system", "content": [text("s")]},
        {"role": "user", "content": [text("h")]},
        {"role": "assistant", "content": [text("a")]},
    ]


@pytest.mark.parametrize(
    ("role", "expected"),
    [("user", "user"), ("human", "user"), ("system", "system"), ("developer", "system"), ("assistant", "assistant")],
)
def test_a_chat_message_is_taken_by_its_role(role: str, expected: str) -> None:
    assert [message["role"] for message in written(ChatMessage(content="x", role=role))] == [expected]


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (ChatMessage(content="x", role="narrator"), "'narrator'"),
        (FunctionMessage(content="x", name="f"), "FunctionMessage"),
        (RemoveMessage(id="1"), "RemoveMessage"),
    ],
)
def test_a_message_without_a_place_is_refused_by_its_name(message: BaseMessage, named: str) -> None:
    with pytest.raises(LMStudioValueError, match=named):
        written(message)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
        {"type": "video", "url": "https://example.org/a.mp4"},
        {"type": "file", "base64": "JVBERg==", "mime_type": "application/pdf"},
        {"type": "hologram"},
    ],
)
def test_a_block_without_a_place_is_refused_by_its_type(block: dict[str, Any]) -> None:
    with pytest.raises(LMStudioValueError, match=block["type"]):
        written(HumanMessage([block]))


def test_several_system_messages_stay_where_they_are() -> None:
    roles = [m["role"] for m in written(SystemMessage("1"), SystemMessage("2"), HumanMessage("h"), SystemMessage("3"))]
    assert roles == ["system", "system", "user", "system"]


def test_names_are_left_out() -> None:
    assert written(HumanMessage("hi", name="Eve")) == written(HumanMessage("hi"))


@pytest.mark.parametrize("content", ["", []])
def test_empty_content_is_an_empty_text(content: Any) -> None:
    assert written(HumanMessage(content), AIMessage(content)) == [
        {"role": "user", "content": [text("")]},
        {"role": "assistant", "content": [text("")]},
    ]


def test_text_blocks_strings_and_plain_text_documents_are_text() -> None:
    blocks: list[Any] = [
        "a",
        text("b"),
        {"type": "text-plain", "text": "c", "mime_type": "text/plain"},
        {"type": "file", "base64": "ZA==", "mime_type": "text/plain"},
        {"type": "text", "text": "e", "cache_control": {"type": "ephemeral"}},
    ]
    assert written(HumanMessage(blocks))[0]["content"] == [text(letter) for letter in "abcde"]


def test_a_tool_call_keeps_the_arguments_in_their_order() -> None:
    (message,) = written(AIMessage("so", tool_calls=[CALL]))
    assert json.dumps(message["content"][1]) == json.dumps(
        {
            "type": "toolCallRequest",
            "toolCallRequest": {"id": "c1", "type": "function", "name": "add", "arguments": {"b": 1, "a": 2}},
        }
    )


def test_the_results_of_one_round_are_one_message() -> None:
    made = written(
        AIMessage("", tool_calls=[CALL, {**CALL, "id": "c2"}]),
        ToolMessage("3", tool_call_id="c1"),
        ToolMessage("4", tool_call_id="c2"),
        HumanMessage("and?"),
    )
    assert [message["role"] for message in made] == ["assistant", "tool", "user"]
    assert made[1]["content"] == [
        {"type": "toolCallResult", "content": "3", "toolCallId": "c1", "name": "add"},
        {"type": "toolCallResult", "content": "4", "toolCallId": "c2", "name": "add"},
    ]


def test_a_tool_result_of_blocks_becomes_text() -> None:
    content: Any = [text("one"), "two", {"type": "json", "value": {"é": 1}}]
    made = written(ToolMessage(content, tool_call_id="c1", name="look", status="error"))
    assert made[0]["content"][0] == {
        "type": "toolCallResult",
        "content": 'one\ntwo\n{"type": "json", "value": {"é": 1}}',
        "toolCallId": "c1",
        "name": "look",
    }


def test_anthropics_tool_blocks_are_read_once() -> None:
    use = {"type": "tool_use", "id": "c1", "name": "add", "input": {"b": 1, "a": 2}}
    both = written(AIMessage(["so", use], tool_calls=[CALL]))
    only_block = written(AIMessage(["so", use]))
    assert both == only_block == written(AIMessage("so", tool_calls=[CALL]))


def test_anthropics_tool_result_becomes_a_tool_message() -> None:
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [text("3")]}
    made = written(AIMessage("", tool_calls=[CALL]), HumanMessage([result]), HumanMessage([result, text("go on")]))
    assert [message["role"] for message in made] == ["assistant", "tool", "user"]
    assert [part["content"] for part in made[1]["content"]] == ["3", "3"]


def test_v1_content_becomes_the_same_as_v0_content() -> None:
    v0 = AIMessage("so", additional_kwargs={"reasoning_content": "hm"}, tool_calls=[CALL])
    v1 = AIMessage(
        [{"type": "reasoning", "reasoning": "hm"}, text("s"), text("o"), CALL],
        tool_calls=[CALL],
        response_metadata={"output_version": "v1"},
    )
    assert written(v0) == written(v1)
    both = v1.model_copy(update={"additional_kwargs": v0.additional_kwargs})
    assert written(v0) == written(both)


def test_a_merged_chunk_becomes_the_same_as_a_message() -> None:
    chunk = AIMessageChunk(
        content="so", tool_call_chunks=[{"name": "add", "args": '{"b": 1, "a": 2}', "id": "c1", "index": 0}]
    )
    assert written(chunk) == written(AIMessage("so", tool_calls=[CALL]))


def test_reasoning_goes_back_in_front_of_the_text() -> None:
    message = AIMessage("so", additional_kwargs={"reasoning_content": "\nhm\n"})
    assert written(message)[0]["content"] == [text("<think>\nhm\n</think>so")]


def test_reasoning_goes_back_in_the_tags_that_it_came_in() -> None:
    kwargs = {"reasoning_content": "hm", "reasoning_tags": ["[THINK]", "[/THINK]"]}
    assert written(AIMessage("so", additional_kwargs=kwargs))[0]["content"] == [text("[THINK]hm[/THINK]so")]


def test_reasoning_in_special_tokens_is_left_out() -> None:
    kwargs = {"reasoning_content": "hm", "reasoning_tags": ["<|channel|>analysis<|message|>", "<|end|>"]}
    assert written(AIMessage("so", additional_kwargs=kwargs))[0]["content"] == [text("so")]


def test_reasoning_can_be_left_out() -> None:
    message = AIMessage("so", additional_kwargs={"reasoning_content": "hm"})
    assert written(message, reasoning=False) == written(AIMessage("so"))


def test_anthropics_thinking_is_reasoning() -> None:
    message = AIMessage([{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "redacted_thinking"}, "so"])
    assert written(message)[0]["content"] == [text("<think>hm</think>so")]


def test_a_failed_call_is_shown_as_the_model_wrote_it() -> None:
    invalid = {"name": "add", "args": '{"a": ', "id": "c1", "error": "cut", "type": "invalid_tool_call"}
    assert written(AIMessage("", invalid_tool_calls=[invalid]))[0]["content"] == [text('{"a": ')]


def test_a_longer_conversation_begins_with_the_bytes_of_the_shorter() -> None:
    rounds: list[BaseMessage] = [SystemMessage("s")]
    before = ""
    for number in range(4):
        call = {**CALL, "id": f"c{number}"}
        rounds += [
            HumanMessage(f"question {number}"),
            AIMessage("", tool_calls=[call], additional_kwargs={"reasoning_content": "hm"}),
            ToolMessage("3", tool_call_id=f"c{number}"),
        ]
        now = json.dumps(written(*rounds))[:-1]
        assert now.startswith(before)
        before = now
        rounds.append(AIMessage(f"answer {number}", additional_kwargs={"reasoning_content": "so"}))


def test_the_callers_messages_are_left_alone() -> None:
    message = AIMessage(["so", {"type": "tool_use", "id": "c9", "name": "add", "input": {}}], tool_calls=[CALL])
    before = message.model_copy(deep=True)
    written(message)
    assert message == before
