"""Every way to leave an answer before its end reaches the server as a cancel, and none of them waits for it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import aclosing, suppress

import pytest

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.client.aio import AsyncLLM
from lmstudio_integrations.client.sync import LLM
from lmstudio_integrations.client.transport.thread import io_thread
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioCancelledError, LMStudioDisconnectedError
from tests.client.failure_modes.frame_builders import (
    CHAT,
    cancelled,
    cancels,
    connections,
    opens,
    requests,
    unfinished_tasks,
    wait_for_predictions,
)

_ENDLESS = "word " * 1000


@pytest.fixture
def model(server: Emulator, client: Client) -> LLM:
    """A model whose next answer stops after two fragments, unless it is cancelled."""
    server.script(Reply(_ENDLESS, hold=ThreadsafeEvent(), hold_after=2))
    return client.llm.just_in_time(CHAT)


@pytest.fixture
async def awaiting(server: Emulator) -> AsyncIterator[AsyncLLM]:
    server.script(Reply(_ENDLESS, hold=ThreadsafeEvent(), hold_after=2))
    async with AsyncClient(server.url) as client:
        yield client.llm.just_in_time(CHAT)


def test_break_cancels_and_the_result_is_partial(server: Emulator, model: LLM) -> None:
    stream = model.respond_stream("hi")
    for _ in stream:
        break
    cancelled(server)
    result = stream.result()
    assert result.stats.stop_reason == "userStopped"
    assert result.content.strip() == "word word"


def test_break_in_events_cancels(server: Emulator, model: LLM) -> None:
    stream = model.respond_stream("hi")
    for _ in stream.events():
        break
    cancelled(server)


def test_error_in_the_consumer_cancels(server: Emulator, model: LLM) -> None:
    with pytest.raises(ZeroDivisionError):
        for fragment in model.respond_stream("hi"):
            _ = len(fragment.content) / 0
    cancelled(server)


@pytest.mark.parametrize("name", ["on_first_token", "on_progress", "on_prediction_fragment"])
def test_error_in_a_callback_cancels_and_is_raised(server: Emulator, model: LLM, name: str) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        model.respond("hi", **{name: fail})  # type: ignore[call-overload]
    cancelled(server)
    assert model.respond("hi").content


def test_leaving_a_with_block_cancels(server: Emulator, model: LLM) -> None:
    with model.respond_stream("hi") as stream:
        words = iter(stream)  # kept, as letting go of it would be a cancel, too
        next(words)
    cancelled(server)
    with pytest.raises(LMStudioCancelledError):
        stream.result()


def test_close_before_the_first_read_cancels(server: Emulator, model: LLM) -> None:
    stream = model.respond_stream("hi")
    wait_for_predictions(server)
    stream.close()
    stream.close()
    cancelled(server)
    with pytest.raises(LMStudioCancelledError):
        stream.result()
    with pytest.raises(LMStudioCancelledError):
        stream.result()


def test_cancel_from_another_thread_ends_a_blocked_result(server: Emulator, model: LLM) -> None:
    stream = model.respond_stream("hi")
    wait_for_predictions(server)
    canceller = threading.Thread(target=stream.cancel)
    canceller.start()
    assert stream.result().stats.stop_reason == "userStopped"
    canceller.join()
    assert len(cancels(server)) == 1


def test_cancel_from_a_callback_ends_the_result(server: Emulator, model: LLM) -> None:
    def stop() -> None:
        stream.cancel()

    stream = model.respond_stream("hi", on_first_token=stop)
    assert stream.result().stats.stop_reason == "userStopped"


def test_repeated_cancels_send_one_cancel(server: Emulator, model: LLM) -> None:
    stream = model.respond_stream("hi")
    wait_for_predictions(server)
    for _ in range(5):
        stream.cancel()
    stream.close()
    cancelled(server)
    assert model.tokenize("text")  # everything that was posted before has gone out
    assert len(cancels(server)) == 1


def test_cancel_right_after_the_start_ends_each_of_twenty_predictions(server: Emulator, model: LLM) -> None:
    server.script(*(Reply(_ENDLESS, hold=ThreadsafeEvent(), hold_after=2) for _ in range(20)))
    for _ in range(20):
        stream = model.respond_stream("hi")
        stream.cancel()
        with suppress(LMStudioCancelledError):
            assert stream.result().stats.stop_reason == "userStopped"
    for opening in requests(server, "predict"):
        cancelled(server, opening)


def test_cancel_after_the_end_does_nothing(server: Emulator, client: Client) -> None:
    stream = client.llm.model(CHAT).respond_stream("hi")
    assert stream.result().content
    stream.cancel()
    stream.close()
    assert client.llm.just_in_time(CHAT).tokenize("text")
    assert cancels(server) == []
    assert stream.result().content


def test_cancel_between_final_packet_and_close_is_not_sent(server: Emulator, client: Client) -> None:
    """LM Studio would warn of it, and the socket would be replaced for nothing."""
    late = server.faults.add("late_close")
    stream = client.llm.model(CHAT).respond_stream("hi")
    assert stream.result().content
    late.wait_hit()
    stream.cancel()
    assert client.llm.just_in_time(CHAT).tokenize("text")
    assert cancels(server) == []


def test_cancelled_prediction_is_not_retried_on_a_new_socket(server: Emulator, client: Client) -> None:
    model = client.llm.model(CHAT)
    server.script(Reply("lost", progress=(), hold=ThreadsafeEvent(), hold_after=0))
    server.faults.add("stall")
    stream = model.respond_stream("hi")
    wait_for_predictions(server)
    stream.cancel()
    cancelled(server)
    server.drop_connections()
    with pytest.raises(LMStudioCancelledError):
        stream.result()
    assert model.tokenize("text")
    assert len(requests(server, "predict")) == 1


def test_unreferenced_stream_is_cancelled(server: Emulator, model: LLM) -> None:
    stream = model.respond_stream("hi")
    wait_for_predictions(server)
    del stream
    cancelled(server)


def test_stream_in_a_reference_cycle_is_cancelled_by_garbage_collection_on_any_thread(
    server: Emulator, model: LLM
) -> None:
    ring: list[object] = [model.respond_stream("hi")]
    ring.append(ring)
    wait_for_predictions(server)
    del ring
    collector = threading.Thread(target=gc.collect)
    collector.start()
    collector.join()
    cancelled(server)


def test_unreferenced_half_read_stream_is_cancelled(server: Emulator, model: LLM) -> None:
    fragments = iter(model.respond_stream("hi"))
    assert next(fragments).content
    del fragments
    cancelled(server)


async def test_break_in_async_for_cancels(server: Emulator, awaiting: AsyncLLM) -> None:
    stream = await awaiting.respond_stream("hi")
    async for _ in stream:
        break
    await asyncio.to_thread(cancelled, server)
    assert (await stream.result()).stats.stop_reason == "userStopped"


async def test_aclosing_an_iterator_cancels(server: Emulator, awaiting: AsyncLLM) -> None:
    stream = await awaiting.respond_stream("hi")
    async with aclosing(stream.events()) as events:  # type: ignore[type-var]
        async for _ in events:
            break
    await asyncio.to_thread(cancelled, server)


async def test_aclosing_a_stream_cancels(server: Emulator, awaiting: AsyncLLM) -> None:
    async with aclosing(await awaiting.respond_stream("hi")) as stream:
        await anext(aiter(stream))
    await asyncio.to_thread(cancelled, server)
    with pytest.raises(LMStudioCancelledError):
        await stream.result()


async def test_leaving_an_async_with_block_cancels(server: Emulator, awaiting: AsyncLLM) -> None:
    async with await awaiting.respond_stream("hi") as stream:
        await anext(aiter(stream))
    await asyncio.to_thread(cancelled, server)


async def test_cancelling_the_reading_task_cancels(server: Emulator, awaiting: AsyncLLM) -> None:
    reading = asyncio.create_task(awaiting.respond("hi"))
    await asyncio.to_thread(wait_for_predictions, server)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.to_thread(cancelled, server)


async def test_asyncio_timeout_cancels(server: Emulator, awaiting: AsyncLLM) -> None:
    async def expire(limit: asyncio.Timeout) -> None:
        await asyncio.to_thread(wait_for_predictions, server)
        limit.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as tasks:
            tasks.create_task(expire(limit))
            await awaiting.respond("hi")
    await asyncio.to_thread(cancelled, server)


async def test_cancel_from_another_task_ends_an_awaited_result(server: Emulator, awaiting: AsyncLLM) -> None:
    stream = await awaiting.respond_stream("hi")
    result = asyncio.create_task(stream.wait_for_result())
    await asyncio.to_thread(wait_for_predictions, server)
    stream.cancel()
    assert (await result).stats.stop_reason == "userStopped"


async def test_cancel_from_another_thread_ends_an_awaited_result(server: Emulator, awaiting: AsyncLLM) -> None:
    stream = await awaiting.respond_stream("hi")
    result = asyncio.create_task(stream.wait_for_result())
    await asyncio.to_thread(wait_for_predictions, server)
    await asyncio.to_thread(stream.cancel)
    assert (await result).stats.stop_reason == "userStopped"


async def test_unreferenced_async_stream_is_cancelled_on_any_thread(server: Emulator, awaiting: AsyncLLM) -> None:
    ring: list[object] = [await awaiting.respond_stream("hi")]
    ring.append(ring)
    await asyncio.to_thread(wait_for_predictions, server)
    del ring
    await asyncio.to_thread(gc.collect)
    await asyncio.to_thread(cancelled, server)


def test_half_read_stream_is_cancelled_when_its_loop_closes(server: Emulator) -> None:
    server.script(Reply(_ENDLESS, hold=ThreadsafeEvent(), hold_after=2))
    left: list[object] = []

    async def main() -> None:
        stream = await AsyncClient(server.url).llm.just_in_time(CHAT).respond_stream("hi")
        fragments = aiter(stream)
        await anext(fragments)
        left.extend((stream, fragments))

    asyncio.run(main())
    left.clear()
    cancelled(server)


def test_stream_is_cancelled_when_its_loop_is_closed_by_force(server: Emulator) -> None:
    """Without asyncio.run nothing shuts the generators down: the stream's own finalizer has to do it."""
    server.script(Reply(_ENDLESS, hold=ThreadsafeEvent(), hold_after=2))
    left: list[object] = []

    async def main() -> None:
        stream = await AsyncClient(server.url).llm.just_in_time(CHAT).respond_stream("hi")
        fragments = aiter(stream)
        await anext(fragments)
        left.extend((stream, fragments))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    left.clear()
    gc.collect()
    cancelled(server)


async def test_cancelled_call_leaves_the_socket_open_for_others(server: Emulator) -> None:
    async with AsyncClient(server.url) as client:
        model = await client.llm.model(CHAT)
        stall = server.faults.add("stall", endpoint="tokenize")
        call = asyncio.create_task(model.tokenize("text"))
        await asyncio.to_thread(server.wait_for, opens("tokenize"))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await model.count_tokens("two words")
        stall.release()
        assert await model.tokenize("text")
    assert len({frame.connection for frame in server.requests}) == 1


async def test_cancelled_call_leaves_nothing_on_the_io_thread(server: Emulator) -> None:
    async with AsyncClient(server.url) as client:
        model = await client.llm.model(CHAT)
        server.faults.add("silent", endpoint="tokenize")
        call = asyncio.create_task(model.tokenize("text"))
        await asyncio.to_thread(server.wait_for, opens("tokenize"))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await model.count_tokens("two words")
        assert connections(server.url)["llm"].multiplexer.open_calls == 0


def test_future_cancelled_while_its_task_fails_logs_nothing() -> None:
    known = threading.Event()
    futures: list[Future[None]] = []

    async def fail() -> None:
        known.wait(5)
        futures.pop().cancel()
        raise ZeroDivisionError

    futures.append(io_thread().submit(fail()))
    known.set()
    assert unfinished_tasks() == []
    assert futures == []


def test_cancelled_embeddings_do_not_affect_later_ones(server: Emulator, client: Client) -> None:
    model = client.embedding.model("emulator/embedding")
    server.faults.add("drop", endpoint="embedString", times=None)
    with pytest.raises(LMStudioDisconnectedError):
        model.embed([f"text {number}" for number in range(100)])
    server.faults.clear()
    texts = [f"text {number}" for number in range(100)]
    together = model.embed(texts)
    assert together[::33] == [model.embed(text) for text in texts[::33]]
