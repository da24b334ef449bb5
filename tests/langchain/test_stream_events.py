"""The native stream of protocol events (``stream_events(version="v3")``), judged by langchain-tests' own validator."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models.chat_model_stream import ChatModelStream
from langchain_core.messages import AIMessage
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from lmstudio_integrations.compat.prediction_request import ResponseOptions
from lmstudio_integrations.langchain._stream_events import StreamEventReader
from tests.langchain.test_chunks import EVERYTHING
from tests.packet_builders import (
    complete_success,
    events_and_result,
    failed_tool_call,
    fragment,
    reasoning,
    tool_call,
)


def produced(*packets: dict[str, Any], wanted: ResponseOptions | None = None, **options: bool) -> list[Any]:
    reader = StreamEventReader(wanted or ResponseOptions(), message_id="lc_run--1", model="some/model")
    made: list[Any] = list(reader.begin())
    for event in events_and_result(*packets, **options):
        made += reader.read(event)
    return made


def assembled(*packets: dict[str, Any], **options: Any) -> AIMessage:
    stream = ChatModelStream()
    for event in produced(*packets, **options):
        stream.dispatch(event)
    assert stream.output_message is not None
    return stream.output_message


PREDICTIONS = {
    "text": [fragment("a"), fragment("b")],
    "nothing": [],
    "everything": EVERYTHING,
    "thoughts between texts": [fragment("a"), *reasoning("b"), fragment("c"), *reasoning("d")],
    "calls in one packet": [*tool_call("add", {"a": 1}, brief=True), *tool_call("add", {"a": 2}, brief=True)],
    "no arguments": tool_call("now", {}),
    "failed": [fragment("a"), *failed_tool_call('{"a": '), *tool_call("add", {"a": 2}, '{"a": 2}')],
    "failed without a name": failed_tool_call(name=None),
    "progress": [{"type": "promptProcessingProgress", "progress": 0.5}, fragment("a")],
}


@pytest.mark.parametrize("packets", PREDICTIONS.values(), ids=PREDICTIONS.keys())
def test_events_follow_the_order_of_the_protocol(packets: list[dict[str, Any]]) -> None:
    made = produced(*packets)
    assert_valid_event_stream(made)
    assert made[-1]["event"] == "message-finish"


def test_message_start_has_the_run_id_and_the_model() -> None:
    assert produced()[0] == {
        "event": "message-start",
        "role": "ai",
        "id": "lc_run--1",
        "metadata": {"provider": "lmstudio", "model": "some/model"},
    }


def test_progress_is_in_events_of_its_own() -> None:
    made = produced(
        {"type": "startLoading", "identifier": "some/model", "info": {}},
        {"type": "promptProcessingProgress", "progress": 0.5},
    )
    assert [event["event"] for event in made[1:3]] == ["lmstudio-load-progress", "lmstudio-prompt-progress"]
    assert made[2]["progress"] == 0.5


def test_assembled_message_has_every_block_in_order() -> None:
    message = assembled(*EVERYTHING)
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text", "tool_call", "tool_call"]
    assert [(made["id"], made["args"]) for made in message.tool_calls] == [("one", {"a": 1, "b": 2}), ("two", {"a": 3})]
    assert message.text == "I call"


def test_assembled_message_has_usage_and_metadata() -> None:
    message = assembled(*EVERYTHING)
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 15
    assert message.response_metadata["stats"]["tokens_per_second"] == 12.5
    assert message.id == "lc_run--1"


def test_failed_call_is_an_invalid_block_with_its_error() -> None:
    message = assembled(*failed_tool_call('{"a": 1}'))
    assert message.tool_calls == []
    assert [(made["name"], made["error"]) for made in message.invalid_tool_calls] == [("add", "No JSON")]


def test_texts_around_reasoning_stay_separate_blocks() -> None:
    types = [block["type"] for block in assembled(*PREDICTIONS["thoughts between texts"]).content_blocks]
    assert types == ["text", "reasoning", "text", "reasoning"]


def test_call_of_the_answer_tool_is_text() -> None:
    message = assembled(*tool_call("Answer", {"a": 1}, '{"a": 1}'), wanted=ResponseOptions(answer_tool="Answer"))
    assert message.text == '{"a": 1}'
    assert message.tool_calls == []


def test_document_in_the_reasoning_is_text_at_the_end() -> None:
    message = assembled(*reasoning('{"a": 1}'), complete_success(), structured=True)
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


def test_unusual_reasoning_tags_are_kept() -> None:
    message = assembled(*reasoning("hm", start="[THINK]", end="[/THINK]"))
    assert message.additional_kwargs == {"reasoning_tags": ["[THINK]", "[/THINK]"]}
