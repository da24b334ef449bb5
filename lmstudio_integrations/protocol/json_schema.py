r"""JSON Schemas in the form that LM Studio's engines can compile.

The engines turn a schema into a grammar. They ignore some keywords silently, so that the output may violate them; other
keywords make the conversion of the complete schema fail. Sources:

* llama.cpp, ``grammars/README.md``, "JSON Schemas -> GBNF", known limitations: no ``uniqueItems``, ``contains``,
  ``not``, conditionals, ``$anchor``; string formats other than date, time, date-time and uuid; patterns that do not
  start with ``^`` and end with ``$``. Its ``common/json-schema-to-grammar.cpp``: "Unrecognized schema" for ``true`` and
  ``false`` as schemas and for unknown types, "Unsupported ref" for ``#``; beside ``items`` it ignores ``prefixItems``;
  of ``allOf`` it reads only properties and enumerations; it ignores what stands beside ``anyOf`` and ``$ref``; ``{}``
  is any object.
  Its ``src/llama-grammar.cpp``: an error for 2,000 repetitions and more (pull requests 17381, 26613, 28469).
  For patterns see ``json_patterns``.
* llguidance (a build option of llama.cpp), ``docs/json_schema.md``: an error for every other keyword and format, and
  for patterns that look around.
* mlx-engine (``generate.py``: ``JSONLogitsProcessor``) converts with outlines, and that with outlines-core,
  ``src/json_schema/parsing.rs``: an error for schemas without a type, for unknown types and formats, for objects and
  lists in ``enum`` and ``const``, for ``minLength`` above ``maxLength``; other keywords are not read.

Two things that llama.cpp ignores are kept, because llguidance enforces them and no engine fails: bounds of numbers
(``minimum`` with type "number", ``multipleOf``), and bounds on the number of properties that are all required.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_patterns import MOST_REPETITIONS, engine_pattern
from lmstudio_integrations.protocol.json_text import encode
from lmstudio_integrations.protocol.schema_folding import DATA, SCHEMA_MAPS, STRUCTURAL, fold, spelled_out

__all__ = ["copy_schema", "enforceable", "with_types"]

_UNSUPPORTED = frozenset(
    {
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
"""Levels of objects and lists in a schema. One level of the value that it describes takes two of them."""
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_NAMES = frozenset({"$id", "id", "$anchor", "$dynamicAnchor"})
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
# "number" includes integers.
_ANY_TYPE = ("object", "array", "string", "number", "boolean", "null")
_TYPED = (STRUCTURAL - {"required"}) | {"pattern"}
"""Keywords that restrict the type of a value."""
_SCHEMAS = frozenset(("items", "prefixItems", "anyOf", "oneOf", "allOf"))
"""Keywords whose value is a schema or a list of schemas."""
_RANGES = (("minLength", "maxLength"), ("minItems", "maxItems"), ("minProperties", "maxProperties"))

Report: TypeAlias = Callable[[str, str], object]


def enforceable(schema: dict[str, Any], *, on_unsupported: Report) -> dict[str, Any]:
    """``schema`` without what engines cannot compile, and with ``additionalProperties: false``.

    That is added to each object with properties, unless it has that keyword, ``patternProperties`` or ``allOf``, or is
    a branch of ``allOf``. What can be written in other words is rewritten: ``true`` as ``{}``, an ``allOf`` of one
    schema as that schema, a boolean ``exclusiveMinimum`` as a number. ``on_unsupported(keyword, place)`` is called for
    each keyword that is left out and would have restricted the value; it may raise.
    """
    made = _enforceable(fold(schema, schema.get("$defs")), "$", on_unsupported, closed=True)
    assert isinstance(made, dict)
    return made


def with_types(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` with the list of all types in each schema that allows any value.

    ``additionalProperties: {}``, which allows any value, too, becomes ``true``.

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
        if key in SCHEMA_MAPS and isinstance(value, dict):
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
        elif key in SCHEMA_MAPS and isinstance(value, dict):
            made[key] = {
                name: _enforceable(
                    _object_schema(item, f"{path}.{key}.{name}", report), f"{path}.{key}.{name}", report, closed=True
                )
                for name, item in value.items()
            }
            if key == "patternProperties":
                made[key] = _without_unsupported_patterns(made[key], path, report)
        elif key in DATA or key == "required":
            made[key] = value
        elif key == "pattern":
            made[key] = engine_pattern(value)
        else:
            schema = _object_schema(value, f"{path}.{key}", report) if key in _SCHEMAS else value
            made[key] = _enforceable(schema, f"{path}.{key}", report, closed=key != "allOf")
    properties = made.get("properties")
    if (
        closed
        and isinstance(properties, dict)
        and properties
        and not {"additionalProperties", "patternProperties", "allOf"} & made.keys()
    ):
        made["additionalProperties"] = False
        # llguidance needs an entry in `properties` for each required name if there are no other properties.
        properties.update(
            {name: {} for name in made.get("required", ()) if isinstance(name, str) and name not in properties}
        )
    return made


def _without_unsupported_patterns(schemas: dict[str, Any], path: str, report: Report) -> dict[str, Any]:
    """``patternProperties`` without patterns that no engine supports, which are reported.

    The others stay as they are: llama.cpp ignores the keyword, and llguidance reads every supported pattern.
    """
    made = {}
    for pattern, schema in schemas.items():
        if engine_pattern(pattern) is not None:
            made[pattern] = schema
        else:
            report("patternProperties", path)
    return made


def _object_schema(value: Any, path: str, report: Report) -> Any:
    """``{}`` in place of ``true`` and ``false``; ``false``, which cannot be expressed, is reported."""
    if value is False:
        report("false", path)
    return {} if isinstance(value, bool) else value


def _with_clean_keywords(node: dict[str, Any], path: str, report: Report) -> dict[str, Any]:
    """The schema without keywords that say nothing, and with counts as integers, because llguidance refuses others.

    ``$id`` and anchors are left out: references go to entries of ``$defs`` only, and ``$id`` would change what they are
    relative to. Reported are counts that are none, a maximum below its minimum, which outlines-core refuses, and bounds
    on the number of properties if some property is optional, which llguidance refuses.
    """
    made = {key: value for key, value in node.items() if key not in _NAMES or not isinstance(value, str)}
    if made.get("uniqueItems") is False:
        del made["uniqueItems"]
    if "required" in made and not isinstance(made["required"], list):
        if made["required"]:  # a boolean of draft 3
            report("required", path)
        del made["required"]
    _clean_counts(made, path, report)
    properties, required = made.get("properties"), made.get("required", ())
    if isinstance(properties, dict) and not properties.keys() <= set(map(str, required)):
        for key in ("minProperties", "maxProperties"):
            if key in made:
                report(key, path)
                del made[key]
    return made


def _clean_counts(made: dict[str, Any], path: str, report: Report) -> None:
    """Write counts as integers, and remove those that say nothing or cannot be enforced."""
    for key in sorted(_COUNTS & made.keys()):
        value = made[key]
        if isinstance(value, float) and value.is_integer():
            made[key] = value = int(value)
        is_count = isinstance(value, int) and not isinstance(value, bool)
        if is_count and value == 0 and key.startswith("min"):
            del made[key]
        elif not is_count or not 0 <= value < MOST_REPETITIONS:
            report(key, path)
            del made[key]
    for least, most in _RANGES:
        if least in made and most in made and made[least] > made[most]:
            report(most, path)
            del made[most]


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
    made = _with_clean_keywords(node, path, report)
    branches = made.get("allOf")
    if isinstance(branches, list) and len(branches) == 1 and isinstance(branches[0], dict):
        only = _rewritten(branches[0], path, report)
        if not (only.keys() & made.keys()) - {"title", "description", "default"}:
            del made["allOf"]
            made = {**only, **made}
    for union in ("anyOf", "oneOf"):
        others = STRUCTURAL - {union, "type"}
        if isinstance(made.get(union), list) and (not made[union] or made.keys() & others):
            report(union, path)  # `fold` could not write it as one union of complete schemas
            del made[union]
    if "oneOf" in made:
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
            report("prefixItems with items", path)
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
        return not _is_number(value) or abs(value) >= 2**63
    if key == "multipleOf":
        return not _is_number(value) or value <= 0
    if key == "pattern":
        return not isinstance(value, str) or engine_pattern(value) is None
    return key in _UNSUPPORTED


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def copy_schema(schema: Any, what: str) -> dict[str, Any]:
    """A deep copy of ``schema``, of ``dict`` and ``list`` only, without defaults and examples that JSON cannot hold.

    Raises:
        LMStudioValueError: ``schema`` is not a mapping, contains itself, is nested too deeply, or has a value that JSON
            cannot represent.
    """
    if not isinstance(schema, Mapping):
        raise LMStudioValueError(f"{what} must be a JSON Schema object, not {type(schema).__name__}.")
    try:
        copied = _copy(schema, _MOST_LEVELS)
    except RecursionError:
        raise LMStudioValueError(
            f"{what} contains itself, or is nested more than {_MOST_LEVELS} levels deep (a level of the value takes "
            "two): refer to a definition under $defs instead."
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


def _copy(value: Any, levels: int, *, is_data: bool = False, is_map: bool = False) -> Any:
    """``is_data``: the value of ``enum`` and the like; ``is_map``: that of ``properties`` and the like."""
    if not levels:
        raise RecursionError
    if isinstance(value, Mapping):
        made = {
            key: _copy(
                item,
                levels - 1,
                is_data=is_data or (not is_map and key in DATA),
                is_map=not is_data and not is_map and key in SCHEMA_MAPS,
            )
            for key, item in value.items()
        }
        if "type" in made and not is_data:
            made["type"] = _type_name(made["type"])
        return made
    if isinstance(value, list | tuple):
        return [_copy(item, levels - 1, is_data=is_data) for item in value]
    return value


def _type_name(kind: Any) -> Any:
    """JSON Schema's name of a type that Google (``STRING``) or a programming language writes in another way."""
    if isinstance(kind, list):
        return [_type_name(item) for item in kind]
    if not isinstance(kind, str) or kind in _TYPES:
        return kind
    name = kind.lower()
    return name if name in _TYPES else _OTHER_TYPES.get(name, kind)


_OTHER_TYPES = {
    "bool": "boolean",
    "dict": "object",
    "double": "number",
    "float": "number",
    "int": "integer",
    "list": "array",
    "str": "string",
}
