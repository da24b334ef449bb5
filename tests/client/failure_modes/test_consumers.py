"""Readers that stop, loops that block, and two hundred streams at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.client.sync import PredictionStream
from lmstudio_integrations.client.transport.mailbox import AsyncMailbox
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import (
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioServerError,
    LMStudioValueError,
)
from tests.client.failure_modes.frame_builders import CHAT, cancelled, caught, fragments_sent, wait_for_predictions


def test_stopped_reader_does_not_block_other_streams(server: Emulator, client: Client) -> None:
    text = "word " * 6_000
    server.script(Reply(text), Reply("One two three"))
    model = client.llm.model(CHAT)
    slow = model.respond_stream("hi")
    fragments = iter(slow)
    first = next(fragments).content
    # All of it has been sent and taken off the socket, though nothing reads it.
    server.wait_for_sent(lambda frame: frame.message.get("type") == "channelClose", timeout=30)
    assert model.respond("hi").content == "One two three"
    assert model.tokenize("text")
    assert first + "".join(map(str, fragments)) == text


async def test_stopped_async_reader_does_not_block_other_streams(server: Emulator) -> None:
    text = "word " * 6_000
    server.script(Reply(text), Reply("One two three"))
    async with AsyncClient(server.url) as client:
        model = await client.llm.model(CHAT)
        slow = await model.respond_stream("hi")
        fragments = aiter(slow)
        first = (await anext(fragments)).content
        assert (await model.respond("hi")).content == "One two three"
        assert first + "".join([fragment.content async for fragment in fragments]) == text


async def test_blocked_event_loop_does_not_stop_the_reception(server: Emulator) -> None:
    """The loop is blocked until the server has sent all, which it could not if nothing read."""
    text = "word " * 6_000
    server.script(Reply(text))
    async with AsyncClient(server.url) as client:
        model = await client.llm.model(CHAT)
        stream = await model.respond_stream("hi")
        server.wait_for_sent(lambda frame: frame.message.get("type") == "channelClose", timeout=30)  # blocks this loop
        assert (await stream.result()).content == text


def test_client_works_in_consecutive_asyncio_runs(server: Emulator) -> None:
    client = AsyncClient(server.url)
    model = client.llm.just_in_time(CHAT)

    async def ask() -> str:
        return (await model.respond("hi")).content

    for _ in range(3):
        assert asyncio.run(ask())
    assert len({frame.connection for frame in server.requests}) == 1


def test_client_works_in_event_loops_of_several_threads_at_once(server: Emulator) -> None:
    client = AsyncClient(server.url)
    model = client.llm.just_in_time(CHAT)

    async def ask() -> list[str]:
        return [result.content for result in await asyncio.gather(*(model.respond("hi") for _ in range(5)))]

    with ThreadPoolExecutor(8) as pool:
        answers = [future.result() for future in [pool.submit(asyncio.run, ask()) for _ in range(8)]]
    assert all(len(contents) == 5 and all(contents) for contents in answers)


@pytest.mark.parametrize("complete", [False, True], ids=["incomplete", "complete"])
def test_stream_read_in_another_loop_raises_and_says_what_to_do(server: Emulator, complete: bool) -> None:
    """Whether the answer has arrived already or not, so that a slow model does not decide about it."""
    gate = ThreadsafeEvent()
    server.script(Reply("One two three", hold=gate, hold_after=1))
    if complete:
        gate.set()
    stream = asyncio.run(AsyncClient(server.url).llm.just_in_time(CHAT).respond_stream("hi"))
    fragments_sent(server, 3 if complete else 1)
    for read in (stream.wait_for_result, lambda: anext(aiter(stream)), lambda: anext(stream.events())):
        with pytest.raises(LMStudioValueError, match=r"another one: make and read it within one asyncio\.run"):
            asyncio.run(_awaited(read))
    stream.close()


async def _awaited(read: Callable[[], Any]) -> Any:
    return await read()


def test_iterator_continued_in_another_loop_raises_and_cancels(server: Emulator) -> None:
    server.script(Reply("One two three", hold=ThreadsafeEvent(), hold_after=1, progress=()))
    first = asyncio.new_event_loop()

    async def start() -> Any:
        fragments = aiter(await AsyncClient(server.url).llm.just_in_time(CHAT).respond_stream("hi"))
        assert str(await anext(fragments)) == "One"
        return fragments

    fragments = first.run_until_complete(start())
    with pytest.raises(LMStudioValueError, match="another one: make and read it"):
        asyncio.run(_awaited(lambda: anext(fragments)))
    cancelled(server)
    first.run_until_complete(first.shutdown_asyncgens())
    first.close()


def test_result_of_an_ended_async_stream_is_there_in_every_loop(server: Emulator) -> None:
    async def start() -> Any:
        stream = await AsyncClient(server.url).llm.just_in_time(CHAT).respond_stream("hi")
        await stream.wait_for_result()
        return stream

    stream = asyncio.run(start())
    assert asyncio.run(_awaited(stream.wait_for_result)).content == stream.result().content


_AWAITING_CALLS: dict[str, Callable[[AsyncClient], Any]] = {
    "respond": lambda client: client.llm.just_in_time("emulator/chat").respond("Hi"),
    "respond_stream": lambda client: client.llm.just_in_time("emulator/chat").respond_stream("Hi"),
    "act": lambda client: client.llm.just_in_time("emulator/chat").act("Hi", [len]),
    "count_tokens": lambda client: client.llm.just_in_time("emulator/chat").count_tokens("Hi"),
    "model": lambda client: client.llm.model("emulator/chat"),
    "embed": lambda client: client.embedding.just_in_time("emulator/embedding").embed("Hi"),
    "list_loaded": lambda client: client.llm.list_loaded(),
    "prepare_image": lambda client: client.files.prepare_image(b"GIF89a"),
    "close": lambda client: client.close(),
}


@pytest.mark.parametrize("call", _AWAITING_CALLS.values(), ids=_AWAITING_CALLS)
def test_async_client_without_an_asyncio_loop_says_what_to_use(
    server: Emulator, call: Callable[[AsyncClient], Any]
) -> None:
    coroutine = call(AsyncClient(server.url))
    with pytest.raises(LMStudioError, match=r"no event loop of asyncio.*trio\.to_thread"):
        coroutine.send(None)  # as trio runs it


async def test_blocking_client_works_in_a_thread_with_a_running_loop(server: Emulator) -> None:
    """As in a notebook, or in a callback of a framework."""
    with Client(server.url) as client:
        assert client.llm.model(CHAT).respond("hi").content


def test_two_hundred_streams_of_fifty_threads_and_a_loop_receive_only_their_own_text(server: Emulator) -> None:
    words = {number: f"number {number} " * 5 for number in range(200)}

    def ask(client: Client, number: int) -> str:
        return client.llm.just_in_time(CHAT).respond(words[number]).content

    async def ask_all(url: str) -> list[str]:
        client = AsyncClient(url)
        model = client.llm.just_in_time(CHAT)
        results = await asyncio.gather(*(model.respond(words[100 + number]) for number in range(100)))
        return [result.content for result in results]

    client = Client(server.url)
    with ThreadPoolExecutor(50) as pool, ThreadPoolExecutor(1) as loop:
        awaiting = loop.submit(asyncio.run, ask_all(server.url))
        blocking = [pool.submit(ask, client, number) for number in range(100)]
        answers = [future.result(60) for future in blocking] + awaiting.result(60)
    # The emulator's default reply repeats what was said.
    assert all(words[number].strip() in answer for number, answer in enumerate(answers))
    assert len({frame.connection for frame in server.requests}) == 1


def test_threads_waiting_for_one_stream_all_get_its_end(server: Emulator, client: Client) -> None:
    gate = ThreadsafeEvent()
    server.script(Reply("One two three", hold=gate))
    stream = client.llm.model(CHAT).respond_stream("hi")
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(stream.result())) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for_predictions(server)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert [result.content for result in results] == ["One two three"] * 4


def test_threads_waiting_for_one_stream_all_get_its_error(server: Emulator, client: Client) -> None:
    gate = ThreadsafeEvent()
    server.script(Reply("One two three", hold=gate))
    server.faults.add("error_mid_stream", after=3)
    stream = client.llm.model(CHAT).respond_stream("hi")
    errors: list[BaseException] = []
    threads = [threading.Thread(target=caught(errors, stream.result)) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert [type(error) for error in errors] == [LMStudioServerError] * 4


def test_failed_stream_read_again_raises_again(server: Emulator, client: Client) -> None:
    server.script(Reply("One two three", error="It broke", error_after=2))
    stream = client.llm.model(CHAT).respond_stream("hi")
    for read in (lambda: list(stream), lambda: list(stream), lambda: list(stream.events())):
        with pytest.raises(LMStudioServerError, match="It broke"):
            read()


async def test_failed_stream_read_by_two_tasks_raises_in_both(server: Emulator) -> None:
    server.script(Reply("One two three", error="It broke", error_after=2))

    async def read(stream: Any) -> list[str]:
        return [str(fragment) async for fragment in stream]

    async with AsyncClient(server.url) as client:
        stream = await client.llm.just_in_time(CHAT).respond_stream("hi")
        outcomes = await asyncio.gather(read(stream), read(stream), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LMStudioServerError] * 2


async def test_tasks_waiting_for_one_stream_all_get_its_end(server: Emulator) -> None:
    gate = ThreadsafeEvent()
    server.script(Reply("One two three", hold=gate))
    async with AsyncClient(server.url) as client:
        stream = await client.llm.just_in_time(CHAT).respond_stream("hi")
        waiting = [asyncio.create_task(stream.wait_for_result()) for _ in range(4)]
        await asyncio.to_thread(wait_for_predictions, server)
        gate.set()
        results = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert [result.content for result in results] == ["One two three"] * 4


async def test_cancelled_reader_leaves_the_remaining_packets_to_the_next() -> None:
    mailbox = AsyncMailbox(asyncio.get_running_loop())
    first = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    first.cancel()
    mailbox.put("a")
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await mailbox.get() == "a"


async def test_reader_cancelled_after_its_wake_up_was_scheduled_passes_it_on() -> None:
    mailbox = AsyncMailbox(asyncio.get_running_loop())
    first, second = asyncio.create_task(mailbox.get()), asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put("a")
    first.cancel()
    assert await asyncio.wait_for(second, 5) == "a"


async def test_item_put_between_check_and_wait_is_received() -> None:
    real = asyncio.get_running_loop()

    class Loop:
        """A loop on which another thread puts something just as the reader makes ready to wait."""

        def create_future(self) -> asyncio.Future[None]:
            mailbox.put("a")
            return real.create_future()

    mailbox = AsyncMailbox(Loop())  # type: ignore[arg-type]
    assert await asyncio.wait_for(mailbox.get(), 5) == "a"


async def test_mailbox_loses_nothing_between_threads() -> None:
    """Many short races between the look and the wait."""
    loop = asyncio.get_running_loop()
    mailbox = AsyncMailbox(loop)
    go = threading.Semaphore(0)

    def put() -> None:
        for number in range(5000):
            if number % 3 == 0:
                go.acquire(timeout=5)
            mailbox.put(number)

    thread = threading.Thread(target=put)
    thread.start()
    for number in range(5000):
        if number % 3 == 0:
            go.release()
        assert await asyncio.wait_for(mailbox.get(), 5) == number
    thread.join()


async def test_mailbox_of_a_closed_loop_accepts_items_without_an_error() -> None:
    loop = asyncio.new_event_loop()
    mailbox = AsyncMailbox(loop)
    mailbox._awaited = True
    loop.close()
    mailbox.put("a")
    assert list(mailbox.items) == ["a"]


def test_call_of_a_closed_loop_logs_nothing(server: Emulator) -> None:
    stall = server.faults.add("stall", endpoint="tokenize")
    loop = asyncio.new_event_loop()

    async def start() -> asyncio.Task[Any]:
        call = asyncio.ensure_future(AsyncClient(server.url).llm.just_in_time(CHAT).tokenize("text"))
        await asyncio.to_thread(stall.wait_hit)
        return call

    call = loop.run_until_complete(start())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    stall.release()
    assert Client(server.url).llm.just_in_time(CHAT).tokenize("text")
    call._log_destroy_pending = False  # type: ignore[attr-defined]  # that complaint would be asyncio's own, and right
    del call


def test_lost_socket_is_raised_in_a_reader_that_starts_later(server: Emulator, client: Client) -> None:
    server.script(Reply("One two three", hold=ThreadsafeEvent(), hold_after=2))
    stream: PredictionStream = client.llm.model(CHAT).respond_stream("hi")
    fragments_sent(server, 2)
    server.drop_connections()
    server.wait_until(lambda: server.connections == 0)
    read: list[str] = []
    errors: list[BaseException] = []
    caught(errors, lambda: read.extend(map(str, stream)))()
    assert len(read) == 2
    assert [type(error) for error in errors] == [LMStudioDisconnectedError]


def test_other_tasks_of_an_event_loop_run_beside_a_stream(server: Emulator) -> None:
    """The server goes on only when another task of the loop has set the event."""
    gate = ThreadsafeEvent()
    server.script(Reply("One two three", hold=gate, hold_after=1))

    async def main() -> str:
        async with AsyncClient(server.url) as client:
            reading = asyncio.create_task(client.llm.just_in_time(CHAT).respond("hi"))
            await asyncio.to_thread(fragments_sent, server, 1)
            gate.set()
            return (await reading).content

    assert asyncio.run(main()) == "One two three"
