"""Alternatives and intersections beside other keywords -> one object, or alternatives that are complete objects. Pure.

llama.cpp's converter reads ``anyOf`` and ``oneOf`` without what stands beside them, and ``allOf`` only if no
``properties`` stand beside it; outlines-core reads ``properties`` without the others, and joins the branches of
``allOf`` one after the other (common/json-schema-to-grammar.cpp, ``visit``; src/json_schema/parsing.rs, ``to_regex``).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

__all__ = ["DATA", "SCHEMA_MAPS", "STRUCTURAL", "fold", "spelled_out"]

SCHEMA_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value is a mapping of names to schemas."""
DATA = frozenset({"enum", "const", "default", "examples", "example"})
"""Keywords whose value is data, in which nothing is a keyword."""

_ANNOTATIONS = frozenset(
    {
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "discriminator",
        "example",
        "examples",
        "id",
        "readOnly",
        "title",
        "writeOnly",
    }
)
STRUCTURAL = frozenset(
    {
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "enum",
        "items",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "properties",
        "required",
        "type",
    }
)
"""Keywords that say what a value is made of."""
_LARGER = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_SMALLER = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})


class _NoMergeError(Exception):
    """Two schemas cannot be written as one."""


def fold(schema: Any, defs: Any) -> Any:
    """``schema`` with every ``allOf``, ``anyOf`` and ``oneOf`` folded into what stands beside it, as far as possible.

    ``defs`` are the root's definitions, by name. What cannot be folded stays as it is.
    """
    if isinstance(schema, list):
        return [fold(item, defs) for item in schema]
    if not isinstance(schema, dict):
        return schema
    node = {
        key: {name: fold(item, defs) for name, item in value.items()}
        if key in SCHEMA_MAPS and isinstance(value, dict)
        else value
        if key in DATA
        else fold(value, defs)
        for key, value in schema.items()
    }
    for step in (_merged_reference, _merged_all_of, _distributed):
        with suppress(_NoMergeError):
            node = step(node, defs)
    return node


def _merged_reference(node: dict[str, Any], defs: Any) -> dict[str, Any]:
    return _resolved(node, defs) if node.keys() & STRUCTURAL > {"$ref"} else node


def spelled_out(value: Any) -> dict[str, Any]:
    """A schema of just this value, in which ``const`` has no object and no list: outlines-core refuses those."""
    if isinstance(value, dict):
        properties = {name: spelled_out(item) for name, item in value.items()}
        return {"type": "object", "properties": properties, "required": list(value), "additionalProperties": False}
    if isinstance(value, list):
        items = [spelled_out(item) for item in value]
        inner: dict[str, Any] = {"prefixItems": items} if items else {"items": {"type": "null"}}
        fewest = {"minItems": len(items)} if items else {}
        return {"type": "array", **inner, **fewest, "maxItems": len(items)}
    return {"const": value}


def _merged_all_of(node: dict[str, Any], defs: Any) -> dict[str, Any]:
    branches = node.get("allOf")
    beside = {key: value for key, value in node.items() if key != "allOf"}
    if not isinstance(branches, list) or (len(branches) == 1 and not beside.keys() & STRUCTURAL):
        return node
    for branch in branches:
        beside = _both(beside, _resolved(branch, defs))
    return beside


def _distributed(node: dict[str, Any], defs: Any) -> dict[str, Any]:
    """The same with what stands beside ``anyOf`` or ``oneOf`` in each of its branches."""
    for union in ("anyOf", "oneOf"):
        branches = node.get(union)
        beside = {key: value for key, value in node.items() if key != union}
        common = {key: value for key, value in beside.items() if key not in _ANNOTATIONS}
        if not isinstance(branches, list) or not branches or not common.keys() & STRUCTURAL:
            continue
        if common.keys() == {"type"} and all(
            isinstance(item, dict) and item.keys() & STRUCTURAL - {"required"} for item in branches
        ):
            return node
        merged: list[Any] = []
        for branch in branches:
            made = _both(common, _resolved(branch, defs))
            if made not in merged:
                merged.append(made)
        around = {key: value for key, value in beside.items() if key in _ANNOTATIONS}
        return {**around, **merged[0]} if len(merged) == 1 else {**around, union: merged}
    return node


def _resolved(branch: Any, defs: Any, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """The branch, or the definition that it refers to."""
    if branch is True:
        return {}
    if not isinstance(branch, dict):
        raise _NoMergeError
    reference = branch.get("$ref")
    if reference is None:
        return branch
    name = reference.removeprefix("#/$defs/") if isinstance(reference, str) else None
    target = defs.get(name) if isinstance(defs, dict) and name not in seen else None
    if not isinstance(target, dict) or name is None:
        raise _NoMergeError
    rest = {key: value for key, value in branch.items() if key != "$ref"}
    return _both(rest, _resolved(fold(target, None), defs, (*seen, name)))


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """One schema for what satisfies both."""
    made = {**other, **one}
    for key in one.keys() & other.keys():
        if key not in _ANNOTATIONS and one[key] != other[key]:
            made[key] = _both_values(key, one[key], other[key])
    for closed in (one, other):
        if closed.get("additionalProperties") is False:
            made["additionalProperties"] = False
    if "const" in made and "enum" in made:
        if made["const"] not in made["enum"]:
            raise _NoMergeError
        del made["enum"]
    if "$ref" in made and made.keys() & STRUCTURAL - {"$ref"}:
        raise _NoMergeError
    return made


def _both_values(key: str, one: Any, other: Any) -> Any:
    if key == "required" and isinstance(one, list) and isinstance(other, list):
        return [*one, *(name for name in other if name not in one)]
    if key == "properties" and isinstance(one, dict) and isinstance(other, dict):
        made = {**one, **other}
        for name in one.keys() & other.keys():
            first, second = one[name], other[name]
            if isinstance(first, dict) and isinstance(second, dict):
                made[name] = _both(first, second)
            elif first is not second:
                raise _NoMergeError
        return made
    if key == "type":
        return _both_types(one, other)
    if key == "additionalProperties" and isinstance(one, bool) and isinstance(other, bool):
        return False
    if key == "enum" and isinstance(one, list) and isinstance(other, list):
        if common := [value for value in one if value in other]:
            return common
    elif key in _LARGER | _SMALLER and isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return max(one, other) if key in _LARGER else min(one, other)
    raise _NoMergeError


def _both_types(one: Any, other: Any) -> Any:
    first = one if isinstance(one, list) else [one]
    second = other if isinstance(other, list) else [other]
    common = [kind for kind in first if kind in second or (kind == "integer" and "number" in second)]
    common += [kind for kind in second if kind == "integer" and "number" in first and kind not in common]
    if not common:
        raise _NoMergeError
    return common[0] if len(common) == 1 else common
