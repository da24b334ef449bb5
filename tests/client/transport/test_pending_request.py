"""One call under its time limits, on a connection without a socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from lmstudio_integrations.client.settings import Timeout
from lmstudio_integrations.client.transport import pending_request
from lmstudio_integrations.client.transport.connection import Connection
from lmstudio_integrations.client.transport.loading import load_model
from lmstudio_integrations.client.transport.multiplexer import Multiplexer
from lmstudio_integrations.client.transport.pending_request import PendingRequest, discard
from lmstudio_integrations.errors import LMStudioDisconnectedError, LMStudioServerError
from tests.packet_builders import INSTANCE, fragment, frame, success


class Wire:
    """What a request needs of a connection; sent frames are kept."""

    def __init__(self) -> None:
        self.multiplexer = Multiplexer()
        self.sent: list[Any] = []

    def post(self, *frames: str) -> bool:
        self.sent += map(json.loads, frames)
        return True

    def forget(self, call: Any) -> None:
        self.multiplexer.forget(call)

    def verify(self) -> None: ...

    def arrive(self, packet: Any) -> None:
        self.multiplexer.receive(frame("channelSend", channelId=0, message=packet))

    @property
    def cancels(self) -> int:
        return sum(one.get("message") == {"type": "cancel"} for one in self.sent)

    @property
    def connection(self) -> Connection:
        return cast("Connection", self)


async def _opened(wire: Wire) -> tuple[PendingRequest, asyncio.Task[None]]:
    request = PendingRequest(wire.connection, "predict", Timeout())
    task = asyncio.create_task(request.open_channel("{}"))
    await asyncio.sleep(0)
    return request, task


async def test_cancel_is_not_sent_if_the_end_arrives_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_request, "_QUIET_BEFORE_CANCEL", 30.0)
    monkeypatch.setattr(pending_request, "_LATEST_CANCEL", 30.0)
    wire = Wire()
    request, task = await _opened(wire)
    wire.arrive(fragment("one"))
    request.call.interval = 0.0
    request.cancel()
    wire.arrive(fragment("two"))
    wire.arrive(success())
    await task
    assert wire.cancels == 0


async def test_cancel_is_sent_at_once_if_nothing_has_arrived() -> None:
    wire = Wire()
    request, task = await _opened(wire)
    request.cancel()
    assert wire.cancels == 1
    request.cancel()
    wire.arrive(success(stopReason="userStopped"))
    await task
    assert wire.cancels == 1


@pytest.mark.parametrize("short", ["_QUIET_BEFORE_CANCEL", "_LATEST_CANCEL"])
async def test_cancel_is_sent_after_quiet_or_at_the_latest_time(short: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_request, "_QUIET_BEFORE_CANCEL", 30.0)
    monkeypatch.setattr(pending_request, "_LATEST_CANCEL", 30.0)
    monkeypatch.setattr(pending_request, short, 0.0)
    wire = Wire()
    request, task = await _opened(wire)
    wire.arrive(fragment("one"))
    request.call.interval = 0.0
    request.cancel()
    assert wire.cancels == 1
    wire.arrive(success())
    await task


async def test_cancel_is_sent_at_once_if_packets_come_at_a_models_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_request, "_QUIET_BEFORE_CANCEL", 30.0)
    monkeypatch.setattr(pending_request, "_LATEST_CANCEL", 30.0)
    wire = Wire()
    request, task = await _opened(wire)
    wire.arrive(fragment("one"))
    request.call.interval = 0.02
    request.cancel()
    assert wire.cancels == 1
    wire.arrive(success())
    await task


async def test_cancel_that_waits_is_sent_when_its_task_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_request, "_QUIET_BEFORE_CANCEL", 30.0)
    monkeypatch.setattr(pending_request, "_LATEST_CANCEL", 30.0)
    wire = Wire()
    request, task = await _opened(wire)
    wire.arrive(fragment("one"))
    request.call.interval = 0.0
    request.cancel()
    assert wire.cancels == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert wire.cancels == 1


async def test_final_packet_ends_the_call_without_the_channels_close() -> None:
    wire = Wire()
    _, task = await _opened(wire)
    wire.arrive(success())
    await task
    assert wire.multiplexer.open_calls == 0


async def test_final_packet_of_another_endpoint_does_not_end_the_call() -> None:
    wire = Wire()
    _, task = await _opened(wire)
    wire.arrive({"type": "loadSuccess", "info": INSTANCE})
    assert wire.multiplexer.open_calls == 1
    wire.arrive(success())
    await task


async def _loading(wire: Wire, endpoint: str) -> asyncio.Task[str]:
    task = asyncio.create_task(load_model(wire.connection, endpoint, {}, Timeout(), discard))
    await asyncio.sleep(0)
    wire.arrive({"type": "startLoading", "identifier": "m", "info": INSTANCE})
    return task


async def test_error_packet_of_a_load_keeps_the_servers_words() -> None:
    wire = Wire()
    task = await _loading(wire, "getOrLoad")
    wire.arrive({"type": "error", "error": {"title": "No memory left", "cause": "8 GB of 6 GB"}})
    wire.multiplexer.receive(frame("channelClose", channelId=0))
    with pytest.raises(LMStudioServerError, match="No memory left\ncause: 8 GB of 6 GB"):
        await task


@pytest.mark.parametrize("endpoint", ["getOrLoad", "loadModel"])
async def test_lost_socket_in_a_load_counts_as_started_only_for_load_model(endpoint: str) -> None:
    wire = Wire()
    task = await _loading(wire, endpoint)
    wire.multiplexer.connection_lost(lambda: LMStudioDisconnectedError("lost"))
    with pytest.raises(LMStudioDisconnectedError) as raised:
        await task
    assert raised.value.response_started is (endpoint == "loadModel")
