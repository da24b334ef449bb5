"""Models on the emulator's disk and in its memory: loading, finding, time to live, unloading, and what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lmstudio_integrations.emulator import EmulatedModel, Emulator, ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioValueError
from tests.emulator.raw_client import RawClient, packets, prediction

pytestmark = pytest.mark.timeout(30)

EMPTY: dict[str, Any] = {"layers": []}


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def raw_client(server: Emulator) -> Iterator[RawClient]:
    with RawClient(server) as opened:
        yield opened


def get_or_load(raw_client: RawClient, identifier: str, **more: Any) -> list[Any]:
    return raw_client.until_end(
        raw_client.create("getOrLoad", {"identifier": identifier, "loadConfigStack": EMPTY, **more})
    )


def load(raw_client: RawClient, key: str, stack: dict[str, Any] = EMPTY, **more: Any) -> list[Any]:
    return raw_client.until_end(raw_client.create("loadModel", {"modelKey": key, "loadConfigStack": stack, **more}))


def code(messages: list[Any]) -> str:
    return str(messages[-1]["error"]["displayData"]["code"])


def with_length(tokens: int) -> dict[str, Any]:
    fields = [{"key": "llm.load.contextLength", "value": tokens}]
    return {"layers": [{"layerName": "apiOverride", "config": {"fields": fields}}]}


def test_loaded_model_is_used_without_a_load(raw_client: RawClient) -> None:
    (packet,) = packets(get_or_load(raw_client, "emulator/chat", loadTtlMs=1000))
    assert packet["type"] == "alreadyLoaded"
    assert packet["info"]["ttlMs"] is None


def test_just_in_time_load_has_progress_and_a_ttl(server: Emulator, raw_client: RawClient) -> None:
    seen = packets(get_or_load(raw_client, "emulator/chat-2", loadTtlMs=1000))
    assert [packet["type"] for packet in seen] == ["startLoading", *["loadProgress"] * 5, "loadSuccess"]
    assert seen[-1]["info"]["ttlMs"] == 1000
    assert packets(get_or_load(raw_client, "emulator/chat-2"))[0]["type"] == "alreadyLoaded"
    server.expire("emulator/chat-2")
    assert "emulator/chat-2" not in server.loaded


def test_only_an_instance_with_a_ttl_can_expire(server: Emulator) -> None:
    for identifier in ("emulator/chat", "nope"):
        with pytest.raises(LMStudioValueError, match="TTL"):
            server.expire(identifier)


def test_every_explicit_load_makes_a_new_instance(server: Emulator, raw_client: RawClient) -> None:
    infos = [packets(load(raw_client, "emulator/chat-2"))[-1]["info"] for _ in range(2)]
    assert [info["identifier"] for info in infos] == ["emulator/chat-2", "emulator/chat-2:2"]
    assert infos[0]["instanceReference"] != infos[1]["instanceReference"]
    assert packets(load(raw_client, "emulator/chat-2", identifier="mine"))[0]["type"] == "resolved"
    assert "mine" in server.loaded
    error = load(raw_client, "emulator/chat-2", identifier="mine")[-1]["error"]
    assert error["title"] == 'Model load error: a model with the identifier "mine" already exists'


def test_load_configuration_is_checked_and_reported(raw_client: RawClient) -> None:
    info = packets(load(raw_client, "emulator/chat-2", with_length(8192)))[-1]["info"]
    assert info["contextLength"] == 8192
    specifier = {"type": "instanceReference", "instanceReference": info["instanceReference"]}
    shown = raw_client.call("getLoadConfig", {"specifier": specifier})["result"]["fields"]
    assert {"key": "llm.load.contextLength", "value": 8192} in shown
    refused = load(raw_client, "emulator/chat-2", with_length(0))[-1]
    assert refused["error"]["title"].startswith("Field with key llm.load.contextLength")


@pytest.mark.parametrize("endpoint", ["getOrLoad", "loadModel"])
def test_unknown_model_error_lists_the_available_models(raw_client: RawClient, endpoint: str) -> None:
    seen = get_or_load(raw_client, "nope") if endpoint == "getOrLoad" else load(raw_client, "nope")
    assert code(seen) == "generic.pathNotFound"
    assert seen[-1]["error"]["displayData"]["availablePathsSample"] == [
        "emulator/chat",
        "emulator/chat-2",
        "emulator/embedding",
    ]


def test_wrong_domain_and_missing_model_have_different_errors(server: Emulator, raw_client: RawClient) -> None:
    assert code(get_or_load(raw_client, "emulator/embedding")) == "generic.domainMismatch"
    with RawClient(server, "embedding") as embedding:
        assert code(get_or_load(embedding, "emulator/chat")) == "generic.domainMismatch"
    assert (
        code(raw_client.until_end(raw_client.create("predict", prediction(model="emulator/embedding"))))
        == "generic.noModelMatchingQuery"
    )


def test_instance_reference_ends_with_its_instance(raw_client: RawClient) -> None:
    reference = raw_client.call("listLoaded")["result"][0]["instanceReference"]
    raw_client.call("unloadModel", {"identifier": "emulator/chat"})
    parameter = {**prediction(), "modelSpecifier": {"type": "instanceReference", "instanceReference": reference}}
    assert code(raw_client.until_end(raw_client.create("predict", parameter))) == "generic.specificModelUnloaded"
    gone = raw_client.call("unloadModel", {"identifier": "emulator/chat"})["error"]
    assert gone["displayData"]["code"] == "generic.noModelMatchingQuery"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, True),
        ({"identifier": "emulator/chat"}, True),
        ({"path": "emulator/chat"}, True),
        ({"domain": "llm", "vision": True}, True),
        ({"vision": False}, False),
        ({"identifier": "emulator/chat-2"}, False),
    ],
)
def test_query_finds_loaded_instances_only(raw_client: RawClient, query: dict[str, Any], found: bool) -> None:
    parameter = {"specifier": {"type": "query", "query": query}, "throwIfNotFound": False}
    assert ("result" in raw_client.call("getModelInfo", parameter)) is found


def test_load_can_be_held_and_cancelled(server: Emulator, raw_client: RawClient) -> None:
    server.load_hold = ThreadsafeEvent()
    number = raw_client.create("getOrLoad", {"identifier": "emulator/chat-2", "loadConfigStack": EMPTY})
    server.wait_for_sent(lambda frame: frame.message.get("message", {}).get("type") == "loadProgress")
    raw_client.send({"type": "channelSend", "channelId": number, "message": {"type": "cancel"}})
    seen = raw_client.until_end(number)
    assert seen[-1]["type"] == "channelError"
    assert "emulator/chat-2" not in server.loaded


def test_concurrent_get_or_load_calls_share_one_instance(server: Emulator, raw_client: RawClient) -> None:
    gate = server.load_hold = ThreadsafeEvent()
    parameter = {"identifier": "emulator/chat-2", "loadConfigStack": EMPTY}
    channels = [raw_client.create("getOrLoad", parameter) for _ in range(2)]
    server.wait_for_sent(lambda frame: frame.message.get("channelId") == channels[1])
    gate.set()
    seen = [raw_client.until_end() for _ in channels]
    infos = [packet["info"] for messages in seen for packet in packets(messages) if packet["type"] == "loadSuccess"]
    assert len(infos) == 2
    assert infos[0]["instanceReference"] == infos[1]["instanceReference"]


def test_load_error_of_a_model_fails_its_load() -> None:
    broken = EmulatedModel("broken", load_error={"title": "Failed to load", "cause": "out of memory"})
    with Emulator([broken]) as server, RawClient(server) as raw_client:
        assert get_or_load(raw_client, "broken")[-1]["error"]["cause"] == "out of memory"
        assert server.loaded == []


def test_evict_just_in_time_unloads_the_previous_just_in_time_model() -> None:
    models = [EmulatedModel("one"), EmulatedModel("two")]
    with Emulator(models, evict_just_in_time=True) as server, RawClient(server) as raw_client:
        get_or_load(raw_client, "one")
        seen = packets(get_or_load(raw_client, "two"))
        assert (seen[0]["type"], seen[0]["info"]["identifier"]) == ("unloadingOtherJITModel", "one")
        assert server.loaded == ["two"]


def test_just_in_time_llm_evicts_a_just_in_time_embedding_model() -> None:
    models = [EmulatedModel("one", "embedding"), EmulatedModel("two")]
    with Emulator(models, evict_just_in_time=True) as server:
        with RawClient(server, "embedding") as embedding:
            get_or_load(embedding, "one")
        with RawClient(server) as llm:
            seen = packets(get_or_load(llm, "two"))
        assert (seen[0]["type"], seen[0]["info"]["identifier"]) == ("unloadingOtherJITModel", "one")
        assert server.loaded == ["two"]


def test_just_in_time_model_that_is_unloaded_during_the_eviction_is_no_error() -> None:
    models = [EmulatedModel("one"), EmulatedModel("two"), EmulatedModel("three")]
    with Emulator(models) as server, RawClient(server) as raw_client, RawClient(server) as other:
        hold = server.load_hold = ThreadsafeEvent()
        channels = [
            raw_client.create("getOrLoad", {"identifier": key, "loadConfigStack": EMPTY}) for key in ("one", "two")
        ]
        for channel in channels:
            server.wait_for_sent(lambda frame, channel=channel: frame.message.get("channelId") == channel)  # type: ignore[misc]
        hold.set()
        for _ in channels:
            raw_client.until_end()
        assert server.loaded == ["one", "two"]  # neither was there when the other's load began
        stall = server.faults.add("stall", endpoint="getOrLoad")
        channel = other.create("getOrLoad", {"identifier": "three", "loadConfigStack": EMPTY})
        stall.wait_hit()
        server.unload("two")
        stall.release()
        seen = other.until_end(channel)
        assert packets(seen)[-1]["type"] == "loadSuccess", seen
        assert server.loaded == ["three"]


def test_unknown_preset_is_refused(raw_client: RawClient) -> None:
    unknown = raw_client.until_end(raw_client.create("predict", {**prediction(), "fuzzyPresetIdentifier": "nope"}))
    assert code(unknown) == "generic.presetNotFound"
    known = raw_client.until_end(
        raw_client.create("predict", {**prediction(), "fuzzyPresetIdentifier": "emulator-preset"})
    )
    assert known[-1]["type"] == "channelClose"


def test_processing_state_of_an_instance_is_reported(server: Emulator, raw_client: RawClient) -> None:
    from lmstudio_integrations.emulator import Reply

    gate = ThreadsafeEvent()
    server.script(Reply("a", hold=gate))
    parameter = {"specifier": {"type": "query", "query": {}}, "throwIfNotFound": True}
    assert raw_client.call("getInstanceProcessingState", parameter)["result"] == {"status": "idle", "queued": 0}
    number = raw_client.create("predict", prediction())
    server.wait_for_sent(lambda frame: frame.message.get("message", {}).get("type") == "fragment")
    with RawClient(server) as other:
        assert other.call("getInstanceProcessingState", parameter)["result"]["status"] == "generating"
    gate.set()
    raw_client.until_end(number)


def test_remaining_model_endpoints_answer(raw_client: RawClient) -> None:
    specifier = {"type": "query", "query": {}}
    base = raw_client.call("getBasePredictionConfig", {"specifier": specifier})["result"]["fields"]
    assert {"key": "llm.prediction.temperature", "value": 0.8} in base
    estimate = raw_client.call("estimateModelUsage", {"modelKey": "emulator/chat", "loadConfigStack": EMPTY})["result"]
    assert estimate["passesGuardrails"] is True
    assert "result" not in raw_client.call(
        "preloadDraftModel", {"specifier": specifier, "draftModelKey": "emulator/chat-2"}
    )
