"""The parameters of a tool, cut to what LM Studio's wire carries.

At the root of ``parameters`` it keeps ``type``, ``properties``, ``required``, ``additionalProperties`` and ``$defs``
and strips everything else without a word (PROTOCOL: "Tools"). So what means something is folded into those five, and
what cannot be folded is refused.
"""

from __future__ import annotations

from typing import Any

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_schema import copy_schema, with_defs

__all__ = ["tool_parameters"]

_REFUSED = (
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "dependentSchemas",
    "dependencies",
)


def tool_parameters(schema: Any, tool: str) -> dict[str, Any]:
    """The five keys, in a fixed order; ``properties`` is always there.

    Titles, descriptions and counts (``minProperties`` …) at the root are dropped, as the wire would do.

    Raises:
        LMStudioValueError: no object schema, or alternatives at the root that cannot be folded into one object.
    """
    what = f"The parameters of the tool {tool!r}"
    root = _fold(with_defs(copy_schema(schema, what), what), what)
    kind = root.get("type", "object")
    if kind != "object" and kind != ["object"] and kind != ["object", "null"]:
        raise LMStudioValueError(f"{what} must be a schema of type object, not {kind!r}.")
    properties = root.get("properties", {})
    if not isinstance(properties, dict):
        raise LMStudioValueError(f"{what}: properties must be an object.")
    for key in _REFUSED:
        if key in root:
            raise LMStudioValueError(
                f"{what} have {key!r} at the root, which LM Studio would strip; describe one object with properties."
            )
    kept: dict[str, Any] = {"type": "object", "properties": properties}
    if "required" in root:
        kept["required"] = _required(root["required"], what)
    if "additionalProperties" in root:
        kept["additionalProperties"] = root["additionalProperties"]
    if root.get("$defs"):
        kept["$defs"] = root["$defs"]
    return kept


def _required(value: Any, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise LMStudioValueError(f"{what}: required must be a list of names.")
    return value


def _fold(root: dict[str, Any], what: str) -> dict[str, Any]:
    """Replace a root ``$ref``, ``allOf`` and an ``anyOf``/``oneOf`` of one object by what they mean."""
    seen: set[str] = set()
    defs = root.get("$defs", {})
    while True:
        if "$ref" in root:
            ref = root.pop("$ref")
            if ref in seen:
                raise LMStudioValueError(f"{what}: the reference {ref!r} leads back to itself.")
            seen.add(str(ref))
            _merge(root, _target(ref, defs, what), what)
        elif isinstance(root.get("allOf"), list) and all(isinstance(branch, dict) for branch in root["allOf"]):
            for branch in root.pop("allOf"):
                _merge(root, _fold({**branch, "$defs": {**defs, **branch.get("$defs", {})}}, what), what)
        elif one := _only_branch(root):
            branch = root.pop(one)
            _merge(root, next(entry for entry in branch if entry != {"type": "null"}), what)
        else:
            return root


def _only_branch(root: dict[str, Any]) -> str | None:
    """``anyOf`` or ``oneOf`` whose branches are one object and perhaps null."""
    for key in ("anyOf", "oneOf"):
        branches = root.get(key)
        if isinstance(branches, list):
            real = [entry for entry in branches if entry != {"type": "null"}]
            if len(real) == 1 and isinstance(real[0], dict):
                return key
    return None


def _target(ref: Any, defs: dict[str, Any], what: str) -> dict[str, Any]:
    name = ref.removeprefix("#/$defs/") if isinstance(ref, str) else ref
    name = name.replace("~1", "/").replace("~0", "~") if isinstance(name, str) else name
    target = defs.get(name)
    if not isinstance(target, dict):
        raise LMStudioValueError(f"{what}: the reference {ref!r} leads nowhere.")
    return dict(target)


def _merge(root: dict[str, Any], other: dict[str, Any], what: str) -> None:
    for key, value in other.items():
        if key in ("properties", "$defs") and isinstance(root.get(key), dict) and isinstance(value, dict):
            mine = root[key]
            clash = [name for name in value if name in mine and mine[name] != value[name]]
            if clash:
                raise LMStudioValueError(f"{what} describe {clash[0]!r} twice, and differently.")
            root[key] = {**mine, **value}
        elif key == "required" and isinstance(root.get(key), list) and isinstance(value, list):
            root[key] = [*root[key], *(name for name in value if name not in root[key])]
        elif key in _REFUSED and key in root:
            raise LMStudioValueError(f"{what} have {key!r} at the root more than once, which LM Studio would strip.")
        elif key == "additionalProperties" and key in root and root[key] != value:
            # Both must hold, so the narrower one does.
            root[key] = False if False in (root[key], value) else root[key]
        else:
            root.setdefault(key, value)
