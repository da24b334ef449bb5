"""Requests of clients, decoded for the assertions of tests: predictions, embeddings and loads."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmstudio_integrations.emulator import config_schema
from lmstudio_integrations.emulator.argument_checks import check_name
from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["CallLog", "RecordedEmbedding", "RecordedLoad", "RecordedPrediction", "setting_fields", "setting_names"]

_NAMES = {
    "maxPredictedTokens": "max_tokens",
    "budgetTokens": "reasoning_budget",
    "offloadRatio": "gpu_ratio",
    "parsing": "reasoning_parsing",
}
_NO_SETTINGS = ("tools", "toolChoice", "structured")


@dataclass(frozen=True)
class RecordedPrediction:
    """One prediction that a client requested.

    ``model`` is the identifier of the loaded instance. ``messages`` are dictionaries with ``role`` and ``content``, the
    text of the message (of a tool's results: their texts, joined); ``wire_messages`` have everything. ``settings`` are
    those that the client sent, under the names of LM Studio's Python SDK (``temperature``, ``max_tokens``,
    ``top_k_sampling`` …); a setting that is switched off is ``False``. ``tools`` are the offered functions, with
    ``name`` and ``parameters``. ``response_format`` is the JSON schema, if there is one. ``raw``: no chat template was
    used, and the only message is the prompt. ``preset`` is the name or identifier of the preset that the client named.
    """

    model: str
    messages: Sequence[Mapping[str, str]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str = "auto"
    response_format: Any = None
    raw: bool = False
    wire_messages: Sequence[Mapping[str, Any]] = ()
    preset: str | None = None

    @property
    def tool_names(self) -> list[str]:
        """The names of the offered tools."""
        return [tool["name"] for tool in self.tools]


@dataclass(frozen=True)
class RecordedEmbedding:
    """One text that a client embedded, and the identifier of the model."""

    model: str
    text: str


@dataclass(frozen=True)
class RecordedLoad:
    """One load that a client requested.

    ``model`` is the key. ``settings`` are those that the client sent (``context_length`` …); ``ttl`` is in seconds.
    """

    model: str
    identifier: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    ttl: float | None = None


class CallLog:
    """The decoded calls of one emulator in their order, the last ``limit`` of each kind."""

    def __init__(self, limit: int) -> None:
        self.predictions: deque[RecordedPrediction] = deque(maxlen=limit)
        self.embeddings: deque[RecordedEmbedding] = deque(maxlen=limit)
        self.loads: deque[RecordedLoad] = deque(maxlen=limit)

    def clear(self) -> None:
        """Remove them."""
        self.predictions.clear()
        self.embeddings.clear()
        self.loads.clear()


def recorded_prediction(
    model: str, messages: Sequence[Mapping[str, Any]], stack: Mapping[str, Any], *, raw: bool, preset: str | None
) -> RecordedPrediction:
    """A prediction from its history and its configuration stack, both in wire form."""
    fields = config_schema.merged(stack)
    tools = fields.get("llm.prediction.tools", {})
    structured = fields.get("llm.prediction.structured", {})
    return RecordedPrediction(
        model=model,
        messages=[{"role": message["role"], "content": _text(message)} for message in messages],
        settings=setting_names(fields),
        tools=[tool["function"] for tool in tools.get("tools", ())],
        tool_choice=fields.get("llm.prediction.toolChoice", {}).get("mode", "auto"),
        response_format=structured.get("jsonSchema", structured.get("gbnfGrammar")),
        raw=raw,
        wire_messages=messages,
        preset=preset,
    )


def setting_fields(place: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``setting_names``: settings of a prediction under user names, as fields with LM Studio's keys.

    Raises:
        LMStudioValueError: There is no such setting, or its value has the wrong type.
    """
    keys = {next(iter(setting_names({key: None})), key): key for key in config_schema.PREDICTION}
    fields = {}
    for name, value in settings.items():
        check_name(f"setting of {place}", name, keys)
        key = keys[name]
        shape, default = config_schema.PREDICTION[key]
        if isinstance(default, Mapping) and set(default) == {"checked", "value"}:
            value = {**default, "checked": False} if value is False else {"checked": True, "value": value}
        if problem := shape(value, name):
            raise LMStudioValueError(f"{place}: {problem}")
        fields[key] = value
    return fields


def setting_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under user names, without their checkboxes: ``llm.prediction.topKSampling`` is ``top_k_sampling``."""
    made = {}
    for key, value in fields.items():
        last = key.rsplit(".", 1)[-1]
        if last in _NO_SETTINGS:
            continue
        if isinstance(value, Mapping) and set(value) == {"checked", "value"}:
            value = value["value"] if value["checked"] else False
        made[_NAMES.get(last) or re.sub(r"(?<=[a-z0-9])([A-Z])|(?<=[A-Z])([A-Z])(?=[a-z])", r"_\1\2", last).lower()] = (
            value
        )
    return made


def _text(message: Mapping[str, Any]) -> str:
    return "".join(str(part.get("text", part.get("content", ""))) for part in message["content"])
