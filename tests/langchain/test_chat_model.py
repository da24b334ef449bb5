"""``ChatLMStudio`` over the wire: settings, calls, streams, and the rest of LangChain's surface."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import pickle
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import ContextOverflowError, ModelAPIError
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import ConfigurableField
from pydantic import SecretStr, ValidationError

from lmstudio_integrations import Timeout
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent, ToolCall
from lmstudio_integrations.errors import (
    LMStudioCancelledError,
    LMStudioContextOverflowError,
    LMStudioModelUnloadedError,
    LMStudioTimeoutError,
)
from lmstudio_integrations.langchain import CancelToken, ChatLMStudio
from tests.sent_requests import prediction_settings, predictions
from tests.time_limits import SURE_TO_EXPIRE

Make = Callable[..., ChatLMStudio]


def cancelled(server: Emulator) -> bool:
    """Whether a cancel has arrived; waits for it."""
    server.wait_for(lambda record: (record.message.get("message") or {}).get("type") == "cancel")
    return True


# Construction


def test_construction_opens_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("connected"))
    model = ChatLMStudio(model="a", context_length=100)
    assert model.bind_tools([]) is not None
    assert model.with_structured_output({"title": "x", "type": "object", "properties": {}}) is not None


@pytest.mark.parametrize("name", ["api_token", "api_key"])
def test_api_token_has_two_names_and_is_never_shown(name: str) -> None:
    given: Any = {"model": "a", name: "sk-lm-secret:sauce"}
    model = ChatLMStudio(**given)
    assert model.api_token == SecretStr("sk-lm-secret:sauce")
    bound = model.bind_tools([]).with_config(tags=["x"])
    for shown in (repr(model), str(model), dumps(model), str(model.model_dump()), repr(bound), str(model.asdict())):
        assert "secret:sauce" not in shown


def test_api_token_that_is_set_later_is_not_shown() -> None:
    model: Any = ChatLMStudio(model="a")
    model.api_token = "sk-lm-secret:sauce"
    copied = model.model_copy(update={"api_token": "sk-lm-secret:sauce"})
    for shown in (repr(model), str(copied), dumps(model), repr(copied.bind_tools([])), str(copied.asdict())):
        assert "secret:sauce" not in shown


@pytest.mark.parametrize("variable", ["LMSTUDIO_API_TOKEN", "LM_API_TOKEN"])
def test_api_token_is_read_from_both_environment_variables(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LMSTUDIO_API_TOKEN", "LM_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "sk-lm-aaaaaaaa:bbbbbbbbbbbbbbbbbbbb")
    assert ChatLMStudio(model="a").api_token == SecretStr("sk-lm-aaaaaaaa:bbbbbbbbbbbbbbbbbbbb")


def test_misspelt_setting_raises_and_names_the_nearest() -> None:
    given: Any = {"model": "a", "temprature": 0}
    with pytest.raises(ValidationError, match="temprature"):
        ChatLMStudio(**given)


def test_setting_under_two_names_raises() -> None:
    given: Any = {"api_key": "a", "api_token": "b"}
    with pytest.raises(ValidationError, match="'api_key' and 'api_token'"):
        ChatLMStudio(**given)


def test_versions_are_recorded() -> None:
    assert "lmstudio-integrations" in (ChatLMStudio(model="a").metadata or {})["lc_versions"]


# Settings


def test_every_setting_reaches_the_server(chat: Make, lmstudio_emulator: Emulator) -> None:
    model = chat(
        temperature=0.3,
        max_tokens=9,
        stop=["a"],
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        repeat_penalty=1.2,
        seed=7,
        reasoning=100,
        draft_model="emulator/chat-2",
        preset="emulator-preset",
        context_overflow_policy="rollingWindow",
        prediction_config={"cpuThreads": 2},
    )
    model.invoke("x")
    sent = prediction_settings(lmstudio_emulator)
    on = {"checked": True}
    assert {key.removeprefix("llm.prediction."): value for key, value in sent.items()} == {
        "temperature": 0.3,
        "maxPredictedTokens": {**on, "value": 9},
        "stopStrings": ["a"],
        "topPSampling": {**on, "value": 0.9},
        "topKSampling": 40,
        "minPSampling": {**on, "value": 0.1},
        "repeatPenalty": {**on, "value": 1.2},
        "seed": {**on, "value": 7},
        "reasoning.enableThinking": True,
        "reasoning.budgetTokens": {**on, "value": 100},
        "speculativeDecoding.draftModel": "emulator/chat-2",
        "contextOverflowPolicy": "rollingWindow",
        "llama.cpuThreads": 2,
    }
    assert predictions(lmstudio_emulator)[-1]["fuzzyPresetIdentifier"] == "emulator-preset"


def test_call_keywords_override_the_model_settings(chat: Make, lmstudio_emulator: Emulator) -> None:
    chat(temperature=0.3, seed=7).invoke("x", temperature=0.9, seed=None)
    sent = prediction_settings(lmstudio_emulator)
    assert sent["llm.prediction.temperature"] == 0.9
    assert "llm.prediction.seed" not in sent


async def test_stop_of_a_call_replaces_the_stop_of_the_model(chat: Make, lmstudio_emulator: Emulator) -> None:
    model = chat(stop=["a", "b"])
    model.invoke("x", stop=["c"])
    list(model.stream("x", stop=["d"]))
    await model.bind(stop=["e"]).ainvoke("x")
    model.invoke("x", stop=[])
    sent = [prediction_settings(lmstudio_emulator, number).get("llm.prediction.stopStrings") for number in range(4)]
    assert sent == [["c"], ["d"], ["e"], None]


def test_stop_string_is_not_in_the_answer(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three"))
    answer = chat(stop=[" three"]).invoke("x")
    assert answer.content == "one two"
    assert answer.response_metadata["stop_reason"] == "stopStringFound"


@pytest.mark.parametrize("keyword", ["temprature", "guided_json"])  # number 14: `logprobs` and `n=1` are understood
async def test_unknown_call_keyword_raises_and_is_named(chat: Make, keyword: str) -> None:
    model = chat()
    given: Any = {keyword: 1}
    with pytest.raises(TypeError, match=repr(keyword)):
        model.invoke("x", **given)
    with pytest.raises(TypeError, match=repr(keyword)):
        list(model.stream("x", **given))
    with pytest.raises(TypeError, match=repr(keyword)):
        await model.ainvoke("x", **given)
    with pytest.raises(TypeError, match=repr(keyword)):
        [chunk async for chunk in model.astream("x", **given)]


@pytest.mark.parametrize("value", [2.0, "hot"])
def test_invalid_value_raises_before_anything_is_sent(chat: Make, lmstudio_emulator: Emulator, value: Any) -> None:
    with pytest.raises(ValueError, match=r"topPSampling|top_p"):
        chat().invoke("x", top_p=value)
    assert predictions(lmstudio_emulator) == []


def test_model_none_uses_any_loaded_model(chat: Make) -> None:
    assert chat(model=None).invoke("x").response_metadata["model_name"] == "emulator/chat"


def test_model_that_is_not_loaded_is_loaded_with_the_settings(chat: Make, lmstudio_emulator: Emulator) -> None:
    model = chat(model="emulator/chat-2", ttl=60, context_length=1024, load_config={"flashAttention": True})
    answer = model.invoke("x")
    assert answer.response_metadata["model_info"]["context_length"] == 1024
    creation = next(
        record.message["creationParameter"]
        for record in lmstudio_emulator.requests
        if record.message.get("endpoint") == "getOrLoad"
    )
    assert creation["loadTtlMs"] == 60_000
    keys = {field["key"] for field in creation["loadConfigStack"]["layers"][0]["config"]["fields"]}
    assert {"llm.load.contextLength", "llm.load.llama.flashAttention"} <= keys


def test_timeout_of_a_call_is_applied(chat: Make, lmstudio_emulator: Emulator) -> None:
    gate = ThreadsafeEvent()
    lmstudio_emulator.script(Reply("one", hold=gate, hold_after=0))
    try:
        with pytest.raises(LMStudioTimeoutError, match="idle"):
            chat().invoke("x", timeout=Timeout(idle=SURE_TO_EXPIRE))
    finally:
        gate.set()


def test_timeout_of_the_model_is_applied(chat: Make, lmstudio_emulator: Emulator) -> None:
    gate = ThreadsafeEvent()
    lmstudio_emulator.script(Reply("one", hold=gate, hold_after=0))
    try:
        with pytest.raises(TimeoutError):
            chat(timeout={"idle": SURE_TO_EXPIRE}).invoke("x")
    finally:
        gate.set()


# Streams


async def test_all_four_ways_give_the_same_answer(chat: Make, lmstudio_emulator: Emulator) -> None:
    calls = (ToolCall("add", {"a": 1}, id="111111111"),)
    lmstudio_emulator.script(*[Reply(reasoning="hm", text="I call", tool_calls=calls)] * 4)
    model = chat()
    first, *rest = model.stream("x")
    afirst, *arest = [chunk async for chunk in model.astream("x")]
    answers: list[AIMessage] = [model.invoke("x"), await model.ainvoke("x"), first + rest, afirst + arest]
    for answer in answers:
        assert answer.content == "I call"
        assert answer.additional_kwargs == {"reasoning_content": "hm"}
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("add", {"a": 1})]
        assert answer.usage_metadata is not None
        assert answer.response_metadata["finish_reason"] == "tool_calls"


def test_stream_yields_tokens_while_the_server_is_still_generating(chat: Make, lmstudio_emulator: Emulator) -> None:
    gate = ThreadsafeEvent()
    lmstudio_emulator.script(Reply("one two", hold=gate))
    stream = chat().stream("x")
    assert next(stream).content == "one"
    gate.set()
    assert "".join(str(chunk.content) for chunk in stream) == " two"


def test_break_out_of_a_stream_cancels_at_the_server(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three four", hold=ThreadsafeEvent(), hold_after=2))
    for _ in chat().stream("x"):
        break
    gc.collect()
    assert cancelled(lmstudio_emulator)


async def test_aclose_of_a_stream_cancels_at_the_server(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three four", hold=ThreadsafeEvent(), hold_after=2))
    stream = chat().astream("x")
    await anext(stream)
    assert isinstance(stream, AsyncIterator)
    await stream.aclose()  # type: ignore[attr-defined]  # LangChain types its generators as iterators
    del stream
    gc.collect()
    await asyncio.to_thread(cancelled, lmstudio_emulator)


async def test_task_cancellation_cancels_at_the_server(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two", hold=ThreadsafeEvent(), hold_after=1))
    task = asyncio.create_task(chat().ainvoke("x"))
    await asyncio.to_thread(
        lmstudio_emulator.wait_for_sent, lambda record: (record.message.get("message") or {}).get("type") == "fragment"
    )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(cancelled, lmstudio_emulator)


def test_model_works_in_a_second_event_loop(chat: Make) -> None:
    model = chat()

    async def ask() -> AIMessage:
        return await model.ainvoke("x")

    assert asyncio.run(ask()).content == asyncio.run(ask()).content


def test_streaming_false_makes_stream_return_one_chunk(chat: Make) -> None:
    assert len(list(chat(streaming=False).stream("x"))) == 1
    assert len(list(chat(disable_streaming=True).stream("x"))) == 1


def test_handlers_receive_every_token_once(chat: Make, lmstudio_emulator: Emulator) -> None:
    from langchain_core.callbacks import BaseCallbackHandler

    class Tokens(BaseCallbackHandler):
        seen: list[str]

        def __init__(self) -> None:
            self.seen = []

        def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            self.seen.append(token)

    handler = Tokens()
    lmstudio_emulator.script(Reply("one two"), Reply("one two"))
    list(chat().stream("x", config={"callbacks": [handler]}))
    chat(streaming=True).invoke("x", config={"callbacks": [handler]})
    assert handler.seen == ["one", " two", ""] * 2


async def test_astream_events_v2_end_with_the_complete_message(chat: Make) -> None:
    events = [event async for event in chat().astream_events("x", version="v2")]
    assert [event["event"] for event in events[:1] + events[-1:]] == ["on_chat_model_start", "on_chat_model_end"]
    output = events[-1]["data"]["output"]
    assert output.usage_metadata["output_tokens"] > 0


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_native_v3_stream_has_text_progress_and_usage(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(reasoning="hm", text="one two"), Reply(reasoning="hm", text="one two"))
    stream = chat().stream_events("x", version="v3")
    names = [event["event"] for event in stream]
    assert "lmstudio-prompt-progress" in names
    async with await chat().astream_events("x", version="v3") as astream:
        message = await astream.output
    for made in (stream.output, message):
        assert made.text == "one two"
        assert made.usage_metadata is not None
        assert made.id is not None
        assert made.id.startswith("lc_run--")


# Retries


def test_connection_lost_before_the_answer_is_retried(chat: Make, lmstudio_emulator: Emulator) -> None:
    model = chat()
    model.invoke("x")
    lmstudio_emulator.drop_connections()
    assert model.invoke("x").content


def test_request_without_an_answer_is_sent_max_retries_plus_one_times(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(*[Reply("whole", progress=())] * 4)
    lmstudio_emulator.faults.add("drop", times=2)  # number 10: three sends at most, the client's own included
    assert chat(max_retries=2).invoke("x").content == "whole"
    lmstudio_emulator.clear_record()
    lmstudio_emulator.script(*[Reply("whole", progress=())] * 3)
    fault = lmstudio_emulator.faults.add("drop", times=None)
    with pytest.raises(ConnectionError):
        chat(max_retries=2).invoke("x")
    assert fault.hits == len(predictions(lmstudio_emulator)) == 3


def test_max_retries_0_sends_a_request_once(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(*[Reply("whole", progress=())] * 4)
    fault = lmstudio_emulator.faults.add("drop", times=3)
    with pytest.raises(ConnectionError):
        chat(max_retries=0).invoke("x")
    assert fault.hits == 1
    assert len(predictions(lmstudio_emulator)) == 1


def test_started_answer_is_never_requested_again(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three"))
    lmstudio_emulator.faults.add("drop", after=1)
    with pytest.raises(ConnectionError):
        chat(max_retries=5).invoke("x")
    assert len(predictions(lmstudio_emulator)) == 1


def test_prompt_that_is_being_processed_is_not_sent_again(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one", progress=(0.0, 0.5)))
    lmstudio_emulator.faults.add("drop", after=0)
    with pytest.raises(ConnectionError):
        chat(max_retries=5).invoke("x")
    assert len(predictions(lmstudio_emulator)) == 1


# What goes wrong on the way


@pytest.mark.parametrize("streamed", [True, False])
def test_model_unloaded_during_the_answer_raises_with_the_partial_answer(
    chat: Make, lmstudio_emulator: Emulator, streamed: bool
) -> None:
    lmstudio_emulator.script(Reply("one two", stop_reason="modelUnloaded"))
    with pytest.raises(LMStudioModelUnloadedError) as caught:
        list(chat().stream("x")) if streamed else chat().invoke("x")
    assert isinstance(caught.value, ModelAPIError)
    assert caught.value.is_retryable is False
    assert caught.value.partial.content == "one two"


async def test_engine_failure_raises(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two", stop_reason="failed"))
    with pytest.raises(ModelAPIError, match="engine failed"):
        await chat().ainvoke("x")


def test_unknown_packet_is_ignored(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two"))
    lmstudio_emulator.faults.add("unknown_packet", after=1)
    assert chat().invoke("x").content == "one two"


@pytest.mark.parametrize("awaited", [True, False])
async def test_check_context_raises_before_a_prediction(chat: Make, lmstudio_emulator: Emulator, awaited: bool) -> None:
    model = chat(check_context=True)
    assert (await model.ainvoke("x") if awaited else model.invoke("x")).content
    with pytest.raises(ContextOverflowError) as caught:
        await model.ainvoke("word " * 6000) if awaited else model.invoke("word " * 6000)
    error = caught.value
    assert isinstance(error, LMStudioContextOverflowError)
    assert (error.available, error.needed is not None and error.needed > 6000) == (4096, True)
    assert len(predictions(lmstudio_emulator)) == 1


@pytest.mark.parametrize("awaited", [True, False])
async def test_cancel_token_cancels_from_another_thread(chat: Make, lmstudio_emulator: Emulator, awaited: bool) -> None:
    token = CancelToken()
    lmstudio_emulator.script(Reply("one two three", hold=ThreadsafeEvent(), hold_after=2))
    options: Any = {"cancel": token, "on_first_token": token.cancel}
    answer = await chat().ainvoke("x", **options) if awaited else chat().invoke("x", **options)
    assert answer.response_metadata["finish_reason"] == "cancelled"
    assert answer.response_metadata["stop_reason"] == "userStopped"
    assert "three" not in answer.text


def test_used_cancel_token_cancels_later_calls(chat: Make, lmstudio_emulator: Emulator) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(LMStudioCancelledError):
        chat().invoke("x", cancel=token)
    assert token.cancelled
    assert predictions(lmstudio_emulator) == []


# The rest of the surface


def test_pickled_and_copied_models_answer(chat: Make) -> None:
    model = chat(temperature=0.3, load_config={"flashAttention": True})
    model.invoke("x")
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), model.model_copy(update={"temperature": 0.3})]
    for made in copies:
        assert made == model
        assert made.invoke("x").content


def test_batch_keeps_the_order(chat: Make, lmstudio_emulator: Emulator) -> None:
    answers = chat().batch([f"number {number}" for number in range(8)])
    assert [str(answer.content).split()[-1] for answer in answers] == [str(number) for number in range(8)]


async def test_failure_in_a_batch_does_not_affect_the_others(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(error="once"))
    outcomes = await chat().abatch(["a", "b", "c"], return_exceptions=True)
    assert sorted(isinstance(outcome, Exception) for outcome in outcomes) == [False, False, True]


def test_generate_sums_the_usage(chat: Make) -> None:
    result = chat().generate([[HumanMessage("a")], [HumanMessage("b")]])
    assert result.llm_output is not None
    usages = [generations[0].message.usage_metadata for generations in result.generations]  # type: ignore[union-attr]
    assert result.llm_output["token_usage"]["total_tokens"] == sum(usage["total_tokens"] for usage in usages if usage)
    assert result.llm_output["model_name"] == "emulator/chat"


def test_cache_answers_only_an_equal_call(chat: Make, lmstudio_emulator: Emulator) -> None:
    cache = InMemoryCache()
    for settings_ in ({}, {}, {"seed": 1}, {"prediction_config": {"cpuThreads": 2}}):
        chat(cache=cache, **settings_).invoke("x")
    assert len(predictions(lmstudio_emulator)) == 3


def test_callbacks_are_not_in_the_cache_key(chat: Make, lmstudio_emulator: Emulator) -> None:
    model = chat(cache=InMemoryCache())
    for _ in range(2):
        model.invoke("x", on_prompt_progress=lambda _: None)
    assert len(predictions(lmstudio_emulator)) == 1


def test_rate_limiter_is_acquired(chat: Make) -> None:
    class Counter(BaseRateLimiter):
        asked = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            type(self).asked += 1
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            return self.acquire()

    model = chat(rate_limiter=Counter())
    model.invoke("x")
    list(model.stream("x"))
    assert Counter.asked == 2


def test_with_retry_and_with_fallbacks_work(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(error="once"))
    assert chat().with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke("x").content
    assert chat(model="nobody/knows").with_fallbacks([chat()]).invoke("x").content


def test_configurable_fields_keep_streaming(chat: Make, lmstudio_emulator: Emulator) -> None:
    model = chat(temperature=0.1).configurable_fields(
        temperature=ConfigurableField(id="heat"), model=ConfigurableField(id="model")
    )
    config: Any = {"configurable": {"heat": 0.7, "model": "emulator/chat-2"}}
    answer = model.invoke("x", config=config)
    assert isinstance(answer, AIMessage)
    assert answer.response_metadata["model_name"] == "emulator/chat-2"
    assert prediction_settings(lmstudio_emulator)["llm.prediction.temperature"] == 0.7
    assert len(list(model.stream("x", config=config))) > 2


def test_ls_params_follow_the_call() -> None:
    model = ChatLMStudio(model="a", temperature=0.1, max_tokens=5, stop=["x"])
    assert model._get_ls_params() == {
        "ls_provider": "lmstudio",
        "ls_model_type": "chat",
        "ls_model_name": "a",
        "ls_temperature": 0.1,
        "ls_max_tokens": 5,
        "ls_stop": ["x"],
    }
    changed = model._get_ls_params(stop=["y"], model="b", temperature=0.2)
    assert (changed["ls_model_name"], changed["ls_temperature"], changed["ls_stop"]) == ("b", 0.2, ["y"])


def test_message_ids_are_made_by_langchain_core(chat: Make) -> None:
    ids = {chunk.id for chunk in chat().stream("x")}
    assert len(ids) == 1
    assert str(ids.pop()).startswith("lc_run--")


def test_same_conversation_is_sent_as_the_same_bytes(chat: Make, lmstudio_emulator: Emulator) -> None:
    messages: list[Any] = [HumanMessage("first")]
    for number in range(3):
        answer = chat().invoke(messages)
        assert chat().invoke(messages).content == answer.content
        messages += [answer, HumanMessage(f"then {number}")]
    sent = [json.dumps(creation["history"]["messages"]) for creation in predictions(lmstudio_emulator)]
    assert sent[0::2] == sent[1::2], "equal conversations"
    for shorter, longer in pairwise(sent[0::2]):
        assert longer.startswith(shorter.removesuffix("]")), "a longer conversation begins with the shorter one"
    cached = [message.usage_metadata["input_token_details"]["cache_read"] for message in messages[1::2]]
    assert cached == sorted(cached)
    assert cached[-1] > cached[0]


def test_chunks_made_in_another_event_loop_can_be_added(chat: Make) -> None:
    whole: AIMessageChunk | None = None
    stream: Iterator[AIMessageChunk] = chat().stream("x")
    for chunk in stream:
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.text.startswith("This is the LM Studio emulator")
