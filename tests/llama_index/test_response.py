from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import BaseModel

from lmstudio_integrations.client.prediction import PredictionReader
from lmstudio_integrations.llama_index._response import ResponseBuilder, chat_response, completion_response, text_block
from lmstudio_integrations.llama_index._tools import tool_selections
from tests.packet_builders import (
    INSTANCE,
    call_arguments,
    call_end,
    call_failed,
    call_name,
    call_start,
    complete_success,
    events_of,
    fragment,
    prompt_progress,
)


def responses(builder: ResponseBuilder, *packets: dict[str, Any], structured: bool = False) -> Iterator[Any]:
    """The responses of a stream of ``packets``; without a success packet there is no last response."""
    reader = PredictionReader(structured=structured)
    for event in events_of(reader, *packets):
        delta = builder.take(event)
        if delta is not None:
            yield builder.chat(delta)
    if reader.result is not None:
        yield builder.finish(reader.result)


def calls_of(response: ChatResponse) -> list[ToolCallBlock]:
    return [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]


def test_unvalidated_responses_equal_constructed_ones() -> None:
    message = ChatMessage(role="assistant", blocks=[TextBlock(text="abc")])
    cheap = chat_response([text_block("abc")], delta="c")
    built = ChatResponse(message=message, delta="c")
    assert cheap == built
    assert cheap.model_dump() == built.model_dump()
    assert cheap.message.content == "abc"
    assert cheap.message.model_copy(deep=True) == message
    assert ChatResponse.model_validate_json(cheap.model_dump_json()) == built
    assert completion_response("ab", delta="b") == CompletionResponse(text="ab", delta="b")


def test_unvalidated_responses_share_no_state() -> None:
    first, second = (chat_response([text_block("")], delta="") for _ in range(2))
    first.additional_kwargs["x"] = first.message.additional_kwargs["x"] = 1
    assert second.additional_kwargs == second.message.additional_kwargs == {}


def test_responses_of_a_stream_share_no_mutable_object() -> None:
    def mutable_ids(value: Any) -> set[int]:
        if isinstance(value, BaseModel):
            return {id(value)}.union(*map(mutable_ids, [*value.__dict__.values(), value.__pydantic_fields_set__]))
        if isinstance(value, dict):
            return {id(value)}.union(*map(mutable_ids, value.values()))
        return {id(value)}.union(*map(mutable_ids, value)) if isinstance(value, list | set) else set()

    packets = [fragment("hm", "reasoning"), fragment("a"), fragment("b"), *[call_start("1"), call_end("f", {"a": [1]})]]
    got = list(responses(ResponseBuilder(), *packets, fragment("c"), complete_success()))
    ids = [mutable_ids(response) for response in got]
    assert sum(map(len, ids)) == len(set().union(*ids))


def test_content_grows_by_the_delta() -> None:
    got = list(responses(ResponseBuilder(), fragment("Hel"), fragment("lo "), fragment("👋🏽"), complete_success()))
    assert [response.delta for response in got] == ["Hel", "lo ", "👋🏽", ""]
    assert [response.message.content for response in got] == ["Hel", "Hello ", "Hello 👋🏽", "Hello 👋🏽"]
    assert all(len(response.message.blocks) == 1 for response in got)


def test_earlier_responses_do_not_change() -> None:
    stream = responses(ResponseBuilder(), fragment("a"), fragment("b"), complete_success())
    first = next(stream)
    list(stream)
    assert first.message.content == "a"


def test_empty_and_structural_fragments_give_no_response() -> None:
    got = list(
        responses(
            ResponseBuilder(), fragment(""), fragment("<|end|>", isStructural=True), fragment("a"), complete_success()
        )
    )
    assert [response.delta for response in got] == ["a", ""]


def test_reasoning_is_a_thinking_block_and_a_thinking_delta() -> None:
    got = list(
        responses(
            ResponseBuilder(),
            fragment("<think>", "reasoningStartTag"),
            fragment("Let ", "reasoning"),
            fragment("me.", "reasoning"),
            fragment("</think>", "reasoningEndTag"),
            fragment("Yes."),
            complete_success(),
        )
    )
    assert [response.additional_kwargs.get("thinking_delta") for response in got] == ["Let ", "me.", None, None]
    assert [response.delta for response in got] == ["", "", "Yes.", ""]
    thinking, text = got[-1].message.blocks
    assert isinstance(thinking, ThinkingBlock)
    assert thinking.content == "Let me."
    assert thinking.num_tokens == 2
    assert thinking.additional_information == {"start_tag": "<think>", "end_tag": "</think>"}
    assert isinstance(text, TextBlock)
    assert got[-1].message.content == "Yes."


def test_answer_cut_in_its_reasoning_keeps_it_with_finish_reason_length() -> None:
    got = list(responses(ResponseBuilder(), fragment("hm", "reasoning"), complete_success("maxPredictedTokensReached")))
    assert got[-1].raw["finish_reason"] == "length"
    assert got[-1].message.content == ""
    assert got[-1].message.blocks[0].content == "hm"


def test_last_response_has_usage_stats_and_model() -> None:
    second_instance = {**complete_success(), "modelInfo": {**INSTANCE, "identifier": "some/model:2"}}
    *_, last = responses(ResponseBuilder(), prompt_progress(0.5, cached=4), fragment("a"), second_instance)
    assert last.raw["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    assert last.raw["stats"]["tokens_per_second"] == 12.5
    assert last.raw["stats"]["stop_reason"] == "eosFound"
    assert "stop_reason" not in last.raw, "tracing would take it for the finish reason"
    assert last.raw["finish_reason"] == "stop"
    assert last.raw["model"] == "some/model:2"
    assert last.raw["model_key"] == last.raw["model_info"]["model_key"] == "some/model"
    assert last.additional_kwargs == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    json.dumps(last.raw)


def test_only_the_last_response_has_raw() -> None:
    *before, last = responses(ResponseBuilder(), fragment("a"), fragment("b"), complete_success())
    assert [response.raw for response in before] == [None, None]
    assert last.raw


def test_usage_has_reasoning_tokens() -> None:
    *_, last = responses(ResponseBuilder(), fragment("hm", "reasoning"), fragment("a"), complete_success())
    assert last.raw["usage"]["completion_tokens_details"] == {"reasoning_tokens": 1}


def test_usage_omits_unknown_counts() -> None:
    reader = PredictionReader()
    packet = complete_success()
    packet["stats"] = {"stopReason": "eosFound"}
    reader.read(packet)
    assert reader.result is not None
    last: Any = ResponseBuilder().finish(reader.result)
    assert last.raw["usage"] == {}
    assert last.additional_kwargs == {}


def test_tool_call_grows_as_json_text_and_ends_as_an_object() -> None:
    got = list(
        responses(
            ResponseBuilder(),
            call_start("c1"),
            call_name("add"),
            call_arguments('{"a": 1, '),
            call_arguments('"b": 2}'),
            call_end("add", {"a": 1, "b": 2}, "c1"),
            complete_success("toolCalls"),
        )
    )
    assert [calls_of(response)[0].tool_kwargs for response in got] == [
        "",
        '{"a": 1',  # the comma is held back: a trailing one would not be JSON
        '{"a": 1, "b": 2',  # the last bracket waits for the parsed arguments
        '{"a": 1, "b": 2}',
        {"a": 1, "b": 2},
        {"a": 1, "b": 2},
    ]
    assert [tool_selections(response)[0].tool_kwargs for response in got] == [
        {},
        {"a": 1},
        {"a": 1, "b": 2},
        {"a": 1, "b": 2},
        {"a": 1, "b": 2},
        {"a": 1, "b": 2},
    ]
    assert {response.delta for response in got} == {""}
    assert {calls_of(response)[0].tool_call_id for response in got} == {"c1"}
    assert got[-1].raw["finish_reason"] == "tool_calls"


def test_call_without_optional_packets_is_complete() -> None:
    got = list(responses(ResponseBuilder(), call_start("c1"), call_end("add", {"a": 1}, "c1"), complete_success()))
    # The client names the missing stages, so that every stream has the same ones.
    assert [calls_of(response)[0].tool_kwargs for response in got] == ["", '{"a": 1}', {"a": 1}, {"a": 1}]


def test_identical_parallel_calls_are_two_calls() -> None:
    packets = [call_start("c1"), call_end("add", {"a": 1}, "c1"), call_start("c2"), call_end("add", {"a": 1}, "c2")]
    *_, last = responses(ResponseBuilder(), *packets, complete_success())
    assert [block.tool_call_id for block in calls_of(last)] == ["c1", "c2"]


@pytest.mark.parametrize("given", [None, "same"])
def test_call_ids_are_unique(given: str | None) -> None:
    packets = [call_start(given), call_end("add", {}, given), call_start(given), call_end("add", {}, given)]
    *_, last = responses(ResponseBuilder(), *packets, complete_success())
    ids = [block.tool_call_id for block in calls_of(last)]
    assert len(set(ids)) == 2
    assert all(ids)


def test_call_id_stays_the_same_while_the_call_grows() -> None:
    got = list(
        responses(
            ResponseBuilder(),
            call_start(None),
            call_name("f"),
            call_arguments("{}"),
            call_end("f", {}),
            complete_success(),
        )
    )
    assert len({calls_of(response)[0].tool_call_id for response in got}) == 1


def test_failed_call_is_text_if_its_tool_requires_nothing() -> None:
    """Number 19: the raw text, so that no answer is empty."""
    packets = [
        call_start("c1"),
        call_name("add"),
        call_failed({"title": "no JSON"}, "<tool>broken"),
        complete_success(),
    ]
    *_, last = responses(ResponseBuilder(), *packets)
    assert calls_of(last) == []
    assert last.message.content == "<tool>broken"
    (failed,) = last.raw["failed_tool_calls"]
    assert failed["name"] == "add"
    assert failed["raw_content"] == "<tool>broken"
    assert failed["error"]["title"] == "no JSON"


def test_failed_call_has_empty_arguments_if_its_tool_requires_some() -> None:
    """Number 19: the tool's own error reaches the model."""
    packets = [
        call_start("c1"),
        call_name("add"),
        call_failed({"title": "no JSON"}, "<tool>broken"),
        complete_success(),
    ]
    *_, last = responses(ResponseBuilder(frozenset({"add"})), *packets)
    (call,) = calls_of(last)
    assert (call.tool_call_id, call.tool_name, call.tool_kwargs) == ("c1", "add", {})


def test_calls_are_in_additional_kwargs_too() -> None:
    *_, last = responses(ResponseBuilder(), call_start("c1"), call_end("add", {"a": "é"}, "c1"), complete_success())
    assert last.message.additional_kwargs["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": "é"}'}}
    ]


def test_reasoning_text_and_calls_are_blocks_in_order() -> None:
    packets = [
        fragment("hm", "reasoning"),
        fragment("Now."),
        call_start("c1"),
        call_end("f", {}, "c1"),
        complete_success(),
    ]
    *_, last = responses(ResponseBuilder(), *packets)
    assert [block.block_type for block in last.message.blocks] == ["thinking", "text", "tool_call"]


def test_log_probabilities_are_in_the_last_response_if_the_server_sent_them() -> None:
    token = {"text": "Hi", "id": 1, "logProb": -0.1, "candidates": [{"text": "Hi", "id": 1, "logProb": -0.1}]}
    packets = [fragment("Hi", tokens=[token]), fragment("!", tokens=[{"text": "!", "id": 2, "logProb": -0.5}])]
    *_, last = responses(ResponseBuilder(), *packets, complete_success())
    assert last.logprobs is not None
    assert [[(entry.token, entry.logprob) for entry in entries] for entries in last.logprobs] == [
        [("Hi", -0.1)],
        [("!", -0.5)],
    ]
    *_, without = responses(ResponseBuilder(), fragment("Hi"), complete_success())
    assert without.logprobs is None
