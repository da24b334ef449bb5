"""What the suites of LM Studio's own SDKs show of it: counts, reasoning, drafts, times to live, presets, cancelling."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply, ToolCall
from lmstudio_integrations.emulator.backends.reasoning_parser import ReasoningParser
from lmstudio_integrations.emulator.backends.reply_events import Text
from lmstudio_integrations.emulator.wire import predict_endpoints
from lmstudio_integrations.errors import LMStudioValueError
from tests.emulator.raw_client import RawClient, capped, packets, prediction, said, stats, success

pytestmark = pytest.mark.timeout(30)
JIT_TTL = 3600


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def raw_client(server: Emulator) -> Iterator[RawClient]:
    with RawClient(server) as opened:
        yield opened


def parsed(fragments: list[str], start: str = "<think>", end: str = "</think>") -> list[tuple[str, str]]:
    parser = ReasoningParser(start, end)
    out = [piece for fragment in fragments for piece in parser.feed(Text(fragment, 1))] + parser.finish()
    return [(piece.content, piece.kind) for piece in out if isinstance(piece, Text)]


# --- counts


def test_end_of_sequence_counts_as_a_token(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply(fragments=["Assistant", " message", " ", "2"], prompt_tokens=41))
    made = stats(raw_client.predict(maxPredictedTokens=capped(10)))
    assert (made["predictedTokensCount"], made["totalTokensCount"], made["stopReason"]) == (5, 46, "eosFound")


def test_end_of_sequence_at_the_limit_ends_by_the_limit(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("Hello! How can I assist you today?"))
    made = stats(raw_client.predict(maxPredictedTokens=capped(10)))
    assert (made["predictedTokensCount"], made["stopReason"]) == (10, "maxPredictedTokensReached")


def test_tokens_of_a_stop_string_do_not_count(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply(fragments=["4", ";", " 3"]))
    seen = raw_client.predict(stopStrings=[";"], maxPredictedTokens=capped(3))
    assert said(seen) == "4"
    assert (stats(seen)["predictedTokensCount"], stats(seen)["stopReason"]) == (1, "stopStringFound")


def test_predicted_tokens_of_a_reply_are_reported(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("Hi", prompt_tokens=192, predicted_tokens=38))
    assert stats(raw_client.predict())["totalTokensCount"] == 230


@pytest.mark.parametrize(("mode", "reason"), [("auto", "eosFound"), ("required", "toolCalls")])
def test_answer_with_a_tool_call_ends_by_itself_unless_the_call_was_required(
    server: Emulator, raw_client: RawClient, mode: str, reason: str
) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    server.script(Reply("Hi", tool_calls=[ToolCall("add", {})]))
    choice = {"type": "generic", "mode": mode}
    seen = raw_client.predict(tools={"type": "toolArray", "tools": [tool]}, toolChoice=choice)
    assert stats(seen)["stopReason"] == reason


def test_drafted_tokens_of_a_reply_are_reported_with_their_sum(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("Hi", drafted=(4, 3)), Reply("Hi", drafted=(4, 3)))
    made = stats(raw_client.predict(speculativeDecoding__draftModel="emulator/chat-2"))
    kinds = ("total", "accepted", "rejected", "ignored")
    assert [made[f"{kind}DraftTokensCount"] for kind in kinds] == [7, 4, 3, 0]
    assert "totalDraftTokensCount" not in stats(raw_client.predict())


def test_last_use_is_null_in_the_information_with_an_answer(raw_client: RawClient) -> None:
    assert success(raw_client.predict())["modelInfo"]["lastUsedTime"] is None


@pytest.mark.parametrize("given", [{"a b": [7, 8, 9]}, lambda text: [7, 8, 9] if text == "a b" else None])
def test_tokens_of_a_model_are_those_that_are_given(given: Any) -> None:
    model = EmulatedModel("one", loaded=True, tokens=given)
    with Emulator([model]) as server, RawClient(server) as raw_client:
        specifier = {"type": "query", "query": {}}
        known = {"specifier": specifier, "inputString": "a b"}
        other = {"specifier": specifier, "inputString": "a b c d"}
        assert raw_client.call("tokenize", known)["result"]["tokens"] == [7, 8, 9]
        assert raw_client.call("countTokens", known)["result"]["tokenCount"] == 3
        assert raw_client.call("countTokens", other)["result"]["tokenCount"] == 4


# --- reasoning


@pytest.mark.parametrize(
    "fragments",
    [["<think>a b</think>c"], list("<think>a b</think>c"), ["<thi", "nk>a b", "</", "think>", "c"]],
)
def test_reasoning_in_a_text_is_found_however_it_is_split(
    server: Emulator, raw_client: RawClient, fragments: list[str]
) -> None:
    server.script(Reply(fragments=fragments))
    seen = raw_client.predict()
    assert (said(seen, "reasoning"), said(seen)) == ("a b", "c")
    assert [said(seen, kind) for kind in ("reasoningStartTag", "reasoningEndTag")] == ["<think>", "</think>"]


def test_reasoning_strings_divide_fragments_and_leave_others_as_they_are() -> None:
    assert parsed(["Assistant", " message", " ", "2"], "sis", "es") == [
        ("As", "none"),
        ("sis", "reasoningStartTag"),
        ("tant", "reasoning"),
        (" m", "reasoning"),
        ("es", "reasoningEndTag"),
        ("sage", "none"),
        (" ", "none"),
        ("2", "none"),
    ]


def test_text_that_only_begins_like_the_reasoning_string_is_text() -> None:
    assert parsed(["a <", "thin", "g>"]) == [("a <", "none"), ("thin", "none"), ("g>", "none")]
    assert parsed(["a <th"]) == [("a <th", "none")]


def test_reasoning_is_not_looked_for_if_parsing_is_off(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("<think>a</think>b"))
    off = {"enabled": False, "startString": "<think>", "endString": "</think>"}
    assert said(raw_client.predict(reasoning__parsing=off)) == "<think>a</think>b"


def test_divided_text_counts_its_tokens_once(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply(fragments=["x<think>y</think>z"]))
    seen = raw_client.predict()
    counts = [packet["fragment"]["tokensCount"] for packet in packets(seen) if packet["type"] == "fragment"]
    assert sum(counts) == stats(seen)["predictedTokensCount"] - 1


# --- text, presets, cancelling


def test_half_a_surrogate_pair_is_sent_as_it_is_scripted(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply(fragments=["\ud83d", "\ude00", "\udc00"]))
    assert said(raw_client.predict()).encode("utf-16-le", "surrogatepass") == "😀\udc00".encode(
        "utf-16-le", "surrogatepass"
    )


@pytest.mark.parametrize("name", ["emulator-preset", "@local:emulator-preset", "Emulator-Preset"])
def test_preset_is_known_by_name_and_by_identifier(raw_client: RawClient, name: str) -> None:
    channel = raw_client.create("predict", {**prediction(), "fuzzyPresetIdentifier": name})
    assert stats(raw_client.until_end(channel))["stopReason"] == "eosFound"


def test_cancel_right_after_the_request_ends_the_prediction(
    raw_client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_endpoints, "_FIRST_TOKEN", 30)  # longer than any machine delays the cancel
    channel = raw_client.create("predict", prediction())
    for _ in range(5):
        raw_client.send({"type": "keepAlive"})
        assert raw_client.receive() == {"type": "keepAliveAck"}  # and nothing of the answer
    raw_client.send({"type": "channelSend", "channelId": channel, "message": {"type": "cancel"}})
    seen = raw_client.until_end(channel)
    assert (stats(seen)["stopReason"], said(seen)) == ("userStopped", "")


# --- times to live


def load(raw_client: RawClient, name: str, **more: Any) -> list[Any]:
    return raw_client.until_end(
        raw_client.create("getOrLoad", {"identifier": name, "loadConfigStack": {"layers": []}, **more})
    )


def test_model_loaded_just_in_time_expires_after_an_idle_hour(server: Emulator, raw_client: RawClient) -> None:
    assert packets(load(raw_client, "emulator/chat-2"))[-1]["info"]["ttlMs"] == JIT_TTL * 1000
    server.advance(JIT_TTL - 60)
    raw_client.predict(model="emulator/chat-2")  # it is not idle
    server.advance(JIT_TTL - 60)
    assert "emulator/chat-2" in server.loaded
    server.advance(60)
    assert "emulator/chat-2" not in server.loaded
    specifier = {"type": "query", "query": {"identifier": "emulator/chat-2"}}
    answer = raw_client.call("getModelInfo", {"specifier": specifier, "throwIfNotFound": True})
    assert answer["error"]["displayData"]["code"] == "generic.noModelMatchingQuery"


def test_model_without_a_ttl_stays(server: Emulator) -> None:
    server.advance(1_000_000)
    assert server.loaded == ["emulator/chat", "emulator/embedding"]


def test_model_that_is_answering_does_not_expire(server: Emulator, raw_client: RawClient) -> None:
    load(raw_client, "emulator/chat-2", loadTtlMs=1000)
    gate = threading.Event()
    server.script(Reply("one two", hold=gate, hold_after=1))
    channel = raw_client.create("predict", prediction(model="emulator/chat-2"))
    server.wait_for_sent(lambda frame: "fragment" in str(frame.message))
    server.advance(3600)
    assert "emulator/chat-2" in server.loaded
    gate.set()
    assert stats(raw_client.until_end(channel))["stopReason"] == "eosFound"


def test_time_does_not_run_backwards(server: Emulator) -> None:
    with pytest.raises(LMStudioValueError, match="seconds"):
        server.advance(-1)


def test_just_in_time_models_make_room_by_default() -> None:
    with Emulator([EmulatedModel("one"), EmulatedModel("two")]) as server, RawClient(server) as raw_client:
        load(raw_client, "one")
        assert packets(load(raw_client, "two"))[0]["type"] == "unloadingOtherJITModel"
        assert server.loaded == ["two"]


# --- what the commands of LM Studio and the SDKs' examples use


def test_log_stream_shows_prompt_and_answer_until_it_is_stopped(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("Hello there"))
    with RawClient(server, "diagnostics") as log:
        log.send({"type": "channelCreate", "endpoint": "streamLogs", "channelId": 1})
        log.send({"type": "keepAlive"})
        assert log.receive() == {"type": "keepAliveAck"}  # the channel has been created
        made = stats(raw_client.predict("Hi"))
        seen = [log.receive()["message"]["log"] for _ in range(2)]
        log.send({"type": "channelSend", "channelId": 1, "message": {"type": "stop"}})
        assert log.receive() == {"type": "channelClose", "channelId": 1}
    asked, answered = (event["data"] for event in seen)
    assert (asked["type"], asked["modelIdentifier"]) == ("llm.prediction.input", "emulator/chat")
    assert "Hi" in asked["input"]
    assert (answered["type"], answered["output"]) == ("llm.prediction.output", "Hello there")
    assert answered["stats"] == made


def test_uploaded_text_has_a_path_and_can_be_parsed(server: Emulator) -> None:
    with RawClient(server, "files") as files:
        content = {"name": "notes.txt", "contentBase64": "SGVsbG8="}
        name = files.call("uploadFileBase64", content)["result"]["identifier"]
        assert files.call("getLocalFileAbsolutePath", {"fileName": name})["result"]["path"].endswith(name)
        library = files.call("getDocumentParsingLibrary", {"fileIdentifier": name})["result"]
        seen = packets(files.until_end(files.create("parseDocument", {"fileIdentifier": name, "parseOpts": {}})))
        assert seen[0] == {"type": "parserLoaded", "parser": library}
        assert [packet["progress"] for packet in seen[1:-1]] == list(server.load_progress)
        assert seen[-1] == {"type": "result", "content": "Hello", "parser": library}
        missing = files.call("getLocalFileAbsolutePath", {"fileName": "nope"})
        assert missing["error"]["title"] == "File not found: nope"


def test_runtime_lists_the_emulator_as_its_engine(server: Emulator) -> None:
    with RawClient(server, "runtime") as runtime:
        (engine,) = runtime.call("listEngines")["result"]
        ((kind, selected),) = runtime.call("getEngineSelections")["result"]
    with (
        Emulator(record=False) as unwatched,
        RawClient(unwatched, "runtime") as runtime,
    ):  # LM Studio's schema has no wrapper
        wrapped = runtime.call("getEngineSelections", {"json": None, "meta": {"values": ["undefined"]}})["result"]
    assert wrapped == {"json": [[kind, selected]], "meta": {"values": ["map"]}}
    assert selected == {name: engine[name] for name in ("name", "version")}
    assert kind in engine["supportedModelFormatNames"]


def test_number_beyond_the_range_comes_back_as_null_as_in_javascript(raw_client: RawClient) -> None:
    raw_client.send(json.dumps({
        "type": "channelCreate", "endpoint": "predict", "channelId": 9,
        "creationParameter": prediction(someNumber=12345),
    }).replace("12345", "1e999"))  # fmt: skip
    fields = success(raw_client.until_end(9))["predictionConfig"]["fields"]
    assert {"key": "llm.prediction.someNumber", "value": None} in fields


@pytest.mark.parametrize(("called", "end"), [("wiki_page", "success"), ("wikiPage", "success"), ("wiki", "error")])
def test_call_may_have_the_name_that_tool_naming_makes(
    server: Emulator, raw_client: RawClient, called: str, end: str
) -> None:
    tool = {"type": "function", "function": {"name": "wiki-page", "parameters": {"type": "object", "properties": {}}}}
    server.script(Reply(tool_calls=[ToolCall(called, {})]))
    seen = raw_client.predict(tools={"type": "toolArray", "tools": [tool]})
    assert ("error" if seen[-1]["type"] == "channelError" else packets(seen)[-1]["type"]) == end
