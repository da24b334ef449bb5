"""Predictions from packets as LM Studio sends them, read by the client's own reader; nothing goes over a wire."""

from __future__ import annotations

from typing import Any

from lmstudio_integrations.client.prediction import PredictionReader
from tests.client.packet_builders import events_of

INFO = {
    "type": "llm",
    "modelKey": "some/model",
    "format": "gguf",
    "displayName": "Some Model",
    "publisher": "some",
    "path": "some/model/model.gguf",
    "sizeBytes": 1000,
    "indexedModelIdentifier": "some/model/model.gguf",
    "deviceIdentifier": None,
    "architecture": "some",
    "maxContextLength": 8192,
    "vision": False,
    "trainedForToolUse": True,
    "identifier": "some/model",
    "instanceReference": "abc",
    "ttlMs": None,
    "lastUsedTime": None,
    "contextLength": 2048,
}


def fragment(content: str, kind: str = "none", *, structural: bool = False, tokens: int = 1) -> dict[str, Any]:
    data = {
        "content": content,
        "tokensCount": tokens,
        "containsDrafted": False,
        "reasoningType": kind,
        "isStructural": structural,
    }
    return {"type": "fragment", "fragment": data}


def thought(*contents: str, start: str = "<think>", end: str = "</think>") -> list[dict[str, Any]]:
    return [
        fragment(start, "reasoningStartTag"),
        *(fragment(content, "reasoning") for content in contents),
        fragment(end, "reasoningEndTag"),
    ]


def call(
    name: str, arguments: dict[str, Any], *fragments: str, id: str | None = None, brief: bool = False
) -> list[dict[str, Any]]:
    """A tool call; ``brief``: without the packets that servers may leave out."""
    request: dict[str, Any] = {"type": "function", "name": name, "arguments": arguments}
    start: dict[str, Any] = {"type": "toolCallGenerationStart"}
    if id is not None:
        request["id"] = start["toolCallId"] = id
    middle: list[dict[str, Any]] = []
    if not brief:
        middle.append({"type": "toolCallGenerationNameReceived", "name": name})
        middle += [{"type": "toolCallGenerationArgumentFragmentGenerated", "content": text} for text in fragments]
    return [start, *middle, {"type": "toolCallGenerationEnd", "toolCallRequest": request, "rawContent": "raw"}]


def failed_call(*fragments: str, name: str | None = "add", raw: str = "<tool_call>broken") -> list[dict[str, Any]]:
    packets: list[dict[str, Any]] = [{"type": "toolCallGenerationStart"}]
    if name is not None:
        packets.append({"type": "toolCallGenerationNameReceived", "name": name})
    packets += [{"type": "toolCallGenerationArgumentFragmentGenerated", "content": text} for text in fragments]
    return [*packets, {"type": "toolCallGenerationFailed", "error": {"title": "No JSON"}, "rawContent": raw}]


def success(reason: str = "eosFound", **stats: Any) -> dict[str, Any]:
    given = {
        "tokensPerSecond": 12.5,
        "timeToFirstTokenSec": 0.25,
        "promptTokensCount": 10,
        "predictedTokensCount": 5,
        "totalTokensCount": 15,
    } | stats
    return {
        "type": "success",
        "stats": {"stopReason": reason, **{key: value for key, value in given.items() if value is not None}},
        "modelInfo": INFO,
        "loadModelConfig": {"fields": []},
        "predictionConfig": {"fields": []},
    }


def events(*packets: dict[str, Any], structured: bool = False) -> list[Any]:
    """The events of a prediction, then its result, as ``run`` gives them to a reader."""
    if not packets or packets[-1]["type"] != "success":
        packets = (*packets, success())
    reader = PredictionReader(structured=structured)
    made = list(events_of(reader, *packets))
    assert reader.result is not None
    return [*made, reader.result]
