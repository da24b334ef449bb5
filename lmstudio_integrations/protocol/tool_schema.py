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
from lmstudio_integrations.protocol.json_schema import enforceable
from lmstudio_integrations.protocol.schema_references import read_schema, resolve

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
    complete = read_schema({} if isinstance(schema, bool) else schema, what)
    folder = _RootFolder(complete.get("$defs") or {}, what)
    root, loosened = folder.fold(complete), folder.loosened
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
        made["$defs"] = made.pop("$defs")  # last, also if closing the object has added `additionalProperties`
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


class _RootFolder:
    """Folds references, alternatives and conditions at the root of a schema into one object.

    ``loosened`` lists what was left out. Each definition is folded once, however many others refer to it.
    """

    def __init__(self, defs: dict[str, Any], what: str) -> None:
        self.loosened: list[str] = []
        self._defs = defs
        self._what = what
        self._folded: dict[str, dict[str, Any]] = {}

    def fold(self, schema: dict[str, Any], seen: tuple[str, ...] = ()) -> dict[str, Any]:
        """``schema`` without references, alternatives and conditions. ``seen``: the references that led to it."""
        root = dict(schema)
        reference = root.pop("$ref", None)
        if isinstance(reference, str):
            root = _merge(root, self._definition(reference, seen), every=True)
        self.loosened += [f"{key!r} at the root" for key in _CONDITIONS if root.pop(key, None) is not None]
        for branch in _branches(root.pop("allOf", None)):
            root = _merge(root, self.fold(branch, seen), every=True)
        for key in _UNIONS:
            branches = [self.fold(branch, seen) for branch in _branches(root.pop(key, None))]
            real = [branch for branch in branches if branch.get("type") != "null"]
            if real:
                if len(real) > 1:
                    self.loosened.append(f"{key!r} at the root")
                union = real[0]
                for branch in real[1:]:
                    union = _merge(union, branch, every=False)
                root = _merge(root, union, every=True)
        return root

    def _definition(self, reference: str, seen: tuple[str, ...]) -> dict[str, Any]:
        if reference in seen:
            raise LMStudioValueError(f"{self._what}: the reference {reference!r} leads back to itself.")
        if reference not in self._folded:
            target = resolve({"$defs": self._defs}, reference)
            # A schema that is true or false says nothing about an object's members.
            self._folded[reference] = self.fold(target if isinstance(target, dict) else {}, (*seen, reference))
        return self._folded[reference]


def _branches(value: Any) -> list[dict[str, Any]]:
    return [branch for branch in value if isinstance(branch, dict)] if isinstance(value, list) else []


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
            first, second = _constants(made[name]), _constants(schema)
            if first and second:
                made[name] = {"enum": list(dict.fromkeys([*first, *second]))}
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
