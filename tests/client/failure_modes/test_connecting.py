"""Connecting: no server, another kind of server, an upgrade or an authentication without an answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmstudio_integrations import AsyncClient, Client, Timeout
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.errors import (
    LMStudioAuthenticationError,
    LMStudioCancelledError,
    LMStudioConnectionError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioProtocolError,
    LMStudioServerNotFoundError,
    LMStudioTimeoutError,
)
from tests.client.failure_modes.frame_builders import CHAT
from tests.client.failure_modes.misbehaving_servers import (
    Listener,
    MisbehavingServer,
    ServerSide,
    answer_http,
    close_at_once,
    closed_port,
    read_forever,
    scripted,
    silent_port,
)
from tests.movable_clock import MovableClock
from tests.time_limits import SURE_TO_EXPIRE

_LONG = 15.0
"""Seconds: more than the default limit of 4, and less than websockets' own pings may take."""


def test_unanswered_upgrade_raises_the_connect_limit() -> None:
    with silent_port() as url, pytest.raises(LMStudioTimeoutError) as raised:
        Client(url, timeout=Timeout(connect=SURE_TO_EXPIRE)).system.version()
    assert raised.value.limit == "connect"
    assert raised.value.seconds == SURE_TO_EXPIRE
    assert raised.value.last_heard == "nothing"
    assert isinstance(raised.value, TimeoutError)
    assert f"the connection did not come within {SURE_TO_EXPIRE} s" in str(raised.value)


async def test_unanswered_upgrade_ends_streams_and_async_calls() -> None:
    with silent_port() as url:
        async with AsyncClient(url, timeout=SURE_TO_EXPIRE) as client:
            stream = await client.llm.just_in_time(CHAT).respond_stream("hi")
            with pytest.raises(LMStudioTimeoutError):
                await stream.result()
            with pytest.raises(LMStudioTimeoutError):
                await client.list_loaded_models()


def test_socket_of_a_timed_out_attempt_is_closed(clock: MovableClock) -> None:
    with Listener(read_forever) as side, ThreadPoolExecutor(1) as pool:
        call = pool.submit(Client(side.url, timeout=Timeout(connect=100)).system.version)
        side.wait_until(lambda: side.accepted == 1)
        clock.advance(100)
        assert isinstance(call.exception(10), LMStudioTimeoutError)
        side.wait_until(lambda: side.ended == side.accepted == 1)


def test_unanswered_path_and_missing_server_raise_different_errors(server: Emulator) -> None:
    """LM Studio leaves the upgrade of a wrong path without an answer."""
    with closed_port() as url, pytest.raises(LMStudioServerNotFoundError):
        Client(url + "/prefix").system.version()
    with pytest.raises(LMStudioTimeoutError) as raised:
        Client(server.url + "/prefix", timeout=SURE_TO_EXPIRE).system.version()
    assert "/prefix/system" in str(raised.value)


@pytest.mark.parametrize("fault", ["no_upgrade", "never_auth"])
def test_failed_connect_raises_a_separate_error_in_each_of_forty_calls(server: Emulator, fault: str) -> None:
    server.faults.add(fault, times=None)
    client = Client(server.url, timeout=SURE_TO_EXPIRE)
    with ThreadPoolExecutor(40) as pool:
        futures = [pool.submit(client.system.version) for _ in range(40)]
    errors = [future.exception() for future in futures]
    assert all(isinstance(error, LMStudioTimeoutError) for error in errors)
    assert len(set(map(id, errors))) == 40


def test_unanswered_authentication_names_the_last_step_in_the_error(server: Emulator, clock: MovableClock) -> None:
    server.faults.add("never_auth")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(Client(server.url, timeout=Timeout(connect=100)).system.version)
        server.wait_for(lambda frame: "authVersion" in frame.message)
        clock.advance(100)
        error = call.exception(10)
    assert isinstance(error, LMStudioTimeoutError)
    assert error.limit == "connect"
    assert error.last_heard == "the WebSocket handshake"
    assert "the reply to the authentication" in str(error)
    server.wait_until(lambda: server.connections == 0)
    assert Client(server.url).system.version().version == "emulator"


def test_no_request_is_sent_before_the_authentication_is_answered(server: Emulator, client: Client) -> None:
    late = server.faults.add("slow_auth", namespace="llm")
    streams = [client.llm.just_in_time(CHAT).respond_stream("hi") for _ in range(5)]
    late.wait_hit()
    assert [set(frame.message) for frame in server.requests] == [{"authVersion", "clientIdentifier", "clientPasskey"}]
    late.release()
    assert all(stream.result().content for stream in streams)
    accepted = server.wait_for_sent(lambda frame: frame.message == {"success": True})
    assert all(frame.order > accepted.order for frame in server.requests[1:])


async def test_late_authentication_delays_an_async_call_only_until_it_arrives(server: Emulator) -> None:
    late = server.faults.add("slow_auth")
    async with AsyncClient(server.url) as client:
        version = asyncio.create_task(client.system.version())
        await asyncio.to_thread(late.wait_hit)
        assert not version.done()
        late.release()
        assert (await version).version == "emulator"


def test_refused_guest_raises_with_the_servers_words_and_can_retry(server: Emulator) -> None:
    server.faults.add("refuse_auth", error="Only friends come in.", times=2)  # a guest draws a new identity, once
    client = Client(server.url)
    with pytest.raises(LMStudioAuthenticationError, match=r"refused the guest: Only friends come in\."):
        client.system.version()
    server.wait_until(lambda: server.connections == 0)
    assert client.system.version().version == "emulator"


async def test_refused_token_is_in_no_error_of_the_waiting_calls() -> None:
    token = "sk-lm-abcdefgh:ABCDEFGHIJKLMNOPQRST"
    with Emulator(api_token="sk-lm-12345678:12345678901234567890") as server:
        client = AsyncClient(server.url, api_token=token)
        errors = await asyncio.gather(*(client.system.version() for _ in range(5)), return_exceptions=True)
        server.wait_until(lambda: server.connections == 0)
    assert all(type(error) is LMStudioAuthenticationError for error in errors)
    assert len(set(map(id, errors))) == 5
    assert not any(part in f"{error!r}" for error in errors for part in token.split(":"))


def test_missing_server_error_says_how_to_start_lm_studio() -> None:
    with closed_port() as url, pytest.raises(LMStudioServerNotFoundError, match="lms server start") as raised:
        Client(url).llm.just_in_time(CHAT).respond("hi")
    assert raised.value.addresses == (url,)


@pytest.mark.parametrize(
    ("side", "words"),
    [
        (answer_http("404 Not Found"), "HTTP status 404"),
        (answer_http("200 OK", "<html>"), "HTTP status 200"),
        (close_at_once, "closed the connection during the handshake"),
        (lambda connection: connection.sendall(b"220 mail.example ESMTP\r\n"), "does not speak WebSocket"),
    ],
)
def test_server_without_websockets_raises_connection_error(side: object, words: str) -> None:
    with Listener(side) as listener, pytest.raises(LMStudioConnectionError, match=words):  # type: ignore[arg-type]
        Client(listener.url).system.version()


def test_socket_closed_right_after_connecting_is_retried() -> None:
    attempts = iter(("first", "second"))

    def behave(side: ServerSide) -> None:
        if next(attempts) == "first":
            side.connection.close()
        else:
            scripted([{"type": "rpcResult", "callId": "ID", "result": {"version": "0.4", "build": 1}}])(side)

    with MisbehavingServer(behave) as server:
        assert Client(server.url).system.version().version == "0.4"


def test_socket_always_closed_after_connecting_ends_the_retries() -> None:
    with Listener(close_at_once) as listener:
        with pytest.raises(LMStudioDisconnectedError):
            Client(listener.url).system.version()
        assert listener.accepted == 2


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ('{"hello": "there"}', LMStudioProtocolError),
        ("no JSON", LMStudioProtocolError),
        ("[]", LMStudioProtocolError),
        ('{"success": "yes"}', LMStudioAuthenticationError),
        (None, LMStudioConnectionError),
    ],
)
def test_invalid_authentication_reply_raises_a_specific_error(reply: str | None, error: type[LMStudioError]) -> None:
    def behave(side: ServerSide) -> None:
        side.read()
        if reply is not None:
            side.send(reply)
            side.read_to_the_end()

    with MisbehavingServer(behave) as server, pytest.raises(error):
        Client(server.url).system.version()


def test_address_that_never_answered_raises_without_connecting_again() -> None:
    with closed_port() as url:
        client = Client(url, timeout=Timeout(reconnect=1000))  # longer than the test may take
        with pytest.raises(LMStudioServerNotFoundError):
            client.llm.just_in_time(CHAT).respond("hi")
        with pytest.raises(LMStudioServerNotFoundError):
            client.system.version()


def test_redirect_is_not_followed_and_raises_connection_error() -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /system\r\nContent-Length: 0\r\n\r\n")

    with Listener(behave) as listener:
        with pytest.raises(LMStudioConnectionError, match="HTTP status 302"):
            Client(listener.url).system.version()
        assert listener.accepted == 1


def test_short_connect_limit_does_not_end_a_shared_attempt_of_a_longer_one(server: Emulator) -> None:
    late = server.faults.add("slow_auth")
    patient: list[object] = []
    waiting = threading.Thread(target=lambda: patient.append(Client(server.url).system.version()))
    waiting.start()
    late.wait_hit()
    with pytest.raises(LMStudioTimeoutError):
        Client(server.url, timeout=SURE_TO_EXPIRE).system.version()
    late.release()
    waiting.join(10)
    assert len(patient) == 1
    assert len({frame.connection for frame in server.requests}) == 1


def test_longer_connect_limit_outlives_the_call_that_started_the_attempt(
    server: Emulator, client: Client, clock: MovableClock
) -> None:
    late = server.faults.add("slow_auth")
    model = client.llm.just_in_time(CHAT)
    impatient = model.respond_stream("hi", timeout=Timeout(connect=100))
    late.wait_hit()
    patient = model.respond_stream("hi", timeout=Timeout(connect=300))
    clock.advance(100)
    with pytest.raises(LMStudioTimeoutError):
        impatient.result()
    late.release()
    assert patient.result().content
    assert len({frame.connection for frame in server.requests}) == 1


def test_stream_cancelled_while_connecting_ends_and_leaves_no_socket(server: Emulator, client: Client) -> None:
    late = server.faults.add("slow_auth")
    stream = client.llm.just_in_time(CHAT).respond_stream("hi")
    late.wait_hit()
    stream.cancel()
    with pytest.raises(LMStudioCancelledError):
        stream.result()
    server.wait_until(lambda: server.connections == 0)
    assert len(server.requests) == 1  # the authentication


async def test_task_cancelled_while_connecting_leaves_no_socket(server: Emulator) -> None:
    late = server.faults.add("slow_auth")
    call = asyncio.create_task(AsyncClient(server.url).system.version())
    await asyncio.to_thread(late.wait_hit)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.to_thread(server.wait_until, lambda: server.connections == 0)


def test_cancelled_caller_does_not_close_the_socket_of_other_waiting_callers(server: Emulator, client: Client) -> None:
    late = server.faults.add("slow_auth")
    model = client.llm.just_in_time(CHAT)
    gone, stays = model.respond_stream("hi"), model.respond_stream("hi")
    late.wait_hit()
    gone.cancel()
    with pytest.raises(LMStudioCancelledError):
        gone.result()
    late.release()
    assert stays.result().content


def test_client_closed_while_connecting_leaves_no_socket(server: Emulator) -> None:
    late = server.faults.add("slow_auth")
    client = Client(server.url)
    stream = client.llm.just_in_time(CHAT).respond_stream("hi")
    late.wait_hit()
    client.close()
    with pytest.raises(LMStudioCancelledError):
        stream.result()
    server.wait_until(lambda: server.connections == 0)


def test_connect_limit_of_none_never_expires(server: Emulator, clock: MovableClock) -> None:
    late = server.faults.add("slow_auth")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(Client(server.url, timeout=Timeout(connect=None)).system.version)
        late.wait_hit()
        clock.advance(_LONG)
        late.release()
        assert call.result(10).version == "emulator"
