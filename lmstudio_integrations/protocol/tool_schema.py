"""The parameters of a tool, as LM Studio's wire carries them.

At the root of ``parameters`` the wire keeps ``type``, ``properties``, ``required``, ``additionalProperties`` and
``$defs``, and strips everything else silently (PROTOCOL: "Tools"). So alternatives at the root are folded into one
object, and what cannot be expressed is loosened and logged: a tool is never refused for it.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_schema import copy_schema, enforceable
from lmstudio_integrations.protocol.schema_references import check_references, hoist_references, with_defs

__all__ = ["tool_parameters"]

logger: logging.Logger = logging.getLogger("lmstudio_integrations")

_CONDITIONS = ("not", "if", "then", "else", "dependentSchemas", "dependentRequired", "dependencies")
_UNIONS = ("anyOf", "oneOf")


def tool_parameters(schema: Any, tool: str) -> dict[str, Any]:
    """The five keys, in a fixed order; ``properties`` is always there.

    Titles, descriptions and counts (``minProperties`` …) at the root are dropped, as the wire would do.

    Raises:
        LMStudioValueError: Not a JSON Schema, or a reference that leads nowhere.
    """
    what = f"The parameters of the tool {tool!r}"
    if isinstance(schema, bool):
        schema = {}
    copied = with_defs(copy_schema(schema, what), what)
    check_references(copied, what)
    copied = hoist_references(copied)
    loosened: list[str] = []
    root = _fold(copied, copied.get("$defs") or {}, loosened, what, ())
    kind = root.get("type") or "object"
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        loosened.append(f"the root of type {kind!r}")
        root = {}
    properties = root.get("properties")
    kept: dict[str, Any] = {"type": "object", "properties": properties if isinstance(properties, dict) else {}}
    if required := _names(root.get("required")):
        kept["required"] = required
    if root.get("additionalProperties") is not None:
        kept["additionalProperties"] = root["additionalProperties"]
    if root.get("$defs"):
        kept["$defs"] = root["$defs"]
    made = enforceable(kept, on_unsupported=lambda keyword, place: loosened.append(f"{keyword!r} at {place}"))
    if "$defs" in made:
        made["$defs"] = made.pop("$defs")  # last, also where closing the object has added `additionalProperties`
    if loosened:
        _log_once(tool, ", ".join(loosened))
    return made


@lru_cache(maxsize=1024)
def _log_once(tool: str, loosened: str) -> None:
    logger.info(
        "LM Studio cannot express a part of the parameters of the tool %r, which is left out: %s", tool, loosened
    )


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _fold(
    schema: dict[str, Any], defs: dict[str, Any], loosened: list[str], what: str, seen: tuple[str, ...]
) -> dict[str, Any]:
    """``schema`` without references, alternatives and conditions at its root."""
    root = dict(schema)
    reference = root.pop("$ref", None)
    if isinstance(reference, str):
        if reference in seen:
            raise LMStudioValueError(f"{what}: the reference {reference!r} leads back to itself.")
        target = _target(reference, defs)
        root = _merge(root, _fold(target, defs, loosened, what, (*seen, reference)), every=True)
    loosened += [f"{key!r} at the root" for key in _CONDITIONS if root.pop(key, None) is not None]
    for branch in _branches(root.pop("allOf", None)):
        root = _merge(root, _fold(branch, defs, loosened, what, seen), every=True)
    for key in _UNIONS:
        branches = [_fold(branch, defs, loosened, what, seen) for branch in _branches(root.pop(key, None))]
        real = [branch for branch in branches if branch.get("type") != "null"]
        if real:
            if len(real) > 1:
                loosened.append(f"{key!r} at the root")
            union = real[0]
            for branch in real[1:]:
                union = _merge(union, branch, every=False)
            root = _merge(root, union, every=True)
    return root


def _branches(value: Any) -> list[dict[str, Any]]:
    return [branch for branch in value if isinstance(branch, dict)] if isinstance(value, list) else []


def _target(reference: str, defs: dict[str, Any]) -> dict[str, Any]:
    target: Any = {"$defs": defs}
    for step in reference.split("/")[1:]:
        target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
    return dict(target) if isinstance(target, dict) else {}


def _merge(one: dict[str, Any], other: dict[str, Any], *, every: bool) -> dict[str, Any]:
    """One object for two: for both at once (``every``), or for either of them."""
    made = {**other, **one}
    if "properties" in one or "properties" in other:
        made["properties"] = _merge_properties(one.get("properties") or {}, other.get("properties") or {})
    if "$defs" in one or "$defs" in other:
        made["$defs"] = {**(other.get("$defs") or {}), **(one.get("$defs") or {})}
    first, second = _names(one.get("required")), _names(other.get("required"))
    made["required"] = (
        [*first, *(name for name in second if name not in first)]
        if every
        else [name for name in first if name in second]
    )
    if one.get("additionalProperties") is False and other.get("additionalProperties") is False:
        made["additionalProperties"] = False
    elif not every or "additionalProperties" in (one.keys() & other.keys()):
        made.pop("additionalProperties", None)
    return made


def _merge_properties(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two different ones of a name: ``anyOf`` of both, and one ``enum`` if both are constants."""
    made = dict(one)
    for name, schema in other.items():
        if name not in made:
            made[name] = schema
        elif made[name] != schema:
            values = [value for item in (made[name], schema) for value in _constants(item)]
            if _constants(made[name]) and _constants(schema):
                made[name] = {"enum": list(dict.fromkeys(values))}
            else:
                known = made[name].get("anyOf") if isinstance(made[name], dict) else None
                made[name] = {"anyOf": [*(known if isinstance(known, list) else [made[name]]), schema]}
    return made


def _constants(schema: Any) -> list[Any]:
    if not isinstance(schema, dict):
        return []
    if "const" in schema and isinstance(schema["const"], (str, int, float, bool)):
        return [schema["const"]]
    values = schema.get("enum")
    return (
        values
        if isinstance(values, list) and all(isinstance(value, (str, int, float, bool)) for value in values)
        else []
    )
