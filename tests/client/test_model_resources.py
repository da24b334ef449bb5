"""LM Studio's further endpoints about models: resources, processing state, draft models, devices, and the queue."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lmstudio_integrations import (
    Client,
    LMStudioModelNotFoundError,
    LMStudioResourcesError,
    LMStudioValueError,
    QueueProgress,
)
from lmstudio_integrations.client.transport import executor
from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply, ThreadsafeEvent
from tests.client.client_variants import FRONTS, Front
from tests.movable_clock import MovableClock

MODELS = (
    EmulatedModel("small", loaded=True),
    EmulatedModel("large", fits=False, size_bytes=8_000_000_000),
    EmulatedModel("far", device="living-room"),
)


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator(MODELS) as running:
        yield running


@pytest.fixture(params=FRONTS, ids=["blocking", "awaiting"])
def models(request: pytest.FixtureRequest, server: Emulator) -> Iterator[Front]:
    made: Any = request.param(server.url, "small")
    yield made
    made.close()


def asked(server: Emulator, endpoint: str) -> list[Any]:
    frames = [frame.message for frame in server.requests if frame.message.get("endpoint") == endpoint]
    return [frame.get("creationParameter", frame.get("parameter")) for frame in frames]


# Resources


def test_resources_of_a_load_are_estimated_without_loading(models: Front, server: Emulator) -> None:
    estimate = models.do("llm.estimate_resources", "large", {"contextLength": 1024})
    assert estimate.passes_guardrails is False
    assert estimate.memory.total_bytes == 8_000_000_000
    assert models.do("llm.estimate_resources", "small").passes_guardrails is True
    first = asked(server, "estimateModelUsage")[0]
    assert first["modelKey"] == "large"
    (layer,) = first["loadConfigStack"]["layers"]
    assert {"key": "llm.load.contextLength", "value": 1024} in layer["config"]["fields"]
    assert server.loaded == ["small"]


@pytest.mark.parametrize("method", ["llm.model", "llm.load_new_instance"])
def test_load_that_would_not_fit_is_refused_on_wish(models: Front, server: Emulator, method: str) -> None:
    with pytest.raises(LMStudioResourcesError, match=r"8\.00 GB") as caught:
        models.do(method, "large", check_resources=True)
    assert caught.value.estimate.passes_guardrails is False
    assert server.loaded == ["small"]
    assert models.do(method, "large").identifier == "large"  # without the wish nothing is asked
    assert len(asked(server, "estimateModelUsage")) == 1


def test_model_that_is_loaded_already_is_not_estimated(models: Front, server: Emulator) -> None:
    assert models.do("llm.model", "small", check_resources=True).identifier == "small"
    assert asked(server, "estimateModelUsage") == []


def test_just_in_time_load_is_refused_on_wish(models: Front, server: Emulator) -> None:
    models.llm = models.client.llm.just_in_time("large", check_resources=True)
    with pytest.raises(LMStudioResourcesError):
        models.respond()
    assert asked(server, "predict") == []
    assert asked(server, "getOrLoad") == []


# State and configuration


def test_processing_state_says_what_a_model_does(models: Front, server: Emulator) -> None:
    state = models.do("handle.get_processing_state")
    assert (state.status, state.queued) == ("idle", 0)
    gate = ThreadsafeEvent()
    server.script(Reply("Hello", hold=gate))
    with Client(server.url) as client:
        stream = client.llm.just_in_time("small").respond_stream("Hi")
        server.wait_for_sent(lambda frame: frame.message.get("message", {}).get("type") == "fragment")
        assert models.do("handle.get_processing_state").status == "generating"
        gate.set()
        stream.result()
    models.llm = models.client.llm.just_in_time("nope")
    with pytest.raises(LMStudioModelNotFoundError):
        models.do("handle.get_processing_state")


def test_base_prediction_config_has_attributes(models: Front, server: Emulator) -> None:
    config = models.do("handle.get_base_prediction_config")
    assert config.temperature == config["temperature"]
    models.do("handle.get_base_prediction_config", ignore_server_session_config=True)
    first, second = asked(server, "getBasePredictionConfig")
    assert "ignoreServerSessionConfig" not in first
    assert second["ignoreServerSessionConfig"] is True


def test_draft_model_is_loaded_ahead(models: Front, server: Emulator) -> None:
    assert models.do("handle.preload_draft_model", "large") is None
    assert asked(server, "preloadDraftModel")[0]["draftModelKey"] == "large"
    with pytest.raises(LMStudioModelNotFoundError):
        models.do("handle.preload_draft_model", "nope")


# Devices


def test_device_is_named_in_loads_requests_and_unloads(models: Front, server: Emulator) -> None:
    listed = {model.model_key: model for model in models.do("llm.list_downloaded")}
    assert listed["far"].device_identifier == "living-room"
    assert "device_identifier='living-room'" in repr(listed["far"])
    assert "device" not in repr(listed["small"])
    models.llm = handle = models.do("llm.model", "far", device="living-room")
    assert (handle.device, "living-room" in repr(handle)) == ("living-room", True)
    assert models.respond().model_info.device_identifier == "living-room"
    assert models.do("handle.get_info").identifier == "far"
    specifier = {"type": "query", "query": {"identifier": "far", "deviceIdentifier": "living-room"}}
    assert asked(server, "predict")[0]["modelSpecifier"] == asked(server, "getModelInfo")[0]["specifier"] == specifier
    assert [one.device for one in models.do("llm.list_loaded")] == [None, "living-room"]
    models.do("handle.unload")
    mine = models.do("llm.load_new_instance", "far", "mine", device="living-room")
    models.do("llm.unload", "mine", device="living-room")
    assert mine.device == "living-room"
    assert [request["deviceIdentifier"] for request in asked(server, "unloadModel")] == ["living-room"] * 2
    for endpoint in ("getOrLoad", "loadModel"):
        assert asked(server, endpoint)[0]["deviceIdentifier"] == "living-room"
    models.do("llm.estimate_resources", "far", device="living-room")
    assert asked(server, "estimateModelUsage")[0]["deviceIdentifier"] == "living-room"


def test_model_on_another_device_is_another_model(models: Front, server: Emulator) -> None:
    models.llm = models.client.llm.just_in_time("small")
    models.respond()
    models.llm = models.client.llm.just_in_time("small", device="living-room")
    with pytest.raises(LMStudioModelNotFoundError):
        models.respond()
    sent = [frame.message["endpoint"] for frame in server.requests if "endpoint" in frame.message]
    assert sent[:3] == ["getOrLoad", "predict", "getOrLoad"]  # it does not count as loaded there
    assert asked(server, "getOrLoad")[1]["deviceIdentifier"] == "living-room"


@pytest.mark.parametrize("device", ["", 5])
def test_device_that_is_no_identifier_is_refused(models: Front, server: Emulator, device: Any) -> None:
    with pytest.raises(LMStudioValueError, match="device="):
        models.do("llm.model", "small", device=device)
    assert server.requests == []


def test_devices_of_lm_link_are_listed(models: Front, server: Emulator) -> None:
    link = models.do("repository.lm_link_status")
    assert (link.status, link.issues) == ("online", [])
    assert [(peer.device_identifier, peer.device_name, peer.status) for peer in link.peers] == [
        ("living-room", "living room", "connected")
    ]
    handle = models.do("llm.model", "far", device=link.peers[0].device_identifier)
    assert handle.device == "living-room"


def test_server_without_lm_link_lists_no_devices(front: Front) -> None:
    link = front.do("repository.lm_link_status")
    assert (link.status, link.peers, link.device_identifier) == ("offline", [], None)


# The queue


def test_listener_learns_that_its_request_waits(
    models: Front, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_FIRST_QUEUE_DELAY", 0.01)
    gate = ThreadsafeEvent()
    queued: list[int] = []
    server.script(Reply("First", hold=gate), Reply("Second", progress=(), hold=gate, hold_after=0))
    with Client(server.url) as client:
        stream = client.llm.just_in_time("small").respond_stream("Hi")
        server.wait_for_sent(lambda frame: frame.message.get("message", {}).get("type") == "fragment")

        def on_queue_progress(count: int) -> None:
            queued.append(count)
            gate.set()

        assert models.respond(on_queue_progress=on_queue_progress).content == "Second"
        stream.result()
    assert queued == [1]


def test_queue_is_not_asked_for_without_a_listener(
    models: Front, server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_FIRST_QUEUE_DELAY", 0.0)
    gate = ThreadsafeEvent()
    server.script(Reply("One two three", progress=(), hold=gate, hold_after=0))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(models.respond)
        server.wait_for(lambda frame: frame.message.get("endpoint") == "predict")
        models.do("handle.tokenize", "on the same socket, after what the first look would have asked")
        gate.set()
        assert answer.result(10).content == "One two three"
    assert asked(server, "getInstanceProcessingState") == []


def test_queue_is_not_asked_for_after_the_first_packet(
    models: Front, server: Emulator, monkeypatch: pytest.MonkeyPatch, clock: MovableClock
) -> None:
    monkeypatch.setattr(executor, "_FIRST_QUEUE_DELAY", 30.0)
    gate = ThreadsafeEvent()
    server.script(Reply("One two three", hold=gate, hold_after=1))
    seen: list[int] = []

    def pass_the_first_look(fragment: Any) -> None:
        clock.advance(30)
        gate.set()

    models.respond(on_queue_progress=seen.append, on_prediction_fragment=pass_the_first_look)
    models.do("handle.tokenize", "on the same socket, after what the first look would have asked")
    assert asked(server, "getInstanceProcessingState") == []
    assert seen == []


def test_queue_progress_is_an_event_of_the_stream() -> None:
    from tests.packet_builders import complete_success, read_all

    reader, events = read_all(QueueProgress(2, "generating"), complete_success())
    assert events == [QueueProgress(2, "generating")]
    assert reader.result is not None
