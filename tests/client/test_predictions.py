"""Predictions from the call to the result, against the emulator, on both fronts."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from typing import Any

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from lmstudio_integrations import (
    AsyncClient,
    CancelToken,
    Chat,
    Client,
    Fragment,
    ImagePart,
    LlmPredictionConfig,
    LMStudioCancelledError,
    LMStudioContextOverflowError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
    LMStudioPresetNotFoundError,
    LMStudioServerError,
    LMStudioTimeoutError,
    LMStudioValueError,
    PromptProgress,
    Timeout,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallStart,
)
from lmstudio_integrations.client.transport.stream_controller import StreamController
from lmstudio_integrations.emulator import Emulator, FailedToolCall, RecordedFrame, Reply, ThreadsafeEvent, ToolCall
from tests.client.client_variants import Front
from tests.movable_clock import MovableClock
from tests.time_limits import SURE_TO_EXPIRE

PNG = b"\x89PNG\r\n\x1a\n" + b"rest"
ADD = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
EXACT = "Grüße, 世界! 😀\n  two\tlines e\u0301"


class Person(BaseModel):
    name: str
    age: int


class PersonDict(TypedDict):
    name: str
    age: int


def predict_frame(server: Emulator) -> dict[str, Any]:
    """The creation parameter of the last prediction."""
    frames = [r.message for r in server.requests if r.message.get("endpoint") == "predict"]
    creation: dict[str, Any] = frames[-1]["creationParameter"]
    return creation


def is_cancel(frame: RecordedFrame) -> bool:
    return bool(frame.message.get("type") == "channelSend" and frame.message["message"] == {"type": "cancel"})


# Histories


@pytest.mark.parametrize(
    "history",
    [
        "Hi",
        {"messages": [{"role": "user", "content": "Hi"}]},
        [{"role": "user", "content": "Hi"}],
        Chat.from_history("Hi"),
    ],
    ids=["str", "dict", "list", "Chat"],
)
def test_respond_answers_every_form_of_history(front: Front, lmstudio_emulator: Emulator, history: Any) -> None:
    lmstudio_emulator.script(Reply(EXACT))
    assert front.respond(history).content == EXACT
    assert predict_frame(lmstudio_emulator)["history"] == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    }


def test_complete_sends_the_prompt_without_a_template(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(" upon a time"))
    assert front.complete("Once").content == " upon a time"
    layers = predict_frame(lmstudio_emulator)["predictionConfigStack"]["layers"]
    assert [layer["layerName"] for layer in layers] == ["apiOverride", "completeModeFormatting"]


def test_chat_continues_over_several_turns(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(reasoning="hm", text="One."), Reply("Two."))
    chat = Chat("Count.")
    chat.add_user_message("Begin.")
    chat.add_assistant_response(front.respond(chat))
    chat.add_user_message("Go on.")
    assert front.respond(chat).content == "Two."
    messages = predict_frame(lmstudio_emulator)["history"]["messages"]
    assert [(m["role"], m["content"][0]["text"]) for m in messages] == [
        ("system", "Count."),
        ("user", "Begin."),
        ("assistant", "One."),
        ("user", "Go on."),
    ]


def test_image_is_uploaded_and_sent_in_the_message(front: Front, lmstudio_emulator: Emulator) -> None:
    image = front.do("files.prepare_image", PNG, "cat.png")
    assert (image.name, image.size_bytes, image.file_type) == ("cat.png", len(PNG), "image")
    chat = Chat()
    chat.add_user_message("What is it?", images=[image])
    front.respond(chat)
    (message,) = predict_frame(lmstudio_emulator)["history"]["messages"]
    assert message["content"][1] == image.to_wire()


# Options


@pytest.mark.parametrize(
    "config",
    [
        {"maxTokens": 3, "temperature": 0},
        {"max_tokens": 3, "temperature": 0},
        LlmPredictionConfig(max_tokens=3, temperature=0),
    ],
)
def test_settings_of_every_form_take_effect(front: Front, lmstudio_emulator: Emulator, config: Any) -> None:
    lmstudio_emulator.script(Reply("one two three four five"))
    result = front.respond(config=config)
    assert result.content == "one two three"
    assert result.stats.stop_reason == "maxPredictedTokensReached"
    assert {"maxTokens": 3, "temperature": 0}.items() <= result.prediction_config.items()


def test_stop_string_is_not_in_the_answer(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two END three"))
    result = front.respond(config={"stopStrings": ["END"]})
    assert "END" not in result.content
    assert (result.stats.stop_reason, result.stats.stop_string) == ("stopStringFound", "END")


def test_preset_is_sent_by_name(front: Front, lmstudio_emulator: Emulator) -> None:
    front.respond(preset="emulator-preset")
    assert predict_frame(lmstudio_emulator)["fuzzyPresetIdentifier"] == "emulator-preset"
    with pytest.raises(LMStudioPresetNotFoundError, match="Presets:"):
        front.respond(preset="no such preset")


def test_draft_model_is_sent_by_key(front: Front, lmstudio_emulator: Emulator) -> None:
    front.respond(draft_model="emulator/chat-2")
    fields = predict_frame(lmstudio_emulator)["predictionConfigStack"]["layers"][0]["config"]["fields"]
    assert fields == [{"key": "llm.prediction.speculativeDecoding.draftModel", "value": "emulator/chat-2"}]


@pytest.mark.parametrize("response_format", [Person, PersonDict, Person.model_json_schema(), {"type": "json_object"}])
def test_response_format_answer_is_parsed(front: Front, lmstudio_emulator: Emulator, response_format: Any) -> None:
    lmstudio_emulator.script(Reply('{"name": "Zoë", "age": 5}'))
    result = front.respond(response_format=response_format)
    assert result.structured
    assert result.parsed == {"name": "Zoë", "age": 5}
    assert str(result) == '{\n  "name": "Zoë",\n  "age": 5\n}'


def test_grammar_is_sent_as_structured_setting(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("yes"))
    result = front.respond(response_format={"type": "gbnf", "gbnfGrammar": 'root ::= "yes" | "no"'})
    assert (result.content, result.parsed, result.structured) == ("yes", "yes", False)
    fields = predict_frame(lmstudio_emulator)["predictionConfigStack"]["layers"][0]["config"]["fields"]
    assert fields[0]["value"] == {"type": "gbnf", "gbnfGrammar": 'root ::= "yes" | "no"'}


def test_document_in_the_reasoning_is_parsed(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(reasoning='{"name": "Zoë", "age": 5}', text=""))
    result = front.respond(response_format=Person)
    assert result.parsed_from_reasoning
    assert result.parsed == {"name": "Zoë", "age": 5}


# Tools


def test_tool_calls_are_in_the_result(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("Let me add.", tool_calls=[ToolCall("add", {"a": 1}), ToolCall("add", {"a": 1})]))
    result = front.respond(tools=[ADD])
    assert [(call.name, call.arguments) for call in result.tool_calls] == [("add", {"a": 1})] * 2
    assert len({call.id for call in result.tool_calls}) == 2
    assert (result.content, result.stats.stop_reason) == ("Let me add.", "eosFound")


def test_named_tool_choice_is_sent_natively(front: Front, lmstudio_emulator: Emulator) -> None:
    front.respond(tools=[ADD, {"name": "sub"}], tool_choice="sub")
    fields = predict_frame(lmstudio_emulator)["predictionConfigStack"]["layers"][0]["config"]["fields"]
    sent = {field["key"]: field["value"] for field in fields}
    assert [tool["function"]["name"] for tool in sent["llm.prediction.tools"]["tools"]] == ["sub"]
    assert sent["llm.prediction.toolChoice"] == {"type": "generic", "mode": "required"}


def test_tool_results_are_sent_back(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(tool_calls=[ToolCall("add", {"a": 1}, id="7")]), Reply("Three."))
    chat = Chat.from_history("Add.")
    result = front.respond(chat, tools=[ADD])
    chat.add_assistant_response(result)
    chat.add_tool_results([{"content": "3", "tool_call_id": call.id, "name": call.name} for call in result.tool_calls])
    assert front.respond(chat, tools=[ADD]).content == "Three."
    messages = predict_frame(lmstudio_emulator)["history"]["messages"]
    assert messages[1]["content"][1]["toolCallRequest"]["id"] == messages[2]["content"][0]["toolCallId"] == "7"


def test_tool_call_stages_are_events_with_an_index(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(
        Reply(
            tool_calls=[
                ToolCall("add", {"a": 1}),
                ToolCall("add", {"a": 1}, id=None, brief=True),
                FailedToolCall("add", '{"a":', error="Bad JSON", raw_content="<tool_call>oops"),
            ]
        )
    )
    events = [event for event in front.events(tools=[ADD]) if hasattr(event, "index")]
    assert [event.index for event in events if isinstance(event, ToolCallStart)] == [0, 1, 2]
    assert [event.index for event in events if isinstance(event, ToolCallEnd)] == [0, 1]
    (failed,) = [event for event in events if isinstance(event, ToolCallFailed)]
    assert (failed.index, failed.name, failed.error.title, failed.raw_content) == (
        2,
        "add",
        "Bad JSON",
        "<tool_call>oops",
    )


# Streams


def test_iteration_yields_text_fragments_only(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(EXACT, tool_calls=[ToolCall("add", {})]))
    fragments = front.fragments(tools=[ADD])
    assert all(type(fragment) is Fragment for fragment in fragments)
    assert "".join(map(str, fragments)) == EXACT


def test_events_include_progress(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("Hi", prompt_tokens=10, cached_tokens=4, progress=(0.0, 0.5, 1.0)))
    progress = [event for event in front.events() if isinstance(event, PromptProgress)]
    assert [event.progress for event in progress] == [0.0, 0.5, 1.0]
    assert [(event.cached_tokens, event.total_tokens) for event in progress] == [(4, 10)] * 3


def test_result_has_all_of_the_final_packet(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(reasoning="let me see", text="Hi there", prompt_tokens=10, cached_tokens=4))
    result = front.respond()
    stats = result.stats
    assert (stats.stop_reason, stats.prompt_tokens_count) == ("eosFound", 10)
    assert stats.predicted_tokens_count is not None
    assert stats.total_tokens_count == 10 + stats.predicted_tokens_count
    assert stats.tokens_per_second is not None
    assert stats.time_to_first_token_sec is not None
    assert (result.reasoning, result.reasoning_tokens_count) == ("let me see", 3)
    assert (result.model_info.identifier, result.model_info.context_length) == ("emulator/chat", 4096)
    assert result.load_config["contextLength"] == 4096
    assert result.prompt_progress == PromptProgress(1.0, 4, 10, 6, 0)


def test_blocking_stream_has_its_state_while_it_is_read(lmstudio_emulator: Emulator) -> None:
    gate = ThreadsafeEvent()
    lmstudio_emulator.script(Reply(reasoning="hm", text="Hi there", hold=gate))
    with Client(lmstudio_emulator.url) as client:
        stream = client.llm.model("emulator/chat").respond_stream("Hi")
        for fragment in stream:
            if str(fragment).strip() == "there":
                assert (stream.content, stream.reasoning, stream.stats, stream.model_info) == (
                    "Hi there",
                    "hm",
                    None,
                    None,
                )
                assert "running" in repr(stream)
                gate.set()
        assert stream.stats is not None
        assert stream.model_info is not None
        assert stream.stats.stop_reason == "eosFound"
        assert stream.result() is stream.result() is stream.wait_for_result()
        assert stream.result().content == "Hi there"
        assert "ended" in repr(stream)


async def test_async_stream_has_its_state_while_it_is_read(lmstudio_emulator: Emulator) -> None:
    gate = ThreadsafeEvent()
    lmstudio_emulator.script(Reply(reasoning="hm", text="Hi there", hold=gate))
    async with AsyncClient(lmstudio_emulator.url) as client:
        stream = await (await client.llm.model("emulator/chat")).respond_stream("Hi")
        async for fragment in stream:
            if str(fragment).strip() == "there":
                assert (stream.content, stream.reasoning, stream.stats, stream.model_info) == (
                    "Hi there",
                    "hm",
                    None,
                    None,
                )
                gate.set()
        assert stream.stats is not None
        assert stream.model_info is not None
        assert await stream.result() is await stream.wait_for_result()


def _refuse_copies(stream: Any) -> None:
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(LMStudioValueError, match=r"PredictionStream cannot be copied .* pickle its result\(\)"):
            attempt(stream)


def test_stream_refuses_to_be_copied_or_pickled_and_its_result_does_not(lmstudio_emulator: Emulator) -> None:
    gate = ThreadsafeEvent()
    lmstudio_emulator.script(Reply("one two three", hold=gate, hold_after=1))
    with Client(lmstudio_emulator.url) as client:
        stream = client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        _refuse_copies(stream)
        gate.set()
        assert stream.result().content == "one two three"
        _refuse_copies(stream)
        assert pickle.loads(pickle.dumps(stream.result())) == copy.deepcopy(stream.result()) == stream.result()


async def test_async_stream_refuses_to_be_copied_or_pickled(lmstudio_emulator: Emulator) -> None:
    async with AsyncClient(lmstudio_emulator.url) as client:
        stream = await client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        _refuse_copies(stream)
        assert (await stream.result()).content


def test_result_without_iteration_waits_for_the_end(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("Hi there"))
    with Client(lmstudio_emulator.url) as client:
        assert client.llm.just_in_time("emulator/chat").respond_stream("Hi").wait_for_result().content == "Hi there"


def test_result_after_half_the_iteration_is_complete(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three"))
    with Client(lmstudio_emulator.url) as client:
        stream = client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        iterator = iter(stream)
        assert str(next(iterator)) == "one"
        assert stream.result().content == "one two three"


def test_cancelled_stream_ends_with_the_partial_text(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three", hold=ThreadsafeEvent(), hold_after=2))
    with Client(lmstudio_emulator.url) as client:
        stream = client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        read = []
        for fragment in stream:
            read.append(str(fragment))
            if len(read) == 2:
                canceller = threading.Thread(target=stream.cancel)
                canceller.start()
                canceller.join()
        result = stream.result()
        assert "".join(read) == result.content == "one two"
        assert result.stats.stop_reason == "userStopped"


async def test_async_stream_is_cancelled_from_another_task(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three", hold=ThreadsafeEvent(), hold_after=2))
    async with AsyncClient(lmstudio_emulator.url) as client:
        stream = await client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        read = []
        async for fragment in stream:
            read.append(str(fragment))
            if len(read) == 2:
                await asyncio.create_task(asyncio.to_thread(stream.cancel))
        assert (await stream.result()).stats.stop_reason == "userStopped"


async def test_cancel_of_an_async_stream_can_be_awaited(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three", hold=ThreadsafeEvent(), hold_after=1))
    async with AsyncClient(lmstudio_emulator.url) as client:
        stream = await client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        async for _ in stream:
            await stream.cancel()
        assert (await stream.result()).stats.stop_reason == "userStopped"


def test_prediction_with_a_cancelled_token_is_never_sent(front: Front, lmstudio_emulator: Emulator) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(LMStudioCancelledError):
        front.respond(cancel=token)
    assert not [frame for frame in lmstudio_emulator.requests if frame.message.get("endpoint") == "predict"]


def test_cancel_token_cancels_every_prediction_it_was_passed_to(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(*[Reply("one two three", hold=ThreadsafeEvent(), hold_after=1)] * 2)
    token = CancelToken()
    with Client(lmstudio_emulator.url) as client:
        model = client.llm.just_in_time("emulator/chat")
        streams = [model.respond_stream("Hi", cancel=token) for _ in range(2)]
        for stream in streams:
            for number, _ in enumerate(stream):
                assert number == 0
                token.cancel()
        assert [stream.result().stats.stop_reason for stream in streams] == ["userStopped"] * 2


def test_inline_image_is_uploaded_once_and_sent_as_a_file(front: Front, lmstudio_emulator: Emulator) -> None:
    image = ImagePart(b"\x89PNG\r\n\x1a\n" + bytes(8))
    history = [{"role": "user", "content": ["What is it?", image]}]
    for _ in range(2):
        front.respond(history)
    uploads = [frame for frame in lmstudio_emulator.requests if frame.message.get("endpoint") == "uploadFileBase64"]
    assert len(uploads) == 1


@pytest.mark.parametrize("raw", [False, True], ids=["respond", "complete"])
def test_prompt_that_fills_the_context_raises_with_check_context(
    front: Front, lmstudio_emulator: Emulator, raw: bool
) -> None:
    ask = front.complete if raw else front.respond
    with pytest.raises(LMStudioContextOverflowError) as caught:
        ask("word " * 5000, check_context=True)
    assert (caught.value.needed or 0) >= (caught.value.available or 1)
    assert not [frame for frame in lmstudio_emulator.requests if frame.message.get("endpoint") == "predict"]


def test_closed_stream_has_no_result_even_if_the_answer_is_complete(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StreamController, "abandon", lambda control, at_once: None)  # as if the server had been faster
    lmstudio_emulator.script(Reply("one two three"))
    with Client(lmstudio_emulator.url) as client:
        stream = client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        stream.close()
        for _ in range(2):
            with pytest.raises(LMStudioCancelledError, match="closed before its end"):
                stream.result()


async def test_closed_async_stream_has_no_result_even_if_the_answer_is_complete(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StreamController, "abandon", lambda control, at_once: None)
    lmstudio_emulator.script(Reply("one two three"))
    async with AsyncClient(lmstudio_emulator.url) as client:
        stream = await client.llm.just_in_time("emulator/chat").respond_stream("Hi")
        stream.close()
        for _ in range(2):
            with pytest.raises(LMStudioCancelledError, match="closed before its end"):
                await stream.result()


def test_with_block_left_early_cancels(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three", hold=ThreadsafeEvent(), hold_after=1))
    with Client(lmstudio_emulator.url) as client:
        with client.llm.just_in_time("emulator/chat").respond_stream("Hi") as stream:
            assert str(next(iter(stream))) == "one"
        lmstudio_emulator.wait_for(is_cancel)
        with pytest.raises(LMStudioCancelledError):
            stream.result()


async def test_async_with_block_left_early_cancels(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three", hold=ThreadsafeEvent(), hold_after=1))
    async with AsyncClient(lmstudio_emulator.url) as client:
        async with await client.llm.just_in_time("emulator/chat").respond_stream("Hi") as stream:
            async for _ in stream:
                break
        await asyncio.to_thread(lmstudio_emulator.wait_for, is_cancel)


def test_finished_stream_sends_no_cancel(front: Front, lmstudio_emulator: Emulator) -> None:
    front.respond()
    front.fragments()
    assert not [frame for frame in lmstudio_emulator.requests if is_cancel(frame)]


# Errors


def test_error_in_a_stream_has_the_partial_text(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three", error="It broke", error_after=2))
    with pytest.raises(LMStudioServerError, match="It broke") as caught:
        front.respond()
    assert caught.value.partial.content == "one two"
    assert caught.value.response_started


def test_too_long_prompt_raises_with_needed_and_available_tokens(front: Front, lmstudio_emulator: Emulator) -> None:
    with pytest.raises(LMStudioContextOverflowError) as caught:
        front.respond("word " * 5000, config={"contextOverflowPolicy": "stopAtLimit"})
    assert caught.value.needed is not None
    assert caught.value.needed > 5000
    assert caught.value.available == 4096


def test_model_unloaded_in_a_stream_raises_its_own_error(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.faults.add("unloaded", after=1)
    lmstudio_emulator.script(Reply("one two"))
    with pytest.raises(LMStudioModelUnloadedError) as caught:
        front.respond()
    assert caught.value.partial.content == "one"


def test_unknown_model_error_lists_the_available_models(lmstudio_emulator: Emulator) -> None:
    with (
        Client(lmstudio_emulator.url) as client,
        pytest.raises(LMStudioModelNotFoundError, match="emulator/chat"),
    ):
        client.llm.model("no/such-model")


def test_answer_truncated_in_the_reasoning_has_its_reasoning_and_reason(
    front: Front, lmstudio_emulator: Emulator
) -> None:
    lmstudio_emulator.script(Reply(reasoning="one two three four five six", text="Never."))
    result = front.respond(config={"maxTokens": 4})
    assert result.content == ""
    assert result.reasoning.startswith("one")
    assert result.stats.stop_reason == "maxPredictedTokensReached"


def test_expired_first_packet_limit_is_named_and_cancels(front: Front, lmstudio_emulator: Emulator) -> None:
    front.do("llm.model", "emulator/chat")
    lmstudio_emulator.script(Reply("never", hold=ThreadsafeEvent(), hold_after=0, progress=()))
    with pytest.raises(LMStudioTimeoutError, match="first_packet") as caught:
        front.respond(timeout=Timeout(first_packet=SURE_TO_EXPIRE))
    assert (caught.value.limit, caught.value.seconds) == ("first_packet", SURE_TO_EXPIRE)
    assert caught.value.last_heard == "nothing"
    assert isinstance(caught.value, TimeoutError)
    lmstudio_emulator.wait_for(is_cancel)


@pytest.mark.parametrize("limit", ["idle", "total"])
def test_limit_that_expires_in_the_answer_is_named_and_cancels(
    front: Front, lmstudio_emulator: Emulator, clock: MovableClock, limit: str
) -> None:
    lmstudio_emulator.script(Reply("one two", hold=ThreadsafeEvent(), hold_after=1))
    with pytest.raises(LMStudioTimeoutError, match=limit) as caught:
        front.respond(timeout=Timeout(**{limit: 100}), on_prediction_fragment=lambda _: clock.advance(100))
    assert (caught.value.limit, caught.value.seconds) == (limit, 100)
    assert "fragment" in caught.value.last_heard
    assert isinstance(caught.value, TimeoutError)
    lmstudio_emulator.wait_for(is_cancel)


def test_unknown_packet_in_a_stream_is_ignored(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.faults.add("unknown_packet", after=1)
    lmstudio_emulator.script(Reply("one two three"))
    assert front.respond().content == "one two three"


@pytest.mark.parametrize("fault", ["extra_fields", "missing_new_fields", "unknown_enum"])
def test_packets_of_newer_and_older_servers_are_read(front: Front, lmstudio_emulator: Emulator, fault: str) -> None:
    lmstudio_emulator.faults.add(fault, times=None)
    lmstudio_emulator.script(Reply("one two", tool_calls=[ToolCall("add", {"a": 1})]))
    result = front.respond(tools=[ADD])
    assert result.content == "one two"
    assert [call.arguments for call in result.tool_calls] == [{"a": 1}]


def test_closed_client_raises(lmstudio_emulator: Emulator) -> None:
    client = Client(lmstudio_emulator.url)
    client.close()
    with pytest.raises(ConnectionError, match="closed"):
        client.llm.just_in_time("emulator/chat").respond("Hi")


def test_options_are_checked_before_anything_is_sent(front: Front, lmstudio_emulator: Emulator) -> None:
    with pytest.raises(LMStudioValueError):
        front.respond(config={"temperature": "hot"})
    with pytest.raises(TypeError):
        front.respond(temperature=1)
    with pytest.raises(LMStudioValueError, match="cancel: expected a CancelToken, got Event"):
        front.respond(cancel=threading.Event())
    assert not lmstudio_emulator.requests
