"""Loads that several requests need at once, and loads that none needs any more."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmstudio_integrations import AsyncClient, Client, Timeout
from lmstudio_integrations.emulator import EmulatedModel, Emulator, ThreadsafeEvent
from lmstudio_integrations.errors import (
    LMStudioCancelledError,
    LMStudioServerError,
    LMStudioTimeoutError,
)
from tests.client.failure_modes.frame_builders import UNLOADED, cancelled, cancels, caught, connections, opens, requests
from tests.time_limits import SURE_TO_EXPIRE


def test_concurrent_requests_share_one_load_and_all_get_its_progress(server: Emulator, client: Client) -> None:
    gate = server.load_hold = ThreadsafeEvent()
    heard: list[list[float]] = [[] for _ in range(8)]
    model = client.llm.just_in_time(UNLOADED)
    streams = [model.respond_stream("hi", on_load_progress=progress.append) for progress in heard]
    server.wait_for(opens("getOrLoad"))
    connections(server.url)  # the I/O thread answers in order: by now each of the streams has joined the load
    gate.set()
    assert all(stream.result().content for stream in streams)
    assert len(requests(server, "getOrLoad")) == 1
    assert all(progress[-1] == 1.0 for progress in heard)


def test_stream_cancelled_while_loading_cancels_the_load(server: Emulator, client: Client) -> None:
    server.load_hold = ThreadsafeEvent()
    stream = client.llm.just_in_time(UNLOADED).respond_stream("hi")
    loading = server.wait_for(opens("getOrLoad"))
    stream.cancel()
    with pytest.raises(LMStudioCancelledError):
        stream.result()
    cancelled(server, loading)
    assert requests(server, "predict") == []


def test_shared_load_continues_until_its_last_waiting_caller_cancels(server: Emulator, client: Client) -> None:
    gate = server.load_hold = ThreadsafeEvent()
    model = client.llm.just_in_time(UNLOADED)
    streams = [model.respond_stream("hi") for _ in range(3)]
    loading = server.wait_for(opens("getOrLoad"))
    for stream in streams[:2]:
        stream.close()
    # One who comes after the first has gone joins the same load.
    streams.append(model.respond_stream("hi"))
    assert client.llm.just_in_time("emulator/chat").respond("hi").content
    assert cancels(server) == []
    assert [
        frame.order
        for frame in requests(server, "getOrLoad")
        if frame.message["creationParameter"]["identifier"] == UNLOADED
    ] == [loading.order]
    streams[2].close()
    streams[3].close()
    cancelled(server, loading)
    gate.set()
    assert model.respond("hi").content


async def test_async_readers_cancelled_together_cancel_the_load_once(server: Emulator) -> None:
    server.load_hold = ThreadsafeEvent()
    async with AsyncClient(server.url) as client:
        model = client.llm.just_in_time(UNLOADED)
        readers = [asyncio.create_task(model.respond("hi")) for _ in range(5)]
        loading = await asyncio.to_thread(server.wait_for, opens("getOrLoad"))
        for reader in readers:
            reader.cancel()
        outcomes = await asyncio.gather(*readers, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in outcomes)
        await asyncio.to_thread(cancelled, server, loading)
    assert len(cancels(server)) == 1


def test_load_limit_of_one_request_does_not_end_the_load_of_a_longer_limit(server: Emulator, client: Client) -> None:
    """Requests with other limits have a load of their own."""
    gate = server.load_hold = ThreadsafeEvent()
    model = client.llm.just_in_time(UNLOADED)
    impatient = model.respond_stream("hi", timeout=Timeout(load=SURE_TO_EXPIRE))
    impatient_load = server.wait_for(opens("getOrLoad"))
    patient = model.respond_stream("hi")
    with pytest.raises(LMStudioTimeoutError) as raised:
        impatient.result()
    assert raised.value.limit == "load"
    cancelled(server, impatient_load)
    assert len(cancels(server)) == 1
    gate.set()
    assert patient.result().content
    assert len(requests(server, "getOrLoad")) == 2


def test_failed_load_raises_a_separate_error_in_each_caller() -> None:
    broken = EmulatedModel("emulator/broken", load_error="The model does not fit into memory.")
    with Emulator(models=[broken]) as server, Client(server.url) as client:
        gate = server.load_hold = ThreadsafeEvent()
        streams = [client.llm.just_in_time("emulator/broken").respond_stream("hi") for _ in range(6)]
        server.wait_for(opens("getOrLoad"))
        connections(server.url)
        gate.set()
        errors = []
        for stream in streams:
            with pytest.raises(LMStudioServerError, match="does not fit into memory") as raised:
                stream.result()
            errors.append(raised.value)
        assert len(set(map(id, errors))) == 6


def test_load_that_fails_after_all_callers_cancelled_logs_nothing(server: Emulator, client: Client) -> None:
    server.load_hold = ThreadsafeEvent()
    stream = client.llm.just_in_time(UNLOADED).respond_stream("hi")
    loading = server.wait_for(opens("getOrLoad"))
    stream.close()
    cancelled(server, loading)
    server.drop_connections()
    assert client.system.version().version == "emulator"


async def test_cancelling_the_only_caller_cancels_the_load(server: Emulator) -> None:
    server.load_hold = ThreadsafeEvent()
    async with AsyncClient(server.url) as client:
        for endpoint, ask in (("getOrLoad", client.llm.model), ("loadModel", client.llm.load_new_instance)):
            asking = asyncio.create_task(ask(UNLOADED))
            loading = await asyncio.to_thread(server.wait_for, opens(endpoint))
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await asyncio.to_thread(cancelled, server, loading)


def test_error_in_a_progress_callback_cancels_the_load(server: Emulator, client: Client) -> None:
    server.load_hold = ThreadsafeEvent()

    def fail(progress: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.llm.model(UNLOADED, on_load_progress=fail)
    cancelled(server, server.wait_for(opens("getOrLoad")))


def test_load_lost_with_its_socket_is_sent_again_for_all_waiting_calls(server: Emulator, client: Client) -> None:
    hold = server.load_hold = ThreadsafeEvent()
    model = client.llm.just_in_time(UNLOADED)
    with ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(model.respond, "hi") for _ in range(5)]
        server.wait_for_sent(lambda frame: frame.message.get("message", {}).get("type") == "loadProgress")
        server.restart()
        server.load_hold = None
        hold.set()  # a load may have begun between these lines, and waits for it
        assert all(call.result(20).content for call in calls)
    assert len(requests(server, "predict")) == 5


def test_unanswered_load_is_sent_again_after_a_lost_socket(server: Emulator, client: Client) -> None:
    silent = server.faults.add("silent", endpoint="getOrLoad")
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.llm.model, UNLOADED)
        server.wait_for(opens("getOrLoad"))
        server.wait_until(lambda: silent.hits == 1)
        server.drop_connections()
        assert asking.result(10).respond("hi").content


def test_manual_load_is_not_sent_twice(server: Emulator, client: Client) -> None:
    silent = server.faults.add("silent", endpoint="loadModel")
    errors: list[BaseException] = []
    asking = threading.Thread(target=caught(errors, lambda: client.llm.load_new_instance(UNLOADED, "mine")))
    asking.start()
    server.wait_for(opens("loadModel"))
    server.wait_until(lambda: silent.hits == 1)
    server.drop_connections()
    asking.join(10)
    assert len(errors) == 1
    assert len(requests(server, "loadModel")) == 1
