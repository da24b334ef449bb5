"""JSON Schemas on their way to LM Studio, which reads references under ``$defs`` only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_text import encode

__all__ = ["copy_schema", "with_defs"]

_OLD, _NEW = "#/definitions/", "#/$defs/"
_MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
_DATA = frozenset(("enum", "const", "default", "examples", "example"))


def copy_schema(schema: Any, what: str) -> dict[str, Any]:
    """A plain deep copy.

    Raises:
        LMStudioValueError: no object, or something in it that JSON cannot hold.
    """
    if not isinstance(schema, Mapping):
        raise LMStudioValueError(f"{what} must be a JSON Schema object, not {type(schema).__name__}.")
    copied = _copy(schema)
    try:
        encode(copied)
    except LMStudioValueError as error:
        raise LMStudioValueError(f"{what} cannot be sent: {error}") from None
    assert isinstance(copied, dict)
    return copied


def with_defs(schema: dict[str, Any], what: str) -> dict[str, Any]:
    """The same schema with ``definitions`` moved to ``$defs`` and the references following them.

    Raises:
        LMStudioValueError: both have an entry of one name, and they differ.
    """
    if "definitions" not in schema or not isinstance(schema["definitions"], dict):
        return schema
    moved = _rewrite(schema, is_map=False)
    old = moved.pop("definitions")
    defs = moved.get("$defs", {})
    for name, entry in old.items():
        if defs.setdefault(name, entry) != entry:
            raise LMStudioValueError(f"{what} has two different definitions of {name!r} in definitions and $defs.")
    moved["$defs"] = defs
    assert isinstance(moved, dict)
    return moved


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value


def _rewrite(node: Any, *, is_map: bool) -> Any:
    """References follow; names of properties and plain data stay as they are."""
    if isinstance(node, list):
        return [_rewrite(item, is_map=False) for item in node]
    if not isinstance(node, dict):
        return node
    if is_map:
        return {name: _rewrite(item, is_map=False) for name, item in node.items()}
    made: dict[str, Any] = {}
    for key, item in node.items():
        if key == "$ref" and isinstance(item, str) and item.startswith(_OLD):
            made[key] = _NEW + item[len(_OLD) :]
        elif key in _DATA:
            made[key] = item
        else:
            made[key] = _rewrite(item, is_map=key in _MAPS)
    return made
