"""Endpoints of LM Studio that the emulator lacks are answered with an error, and models are found by their paths."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmstudio_integrations import Client
from lmstudio_integrations.emulator import EmulatedModel, Emulator
from lmstudio_integrations.emulator.wire.endpoints import ENDPOINTS
from lmstudio_integrations.emulator.wire.not_imitated import NOT_IMITATED
from tests.emulator.raw_client import RawClient
from tests.frame_validation.shared import SCHEMA_PATH


def endpoints_of_lm_studio() -> set[tuple[str, str]]:
    definitions: dict[str, Any] = json.loads(SCHEMA_PATH.read_text())["definitions"]
    paths = [name.split("/") for name in definitions if name.startswith("pseudo/")]
    return {(path[1], path[3]) for path in paths if len(path) == 4}


@pytest.mark.skipif(not SCHEMA_PATH.is_file(), reason="LM Studio's schema is not there")
def test_every_endpoint_of_lm_studio_is_imitated_or_named_as_missing() -> None:
    imitated = {(namespace, name) for namespace, endpoints in ENDPOINTS.items() for name in endpoints}
    missing = {(namespace, name) for namespace, names in NOT_IMITATED.items() for name in names}
    assert endpoints_of_lm_studio() - imitated == missing
    assert not missing & imitated


@pytest.mark.invalid_frames
@pytest.mark.parametrize(
    ("namespace", "endpoint"), [(space, name) for space, names in NOT_IMITATED.items() for name in sorted(names)]
)
def test_missing_endpoint_is_answered_with_an_error_that_names_it(namespace: str, endpoint: str) -> None:
    with Emulator() as server, RawClient(server, namespace) as raw_client:
        raw_client.send({"type": "rpcCall", "endpoint": endpoint, "callId": 7})
        answer = raw_client.receive()
        assert (answer["type"], answer["callId"]) == ("rpcError", 7)
        assert answer["error"]["title"] == f"The emulator does not imitate {namespace}.{endpoint}"
        raw_client.send({"type": "channelCreate", "endpoint": endpoint, "channelId": 8, "creationParameter": {}})
        answer = raw_client.receive()
        assert (answer["type"], answer["channelId"]) == ("channelError", 8)


@pytest.mark.parametrize("name", ["Publisher/Small-GGUF", "publisher/small-gguf/Small-Q4.gguf", "PUBLISHER", "small"])
def test_model_is_loaded_and_found_by_a_prefix_of_its_path(name: str) -> None:
    model = EmulatedModel(
        "small",
        path="publisher/small-GGUF/small-Q4.gguf",
        display_name="Small",
        publisher="publisher",
        format="safetensors",
    )
    with Emulator([model]) as server:
        client = Client(server.url)
        info = client.llm.model(name).respond("Hi").model_info
        assert info.identifier == "small"
        assert (info.display_name, info.publisher, info.format) == ("Small", "publisher", "safetensors")
        assert info.path == "publisher/small-GGUF/small-Q4.gguf"


@pytest.mark.parametrize("member", ["identifier", "path"])
def test_query_finds_the_loaded_model_by_a_prefix_of_its_path(member: str) -> None:
    model = EmulatedModel("small", path="publisher/small-GGUF/small-Q4.gguf", loaded=True)
    with Emulator([model]) as server, RawClient(server) as raw_client:
        specifier = {"type": "query", "query": {member: "publisher/SMALL-gguf"}}
        answer = raw_client.call("getModelInfo", {"specifier": specifier, "throwIfNotFound": True})
    assert answer["result"]["identifier"] == "small"


def test_path_may_lack_the_end_of_the_name_but_not_the_publisher() -> None:
    model = EmulatedModel("small", path="publisher/small-GGUF/small-Q4.gguf")
    assert model.has_path("publisher/small")
    assert not model.has_path("small-GGUF")
    assert not model.has_path("pub")
