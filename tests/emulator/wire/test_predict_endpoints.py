"""Predictions follow their settings: limits, stop strings, reasoning, tools, schemas, caches, cancel."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmstudio_integrations.emulator import (
    EmulatedModel,
    Emulator,
    PredictionRequest,
    Reply,
    ThreadsafeEvent,
)
from lmstudio_integrations.emulator.backends import chat_template as template
from lmstudio_integrations.emulator.backends import fake_tokenizer as tokens
from lmstudio_integrations.emulator.backends.limits import Limits
from lmstudio_integrations.emulator.backends.reply_events import Text
from tests.emulator.raw_client import (
    RawClient,
    capped,
    fragments,
    packets,
    prediction,
    said,
    stack,
    stats,
    success,
    user,
)

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def raw_client(server: Emulator) -> Iterator[RawClient]:
    with RawClient(server) as opened:
        yield opened


# --- text, counts and limits


@settings(deadline=None)
@given(st.text())
def test_tokens_join_to_their_text(text: str) -> None:
    assert "".join(tokens.pieces(text)) == text


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(st.text(alphabet="abAB<>\n é你", max_size=5), max_size=8),
    stops=st.lists(st.text(alphabet="abAB<>\n é你", min_size=1, max_size=4), max_size=3),
)
def test_stop_string_ends_the_text_at_any_fragment_boundary(parts: list[str], stops: list[str]) -> None:
    limits = Limits(None, None, stops)
    out: list[Any] = []
    for part in parts:
        if limits.stop_reason is None:
            out += limits.feed(Text(part, tokens.count(part)))
    out += limits.finish()
    # A model stops at the first fragment that completes a stop string, and begins the cut where that one began.
    text = ""
    for part in parts:
        text += part
        if begun := [at for stop in stops if (at := text.find(stop)) >= 0]:
            text = text[: min(begun)]
            break
    assert "".join(event.content for event in out) == text
    assert limits.stop_reason == ("stopStringFound" if any(stop in "".join(parts) for stop in stops) else None)


def test_stop_string_across_fragments_is_not_in_the_output(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply(fragments=["Hello E", "N", "D world"]))
    seen = raw_client.predict(stopStrings=["END"])
    assert said(seen) == "Hello "
    assert (stats(seen)["stopReason"], stats(seen)["stopString"]) == ("stopStringFound", "END")


def test_incomplete_stop_string_is_sent_later(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply(fragments=["a E", "N", "ough EN"]))
    seen = raw_client.predict(stopStrings=["END"])
    assert said(seen) == "a ENough EN"
    assert stats(seen)["stopReason"] == "eosFound"


@pytest.mark.parametrize(("limit", "text"), [(1, "one"), (2, "one two"), (3, "one two three")])
def test_max_tokens_ends_the_answer(server: Emulator, raw_client: RawClient, limit: int, text: str) -> None:
    server.script(Reply("one two three"))
    seen = raw_client.predict(maxPredictedTokens=capped(limit))
    assert said(seen) == text
    assert stats(seen)["stopReason"] == "maxPredictedTokensReached"
    assert stats(seen)["predictedTokensCount"] == limit


def test_fragment_of_several_tokens_is_cut_at_the_limit(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply(fragments=["one two three four"]))
    assert said(raw_client.predict(maxPredictedTokens=capped(2))) == "one two"


def test_tokenize_count_progress_and_statistics_agree(server: Emulator, raw_client: RawClient) -> None:
    text = "Ünïcödé, 世界! 👩‍👩‍👧 12345 don't\n\n  x"
    server.script(Reply(text))
    specifier = {"type": "query", "query": {}}
    ids = raw_client.call("tokenize", {"specifier": specifier, "inputString": text})["result"]["tokens"]
    count = raw_client.call("countTokens", {"specifier": specifier, "inputString": text})["result"]["tokenCount"]
    parameter = {"specifier": specifier, "history": {"messages": [user("Hi")]}, "opts": {}}
    prompt = raw_client.call("applyPromptTemplate", {**parameter, "predictionConfigStack": stack()})["result"][
        "formatted"
    ]
    prompt_count = raw_client.call("countTokens", {"specifier": specifier, "inputString": prompt})["result"][
        "tokenCount"
    ]
    seen = raw_client.predict("Hi")
    details = packets(seen)[0]["details"]
    assert said(seen) == text
    assert len(ids) == count == sum(f["tokensCount"] for f in fragments(seen))
    assert stats(seen)["predictedTokensCount"] == count + 1  # the end of the sequence
    assert prompt_count == stats(seen)["promptTokensCount"] == details["totalPromptTokenCount"]


def test_too_long_prompt_is_an_error_with_both_counts_or_is_truncated(server: Emulator, raw_client: RawClient) -> None:
    long = "word " * 5000
    error = raw_client.predict(long, contextOverflowPolicy="stopAtLimit")[-1]["error"]
    needed = tokens.count(template.chatml([user(long)]))
    assert needed > 5000
    assert error["title"] == f"The prompt needs {needed} tokens, which exceeds the context length of 4096 tokens"
    for policy in ("truncateMiddle", "rollingWindow"):
        assert stats(raw_client.predict(long, contextOverflowPolicy=policy))["promptTokensCount"] < 4096


def test_answer_that_fills_the_context_stops_with_stop_at_limit() -> None:
    small = EmulatedModel("emulator/chat", loaded=True, context_length=64)
    with Emulator([small], replies=[Reply("word " * 80)] * 2) as server, RawClient(server) as raw_client:
        seen = raw_client.predict(contextOverflowPolicy="stopAtLimit")
        assert stats(seen)["stopReason"] == "contextLengthReached"
        assert stats(seen)["totalTokensCount"] == 64
        assert stats(raw_client.predict())["totalTokensCount"] > 64


def test_log_probs_add_tokens_to_each_fragment(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("one two"), Reply("one two"))
    assert [f["tokens"][0]["text"] for f in fragments(raw_client.predict(logProbs=capped(1)))] == ["one", " two"]
    assert all("tokens" not in f for f in fragments(raw_client.predict()))


# --- progress and cache


def progress(seen: list[Any]) -> list[Any]:
    return [packet for packet in packets(seen) if packet["type"] == "promptProcessingProgress"]


def test_cached_tokens_are_the_longest_common_prefix_of_earlier_prompts(raw_client: RawClient) -> None:
    first = raw_client.predict("The same long question about the sea")
    again = raw_client.predict("The same long question about the sky")
    other = raw_client.predict("Something else")
    total = stats(again)["promptTokensCount"]
    assert progress(first)[-1]["details"]["cachedTokenCount"] == 0
    assert progress(again)[-1]["details"]["cachedTokenCount"] == total - len(
        tokens.pieces(" sky<|im_end|>\n<|im_start|>assistant\n")
    )
    assert progress(other)[-1]["details"]["cachedTokenCount"] == len(tokens.pieces("<|im_start|>user\n"))


def test_last_token_of_a_repeated_prompt_is_processed(raw_client: RawClient) -> None:
    raw_client.predict("Again and again")
    details = progress(raw_client.predict("Again and again"))[-1]["details"]
    assert details["cachedTokenCount"] == details["totalPromptTokenCount"] - 1
    assert details["processedPromptTokenCount"] == 1


def test_next_turn_finds_the_previous_conversation_in_the_cache(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("Fine, thanks."))
    first = raw_client.predict("How are you?")
    turn = [
        user("How are you?"),
        {"role": "assistant", "content": [{"type": "text", "text": "Fine, thanks."}]},
        user("Good"),
    ]
    second = raw_client.until_end(raw_client.create("predict", prediction(turn)))
    assert progress(second)[-1]["details"]["cachedTokenCount"] == stats(first)["totalTokensCount"] - 1  # the end


def test_progress_counts_add_up_and_can_be_scripted(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("x", progress=(0.0, 0.25, 1.0), prompt_tokens=100, cached_tokens=20))
    seen = raw_client.predict()
    assert [packet["progress"] for packet in progress(seen)] == [0.0, 0.25, 1.0]
    assert progress(seen)[1]["details"] == {
        "cachedTokenCount": 20,
        "totalPromptTokenCount": 100,
        "processedPromptTokenCount": 20,
        "unprocessedPromptTokenCount": 60,
    }
    assert stats(seen)["promptTokensCount"] == 100


# --- reasoning


def test_reasoning_precedes_the_answer_between_structural_tags(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("So.", reasoning="hm well"))
    seen = raw_client.predict()
    every = [packet["fragment"] for packet in packets(seen) if packet["type"] == "fragment"]
    assert [f["reasoningType"] for f in every] == [
        "reasoningStartTag",
        "reasoning",
        "reasoning",
        "reasoningEndTag",
        "none",
        "none",
    ]
    assert [f["content"] for f in every if f["isStructural"]] == ["<think>", "</think>"]
    assert said(seen) == "So."
    assert stats(seen)["predictedTokensCount"] == 6 + 1  # the end of the sequence


def test_reasoning_follows_its_switch_budget_and_tags(server: Emulator, raw_client: RawClient) -> None:
    server.script(*[Reply("So.", reasoning="one two three")] * 3)
    assert said(raw_client.predict(reasoning__enableThinking=False), "reasoning") == ""
    assert said(raw_client.predict(reasoning__budgetTokens=capped(2)), "reasoning") == "one two"
    tags = {"enabled": True, "startString": "[r]", "endString": "[/r]"}
    assert said(raw_client.predict(reasoning__parsing=tags), "reasoningStartTag") == "[r]"


def test_stop_strings_do_not_apply_to_reasoning(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("So END.", reasoning="the END is near"))
    seen = raw_client.predict(stopStrings=["END"])
    assert (said(seen, "reasoning"), said(seen)) == ("the END is near", "So ")


# --- scripts, ends and holds


def test_replies_are_used_in_order_then_the_rule_answers(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("one"), Reply("two"))
    assert [said(raw_client.predict()) for _ in range(2)] == ["one", "two"]
    assert said(raw_client.predict("Hello")) == "This is the LM Studio emulator, not a language model. You said: Hello"
    assert server.scripted == 0


def test_reply_function_makes_the_replies() -> None:
    def echo(request: PredictionRequest) -> Reply | None:
        return Reply(request.last_user_text.upper()) if request.last_user_text != "rule" else None

    with Emulator(replies=echo) as server, RawClient(server) as raw_client:
        assert said(raw_client.predict("loud")) == "LOUD"
        assert "emulator" in said(raw_client.predict("rule"))


@pytest.mark.parametrize("make", [ThreadsafeEvent, threading.Event])
def test_held_reply_waits_for_its_event(server: Emulator, raw_client: RawClient, make: Any) -> None:
    gate = make()
    server.script(Reply("a b c", hold=gate, hold_after=2))
    number = raw_client.create("predict", prediction())
    server.wait_for_sent(lambda frame: " b" in json.dumps(frame.message))
    assert not any(" c" in json.dumps(frame.message) for frame in server.sent)
    gate.set()
    assert said(raw_client.until_end(number)) == "a b c"


def test_reply_error_is_sent_between_fragments(server: Emulator, raw_client: RawClient) -> None:
    server.script(Reply("a b c", error={"title": "Out of memory", "cause": "test"}, error_after=2))
    seen = raw_client.predict()
    assert said(seen) == "a b"
    assert seen[-1]["error"] == {"title": "Out of memory", "cause": "test"}


def test_cancel_ends_with_user_stopped_and_a_second_one_is_warned_about(
    server: Emulator, raw_client: RawClient
) -> None:
    server.script(Reply("a b c", hold=ThreadsafeEvent(), hold_after=1))
    number = raw_client.create("predict", prediction())
    server.wait_for_sent(lambda frame: '"a"' in json.dumps(frame.message))
    cancel = {"type": "channelSend", "channelId": number, "message": {"type": "cancel"}}
    raw_client.send(cancel)
    seen = raw_client.until_end(number)
    assert (said(seen), stats(seen)["stopReason"]) == ("a", "userStopped")
    raw_client.send(cancel)
    assert raw_client.receive()["kind"] == "channelUnknown"


def test_unload_ends_a_running_prediction(server: Emulator, raw_client: RawClient) -> None:
    gate = ThreadsafeEvent()
    server.script(Reply("a b c", hold=gate, hold_after=1))
    number = raw_client.create("predict", prediction())
    server.wait_for_sent(lambda frame: '"a"' in json.dumps(frame.message))
    server.unload("emulator/chat")
    gate.set()
    assert stats(raw_client.until_end(number))["stopReason"] == "modelUnloaded"


def test_final_packet_has_the_model_and_both_configurations(raw_client: RawClient) -> None:
    final = success(raw_client.predict(temperature=0.3))
    assert final["modelInfo"]["identifier"] == "emulator/chat"
    fields = {field["key"]: field["value"] for field in final["predictionConfig"]["fields"]}
    assert fields["llm.prediction.temperature"] == 0.3
    assert fields["llm.prediction.topKSampling"] == 40
    assert {"key": "llm.load.contextLength", "value": 4096} in final["loadModelConfig"]["fields"]


def test_unknown_draft_model_is_refused_and_no_draft_tokens_are_claimed(raw_client: RawClient) -> None:
    made = stats(raw_client.predict(speculativeDecoding__draftModel="emulator/chat-2"))
    assert (made["usedDraftModelKey"], made["totalDraftTokensCount"]) == ("emulator/chat-2", 0)
    seen = raw_client.predict(speculativeDecoding__draftModel="nope")
    assert seen[-1]["error"]["title"] == 'Cannot find model "nope"'


def test_raw_completion_has_no_template_in_both_forms(raw_client: RawClient) -> None:
    parameter = prediction()
    del parameter["history"]
    new = raw_client.until_end(raw_client.create("completeRawText", {**parameter, "rawPrompt": "one two"}))
    raw = {
        "type": "jinja",
        "stopStrings": [],
        "jinjaPromptTemplate": {"template": "{% for message in messages %}{{ message['content'] }}{% endfor %}"},
    }
    old = raw_client.predict("one two", promptTemplate=raw)
    assert stats(new)["promptTokensCount"] == stats(old)["promptTokensCount"] == 2


def test_thousand_predictions_on_one_socket_do_not_mix() -> None:
    replies = [Reply(f"answer {number} end") for number in range(1000)]
    with Emulator(replies=replies, record=False) as server, RawClient(server) as raw_client:
        channels = [raw_client.create("predict", prediction()) for _ in range(1000)]
        texts = texts_by_channel(raw_client, set(channels))
    assert [texts[channel] for channel in channels] == [f"answer {number} end" for number in range(1000)]


def texts_by_channel(raw_client: RawClient, open_channels: set[int]) -> dict[int, str]:
    texts: dict[int, str] = {}
    while open_channels:
        message = raw_client.receive()
        packet = message.get("message", {})
        if packet.get("type") == "fragment":
            texts[message["channelId"]] = texts.get(message["channelId"], "") + packet["fragment"]["content"]
        elif message["type"] == "channelClose":
            open_channels.remove(message["channelId"])
    return texts
