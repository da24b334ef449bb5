"""Time limits: which one expired, the last packet, what resets it, and that the server gets a cancel.

The limits are short where the server never sends what would end the wait: then only the limit can end it, on any
machine. No test compares times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lmstudio_integrations import AsyncClient, Client, Timeout
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioServerError, LMStudioTimeoutError
from tests.client.failure_modes.frame_builders import CHAT, UNLOADED, cancelled, cancels, opens
from tests.client.failure_modes.misbehaving_servers import MisbehavingServer, ServerSide

_NO_LIMIT = Timeout(connect=None, first_packet=None, idle=None, total=None, load=None)


def test_first_packet_limit_cancels_and_raises(server: Emulator, client: Client) -> None:
    server.faults.add("silent")
    model = client.llm.model(CHAT)
    with pytest.raises(LMStudioTimeoutError) as raised:
        model.respond("hi", timeout=Timeout(first_packet=0.1))
    assert (raised.value.limit, raised.value.seconds, raised.value.last_heard) == ("first_packet", 0.1, "nothing")
    assert "'predict'" in str(raised.value)
    assert not raised.value.response_started
    cancelled(server)


async def test_idle_limit_cancels_and_keeps_the_partial_text(server: Emulator) -> None:
    server.script(Reply("One two three", hold=ThreadsafeEvent(), hold_after=2))
    async with AsyncClient(server.url) as client:
        model = await client.llm.model(CHAT)
        with pytest.raises(LMStudioTimeoutError) as raised:
            await model.respond("hi", timeout=Timeout(first_packet=None, idle=0.1))
        assert raised.value.limit == "idle"
        assert raised.value.last_heard.startswith("fragment, ")
        assert raised.value.partial.content.strip() == "One two"
        await asyncio.to_thread(cancelled, server)


def test_total_limit_is_not_reset_by_packets(server: Emulator, client: Client) -> None:
    server.script(Reply("word " * 5000, pace=0.02))
    model = client.llm.model(CHAT)
    with pytest.raises(LMStudioTimeoutError) as raised:
        model.respond("hi", timeout=Timeout(idle=30, total=0.3))
    assert raised.value.limit == "total"
    cancelled(server)


def _drip(packets: int, seconds: float, make: Callable[[int], object]) -> Callable[[ServerSide], None]:
    """Answer the first channel with ``packets``, one each ``seconds``, until the client sends something."""

    def behave(side: ServerSide) -> None:
        side.authenticate()
        channel = side.read()["channelId"]
        for number in range(packets):
            side.send({"type": "channelSend", "channelId": channel, "message": make(number)})
            try:
                side.connection.recv(seconds)
            except TimeoutError:
                continue
            return  # the client has sent something: a cancel
        side.send({"type": "channelError", "channelId": channel, "error": {"title": "the answer is complete"}})
        side.read_to_the_end()

    return behave


@pytest.mark.parametrize("kind", ["promptProcessingProgress", "fragment"])  # number 13: unknown packets do not
def test_packets_reset_the_idle_limit(kind: str) -> None:
    def packet(number: int) -> object:
        return {"type": kind, "progress": number / 10, "fragment": {"content": "x"}}

    with (
        MisbehavingServer(_drip(5, 0.4, packet)) as server,
        Client(server.url) as client,
        pytest.raises(LMStudioServerError, match="the answer is complete"),
    ):
        client.llm.just_in_time().respond("hi", timeout=Timeout(idle=1.5))


def test_idle_limit_error_names_the_last_progress(server: Emulator, client: Client) -> None:
    server.script(Reply("One", progress=(0.0, 0.25)))
    server.faults.add("stall")
    model = client.llm.model(CHAT)
    with pytest.raises(LMStudioTimeoutError) as raised:
        model.respond("hi", timeout=Timeout(idle=0.1))
    assert raised.value.last_heard.startswith("promptProcessingProgress 0.25, ")
    assert raised.value.partial.prompt_progress.progress == 0.25


def test_load_time_counts_for_total_and_not_for_idle(server: Emulator, client: Client) -> None:
    """Number 13: ``total`` bounds the complete call, loading included."""
    gate = ThreadsafeEvent()
    server.load_hold = gate
    stream = client.llm.just_in_time(UNLOADED).respond_stream(
        "hi", timeout=Timeout(idle=0.05, total=2.0, first_packet=None)
    )
    loading = server.wait_for(opens("getOrLoad"))
    with pytest.raises(LMStudioTimeoutError) as caught:
        stream.result()
    assert caught.value.limit == "total"
    server.wait_for(lambda frame: frame.message.get("message") == {"type": "cancel"})
    (cancel,) = cancels(server)
    assert cancel.message["channelId"] == loading.message["channelId"]
    gate.set()


def test_load_that_other_requests_wait_for_survives_the_total_of_one(server: Emulator, client: Client) -> None:
    gate = ThreadsafeEvent()
    server.load_hold = gate
    patient = client.llm.just_in_time(UNLOADED).respond_stream("hi")
    server.wait_for(opens("getOrLoad"))
    with pytest.raises(LMStudioTimeoutError):
        client.llm.just_in_time(UNLOADED).respond("hi", timeout=Timeout(total=0.2))
    gate.set()
    assert patient.result().content


def _held(server: Emulator, seconds: float) -> Timeout:
    server.script(Reply("lost", progress=(), hold=ThreadsafeEvent(), hold_after=0))
    return Timeout(first_packet=seconds)


def test_load_without_progress_ends_by_the_load_limit(server: Emulator, client: Client) -> None:
    server.load_hold = ThreadsafeEvent()
    with pytest.raises(LMStudioTimeoutError) as raised:
        client.llm.just_in_time(UNLOADED).respond("hi", timeout=Timeout(load=0.1))
    assert raised.value.limit == "load"
    assert "Timeout(load=" in str(raised.value)
    assert "rogress" in raised.value.last_heard
    cancelled(server, server.wait_for(opens("getOrLoad")))


async def test_explicit_load_ends_by_the_load_limit(server: Emulator) -> None:
    server.load_hold = ThreadsafeEvent()
    async with AsyncClient(server.url, timeout=Timeout(load=0.1)) as client:
        with pytest.raises(LMStudioTimeoutError) as raised:
            await client.llm.load_new_instance(UNLOADED, "mine")
    assert raised.value.limit == "load"


def test_unanswered_load_ends_by_the_first_packet_limit(server: Emulator, client: Client) -> None:
    server.faults.add("silent", endpoint="getOrLoad")
    with pytest.raises(LMStudioTimeoutError) as raised:
        client.llm.just_in_time(UNLOADED).respond("hi", timeout=Timeout(first_packet=0.1))
    assert raised.value.limit == "first_packet"
    assert "'getOrLoad'" in str(raised.value)


@pytest.mark.parametrize("limits", [Timeout(first_packet=0.1), Timeout(first_packet=None, total=0.1)])
def test_rpc_and_batch_of_embeddings_end_by_their_limits(server: Emulator, limits: Timeout) -> None:
    server.faults.add("silent", endpoint="tokenize")
    server.faults.add("silent", endpoint="embedString", times=1)
    name = "total" if limits.total else "first_packet"
    with Client(server.url, timeout=limits) as client:
        with pytest.raises(LMStudioTimeoutError) as raised:
            client.llm.model(CHAT).tokenize("text")
        assert raised.value.limit == name
        with pytest.raises(LMStudioTimeoutError) as raised:
            client.embedding.model("emulator/embedding").embed(["a", "b", "c"])
        assert raised.value.limit == name


def test_answer_without_limits_may_take_any_time(server: Emulator, client: Client) -> None:
    gate = ThreadsafeEvent()
    server.script(Reply("One two", hold=gate, hold_after=1))
    stream = client.llm.model(CHAT).respond_stream("hi", timeout=_NO_LIMIT)
    next(iter(stream.events()))
    server.wait_for(opens("predict"))
    gate.set()
    with pytest.raises(LMStudioTimeoutError):
        server.faults.add("silent")
        client.llm.just_in_time(CHAT).respond("hi", timeout=0.05)


def test_cancel_without_an_end_of_the_channel_is_abandoned(
    server: Emulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmstudio_integrations.client.transport.pending_request._AFTER_CANCEL", 0.1)
    server.script(Reply("One two three"))
    stall = server.faults.add("stall", after=1)
    stream = client.llm.model(CHAT).respond_stream("hi")
    stall.wait_hit()
    stream.cancel()
    with pytest.raises(LMStudioTimeoutError, match=r"within 0\.1 s of the cancel") as raised:
        stream.result()
    assert raised.value.partial.content.strip() == "One"
    assert len(cancels(server)) == 1
