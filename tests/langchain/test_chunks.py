"""Streams of chunks, and what langchain-core makes of them when it adds them up, in both output versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from lmstudio_integrations.compat.prediction_request import ResponseOptions
from lmstudio_integrations.langchain._block_translator import register
from lmstudio_integrations.langchain._chunks import ChunkReader
from lmstudio_integrations.langchain._response import MessageReader
from tests.packet_builders import (
    complete_success,
    events_and_result,
    failed_tool_call,
    fragment,
    reasoning,
    tool_call,
)

register()


class Canned(BaseChatModel):
    """langchain-core's own stream loop over a canned prediction."""

    given: list[Any]
    wanted: ResponseOptions = ResponseOptions()

    @property
    def _llm_type(self) -> str:
        return "canned"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reader = ChunkReader(self.wanted)
        for event in self.given:
            yield from reader.read(event)


def streamed(
    *packets: dict[str, Any], version: str = "v0", wanted: ResponseOptions | None = None, **options: bool
) -> list[Any]:
    model = Canned(
        given=events_and_result(*packets, **options), wanted=wanted or ResponseOptions(), output_version=version
    )
    return list(model.stream("x"))


def added(*packets: dict[str, Any], **options: Any) -> AIMessageChunk:
    first, *rest = streamed(*packets, **options)
    whole = first + rest
    assert isinstance(whole, AIMessageChunk)
    return whole


def answered(*packets: dict[str, Any], wanted: ResponseOptions | None = None, **options: bool) -> AIMessage:
    reader = MessageReader(wanted or ResponseOptions())
    for event in events_and_result(*packets, **options):
        reader.read(event)
    return reader.message


def kinds(chunk: AIMessageChunk) -> set[str]:
    found = {"text"} if chunk.content else set()
    found |= {"reasoning"} if chunk.additional_kwargs.get("reasoning_content") else set()
    return found | ({"call"} if chunk.tool_call_chunks else set())


EVERYTHING = [
    *reasoning("h", "m"),
    fragment("I "),
    fragment("call"),
    *tool_call("add", {"a": 1, "b": 2}, '{"a": 1,', ' "b": 2}', id="one"),
    *tool_call("add", {"a": 3}, '{"a": 3}', id="two"),
    complete_success("toolCalls"),
]


def test_visible_fragment_becomes_one_text_chunk() -> None:
    chunks = streamed(fragment("a"), fragment(""), fragment("b"), fragment("<|im_end|>", isStructural=True))
    assert [chunk.content for chunk in chunks] == ["a", "b", ""]


def test_emoji_and_chinese_text_is_unchanged() -> None:
    assert added(fragment("👩‍👩‍👧 "), fragment("你好")).content == "👩‍👩‍👧 你好"


def test_chunk_has_only_one_kind_of_content() -> None:
    assert all(len(kinds(chunk)) <= 1 for chunk in streamed(*EVERYTHING))


def test_only_the_last_chunk_has_chunk_position_last() -> None:
    positions = [chunk.chunk_position for chunk in streamed(*EVERYTHING)]
    assert positions[-1] == "last"
    assert set(positions[:-1]) == {None}


def test_answer_without_text_has_one_chunk() -> None:
    assert [chunk.chunk_position for chunk in streamed()] == ["last"]


def test_usage_and_metadata_are_only_on_the_last_chunk() -> None:
    *others, last = streamed(*EVERYTHING)
    assert last.usage_metadata["input_tokens"] == 10
    assert last.response_metadata["stats"]["tokens_per_second"] == 12.5
    assert all(chunk.usage_metadata is None for chunk in others)
    assert all(set(chunk.response_metadata) <= {"model_provider"} for chunk in others)


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_sum_of_chunks_keeps_the_order_of_blocks(version: str) -> None:
    blocks = added(*EVERYTHING, version=version).content_blocks
    assert [block["type"] for block in blocks] == ["reasoning", "text", "tool_call", "tool_call"]
    assert blocks[0]["reasoning"] == "hm"  # type: ignore[typeddict-item]
    assert blocks[1]["text"] == "I call"  # type: ignore[typeddict-item]
    assert [(block["id"], block["args"]) for block in blocks[2:]] == [  # type: ignore[typeddict-item]
        ("one", {"a": 1, "b": 2}),
        ("two", {"a": 3}),
    ]


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_sum_of_chunks_has_the_metadata_once(version: str) -> None:
    metadata = added(*EVERYTHING, version=version).response_metadata
    assert metadata["model_name"] == "some/model"
    assert metadata["model_provider"] == "lmstudio"
    assert metadata["finish_reason"] == "tool_calls"


def test_sum_of_chunks_equals_the_complete_message() -> None:
    chunk, whole = added(*EVERYTHING), answered(*EVERYTHING)
    assert chunk.content == whole.content
    assert chunk.tool_calls == whole.tool_calls
    assert chunk.usage_metadata == whole.usage_metadata
    assert chunk.response_metadata == whole.response_metadata
    assert chunk.additional_kwargs == whole.additional_kwargs
    assert chunk.content_blocks == whole.content_blocks


def test_call_streams_its_name_before_its_arguments() -> None:
    pieces = [piece for chunk in streamed(*EVERYTHING) for piece in chunk.tool_call_chunks if piece["index"] == 0]
    assert [(piece["name"], piece["id"] is not None, piece["args"]) for piece in pieces] == [
        ("add", True, ""),
        (None, False, '{"a": 1'),  # the comma is held back: a trailing one would not be JSON
        (None, False, ', "b": 2'),  # the last bracket waits for the parsed arguments
        (None, False, "}"),
    ]


def test_call_in_one_packet_is_complete() -> None:
    made = added(*tool_call("add", {"naïve": "é"}, brief=True))
    assert made.tool_calls[0]["args"] == {"naïve": "é"}
    assert json.dumps({"naïve": "é"}, ensure_ascii=False) == made.tool_call_chunks[0]["args"]


def test_call_without_arguments_has_empty_arguments() -> None:
    assert added(*tool_call("now", {})).tool_calls[0]["args"] == {}


def test_arguments_that_are_no_json_come_from_the_parsed_call() -> None:
    assert added(*tool_call("add", {"a": 1}, "<parameter=a>", "1</parameter>")).tool_calls[0]["args"] == {"a": 1}


def test_missing_bracket_is_appended_to_streamed_arguments() -> None:
    made = added(*tool_call("add", {"a": [1]}, '{"a": [1'))
    assert json.loads(made.tool_call_chunks[0]["args"] or "") == {"a": [1]}


def test_calls_without_ids_get_unique_ids() -> None:
    ids = [made["id"] for made in added(*tool_call("add", {"a": 1}), *tool_call("add", {"a": 1})).tool_calls]
    assert all(ids)
    assert len(set(ids)) == 2


def test_identical_calls_are_two_calls() -> None:
    assert len(added(*tool_call("add", {"a": 1}, id="1"), *tool_call("add", {"a": 1}, id="2")).tool_calls) == 2


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize(
    "packets",
    [
        failed_tool_call(),
        failed_tool_call("{"),
        failed_tool_call('{"a": 1}'),
        failed_tool_call('{"a": "x'),
        failed_tool_call('{"a": [1, {"b": 2'),
        failed_tool_call('{"a": "x\\'),
        failed_tool_call(name=None, raw='{"name": "add", "arguments": {"a": 1}}'),
        failed_tool_call(name=None, raw=""),
    ],
)
def test_failed_call_is_never_in_tool_calls(packets: list[dict[str, Any]], version: str) -> None:
    made = added(*packets, version=version)
    assert made.tool_calls == []
    assert len(made.invalid_tool_calls) == 1
    assert made.response_metadata["failed_tool_calls"][0]["error"] == "No JSON"


def test_failed_call_has_its_text_and_error_in_a_complete_answer() -> None:
    (invalid,) = answered(*failed_tool_call('{"a": ')).invalid_tool_calls
    assert (invalid["name"], invalid["args"], invalid["error"]) == ("add", "<tool_call>broken", "No JSON")


def test_call_after_a_failed_call_is_parsed() -> None:
    made = added(*failed_tool_call('{"a": '), *tool_call("add", {"a": 2}, '{"a": 2}'))
    assert [one["args"] for one in made.tool_calls] == [{"a": 2}]


def test_failed_call_is_an_invalid_content_block() -> None:
    blocks = answered(*failed_tool_call()).content_blocks
    assert [block["type"] for block in blocks] == [
        "text",
        "invalid_tool_call",
    ]  # number 19: the raw text is the content


def test_call_of_the_answer_tool_becomes_text() -> None:
    wanted = ResponseOptions(answer_tool="Answer")
    packets = [*tool_call("Answer", {"a": 1}, '{"a":', " 1}"), complete_success("toolCalls")]
    made = added(*packets, wanted=wanted)
    assert (made.content, made.tool_calls) == ('{"a": 1}', [])
    assert made.response_metadata["finish_reason"] == "stop"
    assert answered(*packets, wanted=wanted).content == '{"a": 1}'


def test_call_of_the_answer_tool_has_no_index() -> None:
    wanted = ResponseOptions(answer_tool="Answer")
    made = added(*tool_call("Answer", {"a": 1}, '{"a": 1}'), *tool_call("add", {"a": 2}, '{"a": 2}'), wanted=wanted)
    assert [piece["index"] for piece in made.tool_call_chunks] == [0]


@pytest.mark.parametrize("read", [added, answered])
def test_document_in_the_reasoning_becomes_the_content(read: Any) -> None:
    made = read(*reasoning('{"a":', " 1}"), structured=True)
    assert made.content == '{"a": 1}'
    assert made.response_metadata["structured_from_reasoning"] is True


@pytest.mark.parametrize("read", [added, answered])
def test_reasoning_cut_by_the_token_limit_is_kept_with_finish_reason_length(read: Any) -> None:
    made = read(
        fragment("<think>", "reasoningStartTag"),
        fragment("hm", "reasoning"),
        complete_success("maxPredictedTokensReached"),
    )
    assert made.content == ""
    assert made.additional_kwargs["reasoning_content"] == "hm"
    assert made.response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("read", [added, answered])
def test_unusual_reasoning_tags_are_kept(read: Any) -> None:
    made = read(*reasoning("hm", start="[THINK]", end="[/THINK]"), fragment("so"))
    assert made.additional_kwargs == {"reasoning_content": "hm", "reasoning_tags": ["[THINK]", "[/THINK]"]}


def test_call_chunk_is_a_tool_call_chunk_block() -> None:
    chunks = [chunk for chunk in streamed(*EVERYTHING) if chunk.tool_call_chunks]
    assert [block["type"] for chunk in chunks for block in chunk.content_blocks] == ["tool_call_chunk"] * len(chunks)


def test_chunks_share_no_container() -> None:
    first, second = streamed(fragment("a"), fragment("b"))[:2]
    for name in ("additional_kwargs", "response_metadata", "tool_calls", "invalid_tool_calls", "tool_call_chunks"):
        assert getattr(first, name) is not getattr(second, name)
