"""Faults that change messages on their way out: newer and older servers than the client knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_FREE_FORM = ("arguments", "loadModelConfig", "predictionConfig", "value")

# What LM Studio's schema has gained between October 2025 and August 2026.
_NEW_KEYS = frozenset(
    (
        "details",
        "isStructural",
        "tokens",
        "stopString",
        "totalTimeSec",
        "publisher",
        "indexedModelIdentifier",
        "deviceIdentifier",
        "quantization",
        "variants",
        "selectedVariant",
        "ttlMs",
        "lastUsedTime",
        "kind",
    )
)


def unknown_enum(message: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Members that no schema has yet."""
    keys = ("stopReason", "format", *(("reasoningType",) if options.get("reasoning") else ()))

    def change(entries: dict[str, Any]) -> dict[str, Any]:
        return {key: "emulatedUnknownMember" if key in keys else value for key, value in entries.items()}

    return _changed(message, change)


def extra_fields(message: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A field more in every object whose fields are fixed."""
    return _changed(message, lambda entries: {**entries, "emulatedExtraField": {"nested": [1, None]}})


def missing_new_fields(message: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that an older server does not send."""
    if "tokens" in (message.get("result") or ()):  # the answer of tokenize, which is as old as can be
        return message
    return _changed(message, lambda entries: {key: value for key, value in entries.items() if key not in _NEW_KEYS})


BY_NAME: dict[str, Callable[[dict[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    "unknown_enum": unknown_enum,
    "extra_fields": extra_fields,
    "missing_new_fields": missing_new_fields,
}


def _changed(message: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    changed: dict[str, Any] = _everywhere(message, change)
    return changed


def _everywhere(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(value, list):
        return [_everywhere(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: item if key in _FREE_FORM else _everywhere(item, change) for key, item in value.items()}
    return change(inner)
