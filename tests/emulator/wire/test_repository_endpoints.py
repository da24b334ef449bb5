"""The emulator's repository: searches, and downloads by a plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lmstudio_integrations.emulator import EmulatedModel, Emulator, ThreadsafeEvent
from tests.emulator.raw_client import RawClient, packets

OWN = EmulatedModel("qwen/own", size_bytes=100)
NEW = EmulatedModel("qwen/new-1.5", path="Qwen/New-1.5-GGUF/new.gguf", size_bytes=1000, quantization=("Q8_0", 8))
OTHER = EmulatedModel("mlx/other", format="safetensors", fits=False)
UNNAMED = EmulatedModel("Not A Kebab")
ARTIFACT = {"type": "artifact", "owner": "qwen", "name": "new-1.5"}


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator([OWN], repository=[OWN, NEW, OTHER, UNNAMED]) as server:
        yield server


@pytest.fixture
def raw_client(server: Emulator) -> Iterator[RawClient]:
    with RawClient(server, "repository") as raw_client:
        yield raw_client


def say(raw_client: RawClient, channel: int, packet: dict[str, Any]) -> None:
    raw_client.send({"type": "channelSend", "channelId": channel, "message": packet})


def ready_plan(raw_client: RawClient, target: dict[str, Any], opts: dict[str, Any] | None = None) -> tuple[int, Any]:
    """A channel with a plan that is ready, and the plan."""
    channel = raw_client.create("createDownloadPlan", {"target": target, "opts": opts or {}})
    first, second = (raw_client.receive()["message"] for _ in range(2))
    assert (first["type"], first["plan"]["nodes"][-1]["state"]) == ("planUpdated", "fetching")
    assert second["type"] == "planReady"
    assert second["plan"]["version"] > first["plan"]["version"]
    return channel, second["plan"]


def test_committed_plan_downloads_the_model(server: Emulator, raw_client: RawClient) -> None:
    channel, plan = ready_plan(raw_client, ARTIFACT)
    root, model = plan["nodes"]
    assert (root["artifactType"], root["dependencyNodes"], root["state"]) == ("model", [1], "completed")
    assert model["selected"] == {
        "displayName": "new-1.5", "sizeBytes": 1000, "quantName": "Q8_0", "compatibilityType": "gguf",
    }  # fmt: skip
    assert (plan["downloadAction"], plan["downloadSizeBytes"]) == ("startNewDownload", 1000)
    say(raw_client, channel, {"type": "commit"})
    sent = packets(raw_client.until_end(channel))
    progress = [packet["update"]["downloadedBytes"] for packet in sent if packet["type"] == "downloadProgress"]
    assert (progress[0], progress[-1]) == (0, 1000)
    assert [packet["type"] for packet in sent[-2:]] == ["startFinalizing", "success"]
    with RawClient(server, "system") as system:
        keys = [model["modelKey"] for model in system.call("listDownloadedModels")["result"]]
    assert keys == ["qwen/own", "qwen/new-1.5"]


def test_plan_for_a_downloaded_model_has_nothing_to_download(raw_client: RawClient) -> None:
    channel, plan = ready_plan(raw_client, {"type": "artifact", "owner": "qwen", "name": "own"})
    assert (plan["downloadAction"], plan["downloadSizeBytes"]) == ("none", 0)
    assert plan["nodes"][1]["alreadyOwned"]["modelKey"] == "qwen/own"
    say(raw_client, channel, {"type": "commit"})
    assert [packet["type"] for packet in packets(raw_client.until_end(channel))] == ["success"]


def test_plan_for_a_repository_of_hugging_face_is_one_model(raw_client: RawClient) -> None:
    source = {"type": "huggingface", "user": "qwen", "repo": "new-1.5-GGUF"}
    _, plan = ready_plan(raw_client, {"type": "model", "source": source})
    (model,) = plan["nodes"]
    assert (model["type"], model["selectedDownloadOptionIndex"]) == ("model", 0)


def test_selection_gets_a_plan_of_the_requested_version(raw_client: RawClient) -> None:
    channel, _ = ready_plan(raw_client, {"type": "artifact", "owner": "qwen", "name": "own"})
    choice = {"nodeIndex": 1, "selectedDownloadOptionIndex": None, "requestedPlanVersion": 7}
    say(raw_client, channel, {"type": "setSelectedDownloadOptionIndex", **choice})
    packet = raw_client.receive()["message"]
    assert (packet["type"], packet["plan"]["version"]) == ("planUpdated", 7)


@pytest.mark.parametrize(("node", "option"), [(0, 0), (1, 1), (1, None), (2, 0)])
def test_selection_that_does_not_exist_ends_the_plan_with_an_error(
    raw_client: RawClient, node: int, option: int | None
) -> None:
    channel, _ = ready_plan(raw_client, ARTIFACT)
    choice = {"nodeIndex": node, "selectedDownloadOptionIndex": option, "requestedPlanVersion": 3}
    say(raw_client, channel, {"type": "setSelectedDownloadOptionIndex", **choice})
    assert raw_client.receive()["error"]["title"] == f"The download plan has no option {option} at node {node}"


def test_cancelled_plan_downloads_nothing(server: Emulator, raw_client: RawClient) -> None:
    channel, _ = ready_plan(raw_client, ARTIFACT)
    say(raw_client, channel, {"type": "cancelPlan"})
    assert raw_client.receive()["type"] == "channelError"
    server.load_hold = ThreadsafeEvent()
    channel, _ = ready_plan(raw_client, ARTIFACT)
    say(raw_client, channel, {"type": "commit"})
    raw_client.receive()
    say(raw_client, channel, {"type": "cancelDownload"})
    assert raw_client.until_end(channel)[-1]["type"] == "channelError"
    with RawClient(server, "system") as system:
        assert [model["modelKey"] for model in system.call("listDownloadedModels")["result"]] == ["qwen/own"]


@pytest.mark.parametrize(
    ("target", "opts"),
    [
        ({"type": "artifact", "owner": "qwen", "name": "missing"}, {}),
        (ARTIFACT, {"compatibilityTypes": ["safetensors"]}),
    ],
    ids=["no such model", "no such format"],
)
def test_plan_without_a_model_is_an_error(raw_client: RawClient, target: dict[str, Any], opts: dict[str, Any]) -> None:
    raw_client.create("createDownloadPlan", {"target": target, "opts": opts})
    assert raw_client.receive()["type"] == "channelError"


@pytest.mark.invalid_frames
def test_packet_that_a_plan_does_not_know_is_warned_about(raw_client: RawClient) -> None:
    channel, _ = ready_plan(raw_client, ARTIFACT)
    say(raw_client, channel, {"type": "cancel"})
    assert raw_client.receive()["type"] == "communicationWarning"


def test_search_is_exact_whatever_the_case_of_the_letters(raw_client: RawClient) -> None:
    results = raw_client.call("searchModels", {"opts": {"searchTerm": "not a kebab"}})["result"]["results"]
    assert [(one["name"], one["exact"]) for one in results] == [("Not A Kebab", True)]


@pytest.mark.parametrize(
    ("parameter", "found"),
    [
        ({}, {"qwen/own": False, "qwen/new-1.5": False, "mlx/other": False}),
        ({"searchTerm": "NEW"}, {"qwen/new-1.5": False}),
        ({"searchTerm": "own"}, {"qwen/own": True}),
        ({"searchTerm": "mlx/other"}, {"mlx/other": True}),
        ({"compatibilityTypes": ["safetensors"]}, {"mlx/other": False}),
        ({"limit": 1}, {"qwen/own": False}),
        ({"limit": 1.0}, {"qwen/own": False}),
    ],
)
def test_staff_picks_are_models_that_have_an_artifact_name(
    raw_client: RawClient, parameter: dict[str, Any], found: dict[str, bool]
) -> None:
    results = raw_client.call("fuzzyFindStaffPicks", parameter)["result"]["results"]
    assert {f"{one['owner']}/{one['name']}": one["exact"] for one in results} == found
