"""What goes wrong: each failure has its error, what had come is kept, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import (
    LMStudioCancelledError,
    LMStudioContextOverflowError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioIncompleteError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
    LMStudioServerError,
    LMStudioServerNotFoundError,
    LMStudioTimeoutError,
)
from lmstudio_integrations.llama_index import CancelToken, LMStudio
from tests.llama_index.conftest import Collected
from tests.sent_requests import cancels, creations
from tests.time_limits import SURE_TO_EXPIRE

ASK = [ChatMessage(role="user", content="Hello?")]
FOUR = Reply(fragments=["one ", "two ", "three ", "four"])


def drain(stream: Any, seen: list[str]) -> None:
    for response in stream:
        seen.append(response.delta)  # noqa: PERF401  # what came before an error is the point


async def adrain(stream: Any, seen: list[str]) -> None:
    async for response in stream:
        seen.append(response.delta)  # noqa: PERF401  # the same


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("drop", LMStudioDisconnectedError),
        ("error_mid_stream", LMStudioServerError),
        ("unloaded", LMStudioModelUnloadedError),
    ],
)
def test_stream_error_is_raised_after_the_received_responses(
    server: Emulator, llm: LMStudio, events: Collected, fault: str, error: type[LMStudioError]
) -> None:
    server.script(FOUR)
    server.faults.add(fault, after=2)
    seen: list[str] = []
    with pytest.raises(error) as caught:
        drain(llm.stream_chat(ASK), seen)
    assert seen == ["one ", "two "]
    assert caught.value.partial.content == "one two "
    assert len(events.of("ExceptionEvent")) == 1
    assert events.of("LLMChatEndEvent") == events.of("PredictionStatsEvent") == []


@pytest.mark.parametrize(
    ("stop_reason", "error"), [("modelUnloaded", LMStudioModelUnloadedError), ("failed", LMStudioServerError)]
)
def test_failed_stop_reason_raises_with_the_partial_answer(
    server: Emulator, llm: LMStudio, events: Collected, stop_reason: str, error: type[LMStudioError]
) -> None:
    server.script(*[Reply("one two", stop_reason=stop_reason)] * 2)
    with pytest.raises(error) as caught:
        llm.chat(ASK)
    assert caught.value.partial.content == "one two"
    seen: list[str] = []
    with pytest.raises(error):
        drain(llm.stream_chat(ASK), seen)
    assert "".join(seen) == "one two"
    assert events.of("PredictionStatsEvent") == []


@pytest.mark.parametrize("fault", ["drop", "error_mid_stream", "unloaded"])
async def test_failed_stop_reason_raises_in_async_methods(server: Emulator, llm: LMStudio, fault: str) -> None:
    server.script(FOUR)
    server.faults.add(fault, after=2)
    seen: list[str] = []
    with pytest.raises(LMStudioError) as caught:
        await adrain(await llm.astream_chat(ASK), seen)
    assert seen == ["one ", "two "]
    assert caught.value.partial.content == "one two "


@pytest.mark.parametrize("method", ["chat", "complete"])
def test_incomplete_answer_raises_with_the_partial_answer(server: Emulator, llm: LMStudio, method: str) -> None:
    server.script(FOUR)
    server.faults.add("no_success")
    with pytest.raises(LMStudioIncompleteError) as caught:
        getattr(llm, method)(ASK if method == "chat" else "Hello?")
    assert caught.value.partial.content == "one two three four"


def test_connection_lost_before_the_answer_is_retried(server: Emulator, llm: LMStudio) -> None:
    llm.chat(ASK)
    server.drop_connections()
    server.script(Reply("Here again."))
    assert llm.chat(ASK).message.content == "Here again."


def drops_before_an_answer(server: Emulator, times: int) -> None:
    """The next predictions lose their socket before the first packet."""
    server.script(*[Reply("At last.", progress=())] * 4)
    server.faults.add("drop", times=times)


def test_request_is_sent_again_until_it_is_answered(server: Emulator) -> None:
    drops_before_an_answer(server, 3)
    llm = LMStudio(model="emulator/chat", base_url=server.url, max_retries=3)
    assert llm.chat(ASK).message.content == "At last."
    assert len(creations(server)) == 4


@pytest.mark.parametrize("max_retries", [0, 2])
def test_unanswered_request_is_sent_max_retries_plus_one_times(server: Emulator, max_retries: int) -> None:
    drops_before_an_answer(server, 4)
    with pytest.raises(LMStudioDisconnectedError):
        LMStudio(model="emulator/chat", base_url=server.url, max_retries=max_retries).chat(ASK)
    assert len(creations(server)) == max_retries + 1


def test_started_prediction_is_never_repeated(server: Emulator) -> None:
    server.script(FOUR)
    server.faults.add("drop", after=1)
    llm = LMStudio(model="emulator/chat", base_url=server.url, max_retries=5)
    with pytest.raises(LMStudioDisconnectedError):
        llm.chat(ASK)
    assert len(creations(server)) == 1


def test_prompt_processing_counts_as_started(server: Emulator) -> None:
    server.script(Reply("x", progress=(0.0, 0.5, 1.0)))
    server.faults.add("drop")
    with pytest.raises(LMStudioDisconnectedError):
        LMStudio(model="emulator/chat", base_url=server.url, max_retries=5).chat(ASK)
    assert len(creations(server)) == 1


LONG = [ChatMessage(role="user", content="word " * 5000)]


def test_context_overflow_has_needed_and_available_tokens(server: Emulator, llm: LMStudio) -> None:
    with pytest.raises(LMStudioContextOverflowError) as caught:
        llm.chat(LONG)
    assert caught.value.available == 4096
    assert caught.value.needed is not None
    assert caught.value.needed > 5000


async def drained(llm: LMStudio, method: str) -> None:
    if method == "achat":
        await llm.achat(LONG)
    else:
        list(llm.stream_chat(LONG))


@pytest.mark.parametrize("method", ["stream_chat", "achat"])
async def test_check_context_raises_before_a_prediction(server: Emulator, method: str) -> None:
    llm = LMStudio(model="emulator/chat", base_url=server.url, check_context=True)
    with pytest.raises(LMStudioContextOverflowError) as caught:
        await drained(llm, method)
    assert caught.value.needed == llm.count_tokens(LONG)
    assert caught.value.available == 4096
    assert creations(server) == []
    assert llm.chat(ASK).message.content


def test_unknown_model_raises_and_is_named(server: Emulator) -> None:
    with pytest.raises(LMStudioModelNotFoundError, match="nobody/nothing"):
        LMStudio(model="nobody/nothing", base_url=server.url).chat(ASK)


def test_connection_error_names_the_address(server: Emulator) -> None:
    url = server.url
    server.stop()
    with pytest.raises(LMStudioServerNotFoundError) as caught:
        LMStudio(model="m", base_url=url).chat(ASK)
    assert str(server.port) in str(caught.value)


@pytest.mark.parametrize("fault", ["silent", "stall"])
def test_timeout_raises_and_cancels(server: Emulator, llm: LMStudio, fault: str) -> None:
    llm.chat(ASK)  # without the limit, so that the model is known to be loaded
    server.script(Reply("one two", progress=()))
    server.faults.add(fault)
    limited = LMStudio(model="emulator/chat", base_url=server.url, timeout={"first_packet": SURE_TO_EXPIRE})
    with pytest.raises(LMStudioTimeoutError) as caught:
        limited.chat(ASK)
    assert caught.value.limit == "first_packet"
    server.wait_until(lambda: cancels(server) == 1)


def test_timeout_of_a_call_applies_to_that_call(server: Emulator, llm: LMStudio) -> None:
    llm.chat(ASK)  # without the limit, so that the model is known to be loaded
    server.faults.add("silent")
    with pytest.raises(LMStudioTimeoutError):
        llm.chat(ASK, timeout={"first_packet": SURE_TO_EXPIRE})
    assert llm.chat(ASK).message.content


@pytest.mark.parametrize("fault", ["unknown_packet", "garbage", "extra_fields", "missing_new_fields", "unknown_enum"])
def test_unknown_and_missing_packets_are_tolerated(server: Emulator, llm: LMStudio, fault: str) -> None:
    server.script(FOUR)
    server.faults.add(fault, after=1)
    assert llm.chat(ASK).message.content == "one two three four"


# Leaving early


def held(server: Emulator) -> ThreadsafeEvent:
    gate = ThreadsafeEvent()
    server.script(Reply(fragments=["one ", "two ", "three "], hold=gate, hold_after=2))
    return gate


def test_break_out_of_a_stream_cancels(server: Emulator, llm: LMStudio) -> None:
    held(server)
    for response in llm.stream_chat(ASK):
        if response.delta == "two ":
            break
    gc.collect()
    server.wait_until(lambda: cancels(server) == 1)


def test_close_of_a_stream_cancels(server: Emulator, llm: LMStudio) -> None:
    held(server)
    stream = llm.stream_chat(ASK)
    next(stream)
    stream.close()
    server.wait_until(lambda: cancels(server) == 1)


async def test_aclose_of_a_stream_cancels(server: Emulator, llm: LMStudio) -> None:
    held(server)
    stream = await llm.astream_chat(ASK)
    await anext(stream)
    await stream.aclose()
    del stream
    await asyncio.to_thread(server.wait_until, lambda: cancels(server) == 1)


@pytest.mark.parametrize("method", ["achat", "astream_chat"])
async def test_task_cancellation_cancels(server: Emulator, llm: LMStudio, method: str) -> None:
    gate = held(server)

    async def work() -> None:
        outcome = await getattr(llm, method)(ASK)
        if method == "astream_chat":
            await adrain(outcome, [])

    task = asyncio.create_task(work())
    two = "two "
    await asyncio.to_thread(server.wait_for_sent, lambda frame: two in str(frame.message))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_until, lambda: cancels(server) == 1)
    gate.set()


def test_cancel_token_cancels_a_stream_from_another_thread(server: Emulator, llm: LMStudio) -> None:
    held(server)
    stop = CancelToken()
    seen = []
    for response in llm.stream_chat(ASK, cancel=stop):
        seen.append(response)
        if response.delta == "two ":
            thread = threading.Thread(target=stop.cancel)
            thread.start()
            thread.join()
    assert seen[-1].message.content == "one two "
    assert seen[-1].raw["finish_reason"] == "cancelled"
    assert seen[-1].raw["stats"]["stop_reason"] == "userStopped"


async def test_cancel_token_cancels_an_async_stream_from_another_task(server: Emulator, llm: LMStudio) -> None:
    held(server)
    stop = CancelToken()
    seen = []
    async for response in await llm.astream_chat(ASK, cancel=stop):
        seen.append(response)
        if response.delta == "two ":
            asyncio.get_running_loop().call_soon(stop.cancel)
    assert seen[-1].raw["finish_reason"] == "cancelled"


def test_used_cancel_token_cancels_a_call_before_it_starts(server: Emulator, llm: LMStudio) -> None:
    stop = CancelToken()
    stop.cancel()
    assert stop.cancelled
    with pytest.raises(LMStudioCancelledError):
        llm.chat(ASK, cancel=stop)
