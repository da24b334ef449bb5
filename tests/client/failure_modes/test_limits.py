"""Time limits: which one expired, the last packet, what resets it, and that the server gets a cancel.

Where something must come before the limit expires, the test moves the clock once it has come.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lmstudio_integrations import AsyncClient, Client, PromptProgress, Timeout
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioServerError, LMStudioTimeoutError
from tests.client.failure_modes.frame_builders import CHAT, UNLOADED, cancelled, cancels, connections, opens, requests
from tests.client.failure_modes.misbehaving_servers import MisbehavingServer, ServerSide
from tests.movable_clock import MovableClock
from tests.packet_builders import call_arguments, call_name, call_start
from tests.time_limits import SURE_TO_EXPIRE

_NO_LIMIT = Timeout(connect=None, first_packet=None, idle=None, total=None, load=None)
_DAY = 86400.0


def test_first_packet_limit_cancels_and_raises(server: Emulator, client: Client) -> None:
    server.faults.add("silent")
    model = client.llm.model(CHAT)
    with pytest.raises(LMStudioTimeoutError) as raised:
        model.respond("hi", timeout=Timeout(first_packet=SURE_TO_EXPIRE))
    assert (raised.value.limit, raised.value.seconds) == ("first_packet", SURE_TO_EXPIRE)
    assert raised.value.last_heard == "nothing"
    assert "'predict'" in str(raised.value)
    assert not raised.value.response_started
    cancelled(server)


async def test_idle_limit_cancels_and_keeps_the_partial_text(server: Emulator, clock: MovableClock) -> None:
    server.script(Reply("One two three", hold=ThreadsafeEvent(), hold_after=2))
    async with AsyncClient(server.url) as client:
        model = await client.llm.model(CHAT)
        stream = await model.respond_stream("hi", timeout=Timeout(first_packet=None, idle=100))
        fragments = aiter(stream)  # kept, as letting go of it would cancel the prediction
        assert [str(await anext(fragments)) for _ in range(2)] == ["One", " two"]
        clock.advance(100)
        with pytest.raises(LMStudioTimeoutError) as raised:
            await stream.result()
        assert raised.value.limit == "idle"
        assert raised.value.last_heard.startswith("fragment, ")
        assert raised.value.partial.content == "One two"
        await asyncio.to_thread(cancelled, server)


_Packets = queue.SimpleQueue[Any]


def _sends(packets: _Packets) -> Callable[[ServerSide], None]:
    """Answer the first channel with what the test puts into ``packets``, until ``None``; then end it by an error."""

    def behave(side: ServerSide) -> None:
        side.authenticate()
        channel = side.read()["channelId"]
        while (packet := packets.get(timeout=10)) is not None:
            side.send({"type": "channelSend", "channelId": channel, "message": packet})
        side.send({"type": "channelError", "channelId": channel, "error": {"title": "the answer is complete"}})
        side.read_to_the_end()

    return behave


def _packet(kind: str, number: int) -> object:
    return {"type": kind, "progress": number / 10, "fragment": {"content": "x"}}


@pytest.fixture
def packets() -> Iterator[_Packets]:
    packets: _Packets = queue.SimpleQueue()
    yield packets
    packets.put(None)


@pytest.mark.parametrize(
    "sent",
    [
        [_packet("promptProcessingProgress", number) for number in range(4)],
        [_packet("fragment", number) for number in range(4)],
        [call_start(), call_name("add"), call_arguments('{"a": "one'), call_arguments(" two")],
    ],
    ids=["progress", "fragments", "tool call"],
)
def test_packets_reset_the_idle_limit(packets: _Packets, sent: list[Any], clock: MovableClock) -> None:
    with MisbehavingServer(_sends(packets)) as server, Client(server.url) as client:
        stream = client.llm.just_in_time().respond_stream("hi", timeout=Timeout(idle=100))
        events = stream.events()
        for packet in sent:
            packets.put(packet)
            next(events)
            clock.advance(55)
        packets.put(None)
        with pytest.raises(LMStudioServerError, match="the answer is complete"):
            stream.result()


def test_packets_without_progress_do_not_reset_the_idle_limit(packets: _Packets, clock: MovableClock) -> None:
    """Number 13: what has reported nothing new is no sign of life."""
    with MisbehavingServer(_sends(packets)) as server, Client(server.url) as client:
        stream = client.llm.just_in_time().respond_stream("hi", timeout=Timeout(idle=100))
        events = stream.events()
        for number in (2, 2, 1):
            packets.put(_packet("promptProcessingProgress", number))
            assert next(events) == PromptProgress(number / 10)
            clock.advance(40)
        with pytest.raises(LMStudioTimeoutError) as raised:
            stream.result()
        assert raised.value.limit == "idle"
        packets.put(None)


def test_packets_do_not_reset_the_total_limit(packets: _Packets, clock: MovableClock) -> None:
    with MisbehavingServer(_sends(packets)) as server, Client(server.url) as client:
        stream = client.llm.just_in_time().respond_stream("hi", timeout=Timeout(idle=300, total=100))
        events = stream.events()
        for number in range(2):
            packets.put(_packet("fragment", number))
            next(events)
            clock.advance(55)
        with pytest.raises(LMStudioTimeoutError) as raised:
            stream.result()
        assert raised.value.limit == "total"
        packets.put(None)


def test_total_limit_cancels(server: Emulator, client: Client, clock: MovableClock) -> None:
    server.script(Reply("One two three", hold=ThreadsafeEvent(), hold_after=1))
    stream = client.llm.model(CHAT).respond_stream("hi", timeout=Timeout(total=100))
    fragments = iter(stream)
    next(fragments)
    clock.advance(100)
    with pytest.raises(LMStudioTimeoutError) as raised:
        stream.result()
    assert raised.value.limit == "total"
    assert raised.value.response_started
    cancelled(server)


def test_idle_limit_error_names_the_last_progress(server: Emulator, client: Client, clock: MovableClock) -> None:
    server.script(Reply("One", progress=(0.0, 0.25)))
    server.faults.add("stall")
    stream = client.llm.model(CHAT).respond_stream("hi", timeout=Timeout(idle=100))
    events = stream.events()
    assert [next(events).progress for _ in range(2)] == [0.0, 0.25]  # type: ignore[union-attr]
    clock.advance(100)
    with pytest.raises(LMStudioTimeoutError) as raised:
        stream.result()
    assert raised.value.last_heard.startswith("promptProcessingProgress 0.25, ")
    assert raised.value.partial.prompt_progress.progress == 0.25


def test_load_time_counts_for_total_and_not_for_idle(server: Emulator, client: Client, clock: MovableClock) -> None:
    """Number 13: ``total`` bounds the complete call, loading included."""
    gate = server.load_hold = ThreadsafeEvent()
    limits = Timeout(idle=40, total=100, first_packet=None)
    stream = client.llm.just_in_time(UNLOADED).respond_stream("hi", timeout=limits)
    events = stream.events()
    next(events)  # the load reports progress
    loading = server.wait_for(opens("getOrLoad"))
    clock.advance(50)
    assert cancels(server) == []
    clock.advance(50)
    with pytest.raises(LMStudioTimeoutError) as caught:
        stream.result()
    assert caught.value.limit == "total"
    cancelled(server, loading)
    assert len(cancels(server)) == 1
    gate.set()


def test_load_that_a_later_request_waits_for_survives_the_total_of_an_earlier_one(
    server: Emulator, client: Client, clock: MovableClock
) -> None:
    gate = server.load_hold = ThreadsafeEvent()
    model = client.llm.just_in_time(UNLOADED)
    limits = Timeout(total=100)  # of both: requests with other limits have a load of their own
    earlier = model.respond_stream("hi", timeout=limits)
    server.wait_for(opens("getOrLoad"))
    clock.advance(55)
    later = model.respond_stream("hi", timeout=limits)
    connections(server.url)  # the I/O thread answers in order: by now the second stream has joined the load
    clock.advance(55)
    with pytest.raises(LMStudioTimeoutError):
        earlier.result()
    gate.set()
    assert later.result().content
    assert len(requests(server, "getOrLoad")) == 1
    assert cancels(server) == []


def test_load_without_progress_ends_by_the_load_limit(server: Emulator, client: Client, clock: MovableClock) -> None:
    server.load_hold = ThreadsafeEvent()
    server.load_progress = (0.25, 1.0)
    stream = client.llm.just_in_time(UNLOADED).respond_stream("hi", timeout=Timeout(load=100))
    events = stream.events()
    while next(events).progress != 0.25:  # type: ignore[union-attr]
        pass
    clock.advance(100)
    with pytest.raises(LMStudioTimeoutError) as raised:
        stream.result()
    assert raised.value.limit == "load"
    assert "Timeout(load=" in str(raised.value)
    assert raised.value.last_heard.startswith("loadProgress 0.25, ")
    cancelled(server, server.wait_for(opens("getOrLoad")))


async def test_explicit_load_ends_by_the_load_limit(server: Emulator) -> None:
    server.load_hold = ThreadsafeEvent()
    async with AsyncClient(server.url, timeout=Timeout(load=SURE_TO_EXPIRE)) as client:
        with pytest.raises(LMStudioTimeoutError) as raised:
            await client.llm.load_new_instance(UNLOADED, "mine")
    assert raised.value.limit == "load"


def test_unanswered_load_ends_by_the_first_packet_limit(server: Emulator, client: Client) -> None:
    server.faults.add("silent", endpoint="getOrLoad")
    with pytest.raises(LMStudioTimeoutError) as raised:
        client.llm.just_in_time(UNLOADED).respond("hi", timeout=Timeout(first_packet=SURE_TO_EXPIRE))
    assert raised.value.limit == "first_packet"
    assert "'getOrLoad'" in str(raised.value)


@pytest.mark.parametrize("limit", ["first_packet", "total"])
def test_rpc_and_batch_of_embeddings_end_by_their_limits(server: Emulator, client: Client, limit: str) -> None:
    client.llm.model(CHAT)  # without these limits; both models are known to be loaded, and both sockets are open
    client.embedding.model("emulator/embedding")
    server.faults.add("silent", endpoint="tokenize")
    server.faults.add("silent", endpoint="embedString", times=1)
    with Client(server.url, timeout=Timeout(**{limit: SURE_TO_EXPIRE})) as limited:
        with pytest.raises(LMStudioTimeoutError) as raised:
            limited.llm.just_in_time(CHAT).tokenize("text")
        assert raised.value.limit == limit
        with pytest.raises(LMStudioTimeoutError) as raised:
            limited.embedding.just_in_time("emulator/embedding").embed(["a", "b", "c"])
        assert raised.value.limit == limit


def test_answer_without_limits_may_take_any_time(server: Emulator, client: Client, clock: MovableClock) -> None:
    gate = ThreadsafeEvent()
    server.script(Reply("One two", hold=gate, hold_after=1))
    stream = client.llm.model(CHAT).respond_stream("hi", timeout=_NO_LIMIT)
    fragments = iter(stream)
    next(fragments)
    clock.advance(_DAY)
    gate.set()
    assert stream.result().content == "One two"


def test_cancel_without_an_end_of_the_channel_is_abandoned(
    server: Emulator, client: Client, clock: MovableClock
) -> None:
    server.script(Reply("One two three"))
    server.faults.add("stall", after=1)
    stream = client.llm.model(CHAT).respond_stream("hi")
    fragments = iter(stream)
    next(fragments)
    stream.cancel()
    cancelled(server)
    clock.advance(10)
    with pytest.raises(LMStudioTimeoutError, match=r"within 10 s of the cancel") as raised:
        stream.result()
    assert raised.value.partial.content == "One"
    assert len(cancels(server)) == 1
