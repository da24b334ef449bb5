"""Packets of a prediction in, events and a result out."""

from __future__ import annotations

import json
import logging
import pickle
from itertools import permutations
from typing import Any

import pytest

from lmstudio_integrations.client.events import (
    Fragment,
    LoadProgress,
    PromptProgress,
    TokenLogProb,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallName,
    ToolCallStart,
)
from lmstudio_integrations.client.prediction import PredictionReader, load_progress
from lmstudio_integrations.client.transport.multiplexer import CLOSED
from lmstudio_integrations.errors import (
    LMStudioDisconnectedError,
    LMStudioIncompleteError,
    LMStudioProtocolError,
    LMStudioServerError,
)
from lmstudio_integrations.protocol.history import ToolCallRequest
from tests.packet_builders import (
    INSTANCE,
    call_arguments,
    call_end,
    call_failed,
    call_name,
    call_start,
    events_of,
    fragment,
    read_all,
    success,
)

# Text


def test_fragments_add_up_to_the_exact_text() -> None:
    pieces = ["Grüße", "", ", ", "世界", " 😀", "\n\t", "e\u0301"]
    reader, events = read_all(*(fragment(piece) for piece in pieces), success())
    assert [str(event) for event in events] == pieces
    assert reader.result is not None
    assert reader.result.content == "Grüße, 世界 😀\n\te\u0301"


def test_reasoning_and_its_tags_are_not_in_the_answer() -> None:
    reader, events = read_all(
        fragment("<think>", "reasoningStartTag"),
        fragment("Let me ", "reasoning", tokensCount=2),
        fragment("see.", "reasoning"),
        fragment("</think>", "reasoningEndTag"),
        fragment("Blue."),
        success(),
    )
    result = reader.result
    assert result is not None
    assert (result.content, result.reasoning, result.reasoning_tokens_count) == ("Blue.", "Let me see.", 3)
    assert [event.is_visible for event in events] == [False, False, False, False, True]
    assert [event.is_reasoning for event in events] == [False, True, True, False, False]


def test_structural_text_is_a_fragment_but_not_in_the_content() -> None:
    reader, events = read_all(fragment("<|channel|>", isStructural=True), fragment("Hi"), success())
    assert reader.result is not None
    assert reader.result.content == "Hi"
    assert [(str(event), event.is_structural, event.is_visible) for event in events] == [
        ("<|channel|>", True, False),
        ("Hi", False, True),
    ]


def test_fragment_of_an_older_server_has_defaults() -> None:
    reader, (event,) = read_all({"type": "fragment", "fragment": {"content": "Hi"}})
    assert (event.tokens_count, event.contains_drafted, event.is_structural, event.tokens) == (1, False, False, [])
    assert event.is_visible
    assert reader.content == "Hi"


@pytest.mark.parametrize("odd", [None, "many", [], {}, float("nan"), float("inf"), 1e300, True])
def test_malformed_token_count_affects_neither_text_nor_sum(odd: Any) -> None:
    reader, events = read_all(fragment("a", "reasoning", tokensCount=odd), fragment("b", tokensCount=odd), success())
    assert [event.tokens_count for event in events] == [1, 1]
    assert reader.result is not None
    assert (reader.result.reasoning, reader.result.reasoning_tokens_count, reader.result.content) == ("a", 1, "b")


@pytest.mark.parametrize("odd", [None, 5, "x", {}])
def test_malformed_tokens_are_none(odd: Any) -> None:
    _, (event,) = read_all(fragment("a", tokens=odd))
    assert event.tokens == []


def test_tokens_have_their_log_probabilities_and_candidates() -> None:
    tokens = [{"text": "Hi", "id": 5, "logProb": -0.1, "candidates": [{"text": "Ho", "id": 6, "logProb": -2.0}]}]
    _, (event,) = read_all(fragment("Hi", tokens=tokens))
    candidate = TokenLogProb("Ho", 6, -2.0)
    assert event.tokens == [TokenLogProb("Hi", 5, -0.1, (candidate,))]


def test_malformed_log_probability_tokens_are_left_out() -> None:
    _, (event,) = read_all(fragment("Hi", tokens=[5, {"id": 1}, {"text": "Hi", "id": "x", "logProb": "low"}]))
    assert event.tokens == [TokenLogProb("Hi")]


def test_null_reasoning_type_is_visible_text() -> None:
    reader, (event,) = read_all({"type": "fragment", "fragment": {"content": "a", "reasoningType": None}})
    assert event.is_visible
    assert reader.content == "a"


def test_str_of_a_fragment_is_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    _, events = read_all(fragment("Hel"), fragment("lo"))
    for event in events:
        print(event, end="")  # noqa: T201  # what the documentation shows
    assert capsys.readouterr().out == "Hello"


def test_fragments_are_equal_by_value() -> None:
    assert Fragment({"content": "a"}) == Fragment({"content": "a"})
    assert Fragment({"content": "a"}) != Fragment({"content": "b"})
    assert "'a'" in repr(Fragment({"content": "a"}))


def test_surrogate_pair_in_two_fragments_is_joined() -> None:
    reader, events = read_all(fragment("a\ud83d"), fragment("\ude00b"), success())
    assert [str(event) for event in events] == ["a", "😀b"]
    assert reader.result is not None
    assert reader.result.content == "a😀b"


def test_surrogate_pair_in_two_reasoning_fragments_is_joined() -> None:
    reader, _ = read_all(fragment("\ud83d", "reasoning"), fragment("\ude00", "reasoning"), success())
    assert reader.result is not None
    assert reader.result.reasoning == "😀"


@pytest.mark.parametrize("pieces", [["\ud83d", "x"], ["\ude00x"], ["\ud83d"], ["x\ud83dy"], ["\ud83d", "\ud83d"]])
def test_lone_surrogate_becomes_a_printable_character(pieces: list[str]) -> None:
    reader, events = read_all(*map(fragment, pieces), success())
    assert reader.result is not None
    for text in (*map(str, events), reader.result.content):
        text.encode()
    assert "\ufffd" in reader.result.content


def test_surrogate_pair_in_tool_arguments_is_joined() -> None:
    pieces = ('{"a":"\ud83d', '\ude00"}')
    _, events = read_all(call_start(), *map(call_arguments, pieces), call_end("f", {"a": "😀"}))
    assert [event.name for event in events if isinstance(event, ToolCallName)] == ["f"]
    assert "".join(event.content for event in events if isinstance(event, ToolCallArguments)) == '{"a":"😀"}'


def test_partial_result_has_what_was_read_so_far() -> None:
    reader, _ = read_all(fragment("th", "reasoning"), fragment("vis"))
    assert (reader.content, reader.reasoning, reader.ended) == ("vis", "th", False)


# Progress


def test_prompt_progress_carries_the_details() -> None:
    details = {
        "cachedTokenCount": 3,
        "totalPromptTokenCount": 10,
        "processedPromptTokenCount": 2,
        "unprocessedPromptTokenCount": 5,
    }
    reader, (event,) = read_all({"type": "promptProcessingProgress", "progress": 0.5, "details": details})
    assert event == PromptProgress(0.5, 3, 10, 2, 5)
    assert reader.prompt_progress == event


@pytest.mark.parametrize("details", [None, 5, "x", [], {"cachedTokenCount": "3"}, {"cachedTokenCount": None}])
def test_prompt_progress_without_or_with_malformed_details_has_none(details: Any) -> None:
    _, (event,) = read_all({"type": "promptProcessingProgress", "progress": 1, "details": details})
    assert event == PromptProgress(1.0)


@pytest.mark.parametrize(("sent", "read"), [(0, 0.0), (1, 1.0), (0.25, 0.25), (-1, 0.0), (7, 1.0), (float("nan"), 0.0)])
def test_progress_is_a_number_from_0_to_1(sent: Any, read: float) -> None:
    _, (event,) = read_all({"type": "promptProcessingProgress", "progress": sent})
    assert event.progress == read
    assert type(event.progress) is float


@pytest.mark.parametrize("sent", [None, "half", [], {}])
def test_progress_that_is_no_number_is_ignored(sent: Any) -> None:
    assert read_all({"type": "promptProcessingProgress", "progress": sent})[1] == []


def test_last_prompt_progress_is_in_the_result() -> None:
    reader, _ = read_all(
        {"type": "promptProcessingProgress", "progress": 0},
        {"type": "promptProcessingProgress", "progress": 1, "details": {"cachedTokenCount": 4}},
        success(),
    )
    assert reader.result is not None
    assert reader.result.prompt_progress == PromptProgress(1.0, 4)


def test_load_before_a_prediction_is_load_progress() -> None:
    _, events = read_all(
        {"type": "unloadingOtherJITModel", "info": INSTANCE},
        {"type": "startLoading", "identifier": "some/model", "info": INSTANCE},
        {"type": "loadProgress", "progress": 0.5},
        {"type": "loadProgress", "progress": 1},
        {"type": "loadSuccess", "info": INSTANCE},
        {"type": "alreadyLoaded", "info": INSTANCE},
        {"type": "resolved", "info": INSTANCE},
    )
    assert events == [LoadProgress(share, "some/model") for share in (0.0, 0.5, 1.0)]


@pytest.mark.parametrize(
    ("packet", "progress"),
    [
        ({"type": "startLoading"}, 0.0),
        ({"type": "loadProgress", "progress": 0.5}, 0.5),
        ({"type": "progress", "progress": 1}, 1.0),
        ({"type": "progress", "progress": "x"}, None),
        ({"type": "progress"}, None),
        ({"type": "loadSuccess"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_load_progress_reads_the_packets_of_a_load(packet: Any, progress: float | None) -> None:
    assert load_progress(packet) == progress


# Tool calls


def test_tool_call_gives_an_event_for_each_stage() -> None:
    reader, events = read_all(
        call_start("100"),
        call_name("add"),
        call_arguments('{"a":'),
        call_arguments("1}"),
        call_end("add", {"a": 1}, "100", "<tool_call>…"),
        success(stopReason="toolCalls"),
    )
    call = ToolCallRequest(id="100", name="add", arguments={"a": 1})
    assert events == [
        ToolCallStart(0, "100"),
        ToolCallName(0, "add"),
        ToolCallArguments(0, '{"a":'),
        ToolCallArguments(0, "1"),  # the last bracket waits, so that the arguments can still be corrected
        ToolCallArguments(0, "}"),
        ToolCallEnd(0, call, "<tool_call>…"),
    ]
    assert reader.result is not None
    assert reader.result.tool_calls == [call]
    assert reader.result.stats.stop_reason == "toolCalls"


def test_tool_call_without_its_optional_packets_is_read() -> None:
    reader, (start, *others) = read_all(call_start(None), call_end("add"), success())
    assert isinstance(start, ToolCallStart)
    assert start.id
    call = ToolCallRequest(id=start.id, name="add", arguments={})
    assert others == [ToolCallName(0, "add"), ToolCallArguments(0, "{}"), ToolCallEnd(0, call)]
    assert reader.result is not None
    assert reader.result.tool_calls == [call]


def test_tool_call_in_one_packet_is_read() -> None:
    _, events = read_all(call_end("add", {"a": 1}), call_end("add", {"a": 1}))
    assert [event.index for event in events] == [0] * 4 + [1] * 4
    assert [type(event) for event in events[:4]] == [ToolCallStart, ToolCallName, ToolCallArguments, ToolCallEnd]


def test_equal_tool_calls_are_kept_apart() -> None:
    reader, events = read_all(
        *(packet for _ in range(3) for packet in (call_start("1"), call_end("add", {"a": 1}, "1")))
    )
    assert [event.index for event in events] == [0] * 4 + [1] * 4 + [2] * 4
    assert len(reader.partial().tool_calls) == 3


@pytest.mark.parametrize(("started", "ended"), [("7", None), ("7", "8"), (7, None)])
def test_id_of_a_call_is_the_one_that_was_announced(started: Any, ended: Any) -> None:
    reader, _ = read_all(call_start(started), call_end("add", {}, ended))
    assert reader.partial().tool_calls == [ToolCallRequest(id="7", name="add", arguments={})]


@pytest.mark.parametrize("given", [None, "", []])
def test_id_of_a_call_is_made_if_the_server_gives_none(given: Any) -> None:
    reader, events = read_all(call_start(given), call_end("add", {}, given))
    (call,) = reader.partial().tool_calls
    assert call.id
    assert events[0] == ToolCallStart(0, call.id)


def test_id_already_used_in_the_conversation_is_replaced() -> None:
    reader = PredictionReader(taken_ids=["1"])
    for packet in (call_start("1"), call_end("add", {}, "1"), call_start("2"), call_end("add", {}, "2")):
        reader.read(packet)
    first, second = reader.partial().tool_calls
    assert first.id not in ("1", "2", None)
    assert second.id == "2"


def test_call_in_one_packet_has_the_id_of_that_packet() -> None:
    reader, _ = read_all(call_end("add", {}, "8"))
    assert reader.partial().tool_calls[0].id == "8"


@pytest.mark.parametrize("given", ["get-weather.v2", "get_weather_v2", "getWeatherV2"])
def test_name_that_the_server_changed_becomes_the_tools_own(given: str) -> None:
    reader = PredictionReader(tool_names=[given, "other"])
    _, name, *_ = events_of(reader, call_name("get weather v2"), call_end("get weather v2", {}))
    assert name == ToolCallName(0, given)
    assert reader.partial().tool_calls[0].name == given


@pytest.mark.parametrize(
    ("given", "rewritten"),
    [
        ("größe", "groesse"),
        ("größe", "Grosse"),
        ("größe", "grsse"),
        ("größe", "gr__e"),
        ("größe", "GRÖSSE"),
        ("café-search", "cafe_search"),
        ("café-search", "caf_search"),
        ("søk", "sok"),
        ("søk", "soek"),
        ("Ångström", "angstrom"),
        ("get_temp°", "get_temp"),
        ("天気", "__"),
    ],
)
def test_name_with_letters_outside_of_ascii_is_found_again(given: str, rewritten: str) -> None:
    reader = PredictionReader(tool_names=["other", given])
    reader.read(call_end(rewritten, {}))
    assert reader.partial().tool_calls[0].name == given


@pytest.mark.parametrize(
    ("tools", "given", "expected"),
    [
        (["größe", "groesse"], "groesse", "groesse"),
        (["größe", "große"], "grosse", "große"),
        (["größe", "gróße"], "grosse", "grosse"),
        (["größe", "GROESSE"], "gro_esse", "GROESSE"),
        (["天気", "x"], "tianqi", "tianqi"),
        (["天気", "地図"], "__", "__"),
        (["grosse"], "größe", "größe"),
    ],
)
def test_name_that_may_be_another_tools_is_not_translated(tools: list[str], given: str, expected: str) -> None:
    reader = PredictionReader(tool_names=tools)
    reader.read(call_end(given, {}))
    assert reader.partial().tool_calls[0].name == expected


def test_name_similar_to_two_tools_is_unchanged() -> None:
    reader = PredictionReader(tool_names=["a-b", "a_b"])
    reader.read(call_end("a.b", {}))
    assert reader.partial().tool_calls[0].name == "a.b"


def test_only_the_first_call_is_kept_without_parallel_tool_calls() -> None:
    reader = PredictionReader(parallel_tool_calls=False)
    packets = (
        call_start("1"),
        call_end("add", {}),
        call_start("2"),
        call_name("add"),
        call_arguments("{}"),
        call_end("add", {}),
    )
    events = list(events_of(reader, *packets))
    assert [type(event) for event in events] == [ToolCallStart, ToolCallName, ToolCallArguments, ToolCallEnd]
    assert [call.id for call in reader.partial().tool_calls] == ["1"]


@pytest.mark.parametrize("pieces", [["{'a': 'x'}"], ['{"a": "x",', "}"], ['{"a"', ': "x"}'], ["<a>x</a>"], []])
def test_joined_arguments_of_an_ended_call_are_strict_json(pieces: list[str]) -> None:
    _, events = read_all(call_start("1"), call_name("f"), *map(call_arguments, pieces), call_end("f", {"a": "x"}))
    text = "".join(event.content for event in events if isinstance(event, ToolCallArguments))
    assert json.loads(text) == {"a": "x"}
    assert isinstance(events[-1], ToolCallEnd)


def test_arguments_wait_for_the_name() -> None:
    _, events = read_all(call_start("1"), call_arguments('{"a": "x'), call_name("f"), call_end("f", {"a": "x"}))
    assert events[:3] == [ToolCallStart(0, "1"), ToolCallName(0, "f"), ToolCallArguments(0, '{"a": "x')]
    assert events[3] == ToolCallArguments(0, '"}')


def test_name_that_comes_twice_is_one_event() -> None:
    _, events = read_all(call_start("1"), call_name("f"), call_name("f"), call_end("f", {}))
    assert sum(isinstance(event, ToolCallName) for event in events) == 1


@pytest.mark.parametrize(
    ("reason", "calls", "expected"),
    [
        ("eosFound", 0, "stop"),
        ("eosFound", 1, "tool_calls"),
        ("stopStringFound", 0, "stop"),
        ("toolCalls", 1, "tool_calls"),
        ("maxPredictedTokensReached", 0, "length"),
        ("contextLengthReached", 1, "length"),
        ("userStopped", 0, "cancelled"),
        ("modelUnloaded", 0, "error"),
        ("failed", 0, "error"),
        ("inventedLater", 0, "inventedLater"),
    ],
)
def test_finish_reason_has_openais_value(reason: str, calls: int, expected: str) -> None:
    reader, _ = read_all(*[call_end("f", {})] * calls, success(stopReason=reason))
    assert reader.result is not None
    assert reader.result.finish_reason == expected


def test_lone_surrogate_at_the_end_is_streamed_as_in_the_result() -> None:
    reader, events = read_all(fragment("ok \ud83d"), success())
    assert reader.result is not None
    assert "".join(map(str, events)) == reader.result.content == "ok \ufffd"


def test_log_probabilities_of_the_visible_text_are_in_the_result() -> None:
    token = {"text": "Hi", "id": 5, "logProb": -0.5}
    reader, _ = read_all(
        fragment("Hi", tokens=[token]), fragment("hm", reasoningType="reasoning", tokens=[token]), success()
    )
    assert reader.result is not None
    assert reader.result.log_probs == [TokenLogProb("Hi", 5, -0.5)]


def test_progress_beyond_the_range_of_numbers_does_not_end_the_answer() -> None:
    reader, events = read_all({"type": "promptProcessingProgress", "progress": 10**400}, fragment("Hi"), success())
    assert [str(event) for event in events] == ["Hi"]
    assert reader.result is not None


def test_tool_arguments_keep_the_order_of_their_keys() -> None:
    reader, _ = read_all(call_end("f", {"z": 1, "a": {"y": 2, "b": 3}}))
    (call,) = reader.partial().tool_calls
    assert list(call.arguments or {}) == ["z", "a"]


def test_failed_tool_call_has_the_models_text() -> None:
    reader, events = read_all(
        call_start("1"),
        call_name("add"),
        call_arguments('{"a":'),
        call_failed({"title": "Bad JSON", "cause": "cut"}, raw="<tool_call>{"),
        call_start("2"),
        call_end("add", {"a": 2}),
        success(),
    )
    failed = events[3]
    assert isinstance(failed, ToolCallFailed)
    assert (failed.index, failed.name, failed.arguments, failed.raw_content) == (0, "add", '{"a":', "<tool_call>{")
    assert (failed.error.title, failed.error.cause) == ("Bad JSON", "cut")
    assert reader.result is not None
    assert reader.result.failed_tool_calls == [failed]
    assert [call.arguments for call in reader.result.tool_calls] == [{"a": 2}]


@pytest.mark.parametrize("error", [None, "words", [], {"title": 5}])
def test_tool_call_failure_with_a_malformed_error_is_a_failure(error: Any) -> None:
    _, events = read_all(call_start(), call_failed(error))
    assert events[-1].error.title == "Unknown error"


def test_tool_call_failure_without_a_start_has_its_own_index() -> None:
    _, events = read_all(call_end("a"), call_failed({"title": "x"}), call_end("b"))
    assert [event.index for event in events if isinstance(event, ToolCallStart)] == [0, 1, 2]
    (failed,) = [event for event in events if isinstance(event, ToolCallFailed)]
    assert (failed.index, failed.name) == (1, None)


def test_failed_tool_call_does_not_get_the_previous_calls_name() -> None:
    _, events = read_all(call_start(), call_name("add"), call_end("add"), call_start(), call_failed({"title": "x"}))
    assert (events[-1].name, events[-1].arguments) == (None, "")


@pytest.mark.parametrize(
    "request_",
    [
        None,
        "add",
        [],
        {},
        {"name": 5},
        {"name": None},
        {"name": "add", "arguments": "{}"},
        {"name": "add", "arguments": [1]},
    ],
)
def test_unreadable_tool_call_is_a_failed_one(request_: Any) -> None:
    reader, events = read_all(
        call_start("1"),
        call_name("add"),
        {"type": "toolCallGenerationEnd", "toolCallRequest": request_, "rawContent": "raw"},
        success(),
    )
    failed = events[-1]
    assert isinstance(failed, ToolCallFailed)
    assert (failed.index, failed.name, failed.raw_content) == (0, "add", "raw")
    assert reader.result is not None
    assert (reader.result.tool_calls, reader.result.failed_tool_calls) == ([], [failed])


def test_tool_name_without_a_start_begins_a_call() -> None:
    _, events = read_all(call_name("add"), call_arguments("{}"), call_end("add"))
    assert {event.index for event in events} == {0}
    assert isinstance(events[0], ToolCallStart)


@pytest.mark.parametrize(
    "packets", [*permutations([call_start("9"), call_name("add"), call_arguments("{}"), call_end("add")])]
)
def test_tool_call_packets_in_any_order_give_no_negative_index(packets: Any) -> None:
    _, events = read_all(*packets)
    assert any(isinstance(event, ToolCallEnd) for event in events)
    assert min(event.index for event in events) == 0


def test_tool_argument_packets_without_text_are_ignored() -> None:
    _, events = read_all(call_start(), call_arguments(5), call_arguments("{}"), call_failed({}))
    assert events[-1].arguments == "{}"


# The end


STOP_REASONS = (
    "userStopped",
    "modelUnloaded",
    "failed",
    "eosFound",
    "stopStringFound",
    "toolCalls",
    "maxPredictedTokensReached",
    "contextLengthReached",
    "somethingNew",
)


@pytest.mark.parametrize("reason", STOP_REASONS)
def test_stop_reason_is_kept_unchanged(reason: str) -> None:
    reader, _ = read_all(success(stopReason=reason))
    assert reader.result is not None
    assert reader.result.stats.stop_reason == reason


def test_all_statistics_have_snake_case_names() -> None:
    reader, _ = read_all(
        success(
            stopString="END",
            tokensPerSecond=51.5,
            numGpuLayers=-1,
            timeToFirstTokenSec=0.5,
            totalTimeSec=2.5,
            promptTokensCount=10,
            predictedTokensCount=5,
            totalTokensCount=15,
            usedDraftModelKey="draft",
            totalDraftTokensCount=4,
            acceptedDraftTokensCount=3,
            rejectedDraftTokensCount=1,
            ignoredDraftTokensCount=0,
        )
    )
    assert reader.result is not None
    assert reader.result.stats.model_dump() == {
        "stop_reason": "eosFound",
        "stop_string": "END",
        "tokens_per_second": 51.5,
        "num_gpu_layers": -1,
        "time_to_first_token_sec": 0.5,
        "total_time_sec": 2.5,
        "prompt_tokens_count": 10,
        "predicted_tokens_count": 5,
        "total_tokens_count": 15,
        "used_draft_model_key": "draft",
        "total_draft_tokens_count": 4,
        "accepted_draft_tokens_count": 3,
        "rejected_draft_tokens_count": 1,
        "ignored_draft_tokens_count": 0,
    }


def test_reported_configurations_have_user_names() -> None:
    packet = success()
    packet["loadModelConfig"] = {"fields": [{"key": "llm.load.contextLength", "value": 4096}]}
    packet["predictionConfig"] = {
        "fields": [
            {"key": "llm.prediction.temperature", "value": 0.5},
            {"key": "llm.prediction.maxPredictedTokens", "value": {"checked": True, "value": 9}},
            {"key": "llm.prediction.topPSampling", "value": {"checked": False, "value": 0.9}},
            {"key": "llm.prediction.somethingNew", "value": 1},
        ]
    }
    reader, _ = read_all(packet)
    assert reader.result is not None
    assert reader.result.load_config == {"contextLength": 4096}
    assert reader.result.prediction_config == {"temperature": 0.5, "maxTokens": 9, "topPSampling": False}


@pytest.mark.parametrize("config", [None, {}, [], "x", {"fields": None}, {"fields": [None, {"key": 5}]}])
def test_malformed_reported_configuration_is_empty(config: Any) -> None:
    packet = {**success(), "loadModelConfig": config, "predictionConfig": config}
    reader, _ = read_all(packet)
    assert reader.result is not None
    assert (reader.result.load_config, reader.result.prediction_config) == ({}, {})


def test_final_packet_of_an_older_server_is_read() -> None:
    reader, _ = read_all(
        {
            "type": "success",
            "stats": {"stopReason": "eosFound"},
            "modelInfo": {"modelKey": "m", "identifier": "m", "format": "gguf"},
        }
    )
    assert reader.result is not None
    assert reader.result.model_info.identifier == "m"
    assert reader.result.stats.total_time_sec is None


BROKEN: list[dict[str, Any]] = [
    {"type": "success"},
    {**success(), "stats": None},
    {**success(), "stats": "fast"},
    {**success(), "modelInfo": None},
    {**success(), "modelInfo": {"identifier": "m"}},
    {**success(), "modelInfo": []},
]


@pytest.mark.parametrize("packet", BROKEN)
def test_malformed_final_packet_raises_protocol_error_with_partial(packet: dict[str, Any]) -> None:
    reader = PredictionReader()
    reader.read(fragment("Hi"))
    with pytest.raises(LMStudioProtocolError, match="final packet") as caught:
        reader.read(packet)
    assert caught.value.partial.content == "Hi"
    assert caught.value.response_started
    assert reader.error is caught.value
    assert reader.ended


def test_close_after_the_final_packet_changes_nothing() -> None:
    reader, _ = read_all(fragment("Hi"), success())
    assert reader.read(CLOSED) is None
    assert reader.read(LMStudioDisconnectedError("late")) is None
    assert reader.error is None


def test_close_without_a_final_packet_raises_incomplete_error() -> None:
    reader = PredictionReader()
    for packet in (fragment("th", "reasoning"), fragment("Hi"), call_end("add", {"a": 1}), call_failed({"title": "x"})):
        reader.read(packet)
    reader.read({"type": "promptProcessingProgress", "progress": 1})
    with pytest.raises(LMStudioIncompleteError) as caught:
        reader.read(CLOSED)
    partial = caught.value.partial
    assert (partial.content, partial.reasoning, len(partial.tool_calls), len(partial.failed_tool_calls)) == (
        "Hi",
        "th",
        1,
        1,
    )
    assert partial.prompt_progress == PromptProgress(1.0)
    assert caught.value.response_started
    assert reader.ended


def test_error_has_the_partial_answer() -> None:
    reader = PredictionReader()
    reader.read(fragment("Hi"))
    error = LMStudioDisconnectedError("gone")
    with pytest.raises(LMStudioDisconnectedError) as caught:
        reader.read(error)
    assert caught.value is error
    assert error.partial.content == "Hi"
    assert pickle.loads(pickle.dumps(error)).partial.content == "Hi"


def test_error_packet_of_an_older_server_is_the_reason_of_the_close() -> None:
    reader = PredictionReader()
    reader.read({"type": "error", "error": {"title": "Out of memory"}})
    with pytest.raises(LMStudioServerError, match="Out of memory"):
        reader.read(CLOSED)


def test_error_packet_before_a_final_packet_does_not_end_the_answer() -> None:
    reader, _ = read_all({"type": "error", "error": {"title": "hiccup"}}, fragment("Hi"), success())
    assert reader.result is not None
    assert reader.result.content == "Hi"


# What newer servers send


@pytest.mark.parametrize(
    "packet",
    [
        {"type": "somethingNew", "value": 1},
        {"type": None},
        {"type": []},
        {"type": {"a": 1}},
        {},
        {"type": "fragment"},
        {"type": "fragment", "fragment": None},
        {"type": "fragment", "fragment": []},
        {"type": "fragment", "fragment": {}},
        {"type": "fragment", "fragment": {"content": None}},
        {"type": "fragment", "fragment": {"content": 5}},
        {"type": "toolCallGenerationNameReceived"},
        {"type": "toolCallGenerationArgumentFragmentGenerated"},
        {"type": "promptProcessingProgress"},
        {"type": "loadProgress"},
    ],
    ids=repr,
)
def test_unreadable_packet_does_not_end_the_answer(packet: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        reader, events = read_all(packet, fragment("Hi"), packet, success())
    assert [str(event) for event in events] == ["Hi"]
    assert reader.result is not None
    assert reader.result.content == "Hi"
    assert len(caplog.records) == 1


def test_extra_members_are_ignored() -> None:
    packet = success(newStat=5)
    packet["modelInfo"] = {**INSTANCE, "newThing": [1]}
    packet["newer"] = 1
    reader, events = read_all({**fragment("Hi", newer=1), "newer": 1}, packet)
    assert [str(event) for event in events] == ["Hi"]
    assert reader.result is not None
    assert (reader.result.stats.model_extra or {})["newStat"] == 5


def test_unknown_packets_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read_all(*({"type": f"new{number}"} for number in range(500)))
    assert len(caplog.records) < 50


def test_call_that_starts_before_the_end_of_another_ends_that_one_as_failed() -> None:
    reader, events = read_all(
        call_start("1"), call_name("add"), call_arguments('{"a"'), call_start("2"), call_end("add", {"a": 1}), success()
    )
    failed = [event for event in events if isinstance(event, ToolCallFailed)]
    assert [(one.index, one.name, one.arguments, one.id) for one in failed] == [(0, "add", '{"a"', "1")]
    assert "before the end of this one" in str(failed[0].error.title)
    assert events.index(failed[0]) < events.index(ToolCallStart(1, "2"))
    assert reader.result is not None
    assert [call.id for call in reader.result.tool_calls] == ["2"]
    assert reader.result.failed_tool_calls == failed


def test_fragment_of_an_unknown_reasoning_type_is_reasoning() -> None:
    reader, (event, *_) = read_all(fragment("Hm.", "reasoningSummary"), fragment("Yes."), success())
    assert isinstance(event, Fragment)
    assert (event.reasoning_type, event.is_reasoning, event.is_visible) == ("reasoningSummary", True, False)
    assert reader.result is not None
    assert (reader.result.reasoning, reader.result.content) == ("Hm.", "Yes.")


def test_half_a_character_stays_in_the_text_to_which_it_belongs() -> None:
    reader, events = read_all(
        fragment("a\ud83d", "reasoning"),
        fragment("b\ud83d"),
        fragment("\ude00c", "reasoning"),
        fragment("d"),
        success(),
    )
    assert reader.result is not None
    assert (reader.result.reasoning, reader.result.content) == ("a😀c", "b\ufffdd")
    streamed = [event for event in events if isinstance(event, Fragment)]
    assert "".join(event.content for event in streamed if event.is_reasoning) == "a😀c"


@pytest.mark.parametrize("kind", ["none", "reasoning"])
def test_half_a_character_at_the_end_is_streamed_and_in_the_result(kind: str) -> None:
    reader, events = read_all(fragment("a\ud83d", kind), success())
    assert "".join(event.content for event in events if isinstance(event, Fragment)) == "a\ufffd"
    assert reader.result is not None
    assert (reader.result.reasoning or reader.result.content) == "a\ufffd"


def test_load_progress_beyond_all_floats_is_none() -> None:
    assert load_progress({"type": "loadProgress", "progress": 10**400}) is None


def test_arguments_of_another_type_are_logged_as_such(caplog: pytest.LogCaptureFixture) -> None:
    read_all(call_start("1"), call_arguments(5), success())
    assert "content is int" in caplog.text
