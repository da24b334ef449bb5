r"""JSON Schemas on their way to LM Studio: references, closed objects, and what its engines can compile.

LM Studio reads references under ``$defs`` only. Its engines turn a schema into a grammar and skip silently what they
cannot compile, so that the model is not held to it. Source: llama.cpp, ``grammars/README.md``, "JSON Schemas -> GBNF":
no ``uniqueItems``, ``contains``, ``not``, conditionals, ``$anchor``; string formats other than date, time, date-time
and uuid; patterns that do not start with ``^`` and end with ``$``, and (its converter) groups like ``(?=…)`` and
classes like ``\w``. Guess: LM Studio's MLX engine compiles no more than that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_text import encode

__all__ = ["check_references", "copy_schema", "enforceable", "with_defs"]

_OLD, _NEW = "#/definitions/", "#/$defs/"
_MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
_DATA = frozenset(("enum", "const", "default", "examples", "example"))


_UNSUPPORTED = frozenset(
    {
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "contains",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxContains",
        "minContains",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
_FORMATS = frozenset({"date", "time", "date-time", "uuid"})
_PATTERN = re.compile(r"\^.*\$", re.DOTALL)
_NO_PATTERN = re.compile(r"\(\?|\\[a-zA-Z0-9]")


def enforceable(schema: dict[str, Any], *, on_unsupported: Callable[[str, str], object]) -> dict[str, Any]:
    """``schema`` with closed objects, and without what engines cannot compile.

    Objects with properties get ``additionalProperties: false`` unless they say otherwise, have ``patternProperties`` or
    are a branch of ``allOf``. ``on_unsupported(keyword, place)`` is called for everything that is left out; it may
    raise.
    """
    made = _enforceable(schema, "$", on_unsupported, closed=True)
    assert isinstance(made, dict)
    return made


def _enforceable(node: Any, path: str, report: Callable[[str, str], object], *, closed: bool) -> Any:
    if isinstance(node, list):
        return [_enforceable(item, f"{path}[{index}]", report, closed=closed) for index, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for key, value in node.items():
        if _is_unsupported(key, value):
            report(key, path)
        elif key in _MAPS and isinstance(value, dict):
            made[key] = {
                name: _enforceable(item, f"{path}.{key}.{name}", report, closed=True) for name, item in value.items()
            }
        elif key in _DATA:
            made[key] = value
        else:
            made[key] = _enforceable(value, f"{path}.{key}", report, closed=key != "allOf")
    if closed and made.get("properties") and not {"additionalProperties", "patternProperties", "allOf"} & made.keys():
        made["additionalProperties"] = False
    return made


def _is_unsupported(key: str, value: Any) -> bool:
    if key == "uniqueItems":
        return value is not False
    if key == "format":
        return isinstance(value, str) and value not in _FORMATS
    if key == "pattern":
        return isinstance(value, str) and (not _PATTERN.fullmatch(value) or _NO_PATTERN.search(value) is not None)
    return key in _UNSUPPORTED


def check_references(schema: dict[str, Any], what: str) -> None:
    """Raise ``LMStudioValueError`` for a ``$ref`` that leads nowhere in ``schema``."""
    _check_references(schema, schema, what, "$")


def _check_references(node: Any, root: dict[str, Any], what: str, path: str) -> None:
    if isinstance(node, list):
        for index, item in enumerate(node):
            _check_references(item, root, what, f"{path}[{index}]")
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "$ref" and isinstance(value, str):
            target: Any = root
            for step in value.split("/")[1:] if value.startswith("#") else ["#"]:
                step = step.replace("~1", "/").replace("~0", "~")
                target = target.get(step) if isinstance(target, dict) else None
            if target is None:
                raise LMStudioValueError(f"{what}: {path} refers to {value!r}, which is not in the schema.")
        elif key not in _DATA:
            _check_references(value, root, what, f"{path}.{key}")


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
