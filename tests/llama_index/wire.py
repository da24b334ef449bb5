"""What went over the wire, as the tests want to look at it."""

from __future__ import annotations

from typing import Any

from lmstudio_integrations.emulator import Emulator


def creations(server: Emulator, endpoint: str = "predict") -> list[dict[str, Any]]:
    """The creation parameters of all channels of an endpoint, in order."""
    messages = [recorded.message for recorded in server.requests]
    return [
        message["creationParameter"]
        for message in messages
        if message.get("type") == "channelCreate" and message["endpoint"] == endpoint
    ]


def calls(server: Emulator, endpoint: str) -> list[dict[str, Any]]:
    """The parameters of all RPCs of an endpoint, in order."""
    messages = [recorded.message for recorded in server.requests]
    return [
        message.get("parameter")
        for message in messages
        if message.get("type") == "rpcCall" and message["endpoint"] == endpoint
    ]


def settings(creation: dict[str, Any], stack: str = "predictionConfigStack") -> dict[str, Any]:
    """The key/value fields that a request sets, all layers together."""
    return {field["key"]: field["value"] for layer in creation[stack]["layers"] for field in layer["config"]["fields"]}


def cancels(server: Emulator) -> int:
    """How many times a client asked to stop."""
    messages = [recorded.message for recorded in server.requests]
    return sum(
        message.get("type") == "channelSend" and message["message"] == {"type": "cancel"} for message in messages
    )
