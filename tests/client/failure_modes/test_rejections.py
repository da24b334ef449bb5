"""LM Studio answers what it does not know with a warning that bears no id, five times per socket, then with silence."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from lmstudio_integrations import AsyncClient, Client, Timeout
from lmstudio_integrations.client.requests import Call, ModelReference, Parameter, Prediction
from lmstudio_integrations.client.transport.stream_controller import StreamController
from lmstudio_integrations.client.transport.thread import io_thread
from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioProtocolError, LMStudioRequestRejectedError, LMStudioTimeoutError
from tests.client.failure_modes.frame_builders import CHAT, requests, wait_for_predictions
from tests.movable_clock import MovableClock
from tests.time_limits import SURE_TO_EXPIRE

_UNKNOWN = Call("llm", "invented", Parameter.of({"a": 1}), lambda result: result)
_WRONG = Call("llm", "tokenize", Parameter.of({"inputString": 7}, "specifier"), lambda result: result)


@pytest.mark.invalid_frames
@pytest.mark.parametrize("call", [_UNKNOWN, _WRONG], ids=["endpoint", "parameter"])
def test_rejected_rpc_raises_and_names_its_endpoint(server: Emulator, client: Client, call: Call[object]) -> None:
    with pytest.raises(LMStudioRequestRejectedError, match=call.endpoint):
        client._ask(call).result(10)
    assert client.llm.model(CHAT).count_tokens("two words") > 0


@pytest.mark.invalid_frames
def test_unknown_channel_endpoint_ends_the_stream(server: Emulator, client: Client) -> None:
    """As an older LM Studio would meet an endpoint of a newer one."""
    received: list[object] = []
    controller = StreamController(io_thread(), received.append)
    prediction = Prediction("inventedChannel", Parameter.of({}), structured=False)
    client._submit(ModelReference("llm", None), lambda executor: executor.predict(prediction, controller)).result(10)
    assert [type(item) for item in received] == [LMStudioRequestRejectedError]


def test_warning_instead_of_a_prediction_raises_and_the_next_prediction_works(server: Emulator, client: Client) -> None:
    server.faults.add("warning_instead")
    model = client.llm.just_in_time(CHAT)
    with pytest.raises(LMStudioRequestRejectedError):
        model.respond("hi")
    assert model.respond("hi").content


async def test_rejections_beyond_a_sockets_warnings_all_raise(server: Emulator) -> None:
    server.faults.add("warning_instead", times=8)
    async with AsyncClient(server.url) as client:
        model = client.llm.just_in_time(CHAT)
        for _ in range(8):
            with pytest.raises(LMStudioRequestRejectedError):
                await model.respond("hi")
        assert (await model.respond("hi")).content
    assert len({frame.connection for frame in requests(server, "predict")}) == 9


def _all_warnings_sent(server: Emulator) -> bool:
    """LM Studio sends one for each rejected request, five per socket."""
    requested = Counter(frame.connection for frame in requests(server, "predict"))
    warnings = sum(frame.message["type"] == "communicationWarning" for frame in server.sent if "type" in frame.message)
    return bool(warnings == sum(min(5, count) for count in requested.values()))


def test_eight_concurrent_rejections_raise_within_the_first_packet_limit(
    server: Emulator, client: Client, clock: MovableClock
) -> None:
    """Only five warnings are sent; requests that none of them names end by their time limit."""
    model = client.llm.model(CHAT)
    server.faults.add("warning_instead", times=8)
    streams = [model.respond_stream("hi", timeout=Timeout(first_packet=100)) for _ in range(8)]
    wait_for_predictions(server, 8)
    server.wait_until(lambda: _all_warnings_sent(server))
    clock.advance(100)
    for stream in streams:
        with pytest.raises((LMStudioRequestRejectedError, LMStudioTimeoutError)):
            stream.result()
    assert model.respond("hi").content


def test_warning_does_not_affect_a_running_answer(server: Emulator, client: Client) -> None:
    gate = ThreadsafeEvent()
    server.script(Reply("One two three", hold=gate, hold_after=1))
    stream = client.llm.model(CHAT).respond_stream("hi")
    fragments = iter(stream)
    first = next(fragments)
    server.faults.add("warning_instead", endpoint="tokenize")
    with pytest.raises(LMStudioRequestRejectedError):
        client.llm.just_in_time(CHAT).tokenize("text")
    gate.set()
    assert str(first) + "".join(map(str, fragments)) == "One two three"
    # Its socket took no new requests meanwhile, and is closed now.
    server.wait_until(lambda: server.connections == 0)


def test_void_result_raises_only_if_a_value_is_expected(server: Emulator, client: Client) -> None:
    model = client.llm.model(CHAT)
    server.faults.add("void", endpoint="tokenize")
    with pytest.raises(LMStudioProtocolError, match="tokenize"):
        model.tokenize("text")
    server.faults.add("void", endpoint="unloadModel")
    model.unload()
    assert model.tokenize("text")


async def test_void_result_does_not_hang_an_async_call(server: Emulator) -> None:
    async with AsyncClient(server.url) as client:
        model = await client.llm.model(CHAT)
        server.faults.add("void", endpoint="getModelInfo")
        await asyncio.gather(model.unload(), model.tokenize("text"), return_exceptions=True)
        assert (await model.get_info()).identifier == CHAT


def test_missing_answer_ends_by_the_first_packet_limit(server: Emulator, client: Client) -> None:
    model = client.llm.model(CHAT)
    server.faults.add("silent", endpoint="*", times=2)
    under = model.respond_stream("hi", timeout=Timeout(first_packet=SURE_TO_EXPIRE))
    wait_for_predictions(server)
    with pytest.raises(LMStudioTimeoutError) as raised:
        under.result()
    assert raised.value.limit == "first_packet"
    assert raised.value.last_heard == "nothing"
