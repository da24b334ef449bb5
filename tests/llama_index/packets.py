"""Predictions without a server: LM Studio's packets through the client's reader into a ``ResponseBuilder``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lmstudio_integrations.client.prediction import PredictionReader
from lmstudio_integrations.llama_index._response import ResponseBuilder
from tests.client.packet_builders import events_of

INFO = {
    "type": "llm",
    "modelKey": "test/model",
    "identifier": "test/model:2",
    "instanceReference": "ref",
    "format": "gguf",
    "displayName": "Test",
    "path": "test/model",
    "sizeBytes": 1,
    "maxContextLength": 32768,
    "contextLength": 8192,
    "vision": False,
    "trainedForToolUse": True,
}
STATS = {
    "stopReason": "eosFound",
    "tokensPerSecond": 50.5,
    "timeToFirstTokenSec": 0.25,
    "promptTokensCount": 11,
    "predictedTokensCount": 7,
    "totalTokensCount": 18,
}


def fragment(content: str, kind: str = "none", **more: Any) -> dict[str, Any]:
    data = {"content": content, "tokensCount": 1, "containsDrafted": False, "reasoningType": kind, **more}
    return {"type": "fragment", "fragment": data}


def call_start(call_id: str | None = None) -> dict[str, Any]:
    return {"type": "toolCallGenerationStart"} | ({} if call_id is None else {"toolCallId": call_id})


def call_name(name: str) -> dict[str, Any]:
    return {"type": "toolCallGenerationNameReceived", "name": name}


def call_arguments(content: str) -> dict[str, Any]:
    return {"type": "toolCallGenerationArgumentFragmentGenerated", "content": content}


def call_end(name: str, arguments: dict[str, Any], call_id: str | None = None) -> dict[str, Any]:
    request = {"type": "function", "name": name, "arguments": arguments} | ({} if call_id is None else {"id": call_id})
    return {"type": "toolCallGenerationEnd", "toolCallRequest": request}


def call_failed(raw: str = "<tool>broken") -> dict[str, Any]:
    return {"type": "toolCallGenerationFailed", "error": {"title": "no JSON"}, "rawContent": raw}


def progress(value: float, cached: int = 0) -> dict[str, Any]:
    details = {
        "cachedTokenCount": cached,
        "totalPromptTokenCount": 11,
        "processedPromptTokenCount": 5,
        "unprocessedPromptTokenCount": 6,
    }
    return {"type": "promptProcessingProgress", "progress": value, "details": details}


def success(**stats: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"fields": []}
    return {
        "type": "success",
        "stats": STATS | stats,
        "modelInfo": INFO,
        "loadModelConfig": empty,
        "predictionConfig": empty,
    }


def responses(reply: ResponseBuilder, *packets: dict[str, Any], structured: bool = False) -> Iterator[Any]:
    """What a stream of these packets yields; without a ``success`` among them there is no last response."""
    reader = PredictionReader(structured=structured)
    for event in events_of(reader, *packets):
        delta = reply.take(event)
        if delta is not None:
            yield reply.chat(delta)
    if reader.result is not None:
        yield reply.finished_chat(reader.result)
