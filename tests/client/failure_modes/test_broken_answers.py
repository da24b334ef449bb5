"""Interrupted answers, unknown packets, very large or fragmented messages."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import (
    LMStudioConnectionError,
    LMStudioDisconnectedError,
    LMStudioIncompleteError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
    LMStudioServerError,
)
from tests.client.failure_modes.frame_builders import CHAT, UNLOADED, fragments_sent, requests, wait_for_predictions
from tests.client.failure_modes.misbehaving_servers import MisbehavingServer, ServerSide, scripted

_WORDS = "One two three four five"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("no_success", LMStudioIncompleteError),
        ("error_mid_stream", LMStudioServerError),
        ("unloaded", LMStudioModelUnloadedError),
        ("drop", LMStudioDisconnectedError),
        ("restart", LMStudioDisconnectedError),
    ],
)
def test_interrupted_answer_raises_with_the_partial_text(
    server: Emulator, client: Client, fault: str, error: type[Exception]
) -> None:
    server.script(Reply(_WORDS))
    server.faults.add(fault, after=3)
    heard: list[str] = []
    stream = client.llm.model(CHAT).respond_stream("hi", on_prediction_fragment=lambda f: heard.append(f.content))
    with pytest.raises(error) as raised:
        stream.result()
    partial = raised.value.partial  # type: ignore[attr-defined]
    assert partial.content == "".join(heard) == stream.content
    assert _WORDS.startswith(partial.content)
    assert len(heard) >= 3
    assert raised.value.response_started  # type: ignore[attr-defined]
    assert len(requests(server, "predict")) == 1, "a prediction that has begun must not be repeated"
    assert client.llm.just_in_time(CHAT).respond("hi").content


@pytest.mark.parametrize("fault", ["no_success", "error_mid_stream", "drop"])
async def test_interrupted_answer_raises_in_an_async_reader(server: Emulator, fault: str) -> None:
    server.script(Reply(_WORDS))
    server.faults.add(fault, after=2)
    async with AsyncClient(server.url) as client:
        model = client.llm.just_in_time(CHAT)
        stream = await model.respond_stream("hi")
        with pytest.raises((LMStudioIncompleteError, LMStudioServerError, LMStudioDisconnectedError)) as raised:
            _ = [fragment async for fragment in stream]
        assert raised.value.partial.content.startswith("One two")
        with pytest.raises(type(raised.value)):
            await stream.result()
        assert (await model.respond("hi")).content


def test_lost_socket_raises_a_separate_error_in_each_of_forty_streams(server: Emulator, client: Client) -> None:
    server.script(*(Reply(_WORDS, hold=ThreadsafeEvent(), hold_after=1) for _ in range(40)))
    model = client.llm.model(CHAT)
    streams = [model.respond_stream("hi") for _ in range(40)]
    fragments_sent(server, 40)
    server.drop_connections()
    errors = []
    for stream in streams:
        with pytest.raises(LMStudioDisconnectedError) as raised:
            stream.result()
        errors.append(raised.value)
    assert len(set(map(id, errors))) == 40
    assert all(error.partial.content.strip() == "One" for error in errors)
    assert len(requests(server, "predict")) == 40
    assert model.respond("hi").content, "the next call must not notice"


async def test_lost_socket_retries_forty_unanswered_async_calls(
    server: Emulator,
) -> None:
    server.faults.add("stall", endpoint="tokenize", times=40)
    async with AsyncClient(server.url) as client:
        model = await client.llm.model(CHAT)
        calls = [asyncio.create_task(model.tokenize("text")) for _ in range(40)]
        await asyncio.to_thread(server.wait_until, lambda: len(requests(server, "tokenize")) == 40)
        server.drop_connections()
        answers = await asyncio.gather(*calls)
    assert len(answers) == 40
    assert len(requests(server, "tokenize")) == 80


def test_lost_socket_is_retried_once_only(server: Emulator, client: Client) -> None:
    model = client.llm.model(CHAT)
    fault = server.faults.add("drop", endpoint="tokenize", times=None)
    with pytest.raises(LMStudioDisconnectedError):
        model.tokenize("text")
    assert fault.hits == 2


def test_lost_prediction_is_sent_again_only_before_its_first_packet(server: Emulator, client: Client) -> None:
    model = client.llm.model(CHAT)
    server.script(Reply("lost", progress=()), Reply("found"))
    server.faults.add("drop")
    assert model.respond("hi").content == "found"
    # Prompt progress is a beginning, too: the server has worked for it.
    server.script(Reply("lost", progress=(0.0, 0.5)), Reply("found"))
    server.faults.add("drop")
    with pytest.raises(LMStudioDisconnectedError) as raised:
        model.respond("hi")
    assert raised.value.response_started
    assert raised.value.partial.prompt_progress.progress == 0.5


def test_restart_between_calls_is_transparent(server: Emulator, client: Client) -> None:
    model = client.llm.model(UNLOADED)
    assert model.respond("hi").content
    server.restart()
    assert UNLOADED not in server.loaded
    assert model.respond("hi").content
    assert UNLOADED in server.loaded
    server.restart()
    assert model.tokenize("text")


async def test_restart_between_async_calls_is_transparent(server: Emulator) -> None:
    async with AsyncClient(server.url) as client:
        model = await client.llm.model(UNLOADED)
        for _ in range(3):
            assert (await model.respond("hi")).content
            await asyncio.to_thread(server.restart)


def test_unloaded_model_is_loaded_again_unless_it_was_loaded_manually(server: Emulator, client: Client) -> None:
    model = client.llm.model(UNLOADED)
    server.unload(UNLOADED)
    assert model.respond("hi").content
    assert len(requests(server, "getOrLoad")) == 2
    by_hand = client.llm.load_new_instance(UNLOADED, "mine")
    server.unload("mine")
    with pytest.raises(LMStudioModelNotFoundError):
        by_hand.respond("hi")
    assert len(requests(server, "loadModel")) == 1


def test_model_unloaded_each_time_ends_the_retries(server: Emulator, client: Client) -> None:
    model = client.llm.model(CHAT)
    fault = server.faults.add("unloaded", times=None)
    server.script(*(Reply("lost", progress=()) for _ in range(9)))
    with pytest.raises(LMStudioModelUnloadedError):
        model.respond("hi")
    assert fault.hits == 2


def test_stopped_server_raises_connection_error() -> None:
    with Emulator() as server:
        client = Client(server.url)
        model = client.llm.model(CHAT)
        server.script(Reply(_WORDS, hold=ThreadsafeEvent()))
        stream = model.respond_stream("hi")
        wait_for_predictions(server)
    with pytest.raises(LMStudioConnectionError):
        stream.result()
    with pytest.raises(LMStudioConnectionError):
        model.respond("hi")


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("garbage", {}),
        ("garbage", {"text": ""}),
        ("garbage", {"text": "[" * 100_000}),
        ("garbage", {"text": "7"}),
        ("garbage", {"text": '{"type": "channelSend", "channelId": [0], "message": {}}'}),
        ("garbage", {"text": '{"type": "channelSend", "channelId": 0, "message": 7}'}),
        ("garbage", {"text": '{"type": "channelSend", "channelId": 0}'}),
        ("garbage", {"text": '{"type": ["channelClose"], "channelId": 0}'}),
        ("garbage", {"text": '{"type": "channelClose", "channelId": "0"}'}),
        ("garbage", {"text": '{"type": "rpcError"}'}),
        ("unknown_packet", {}),
        ("unknown_packet", {"packet": 7}),
        ("unknown_packet", {"packet": None}),
        ("unknown_packet", {"packet": {"type": None}}),
        ("unknown_packet", {"packet": {"type": "fragment"}}),
        ("unknown_packet", {"top_level": True}),
        ("unknown_enum", {"reasoning": True}),
        ("extra_fields", {}),
        ("missing_new_fields", {}),
    ],
)
def test_unknown_packets_are_ignored_in_a_prediction(
    server: Emulator, client: Client, fault: str, options: dict[str, Any]
) -> None:
    server.script(Reply(_WORDS, reasoning="Hm."))
    server.faults.add(fault, after=1, **options)
    result = client.llm.model(CHAT).respond("hi")
    if fault != "unknown_enum":
        assert (result.content, result.reasoning) == (_WORDS, "Hm.")
    assert result.stats is not None
    assert len({frame.connection for frame in server.requests}) == 1


@pytest.mark.parametrize("fault", ["garbage", "unknown_packet", "extra_fields", "missing_new_fields", "unknown_enum"])
def test_unknown_packets_are_ignored_in_a_load(server: Emulator, client: Client, fault: str) -> None:
    server.faults.add(fault, endpoint="getOrLoad", after=1)
    progress: list[float] = []
    assert client.llm.model(UNLOADED, on_load_progress=progress.append).respond("hi").content
    assert progress[-1] == 1.0


@pytest.mark.parametrize(
    "packet",
    [7, None, [], "text", {"type": 7}, {"type": "loadSuccess"}, {"type": "alreadyLoaded", "info": {"modelKey": "x"}}],
)
def test_untyped_packet_in_a_load_does_not_affect_other_calls(packet: Any) -> None:
    """With a packet that cannot be read in place of the final one, the load is incomplete, and the error says so."""

    def behave(side: ServerSide) -> None:
        side.authenticate()
        channel = side.read()["channelId"]
        side.send({"type": "channelSend", "channelId": channel, "message": packet})
        side.send({"type": "channelClose", "channelId": channel})
        call = side.read()
        assert call["type"] == "rpcCall", "the socket must have lived on"
        side.send({"type": "rpcResult", "callId": call["callId"], "result": []})
        side.read_to_the_end()

    with MisbehavingServer(behave) as server, Client(server.url, timeout=2) as client:
        with pytest.raises(LMStudioIncompleteError):
            client.llm.model(CHAT)
        assert client.llm.list_loaded() == []


def test_fragment_above_a_megabyte_arrives_complete(server: Emulator, client: Client) -> None:
    server.script(Reply("end"))
    server.faults.add("big_frame", size=3_000_000)
    assert client.llm.model(CHAT).respond("hi").content == "x" * 3_000_000 + "end"


def test_prompt_above_a_megabyte_arrives_complete(server: Emulator, client: Client) -> None:
    text = "ä€😀" * 120_000  # 1.08 MB
    client.llm.model(CHAT).tokenize(text)
    assert requests(server, "tokenize")[0].message["parameter"]["inputString"] == text


async def test_frames_above_a_megabyte_pass_both_ways_beside_another_stream(server: Emulator) -> None:
    async with AsyncClient(server.url) as client:
        model = await client.llm.model(CHAT)
        server.script(Reply(_WORDS), Reply("end"))
        small = await model.respond_stream("hi")
        assert (await small.result()).content == _WORDS
        server.faults.add("big_frame", size=2_000_000)
        await asyncio.gather(model.tokenize("y" * 1_100_000), big := asyncio.ensure_future(model.respond("hi")))
        assert len((await big).content) == 2_000_003


def test_fragmented_message_with_pings_between_is_joined() -> None:
    """Nothing forbids a server, or a proxy before it, to send a message in several frames."""

    def behave(side: ServerSide) -> None:
        side.authenticate()
        call = side.read()
        text = f'{{"type": "rpcResult", "callId": {call["callId"]}, "result": {{"version": "0.4.ä", "build": 7}}}}'
        side.connection.ping()
        side.connection.send([text[:5], text[5:40], text[40:]])
        call = side.read()
        side.connection.send([b'{"type": "rpcResult", "callId": ', str(call["callId"]).encode(), b', "result": []}'])
        side.read_to_the_end()

    with MisbehavingServer(behave) as server, Client(server.url, timeout=2) as client:
        assert client.system.version().version == "0.4.ä"
        assert client.list_downloaded_models() == []


def test_answers_without_a_pending_call_are_ignored() -> None:
    stray = [
        {"type": "rpcResult", "callId": 999, "result": 1},
        {"type": "channelSend", "channelId": 999, "message": {"type": "fragment"}},
        {"type": "channelClose", "channelId": 999},
        {"type": "channelError", "channelId": 999, "error": {"title": "?"}},
        {"type": "keepAliveAck"},
    ]
    final = {"type": "rpcResult", "callId": "ID", "result": {"version": "1", "build": 2}}
    with MisbehavingServer(scripted([*stray, final, final])) as server, Client(server.url, timeout=2) as client:
        assert client.system.version().build == 2


def test_late_channel_close_delays_no_caller(server: Emulator, client: Client) -> None:
    late = server.faults.add("late_close")
    server.script(Reply(_WORDS))
    assert client.llm.model(CHAT).respond("hi").content == _WORDS
    late.wait_hit()
    late.release()


def test_close_frame_in_a_stream_raises_like_a_lost_socket() -> None:
    def behave(side: ServerSide) -> None:
        side.authenticate()
        channel = side.read()["channelId"]
        fragment = {"type": "fragment", "fragment": {"content": "One "}}
        side.send({"type": "channelSend", "channelId": channel, "message": fragment})
        side.connection.close(1001)

    with MisbehavingServer(behave) as server:
        stream = Client(server.url, timeout=2).llm.just_in_time().respond_stream("hi")
        with pytest.raises(LMStudioDisconnectedError, match="1001") as raised:
            stream.result()
    assert raised.value.partial.content == "One "


def test_invalid_frame_closes_the_socket_and_fails_pending_calls() -> None:
    arrived = threading.Event()

    def behave(side: ServerSide) -> None:
        side.authenticate()
        side.read()
        arrived.set()
        side.connection.socket.sendall(b"\xff\xff\xff\xff")
        side.read_to_the_end()

    with MisbehavingServer(behave) as server:
        with pytest.raises(LMStudioDisconnectedError):
            Client(server.url, timeout=2).system.version()
        assert arrived.is_set()
