"""A document for any JSON schema: valid, deterministic, and recognizable as made up (``"emulated setup"``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from lmstudio_integrations.emulator.backends.argument_hints import Hints
from lmstudio_integrations.emulator.backends.grammar_faker import GrammarError, from_regex

Schema = Mapping[str, Any]

_DEEP = 6
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "emulated@example.com",
    "idn-email": "emulated@example.com",
    "hostname": "emulated.example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/emulated",
    "uri-reference": "/emulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "json-pointer": "/emulated",
    "regex": "emulated",
    "byte": "ZW11bGF0ZWQ=",
    "binary": "emulated",
}


def document(schema: Any, *, hints: Hints | None = None, optional: bool = True) -> Any:
    """A value that the schema accepts.

    Args:
        schema: a JSON schema; ``$ref`` may point anywhere inside it.
        hints: a text whose numbers and words are used where they fit.
        optional: whether properties that need not be there are filled in, too.
    """
    return _Maker(schema, hints or Hints(), optional=optional).value(schema, "value", 0)


class _Maker:
    def __init__(self, root: Any, hints: Hints, *, optional: bool) -> None:
        self._root = root
        self._hints = hints
        self._optional = optional

    def value(self, schema: Any, name: str, depth: int) -> Any:
        """A value for a part of the schema; ``name`` is the nearest property's."""
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            choices = list(schema["enum"])
            return self._hints.mentioned(choices) or choices[0]
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                rest = {other: value for other, value in schema.items() if other != key}
                return self.value(self._merged(rest, self._branch(schema[key], depth)), name, depth + 1)
        match _type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number" as kind:
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        return self._string(schema, name)

    def _resolved(self, schema: Any, depth: int) -> dict[str, Any]:
        """The schema with its reference and its ``allOf`` resolved."""
        if not isinstance(schema, Mapping):
            return {}
        resolved = dict(schema)
        if "$ref" in resolved and depth < 4 * _DEEP:
            resolved = self._merged(self._resolve(resolved.pop("$ref")), resolved)
            return self._resolved(resolved, depth + 1)
        for part in resolved.pop("allOf", ()):
            resolved = self._merged(resolved, self._resolved(part, depth + 1))
        return resolved

    def _resolve(self, reference: str) -> Schema:
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key, {}) if isinstance(found, Mapping) else {}
        return found if isinstance(found, Mapping) else {}

    @staticmethod
    def _merged(one: Schema, other: Schema) -> dict[str, Any]:
        merged = {**one, **other}
        if "properties" in one and "properties" in other:
            merged["properties"] = {**one["properties"], **other["properties"]}
        if "required" in one and "required" in other:
            merged["required"] = [*one["required"], *other["required"]]
        return merged

    def _branch(self, branches: list[Any], depth: int) -> Schema:
        """The first branch that is not null; from the depth ``_DEEP`` on a plain one, so that recursive schemas end."""
        resolved = [self._resolved(branch, depth) for branch in branches]
        if depth >= _DEEP:
            return min(resolved, key=lambda branch: ("null", "string", "number", "integer").count(_type(branch)) == 0)
        return next((branch for branch in resolved if _type(branch) != "null"), resolved[0])

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = list(dict.fromkeys(schema.get("required", ())))
        fill = self._optional and depth < _DEEP
        names = [name for name in properties if fill or name in required]
        names += [name for name in required if name not in properties]
        made = {name: self.value(properties.get(name, {}), name, depth + 1) for name in names}
        number = 0
        while len(made) < schema.get("minProperties", 0):
            number += 1
            extra = schema.get("additionalProperties", {})
            made.setdefault(f"emulated{number}", self.value(extra, f"emulated{number}", depth + 1))
        return made

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        first = [self.value(item, name, depth + 1) for item in schema.get("prefixItems", ())]
        least = int(schema.get("minItems", 0 if depth >= _DEEP else 1))
        wanted = min(max(least, len(first)), schema.get("maxItems", math.inf))
        items = first[: int(wanted)]
        choices = self._resolved(schema.get("items", {}), depth).get("enum", [])
        while len(items) < wanted:
            item = self.value(schema.get("items", {}), name, depth + 1)
            if schema.get("uniqueItems") and item in items:
                item = _different(item, items, choices)
            items.append(item)
        return items

    def _number(self, schema: Schema, *, whole: bool) -> int | float:
        low, high = _bounds(schema, whole=whole)
        given = self._hints.number(low, high, whole=whole)
        step = schema.get("multipleOf")
        if given is None or (step and given % step):
            given = max(low, min(high, 1.0)) if math.isfinite(low) or math.isfinite(high) else 1.0
            if step and math.isfinite(low):
                given = math.ceil(low / step) * step
            elif step:
                given = math.floor(high / step) * step if math.isfinite(high) else step
        return int(given) if whole or float(given).is_integer() else given

    def _string(self, schema: Schema, name: str) -> str:
        if "pattern" in schema:
            try:
                return _fitted(from_regex(schema["pattern"]), schema, pattern=True)
            except GrammarError:
                return _fitted("emulated", schema)
        if (known := _FORMATS.get(schema.get("format", ""))) is not None:
            return known
        return _fitted(self._hints.words(name) or f"emulated {name}", schema)


def _type(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _bounds(schema: Schema, *, whole: bool) -> tuple[float, float]:
    """The smallest and the largest number that the schema allows, or numbers near them if its bounds are exclusive."""
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    if whole:
        least = max(_rounded(math.ceil, low), _rounded(math.floor, above) + 1)
        return least, min(_rounded(math.floor, high), _rounded(math.ceil, below) - 1)
    least, most = max(low, above + 0.5), min(high, below - 0.5)
    if least > most:  # a span narrower than that: its middle
        least = most = (max(low, above) + min(high, below)) / 2
    return least, most


def _rounded(round_to: Callable[[float], int], value: float) -> float:
    return round_to(value) if math.isfinite(value) else value


def _fitted(text: str, schema: Schema, *, pattern: bool = False) -> str:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if len(text) < least:
        text += (text[-1:] if pattern else "x") * (least - len(text))
    return text if most is None or pattern else text[:most]


def _different(item: Any, items: list[Any], choices: list[Any]) -> Any:
    """Another value like this one, for arrays without repetitions."""
    for choice in choices:
        if choice not in items:
            return choice
    if isinstance(item, bool):
        return not item
    if isinstance(item, int | float):
        return max(one for one in items if isinstance(one, int | float)) + 1
    return f"{item} {len(items) + 1}" if isinstance(item, str) else item
