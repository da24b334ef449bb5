from __future__ import annotations

import base64
import json
from itertools import pairwise
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
from lmstudio_integrations.langchain._messages import to_history

CALL = {"name": "add", "args": {"b": 1, "a": 2}, "id": "c1", "type": "tool_call"}


def written(*messages: BaseMessage, **options: Any) -> list[dict[str, Any]]:
    history = to_history(messages, **options)
    as_history(history.messages)  # the client's own check finds nothing wrong with it
    return history.messages


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def test_each_message_type_has_its_role() -> None:
    assert written(SystemMessage("s"), HumanMessage("h"), AIMessage("a")) == [
        {"role": "system", "content": [text("s")]},
        {"role": "user", "content": [text("h")]},
        {"role": "assistant", "content": [text("a")]},
    ]


@pytest.mark.parametrize(
    ("role", "expected"),
    [("user", "user"), ("human", "user"), ("system", "system"), ("developer", "system"), ("assistant", "assistant")],
)
def test_chat_message_has_its_role(role: str, expected: str) -> None:
    assert [message["role"] for message in written(ChatMessage(content="x", role=role))] == [expected]


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (ChatMessage(content="x", role="narrator"), "'narrator'"),
        (FunctionMessage(content="x", name="f"), "FunctionMessage"),
        (RemoveMessage(id="1"), "RemoveMessage"),
    ],
)
def test_unsupported_message_raises_and_names_it(message: BaseMessage, named: str) -> None:
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
def test_unsupported_block_in_a_user_message_raises_and_names_it(block: dict[str, Any]) -> None:
    with pytest.raises(LMStudioValueError, match=block["type"]):
        written(HumanMessage([block]))


def test_system_messages_are_merged_and_late_ones_become_user_messages() -> None:
    """Number 20: several system messages stayed where they were; strict templates accept only one, at the beginning."""
    messages = [SystemMessage("1"), SystemMessage("2"), HumanMessage("h"), SystemMessage("3")]
    assert written(*messages) == [
        {"role": "system", "content": [text("1\n\n2")]},
        {"role": "user", "content": [text("h\n\n3")]},
    ]
    roles = [message["role"] for message in written(*messages, merge_messages=False)]
    assert roles == ["system", "system", "user", "system"]


def test_message_names_are_left_out_by_default() -> None:
    assert written(HumanMessage("hi", name="Eve")) == written(HumanMessage("hi"))


@pytest.mark.parametrize("content", ["", []])
def test_empty_content_becomes_an_empty_text(content: Any) -> None:
    assert written(HumanMessage(content), AIMessage(content)) == [
        {"role": "user", "content": [text("")]},
        {"role": "assistant", "content": [text("")]},
    ]


def test_strings_text_blocks_and_text_documents_become_texts() -> None:
    blocks: list[Any] = [
        "a",
        text("b"),
        {"type": "text-plain", "text": "c", "mime_type": "text/plain"},
        {"type": "file", "base64": "ZA==", "mime_type": "text/plain"},
        {"type": "text", "text": "e", "cache_control": {"type": "ephemeral"}},
    ]
    assert written(HumanMessage(blocks))[0]["content"] == [text(letter) for letter in "abcde"]


def test_tool_call_keeps_the_order_of_its_arguments() -> None:
    (message,) = written(AIMessage("so", tool_calls=[CALL]))
    assert json.dumps(message["content"][1]) == json.dumps(
        {
            "type": "toolCallRequest",
            "toolCallRequest": {"id": "c1", "type": "function", "name": "add", "arguments": {"b": 1, "a": 2}},
        }
    )


def test_results_of_a_round_become_one_message() -> None:
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


def test_tool_result_of_blocks_becomes_text() -> None:
    content: Any = [text("one"), "two", {"type": "json", "value": {"é": 1}}]
    made = written(ToolMessage(content, tool_call_id="c1", name="look", status="error"))
    assert made[0]["content"][0] == {
        "type": "toolCallResult",
        "content": 'one\ntwo\n{"type": "json", "value": {"é": 1}}',
        "toolCallId": "c1",
        "name": "look",
    }


def test_anthropic_tool_use_is_the_same_call_as_in_tool_calls() -> None:
    use = {"type": "tool_use", "id": "c1", "name": "add", "input": {"b": 1, "a": 2}}
    both = written(AIMessage(["so", use], tool_calls=[CALL]))
    only_block = written(AIMessage(["so", use]))
    assert both == only_block == written(AIMessage("so", tool_calls=[CALL]))


def test_anthropic_tool_result_becomes_a_tool_message() -> None:
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [text("3")]}
    made = written(AIMessage("", tool_calls=[CALL]), HumanMessage([result]), HumanMessage([result, text("go on")]))
    assert [message["role"] for message in made] == ["assistant", "tool", "user"]
    assert [part["content"] for part in made[1]["content"]] == ["3", "3"]


def test_v1_content_gives_the_same_history_as_v0_content() -> None:
    v0 = AIMessage("so", additional_kwargs={"reasoning_content": "hm"}, tool_calls=[CALL])
    v1 = AIMessage(
        [{"type": "reasoning", "reasoning": "hm"}, text("s"), text("o"), CALL],
        tool_calls=[CALL],
        response_metadata={"output_version": "v1"},
    )
    assert written(v0) == written(v1)
    both = v1.model_copy(update={"additional_kwargs": v0.additional_kwargs})
    assert written(v0) == written(both)


def test_merged_chunk_gives_the_same_history_as_a_message() -> None:
    chunk = AIMessageChunk(
        content="so", tool_call_chunks=[{"name": "add", "args": '{"b": 1, "a": 2}', "id": "c1", "index": 0}]
    )
    assert written(chunk) == written(AIMessage("so", tool_calls=[CALL]))


def test_reasoning_stands_before_the_text() -> None:
    message = AIMessage("so", additional_kwargs={"reasoning_content": "\nhm\n"})
    assert written(message)[0]["content"] == [text("<think>\nhm\n</think>so")]


def test_reasoning_stands_in_its_own_tags() -> None:
    kwargs = {"reasoning_content": "hm", "reasoning_tags": ["[THINK]", "[/THINK]"]}
    assert written(AIMessage("so", additional_kwargs=kwargs))[0]["content"] == [text("[THINK]hm[/THINK]so")]


def test_reasoning_in_special_tokens_is_left_out() -> None:
    kwargs = {"reasoning_content": "hm", "reasoning_tags": ["<|channel|>analysis<|message|>", "<|end|>"]}
    assert written(AIMessage("so", additional_kwargs=kwargs))[0]["content"] == [text("so")]


def test_reasoning_is_left_out_on_request() -> None:
    message = AIMessage("so", additional_kwargs={"reasoning_content": "hm"})
    assert written(message, send_reasoning=False) == written(AIMessage("so"))


def test_anthropic_thinking_is_reasoning() -> None:
    message = AIMessage([{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "redacted_thinking"}, "so"])
    assert written(message)[0]["content"] == [text("<think>hm</think>so")]


def test_unparsable_call_without_a_result_is_text() -> None:
    invalid = {"name": "add", "args": '{"a": ', "id": "c1", "error": "cut", "type": "invalid_tool_call"}
    assert written(AIMessage("", invalid_tool_calls=[invalid]))[0]["content"] == [text('{"a": ')]


def test_unparsable_call_with_a_result_is_a_call() -> None:
    """Number 19: its ToolMessage must be no orphan."""
    invalid = {"name": "add", "args": '{"a": ', "id": "c1", "error": "cut", "type": "invalid_tool_call"}
    made = written(AIMessage("", invalid_tool_calls=[invalid]), ToolMessage("no JSON", tool_call_id="c1"))
    request = {"id": "c1", "type": "function", "name": "add", "arguments": {}}
    assert made == [
        {
            "role": "assistant",
            "content": [text('{"a": '), {"type": "toolCallRequest", "toolCallRequest": request}],
        },
        {
            "role": "tool",
            "content": [{"type": "toolCallResult", "content": "no JSON", "toolCallId": "c1", "name": "add"}],
        },
    ]


def test_unparsable_call_that_is_a_block_too_is_read_once() -> None:
    invalid = {"name": "add", "args": "{", "id": "c1", "error": "cut", "type": "invalid_tool_call"}
    block = {"type": "tool_use", "id": "c1", "name": "add", "input": {}}
    (message,) = written(AIMessage([block], invalid_tool_calls=[invalid]))
    assert message["content"] == [text("{")]


def test_failed_calls_of_the_metadata_are_text() -> None:
    failed = [{"name": "add", "error": "no", "arguments": "{", "raw_content": "<tool_call>{"}]
    (message,) = written(AIMessage("so", response_metadata={"failed_tool_calls": failed}))
    assert message["content"] == [text("so\n<tool_call>{")]


def test_message_names_stand_before_the_text_on_request() -> None:
    made = written(HumanMessage("hi", name="Eve"), AIMessage("hello", name="helper"), message_names=True)
    assert [message["content"] for message in made] == [[text("Eve: hi")], [text("helper: hello")]]


# Content blocks

PDF = b"%PDF-1.7" + bytes(6000)
PDF_TEXT = base64.b64encode(PDF).decode()
NOTE = base64.b64encode("naïve".encode()).decode()

TEXTS: list[dict[str, Any]] = [
    {"type": "text", "text": "naïve"},
    {"type": "input_text", "text": "naïve"},
    {"type": "output_text", "text": "naïve"},
    {"type": "text-plain", "text": "naïve", "mime_type": "text/plain"},
    {"type": "text-plain", "base64": NOTE, "mime_type": "text/plain"},
    {"type": "file", "base64": NOTE, "mime_type": "text/markdown"},
    {"type": "file", "base64": NOTE},
    {"type": "file", "source_type": "base64", "data": NOTE, "mime_type": "text/plain"},
    {"type": "file", "source_type": "text", "text": "naïve", "mime_type": "text/plain"},
    {"type": "file", "file": {"filename": "a.txt", "file_data": f"data:text/plain;base64,{NOTE}"}},
    {"type": "input_file", "filename": "a.csv", "file_data": f"data:text/csv;base64,{NOTE}"},
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "naïve"}},
    {"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": NOTE}},
    {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "naïve"}]}},
    {"type": "document", "source": {"type": "content", "content": "naïve"}},
    {"type": "resource", "resource": {"uri": "file:///a.txt", "mimeType": "text/plain", "text": "naïve"}},
    {"type": "resource", "resource": {"uri": "file:///a.json", "mimeType": "application/json", "blob": NOTE}},
    {"type": "media", "mime_type": "text/plain", "data": "naïve".encode()},
    {"type": "non_standard", "value": {"type": "input_text", "text": "naïve"}},
]


@pytest.mark.parametrize("block", TEXTS, ids=lambda block: f"{block['type']}-{'-'.join(list(block)[1:])}")
def test_text_in_every_form_becomes_text_in_every_message(block: dict[str, Any]) -> None:
    made = written(
        SystemMessage([block]),
        HumanMessage([block]),
        *([] if block["type"] == "non_standard" else [AIMessage([block])]),
        ToolMessage([block], tool_call_id="c1"),
    )
    assert [message["content"][0].get("text") for message in made[:-1]] == ["naïve"] * (len(made) - 1)
    assert made[-1]["content"][0]["content"] == "naïve"


BINARIES: list[tuple[dict[str, Any], str]] = [
    ({"type": "file", "base64": PDF_TEXT, "mime_type": "application/pdf"}, "file, application/pdf, 6008 bytes"),
    ({"type": "file", "base64": PDF_TEXT}, "file, 6008 bytes"),
    ({"type": "file", "data": PDF, "mime_type": "application/pdf"}, "file, application/pdf, 6008 bytes"),
    (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF_TEXT}"}},
        "file a.pdf, application/pdf, 6008 bytes",
    ),
    ({"type": "file", "url": "https://example.org/a.pdf"}, "file at https://example.org/a.pdf"),
    ({"type": "file", "file_id": "file-1"}, "file at file-1"),
    (
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF_TEXT}"},
        "file, application/pdf, 6008 bytes",
    ),
    (
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF_TEXT}},
        "file, application/pdf, 6008 bytes",
    ),
    (
        {"type": "resource", "resource": {"uri": "file:///a.zip", "mimeType": "application/zip", "blob": PDF_TEXT}},
        "file at file:///a.zip, application/zip, 6008 bytes",
    ),
    ({"type": "audio", "base64": PDF_TEXT, "mime_type": "audio/wav"}, "audio, audio/wav, 6008 bytes"),
    ({"type": "audio", "data": PDF_TEXT, "mimeType": "audio/wav"}, "audio, audio/wav, 6008 bytes"),
    ({"type": "audio", "base64": NOTE}, "audio, 6 bytes"),
    ({"type": "input_audio", "input_audio": {"data": PDF_TEXT, "format": "wav"}}, "audio, audio/wav, 6008 bytes"),
    ({"type": "file", "base64": PDF_TEXT, "mime_type": "audio/wav"}, "audio, audio/wav, 6008 bytes"),
    ({"type": "media", "data": PDF_TEXT, "mime_type": "video/mp4"}, "video, video/mp4, 6008 bytes"),
    ({"type": "video", "url": "https://example.org/a.mp4"}, "video at https://example.org/a.mp4"),
    ({"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{PDF_TEXT}"}}, "video, video/mp4, 6008 bytes"),
]


@pytest.mark.parametrize(("block", "described"), BINARIES, ids=lambda value: str(value)[:60])
def test_binary_block_becomes_a_placeholder_except_in_input_messages(block: dict[str, Any], described: str) -> None:
    placeholder = f"[{described}: left out, because the model takes only text and images]"
    made = written(AIMessage([block]), ToolMessage(["seen", block], tool_call_id="c1"))
    assert made[0]["content"] == [text(placeholder)]
    assert made[1]["content"][0]["content"] == f"seen\n{placeholder}"
    for message in (HumanMessage([block]), SystemMessage([block])):
        with pytest.raises(LMStudioValueError, match=block["type"]):
            written(message)


@pytest.mark.parametrize(
    "value",
    [
        {"type": "json", "value": {"page": PDF_TEXT}},
        {"type": "custom", "payload": [{"blob": f"data:application/pdf;base64,{PDF_TEXT}"}]},
        {"image": {"format": "tiff", "source": {"bytes": PDF}}},
        {"type": "custom", "lines": "\n".join(PDF_TEXT[k : k + 76] for k in range(0, len(PDF_TEXT), 76))},
    ],
)
def test_unknown_block_in_a_tool_result_becomes_json_without_base64(value: dict[str, Any]) -> None:
    (made,) = written(ToolMessage([value], tool_call_id="c1"))
    content = made["content"][0]["content"]
    assert "6008 bytes" in content
    assert len(content) < 300
    json.loads(content)


def test_long_text_in_an_unknown_block_stays_as_it_is() -> None:
    words = {"type": "custom", "prose": "the quick brown fox " * 100, "digest": "ab" * 64}
    (made,) = written(ToolMessage([words], tool_call_id="c1"))
    assert json.loads(made["content"][0]["content"]) == words


def test_refusal_and_reasoning_summary_of_openai_are_text_and_reasoning() -> None:
    summary = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    (message,) = written(AIMessage([summary, {"type": "refusal", "refusal": "No."}]))
    assert message["content"] == [text("<think>hm</think>No.")]


@pytest.mark.parametrize(
    "message",
    [
        AIMessage([{"type": "tool_use", "id": 7, "input": {"a": 1}}]),
        AIMessage([{"type": "tool_use", "id": "1", "name": "f", "input": [1]}]),
        AIMessage("a", additional_kwargs={"reasoning_content": "hm", "reasoning_tags": ["<x>"]}),
        AIMessage("a", additional_kwargs={"reasoning_content": "hm", "reasoning_tags": 5}),
        ToolMessage([{"type": ["odd"], (1, 2): "x"}], tool_call_id="1"),
        ToolMessage([{"type": "tool_use"}], tool_call_id="1"),
        HumanMessage([{"type": "image", "file_id": "1", "extras": "none"}]),
        HumanMessage([{"type": "image", "file_id": "1", "extras": {"size_bytes": "5"}}]),
    ],
)
def test_odd_values_make_a_valid_history(message: BaseMessage) -> None:
    assert len(written(message)) == 1


@pytest.mark.parametrize(
    "block", [{"type": ["text"]}, {"type": None, "text": 5}, {"type": "image", "url": 5}, {"type": "file"}]
)
def test_odd_block_in_a_user_message_raises_our_error(block: dict[str, Any]) -> None:
    with pytest.raises(LMStudioValueError):
        written(HumanMessage([block]))


# The same conversation again


def conversation_of(count: int) -> list[list[BaseMessage]]:
    """What each request of a conversation sends: the end of a round of tool calls, or the user's next question."""
    requests: list[list[BaseMessage]] = []
    messages: list[BaseMessage] = [SystemMessage("s")]
    for number in range(count):
        call = {**CALL, "id": f"c{number}"}
        messages = [*messages, HumanMessage(f"question {number}")]
        requests.append(messages)
        thinking = {"reasoning_content": "hm"}
        messages = [*messages, AIMessage("", tool_calls=[call], additional_kwargs=thinking)]
        messages = [*messages, ToolMessage("3", tool_call_id=f"c{number}")]
        requests.append(messages)
        messages = [*messages, AIMessage(f"answer {number}", additional_kwargs=thinking)]
    return requests


@pytest.mark.parametrize("send_reasoning", [True, False])
def test_longer_conversation_begins_with_the_bytes_of_the_shorter_one(send_reasoning: bool) -> None:
    texts = [json.dumps(written(*sent, send_reasoning=send_reasoning))[:-1] for sent in conversation_of(4)]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))


def test_longer_conversation_differs_only_in_reasoning_before_the_last_user_message() -> None:
    """Number 14: earlier reasoning went back always; now a user message ends the turns whose reasoning goes back."""
    requests = [written(*sent) for sent in conversation_of(4)]
    for question, round_end in zip(requests[::2], requests[1::2], strict=True):
        assert json.dumps(round_end)[:-1].startswith(json.dumps(question)[:-1])
    bare = [json.dumps(written(*sent, send_reasoning=False)) for sent in conversation_of(4)]
    assert [json.dumps(question) for question in requests[::2]] == bare[::2]
    assert "<think>hm</think>" in json.dumps(requests[1][-2])


def test_conversion_leaves_the_messages_alone() -> None:
    message = AIMessage(["so", {"type": "tool_use", "id": "c9", "name": "add", "input": {}}], tool_calls=[CALL])
    before = message.model_copy(deep=True)
    written(message)
    assert message == before
