"""Packets of a prediction as LM Studio sends them, and a session in which somebody waits for them."""

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


def read_all(*packets: Any, structured: bool = False) -> tuple[PredictionReader, list[Any]]:
    """A reader that has read them, and the events that they were."""
    reader = PredictionReader(structured=structured)
    return reader, list(events_of(reader, *packets))


def events_of(reader: PredictionReader, *packets: Any) -> Iterator[Any]:
    """The events that ``packets`` are, one by one."""
    for packet in packets:
        read = reader.read(packet)
        if read is not None:
            yield from read if isinstance(read, tuple) else (read,)


class Ear:
    """A conversation whose packets and ends are kept in plain lists."""

    def __init__(self, endpoint: str) -> None:
        self.packets: list[Any] = []
        self.ends: list[Any] = []
        self.conversation = PendingCall(endpoint, self.packets.append, self.ends.append)

    @property
    def id(self) -> int:
        return self.conversation.id


def opened(session: Multiplexer, endpoint: str) -> Ear:
    ear = Ear(endpoint)
    session.open(ear.conversation, "{}")
    return ear


def called(session: Multiplexer, endpoint: str) -> Ear:
    ear = Ear(endpoint)
    session.call(ear.conversation)
    return ear


def frame(type: str, /, **members: Any) -> str:
    return json.dumps({"type": type, **members})
