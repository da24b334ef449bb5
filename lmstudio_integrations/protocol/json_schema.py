r"""JSON Schemas on their way to LM Studio: references, closed objects, and what its engines can compile.

LM Studio reads references under ``$defs`` only. Its engines turn a schema into a grammar. Some keywords they skip
silently, so that the model is not held to them; others make the conversion of the complete schema fail. Sources:

* llama.cpp, ``grammars/README.md``, "JSON Schemas -> GBNF", known limitations: no ``uniqueItems``, ``contains``,
  ``not``, conditionals, ``$anchor``; string formats other than date, time, date-time and uuid; patterns that do not
  start with ``^`` and end with ``$``. Its ``common/json-schema-to-grammar.cpp``: "Unrecognized schema" for ``true`` and
  ``false`` as schemas and for unknown types, "Unsupported ref" for ``#``; ``items`` hides ``prefixItems``; ``allOf``
  knows only properties and enumerations; what stands beside ``anyOf`` and ``$ref`` is not read; ``{}`` is any object.
  Its ``src/llama-grammar.cpp``: an error for 2,000 repetitions and more (pull requests 17381, 26613, 28469).
  For patterns see ``json_patterns``.
* llguidance (a build option of llama.cpp), ``docs/json_schema.md``: an error for every other keyword and format, and
  for patterns that look around.
* mlx-engine (``generate.py``: ``JSONLogitsProcessor``) converts with outlines, and that with outlines-core,
  ``src/json_schema/parsing.rs``: an error for schemas without a type, for unknown types and formats, for objects and
  lists in ``enum`` and ``const``, for ``minLength`` above ``maxLength``; other keywords are not read.

Bounds of numbers (``minimum`` with type "number", ``multipleOf``) and of properties that are all required stay,
although llama.cpp skips them: llguidance enforces them, and no engine fails.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_patterns import MOST_REPETITIONS, engine_pattern
from lmstudio_integrations.protocol.json_text import encode
from lmstudio_integrations.protocol.schema_folding import STRUCTURAL, fold, spelled_out

__all__ = ["check_references", "copy_schema", "enforceable", "hoist_references", "with_defs", "with_types"]

_OLD, _NEW = "#/definitions/", "#/$defs/"
_PLAIN_REFERENCE = re.compile(r"#/\$defs/[^~%]*\Z")
_MAPS = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
_DATA = frozenset(("enum", "const", "default", "examples", "example"))


_UNSUPPORTED = frozenset(
    {
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "$recursiveAnchor",
        "$recursiveRef",
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
_MOST_LEVELS = 150
"""Levels of objects and lists in a schema, of which each level of the described value takes two."""
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_ANY_TYPE = ("object", "array", "string", "number", "boolean", "null")
_TYPED = (STRUCTURAL - {"required"}) | {"pattern"}
_SCHEMAS = frozenset(("items", "prefixItems", "anyOf", "oneOf", "allOf"))
"""Keys whose values are schemas or lists of them."""

Report: TypeAlias = Callable[[str, str], object]


def enforceable(schema: dict[str, Any], *, on_unsupported: Report) -> dict[str, Any]:
    """``schema`` with closed objects, and without what engines cannot compile.

    Objects with properties get ``additionalProperties: false`` unless they have that key, ``patternProperties`` or
    are a branch of ``allOf``. What can be expressed is rewritten: ``true`` as ``{}``, an ``allOf`` of one schema as
    that schema, a boolean ``exclusiveMinimum`` as a number. ``on_unsupported(keyword, place)`` is called for everything
    that is left out; it may raise.
    """
    made = _enforceable(fold(schema, schema.get("$defs")), "$", on_unsupported, closed=True)
    assert isinstance(made, dict)
    return made


def with_types(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` with the list of all types wherever any value may stand, and ``true`` for the same of properties.

    For ``{}`` llama.cpp allows objects only, and for ``{"title": "Data"}`` versions before 2026 and outlines-core raise
    an error. Objects and lists in ``const`` and ``enum`` become schemas, because outlines-core refuses them. A chat
    template shows a tool's schema to the model and may expect one type, so tools keep theirs.
    """
    made = _with_types(schema)
    assert isinstance(made, dict)
    return made


def _with_types(node: Any) -> Any:
    if isinstance(node, list):
        return [_typed(item) for item in node]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for key, value in _without_literals(node).items():
        if key in _MAPS and isinstance(value, dict):
            made[key] = {name: _typed(item) for name, item in value.items()}
        elif key == "additionalProperties" and value == {}:
            made[key] = True
        elif key in _SCHEMAS or key == "additionalProperties":
            made[key] = _typed(value)
        else:
            made[key] = value
    return made


def _typed(node: Any) -> Any:
    made = _with_types(node)
    if isinstance(made, dict) and not made.keys() & _TYPED:
        made["type"] = list(_ANY_TYPE)
    return made


def _enforceable(node: Any, path: str, report: Report, *, closed: bool) -> Any:
    if isinstance(node, list):
        return [
            _enforceable(_object_schema(item, f"{path}[{index}]", report), f"{path}[{index}]", report, closed=closed)
            for index, item in enumerate(node)
        ]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for key, value in _rewritten(node, path, report).items():
        if _is_unsupported(key, value):
            report(key, path)
        elif key in _MAPS and isinstance(value, dict):
            made[key] = {
                name: _enforceable(
                    _object_schema(item, f"{path}.{key}.{name}", report), f"{path}.{key}.{name}", report, closed=True
                )
                for name, item in value.items()
            }
        elif key in _DATA or key == "required":
            made[key] = value
        elif key == "pattern":
            made[key] = engine_pattern(value)
        else:
            schema = _object_schema(value, f"{path}.{key}", report) if key in _SCHEMAS else value
            made[key] = _enforceable(schema, f"{path}.{key}", report, closed=key != "allOf")
    if closed and made.get("properties") and not {"additionalProperties", "patternProperties", "allOf"} & made.keys():
        made["additionalProperties"] = False
        required = made.get("required", ())  # in a closed object llguidance wants a property for each
        made["properties"].update(
            {name: {} for name in required if isinstance(name, str) and name not in made["properties"]}
        )
    return made


def _object_schema(value: Any, path: str, report: Report) -> Any:
    """``true`` and ``false`` as schemas of their own; ``false`` cannot be expressed."""
    if value is False:
        report("false", path)
    return {} if isinstance(value, bool) else value


def _without_empty_keywords(node: dict[str, Any], path: str, report: Report) -> dict[str, Any]:
    """The schema without keywords that say nothing, and with counts as whole numbers: llguidance refuses others.

    ``$id`` is left out, because it would change what references are relative to. Bounds on the number of properties
    are reported if some property is optional, which llguidance refuses.
    """
    made = {key: value for key, value in node.items() if key not in ("$id", "id") or not isinstance(value, str)}
    if made.get("uniqueItems") is False:
        del made["uniqueItems"]
    if "required" in made and not isinstance(made["required"], list):
        if made["required"]:  # a boolean of draft 3
            report("required", path)
        del made["required"]
    for key in _COUNTS & made.keys():
        value = made[key]
        if isinstance(value, float) and value.is_integer():
            made[key] = value = int(value)
        if value == 0 and key.startswith("min"):
            del made[key]
        elif not isinstance(value, int) or not 0 <= value < MOST_REPETITIONS:
            report(key, path)
            del made[key]
    properties, required = made.get("properties"), made.get("required", ())
    if isinstance(properties, dict) and not properties.keys() <= set(map(str, required)):
        for key in ("minProperties", "maxProperties"):
            if key in made:
                report(key, path)
                del made[key]
    return made


def _without_literals(node: dict[str, Any]) -> dict[str, Any]:
    """The schema without objects and lists in ``const`` and ``enum``."""
    made = dict(node)
    if isinstance(made.get("const"), (dict, list)):
        made = {**spelled_out(made.pop("const")), **made}
    values = made.get("enum")
    if isinstance(values, list) and any(isinstance(value, (dict, list)) for value in values) and "anyOf" not in made:
        del made["enum"]
        made.pop("type", None)
        made["anyOf"] = [spelled_out(value) for value in values]
    return made


def _rewritten(node: dict[str, Any], path: str, report: Report) -> dict[str, Any]:
    """The schema in keywords that engines support, if there are any."""
    made = _without_empty_keywords(node, path, report)
    branches = made.get("allOf")
    if isinstance(branches, list) and len(branches) == 1 and isinstance(branches[0], dict):
        only = _rewritten(branches[0], path, report)
        if not (only.keys() & made.keys()) - {"title", "description", "default"}:
            del made["allOf"]
            made = {**only, **made}
    if isinstance(made.get("anyOf"), list) and (not made["anyOf"] or made.keys() & STRUCTURAL - {"anyOf", "type"}):
        report("anyOf", path)  # it could not be folded
        del made["anyOf"]
    if "oneOf" in made and "anyOf" not in made:
        # Guess: no engine of LM Studio enforces that one branch only fits. llama.cpp reads both alike, and llguidance
        # refuses "oneOf".
        made = {"anyOf" if key == "oneOf" else key: value for key, value in made.items()}
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(exclusive := made.get(bound), bool):  # draft 4
            del made[bound]
            if exclusive and limit in made:
                made[bound] = made.pop(limit)
    if "prefixItems" in made and "items" in made:
        items = made.pop("items")
        if isinstance(items, (dict, list)):
            report("items", path)
            del made["prefixItems"]
        elif items is False and isinstance(made["prefixItems"], list):
            made.setdefault("maxItems", len(made["prefixItems"]))
    return _with_known_types(made, path, report)


def _with_known_types(node: dict[str, Any], path: str, report: Report) -> dict[str, Any]:
    if "type" in node:
        kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
        known = [kind for kind in kinds if isinstance(kind, str) and kind in _TYPES]
        if len(known) < len(kinds):
            report("type", path)
            node = {key: value for key, value in node.items() if key != "type" or known}
            if known:
                node["type"] = known if isinstance(node["type"], list) else known[0]
    return node


def _is_unsupported(key: str, value: Any) -> bool:
    if key == "format":
        return not isinstance(value, str) or value not in _FORMATS
    if key == "enum":
        return not value
    if key in _BOUNDS:
        return isinstance(value, (int, float)) and abs(value) >= 2**63
    if key == "multipleOf":
        return not isinstance(value, (int, float)) or value <= 0
    if key == "pattern":
        return not isinstance(value, str) or engine_pattern(value) is None
    return key in _UNSUPPORTED


def hoist_references(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema with every reference under ``$defs``: one to the root or to a part of it gets an entry there.

    So does one to a name with escapes, which llama.cpp does not read.
    """
    moved: dict[str, str] = {}
    defs = schema.get("$defs") if isinstance(schema.get("$defs"), dict) else {}
    _collect_references(schema, moved, set(defs or ()))
    if not moved:
        return schema
    made = _renamed(schema, moved)
    assert isinstance(made, dict)
    entries = dict(made.get("$defs") or {})
    for reference, name in moved.items():
        whole = reference in ("#", "#/")
        entries[name] = {key: made[key] for key in made if key != "$defs"} if whole else _referred(made, reference)
    made["$defs"] = entries
    return made


def _collect_references(node: Any, moved: dict[str, str], taken: set[str]) -> None:
    """Add a new name for each local reference that is not to a plain name under ``$defs``."""
    if isinstance(node, list):
        for item in node:
            _collect_references(item, moved, taken)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "$ref" and isinstance(value, str) and value.startswith("#") and not _PLAIN_REFERENCE.match(value):
            if value not in moved:
                base = re.sub(r"\W", "_", unquote(value).lstrip("#").rpartition("/")[2]) or "root"
                name = next(name for name in _names_from(base) if name not in taken)
                taken.add(name)
                moved[value] = name
        elif key not in _DATA:
            _collect_references(value, moved, taken)


def _names_from(base: str) -> Iterator[str]:
    yield base
    for number in itertools.count(2):
        yield f"{base}_{number}"


def _renamed(node: Any, moved: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_renamed(item, moved) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: f"{_NEW}{moved[value]}"
        if key == "$ref" and isinstance(value, str) and value in moved
        else value
        if key in _DATA
        else _renamed(value, moved)
        for key, value in node.items()
    }


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
            if _referred(root, value) is None:
                raise LMStudioValueError(f"{what}: {path} refers to {value!r}, which is not in the schema.")
        elif key not in _DATA:
            _check_references(value, root, what, f"{path}.{key}")


def _referred(root: dict[str, Any], reference: str) -> Any:
    """What a reference (a JSON pointer, percent-encoded or not, or an anchor) leads to in ``root``; else ``None``."""
    if not reference.startswith("#"):
        return None
    if reference != "#" and not reference.startswith("#/"):
        return _anchored(root, unquote(reference[1:]))
    for path in (reference, unquote(reference)):
        target: Any = root
        for step in path.split("/")[1:] if path != "#/" else ():
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list):
                target = target[int(step)] if step.isdecimal() and int(step) < len(target) else None
            else:
                target = target.get(step) if isinstance(target, dict) else None
        if target is not None:
            return target
    return None


def _anchored(node: Any, name: str) -> Any:
    """The first schema with an ``$anchor`` of this name, or with the ``$id`` that draft 6 and 7 have for it."""
    if isinstance(node, dict) and (
        name in (node.get("$anchor"), node.get("$dynamicAnchor")) or f"#{name}" in (node.get("$id"), node.get("id"))
    ):
        return node
    inner = (
        node
        if isinstance(node, list)
        else [item for key, item in node.items() if key not in _DATA]
        if isinstance(node, dict)
        else []
    )
    return next((found for item in inner if (found := _anchored(item, name)) is not None), None)


def copy_schema(schema: Any, what: str) -> dict[str, Any]:
    """A plain deep copy, without defaults and examples that JSON cannot hold.

    Raises:
        LMStudioValueError: no object, or something in it that JSON cannot hold.
    """
    if not isinstance(schema, Mapping):
        raise LMStudioValueError(f"{what} must be a JSON Schema object, not {type(schema).__name__}.")
    try:
        copied = _copy(schema, _MOST_LEVELS)
    except RecursionError:
        raise LMStudioValueError(
            f"{what} contains itself, or is nested more than {_MOST_LEVELS} levels deep: refer to a definition under "
            "$defs instead."
        ) from None
    try:
        encode(copied)
    except LMStudioValueError:
        copied = _without_examples(copied)
        try:
            encode(copied)
        except LMStudioValueError as error:
            raise LMStudioValueError(f"{what} cannot be sent: {error}") from None
    assert isinstance(copied, dict)
    return copied


def _without_examples(node: Any) -> Any:
    """``node`` without defaults and examples that JSON cannot hold, such as the ``default`` of ``x: float = math.inf``.

    Properties of these names have a schema, which is a mapping.
    """
    if isinstance(node, list):
        return [_without_examples(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_examples(item)
        for key, item in node.items()
        if key not in ("default", "example", "examples") or isinstance(item, dict) or _is_json(item)
    }


def _is_json(value: Any) -> bool:
    try:
        encode(value)
    except LMStudioValueError:
        return False
    return True


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


def _copy(value: Any, levels: int) -> Any:
    if not levels:
        raise RecursionError
    if isinstance(value, Mapping):
        return {key: _copy(item, levels - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item, levels - 1) for item in value]
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
