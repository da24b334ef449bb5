"""Packets of a prediction as LM Studio sends them, what the client's reader makes of them, and calls of a multiplexer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lmstudio_integrations.client.prediction import PredictionReader
from lmstudio_integrations.client.transport.multiplexer import Multiplexer, PendingCall

INSTANCE: dict[str, Any] = {
    "type": "llm",
    "modelKey": "some/model",
    "format": "gguf",
    "displayName": "Some Model",
    "publisher": "some",
    "path": "some/model.gguf",
    "sizeBytes": 1000,
    "indexedModelIdentifier": "some/model.gguf",
    "deviceIdentifier": None,
    "vision": False,
    "trainedForToolUse": True,
    "maxContextLength": 8192,
    "identifier": "some/model",
    "instanceReference": "abc",
    "ttlMs": 3600000,
    "lastUsedTime": 1795341055124,
    "contextLength": 4096,
}


def fragment(content: Any, reasoning: str = "none", **more: Any) -> dict[str, Any]:
    data = {"content": content, "tokensCount": 1, "containsDrafted": False, "reasoningType": reasoning}
    return {"type": "fragment", "fragment": {**data, "isStructural": False, **more}}


def success(**stats: Any) -> dict[str, Any]:
    return {
        "type": "success",
        "stats": {"stopReason": "eosFound", **stats},
        "modelInfo": INSTANCE,
        "loadModelConfig": {"fields": []},
        "predictionConfig": {"fields": []},
    }


def complete_success(stop_reason: str = "eosFound", **stats: Any) -> dict[str, Any]:
    """``success`` with all statistics of a current server; ``None`` leaves one out."""
    given = {
        "tokensPerSecond": 12.5,
        "timeToFirstTokenSec": 0.25,
        "promptTokensCount": 10,
        "predictedTokensCount": 5,
        "totalTokensCount": 15,
        **stats,
    }
    return success(stopReason=stop_reason, **{key: value for key, value in given.items() if value is not None})


def prompt_progress(progress: float, cached: int = 0, processed: int = 5) -> dict[str, Any]:
    details = {
        "cachedTokenCount": cached,
        "totalPromptTokenCount": 10,
        "processedPromptTokenCount": processed,
        "unprocessedPromptTokenCount": 10 - processed,
    }
    return {"type": "promptProcessingProgress", "progress": progress, "details": details}


def call_start(id: Any = "1") -> dict[str, Any]:
    return {"type": "toolCallGenerationStart", **({} if id is None else {"toolCallId": id})}


def call_name(name: Any) -> dict[str, Any]:
    return {"type": "toolCallGenerationNameReceived", "name": name}


def call_arguments(content: Any) -> dict[str, Any]:
    return {"type": "toolCallGenerationArgumentFragmentGenerated", "content": content}


def call_end(name: Any, arguments: Any = None, id: Any = None, raw: str | None = None) -> dict[str, Any]:
    request = {"type": "function", "name": name, "arguments": arguments, "id": id}
    request = {key: value for key, value in request.items() if value is not None}
    return {"type": "toolCallGenerationEnd", "toolCallRequest": request, **({} if raw is None else {"rawContent": raw})}


def call_failed(error: Any, raw: str | None = None) -> dict[str, Any]:
    return {"type": "toolCallGenerationFailed", "error": error, **({} if raw is None else {"rawContent": raw})}


def reasoning(*contents: str, start: str = "<think>", end: str = "</think>") -> list[dict[str, Any]]:
    """The packets of reasoning and its tags."""
    return [
        fragment(start, "reasoningStartTag"),
        *(fragment(content, "reasoning") for content in contents),
        fragment(end, "reasoningEndTag"),
    ]


def tool_call(
    name: str, arguments: dict[str, Any], *fragments: str, id: str | None = None, brief: bool = False
) -> list[dict[str, Any]]:
    """The packets of a tool call; ``brief``: without those that servers may omit."""
    middle = [] if brief else [call_name(name), *map(call_arguments, fragments)]
    return [call_start(id), *middle, call_end(name, arguments, id, "raw")]


def failed_tool_call(*fragments: str, name: str | None = "add", raw: str = "<tool_call>broken") -> list[dict[str, Any]]:
    """The packets of a tool call that LM Studio could not parse."""
    names = [] if name is None else [call_name(name)]
    return [call_start(None), *names, *map(call_arguments, fragments), call_failed({"title": "No JSON"}, raw)]


def read_all(*packets: Any, structured: bool = False) -> tuple[PredictionReader, list[Any]]:
    """A reader that has read ``packets``, and their events."""
    reader = PredictionReader(structured=structured)
    return reader, list(events_of(reader, *packets))


def events_of(reader: PredictionReader, *packets: Any) -> Iterator[Any]:
    """The events of ``packets``, one by one."""
    for packet in packets:
        read = reader.read(packet)
        if read is not None:
            yield from read if isinstance(read, tuple) else (read,)


def events_and_result(*packets: dict[str, Any], structured: bool = False) -> list[Any]:
    """The events of a prediction, then its result. A ``complete_success`` is added if there is none."""
    if not packets or packets[-1]["type"] != "success":
        packets = (*packets, complete_success())
    reader, events = read_all(*packets, structured=structured)
    assert reader.result is not None
    return [*events, reader.result]


class RecordedCall:
    """A call whose packets and ends are kept in lists."""

    def __init__(self, endpoint: str) -> None:
        self.packets: list[Any] = []
        self.ends: list[Any] = []
        self.pending = PendingCall(endpoint, self.packets.append, self.ends.append)

    @property
    def id(self) -> int:
        return self.pending.id


def opened(session: Multiplexer, endpoint: str) -> RecordedCall:
    recorded = RecordedCall(endpoint)
    session.channel_create(recorded.pending, "{}")
    return recorded


def called(session: Multiplexer, endpoint: str) -> RecordedCall:
    recorded = RecordedCall(endpoint)
    session.rpc_call(recorded.pending)
    return recorded


def frame(type: str, /, **members: Any) -> str:
    return json.dumps({"type": type, **members})
