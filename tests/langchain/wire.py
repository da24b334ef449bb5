"""Reads what went over the wire in a test."""

from __future__ import annotations

from typing import Any

from lmstudio_integrations.emulator import Emulator


def predictions(server: Emulator) -> list[dict[str, Any]]:
    """The creation parameters of all predictions so far."""
    return [
        record.message["creationParameter"]
        for record in server.requests
        if record.message.get("type") == "channelCreate"
        and record.message["endpoint"] in {"predict", "completeRawText"}
    ]


def settings(server: Emulator, number: int = -1) -> dict[str, Any]:
    """The configuration of one prediction, key -> value; later layers win."""
    stack = predictions(server)[number]["predictionConfigStack"]
    return {field["key"]: field["value"] for layer in stack["layers"] for field in layer["config"]["fields"]}


def history(server: Emulator, number: int = -1) -> list[dict[str, Any]]:
    """The messages of one prediction."""
    messages: list[dict[str, Any]] = predictions(server)[number]["history"]["messages"]
    return messages
