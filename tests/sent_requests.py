"""Reads from an emulator's record what clients have sent."""

from __future__ import annotations

from typing import Any

from lmstudio_integrations.emulator import Emulator


def creations(server: Emulator, *endpoints: str) -> list[dict[str, Any]]:
    """The creation parameters of all channels of the endpoints (default: "predict"), in order."""
    wanted = endpoints or ("predict",)
    messages = [recorded.message for recorded in server.requests]
    return [
        message["creationParameter"]
        for message in messages
        if message.get("type") == "channelCreate" and message["endpoint"] in wanted
    ]


def predictions(server: Emulator) -> list[dict[str, Any]]:
    """The creation parameters of all predictions, in order."""
    return creations(server, "predict", "completeRawText")


def calls(server: Emulator, endpoint: str) -> list[dict[str, Any]]:
    """The parameters of all RPCs of an endpoint, in order."""
    messages = [recorded.message for recorded in server.requests]
    return [
        message.get("parameter")
        for message in messages
        if message.get("type") == "rpcCall" and message["endpoint"] == endpoint
    ]


def settings(creation: dict[str, Any], stack: str = "predictionConfigStack") -> dict[str, Any]:
    """The configuration that a request sets, key -> value; later layers win."""
    return {field["key"]: field["value"] for layer in creation[stack]["layers"] for field in layer["config"]["fields"]}


def prediction_settings(server: Emulator, number: int = -1) -> dict[str, Any]:
    """The configuration of one prediction."""
    return settings(predictions(server)[number])


def prediction_history(server: Emulator, number: int = -1) -> list[dict[str, Any]]:
    """The messages of one prediction."""
    messages: list[dict[str, Any]] = predictions(server)[number]["history"]["messages"]
    return messages


def cancels(server: Emulator) -> int:
    """How many cancels were sent."""
    messages = [recorded.message for recorded in server.requests]
    return sum(
        message.get("type") == "channelSend" and message["message"] == {"type": "cancel"} for message in messages
    )
