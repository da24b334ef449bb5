"""Callbacks: what they hear, on which thread, and what becomes of one that raises."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest

from lmstudio_integrations import AsyncClient, Client, LMStudioValueError, ToolCallRequest
from lmstudio_integrations.client.callbacks import CallbackOptions, download_calls, load_calls
from lmstudio_integrations.emulator import Emulator, FailedToolCall, RecordedFrame, Reply, ThreadsafeEvent, ToolCall
from tests.client.client_variants import Front

ADD = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
NAMES = list(CallbackOptions.__annotations__)
# Called only while a request waits behind others: tests/client/test_model_resources.py.
WAITING = ("on_queue_progress",)
REPLY = Reply(
    "Hi there",
    tool_calls=[
        ToolCall("add", {"a": 1}, id="7", fragments=['{"a":', "1}"]),
        FailedToolCall("sub", "{", error="Bad", id="8"),
    ],
)


class OopsError(Exception):
    pass


def is_cancel(frame: RecordedFrame) -> bool:
    return bool(frame.message.get("type") == "channelSend" and frame.message["message"] == {"type": "cancel"})


def listeners(heard: list[Any], *, awaited: bool = False) -> dict[str, Any]:
    """A callback under every name but the synonym of ``on_progress``."""

    def listener(name: str) -> Any:
        async def on_it_awaited(*arguments: Any) -> None:
            await asyncio.sleep(0)
            heard.append((name, *arguments))

        return on_it_awaited if awaited else lambda *arguments: heard.append((name, *arguments))

    return {name: listener(name) for name in NAMES if name != "on_prompt_processing_progress"}


def check(heard: list[Any]) -> None:
    """That a load, two shares of progress and ``REPLY`` were heard."""
    names = [name for name, *_ in heard]
    loads = [item[1] for item in heard if item[0] == "on_load_progress"]
    assert loads[0] == 0.0
    assert loads[-1] == 1.0
    assert loads == sorted(loads)
    *rest, message = [item for item in heard if item[0] not in ("on_load_progress", "on_prediction_fragment")]
    *rest, failure = rest
    assert rest == [
        ("on_progress", 0.0),
        ("on_progress", 0.5),
        ("on_progress", 1.0),
        ("on_first_token",),
        ("on_tool_call_start", 0, "7"),
        ("on_tool_call_name", 0, "add"),
        ("on_tool_call_arguments", 0, '{"a":'),
        ("on_tool_call_arguments", 0, "1"),  # the last bracket waits for the parsed arguments (issue 11, C)
        ("on_tool_call_arguments", 0, "}"),
        ("on_tool_call_end", 0, ToolCallRequest(id="7", name="add", arguments={"a": 1})),
        ("on_tool_call_start", 1, "8"),
        ("on_tool_call_name", 1, "sub"),
        ("on_tool_call_arguments", 1, "{"),
    ]
    assert failure[0] == "on_tool_call_failed"
    assert (failure[1], failure[2].error.title) == (1, "Bad")
    assert message[0] == "on_message"
    assert [part.type for part in message[1].content] == ["text", "toolCallRequest"]
    assert message[1].content[0].text == "Hi there"
    fragments = [item[1] for item in heard if item[0] == "on_prediction_fragment"]
    assert "".join(map(str, fragments)) == "Hi there"
    assert names.index("on_first_token") == names.index("on_prediction_fragment") - 1


def test_each_callback_gets_its_events(front: Front, lmstudio_emulator: Emulator) -> None:
    heard: list[Any] = []
    lmstudio_emulator.script(REPLY)
    front.llm = front.client.llm.just_in_time("emulator/chat-2")  # which has to be loaded first
    front.respond(tools=[ADD, {"name": "sub"}], **listeners(heard))
    check(heard)
    assert {name for name, *_ in heard} == set(NAMES) - {"on_prompt_processing_progress", *WAITING}


async def test_callbacks_of_the_async_client_may_be_coroutine_functions(lmstudio_emulator: Emulator) -> None:
    heard: list[Any] = []
    lmstudio_emulator.script(REPLY)
    async with AsyncClient(lmstudio_emulator.url) as client:
        handle = client.llm.just_in_time("emulator/chat-2")
        await handle.respond("Hi", tools=[ADD, {"name": "sub"}], **listeners(heard, awaited=True))
    check(heard)


def test_iteration_and_events_call_the_callbacks(front: Front, lmstudio_emulator: Emulator) -> None:
    for read in (front.fragments, front.events):
        heard: list[Any] = []
        lmstudio_emulator.script(Reply("Hi there"))
        read(**listeners(heard))
        names = [name for name, *_ in heard]
        assert names.count("on_first_token") == 1
        assert names.count("on_message") == 1
        assert names.count("on_prediction_fragment") == 2
        assert names.count("on_progress") == 3


def test_on_prompt_processing_progress_equals_on_progress(front: Front, lmstudio_emulator: Emulator) -> None:
    heard: list[float] = []
    front.respond(on_prompt_processing_progress=heard.append)
    assert heard[0] == 0.0
    assert heard[-1] == 1.0
    with pytest.raises(LMStudioValueError, match="two names"):
        front.respond(on_progress=print, on_prompt_processing_progress=print)


def test_on_first_token_is_called_for_a_tool_call(front: Front, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(tool_calls=[ToolCall("add", {"a": 1}), ToolCall("add", {"a": 1})]))
    heard: list[str] = []
    front.respond(
        tools=[ADD],
        on_first_token=lambda: heard.append("first"),
        on_tool_call_start=lambda index, _: heard.append(f"call {index}"),
    )
    assert heard == ["first", "call 0", "call 1"]


def test_callbacks_run_on_the_reading_thread(front: Front, lmstudio_emulator: Emulator) -> None:
    threads: set[int] = set()
    lmstudio_emulator.script(REPLY)
    every = {
        name: lambda *_: threads.add(threading.get_ident()) for name in NAMES if name != "on_prompt_processing_progress"
    }
    front.respond(tools=[ADD, {"name": "sub"}], **every)
    front.do("llm.model", "emulator/chat-2", on_load_progress=lambda _: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("on_load_progress", *WAITING)])
def test_error_in_a_callback_is_raised_to_the_caller(front: Front, lmstudio_emulator: Emulator, name: str) -> None:
    def raising(*_: Any) -> None:
        raise OopsError(name)

    lmstudio_emulator.script(REPLY, Reply("next"))
    with pytest.raises(OopsError, match=name):
        front.respond(tools=[ADD, {"name": "sub"}], **{name: raising})
    assert front.respond().content == "next"


def test_error_in_a_load_callback_is_raised_and_cancels_the_load(front: Front, lmstudio_emulator: Emulator) -> None:
    def raising(progress: float) -> None:
        raise OopsError

    lmstudio_emulator.load_hold = ThreadsafeEvent()
    with pytest.raises(OopsError):
        front.do("llm.model", "emulator/chat-2", on_load_progress=raising)
    lmstudio_emulator.wait_for(is_cancel)
    lmstudio_emulator.load_hold = None
    assert front.respond().content


def test_error_in_a_callback_cancels_only_its_own_prediction(lmstudio_emulator: Emulator) -> None:
    def raising(*_: Any) -> None:
        raise OopsError

    gate = ThreadsafeEvent()
    lmstudio_emulator.script(Reply("one two", hold=gate), Reply("three four", hold=ThreadsafeEvent()))
    with Client(lmstudio_emulator.url) as client:
        model = client.llm.model("emulator/chat")
        neighbour = model.respond_stream("Hi")
        reading = iter(neighbour)
        assert str(next(reading)) == "one"
        with pytest.raises(OopsError):
            model.respond("Hi", on_prediction_fragment=raising)
        lmstudio_emulator.wait_for(is_cancel)
        gate.set()
        assert neighbour.result().content == "one two"
        assert neighbour.result().stats.stop_reason == "eosFound"


@pytest.mark.parametrize("name", NAMES)
def test_callback_that_is_not_callable_is_refused_at_once(front: Front, lmstudio_emulator: Emulator, name: str) -> None:
    with pytest.raises(LMStudioValueError, match=name):
        front.respond(**{name: "print"})
    assert not lmstudio_emulator.requests


def test_load_callback_that_is_not_callable_is_refused_at_once(front: Front, lmstudio_emulator: Emulator) -> None:
    with pytest.raises(LMStudioValueError, match="on_load_progress"):
        front.do("llm.model", "emulator/chat-2", on_load_progress=5)
    assert not lmstudio_emulator.requests


async def never_awaited(*_: Any) -> None:
    raise AssertionError


class NeverAwaited:
    """A callable whose call is a coroutine."""

    async def __call__(self, *_: Any) -> None:
        raise AssertionError


@pytest.mark.parametrize("callback", [never_awaited, functools.partial(never_awaited, 1), NeverAwaited()])
def test_blocking_call_refuses_a_coroutine_function(lmstudio_emulator: Emulator, callback: Any) -> None:
    with Client(lmstudio_emulator.url) as client:
        model = client.llm.just_in_time("emulator/chat")
        for name in NAMES:
            option: Any = {name: callback}
            with pytest.raises(LMStudioValueError, match="AsyncClient"):
                model.respond_stream("Hi", **option)
        with pytest.raises(LMStudioValueError, match="AsyncClient"):
            client.llm.model("emulator/chat-2", on_load_progress=callback)
    assert not lmstudio_emulator.requests


def test_load_calls_of_packets_are_one_for_each_new_progress() -> None:
    take_calls = load_calls(print, blocking=True)
    packets: list[Any] = [{"type": "resolved"}, {"type": "startLoading"}]
    packets += [{"type": "loadProgress", "progress": progress} for progress in (0, 0.5, 0.5, 1, "?")]
    assert [call for packet in packets for call in take_calls(packet)] == [
        (print, (progress,)) for progress in (0.0, 0.5, 1.0)
    ]
    assert load_calls(None, blocking=True)({"type": "startLoading"}) == ()


def test_download_calls_of_packets_are_reports_and_the_end() -> None:
    take_calls = download_calls(print, repr, blocking=True)
    update = {"downloadedBytes": 5, "totalBytes": 9, "speedBytesPerSecond": 2.0}
    ((callback, (report,)),) = take_calls({"type": "downloadProgress", "update": update})
    assert (callback, report.downloaded_bytes) == (print, 5)
    assert take_calls({"type": "startFinalizing"}) == ((repr, ()),)
    assert take_calls({"type": "downloadProgress", "update": "?"}) == ()
    assert download_calls(print, None, blocking=True)({"type": "startFinalizing"}) == ()


def test_missing_callbacks_are_none(front: Front) -> None:
    assert front.respond(**dict.fromkeys(NAMES)).content
