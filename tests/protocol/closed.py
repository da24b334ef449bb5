"""What a schema of an answer or a tool looks like when its objects are closed (number 12 of the design)."""

from __future__ import annotations

from typing import Any

__all__ = ["closed"]


def closed(schema: Any) -> Any:
    """``schema`` with ``additionalProperties: false`` in each object that has properties and does not say otherwise."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and schema.get("properties"):
        made.setdefault("additionalProperties", False)
    return made
