"""Clients that are closed: while streams run, twice, with neighbours in the same pool, in the midst of new requests."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from lmstudio_integrations import AsyncClient, Client, Timeout
from lmstudio_integrations.client import requests as client_requests
from lmstudio_integrations.client.transport.pending_request import PendingRequest
from lmstudio_integrations.client.transport.retry import NotSentError
from lmstudio_integrations.client.transport.thread import io_thread
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioCancelledError, LMStudioConnectionError, LMStudioError
from tests.client.failure_modes.frame_builders import CHAT, cancelled, connections, requests, wait_for_predictions
from tests.movable_clock import MovableClock


def test_close_cancels_the_clients_streams_and_closes_all_sockets(server: Emulator) -> None:
    server.script(*(Reply("One two three", hold=ThreadsafeEvent(), hold_after=1) for _ in range(5)))
    client = Client(server.url)
    streams = [client.llm.just_in_time(CHAT).respond_stream("hi") for _ in range(5)]
    wait_for_predictions(server, 5)
    client.close()
    for opening in requests(server, "predict"):
        cancelled(server, opening)
    for stream in streams:
        with pytest.raises(LMStudioCancelledError):
            stream.result()
    server.wait_until(lambda: server.connections == 0)


def test_close_wakes_a_reading_thread(server: Emulator) -> None:
    server.script(Reply("One two three", hold=ThreadsafeEvent(), hold_after=1))
    client = Client(server.url)
    stream = client.llm.just_in_time(CHAT).respond_stream("hi")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(stream.result)
        wait_for_predictions(server)
        client.close()
        assert type(reading.exception(10)) is LMStudioCancelledError


async def test_close_wakes_a_reading_task(server: Emulator) -> None:
    server.script(Reply("One two three", hold=ThreadsafeEvent(), hold_after=1))
    client = AsyncClient(server.url)
    reading = asyncio.create_task(client.llm.just_in_time(CHAT).respond("hi"))
    await asyncio.to_thread(wait_for_predictions, server)
    await client.close()
    with pytest.raises(LMStudioCancelledError):
        await reading
    await asyncio.to_thread(server.wait_until, lambda: server.connections == 0)


def test_client_closed_twice_raises_on_further_calls(server: Emulator) -> None:
    client = Client(server.url)
    model = client.llm.model(CHAT)
    client.close()
    client.close()
    for ask in (client.system.version, lambda: model.respond("hi"), lambda: model.tokenize("text")):
        with pytest.raises(LMStudioConnectionError, match="closed"):
            ask()


def test_other_client_of_the_pool_continues_after_close(server: Emulator) -> None:
    gate = ThreadsafeEvent()
    server.script(Reply("One two three", hold=gate, hold_after=1), Reply("four", hold=ThreadsafeEvent(), hold_after=0))
    leaving, staying = Client(server.url), Client(server.url)
    model = staying.llm.model(CHAT)
    stream = model.respond_stream("hi")
    wait_for_predictions(server)
    left = leaving.llm.just_in_time(CHAT).respond_stream("hi")
    wait_for_predictions(server, 2)
    leaving.close()
    assert model.tokenize("text"), "a new request must get a new socket"
    with pytest.raises(LMStudioCancelledError):
        left.result()
    gate.set()
    assert stream.result().content == "One two three"
    server.wait_until(lambda: server.connections == 1)
    staying.close()
    server.wait_until(lambda: server.connections == 0)


def test_requests_during_close_are_answered(server: Emulator) -> None:
    """A neighbour that opens and closes all the time must never be noticed."""
    staying = Client(server.url)
    model = staying.llm.model(CHAT)
    stop = threading.Event()

    def open_and_close() -> None:
        while not stop.is_set():
            with Client(server.url) as client:
                client.system.version()

    def close_llm() -> None:
        while not stop.is_set():
            Client(server.url).close()

    others = [threading.Thread(target=work) for work in (open_and_close, close_llm)]
    for other in others:
        other.start()
    try:
        for _ in range(15):
            assert model.respond("hi").content
            assert model.tokenize("text")
    finally:
        stop.set()
        for other in others:
            other.join()


@pytest.mark.parametrize("turns", range(5))
def test_request_on_a_closing_socket_is_answered_or_never_sent(server: Emulator, turns: int) -> None:
    """``turns``: how many turns of the loop lie between the closing and the request that has this socket in hand."""
    server.script(Reply("One two three"))
    base, limits = server.url, Timeout()

    async def meet() -> tuple[list[Any], LMStudioError | None]:
        link, packets = io_thread().pool(base, None), list[Any]()
        connection = await link.connection("llm", limits)
        closing = asyncio.create_task(link.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        prediction = client_requests.prediction("hi")
        try:
            request = PendingRequest(connection, prediction.endpoint, limits, deliver=packets.append)
            await request.open_channel(prediction.parameter.text(CHAT))
        except LMStudioError as error:
            return packets, error
        except NotSentError as error:
            return packets, cast("LMStudioError", error.__cause__)
        finally:
            await closing
        return packets, None

    packets, error = io_thread().submit(meet()).result(20)
    if error is None:
        assert [packet["type"] for packet in packets][-1] == "success"
    else:
        assert not packets
        assert not error.response_started
        assert not requests(server, "predict")


def test_retired_socket_closes_after_its_last_call_is_abandoned(server: Emulator, clock: MovableClock) -> None:
    server.script(Reply("One two three"))
    server.faults.add("stall", after=1)
    staying = Client(server.url)
    stream = staying.llm.model(CHAT).respond_stream("hi", timeout=Timeout(idle=100))
    fragments = iter(stream)
    next(fragments)
    Client(server.url).close()
    assert server.connections == 1
    clock.advance(100)
    with pytest.raises(TimeoutError):
        stream.result()
    server.wait_until(lambda: server.connections == 0)


def test_close_of_an_unused_client_does_nothing(server: Emulator) -> None:
    with Client(server.url):
        pass
    # A port may have been another test's, whose lost connections the pool still knows.
    assert not any(connection.usable for connection in connections(server.url).values())
    assert server.requests == []
