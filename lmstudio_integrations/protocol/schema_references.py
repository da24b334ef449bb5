"""References in JSON Schemas. LM Studio reads those to entries of ``$defs`` only, and no anchors. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.json_schema import copy_schema
from lmstudio_integrations.protocol.schema_folding import DATA, SCHEMA_MAPS

__all__ = ["check_references", "hoist_references", "read_schema", "resolve", "with_defs"]

_OLD, _NEW = "#/definitions/", "#/$defs/"
_PLAIN_REFERENCE = re.compile(r"#/\$defs/[^~%]*\Z")


def read_schema(schema: Any, what: str) -> dict[str, Any]:
    """A deep copy of ``schema`` in which each reference leads to an entry of ``$defs``. ``what`` is its name in errors.

    Raises:
        LMStudioValueError: As ``copy_schema``; a reference leads nowhere, or back to itself; ``definitions`` and
            ``$defs`` have two different entries of one name.
    """
    copied = with_defs(copy_schema(schema, what), what)
    check_references(copied, what)
    return hoist_references(copied)


def check_references(schema: dict[str, Any], what: str) -> None:
    """Raise ``LMStudioValueError`` for a ``$ref`` that does not lead to a schema in ``schema``."""

    def check(reference: str, path: str) -> str:
        seen: list[str] = []
        target: Any = {"$ref": reference}
        while isinstance(target, dict) and isinstance(following := target.get("$ref"), str):
            if following in seen:
                raise LMStudioValueError(f"{what}: {path} refers to {reference!r}, which refers back to itself.")
            seen.append(following)
            target = resolve(schema, following)
            if target is None:
                raise LMStudioValueError(f"{what}: {path} refers to {following!r}, which is not in the schema.")
        return reference

    _map_references(schema, check)


def hoist_references(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` with references to entries of ``$defs`` only: what others refer to gets an entry there.

    These are references to the root, to a part of it, to an anchor, and to a name with escapes, which llama.cpp does
    not read. ``check_references`` must have accepted ``schema``.
    """
    defs = schema.get("$defs")
    taken = set(defs) if isinstance(defs, dict) else set()
    new_names: dict[str, str] = {}

    def change(reference: str, path: str) -> str:
        if not reference.startswith("#") or _PLAIN_REFERENCE.match(reference):
            return reference
        if reference not in new_names:
            base = re.sub(r"\W", "_", unquote(reference).lstrip("#").rpartition("/")[2]) or "root"
            new_names[reference] = next(name for name in _names_from(base) if name not in taken)
            taken.add(new_names[reference])
        return _NEW + new_names[reference]

    made = _map_references(schema, change)
    assert isinstance(made, dict)
    if not new_names:
        return schema
    entries = dict(made["$defs"]) if isinstance(made.get("$defs"), dict) else {}
    for reference, name in new_names.items():
        target = resolve(made, reference)
        entries[name] = {key: value for key, value in made.items() if key != "$defs"} if target is made else target
    made["$defs"] = entries
    return made


def with_defs(schema: dict[str, Any], what: str) -> dict[str, Any]:
    """``schema`` with ``definitions`` moved to ``$defs``, and the references to them changed.

    Raises:
        LMStudioValueError: Both have an entry of one name, and they differ.
    """
    if not isinstance(schema.get("definitions"), dict):
        return schema

    def change(reference: str, path: str) -> str:
        return _NEW + reference.removeprefix(_OLD) if reference.startswith(_OLD) else reference

    moved: dict[str, Any] = _map_references(schema, change)
    old = moved.pop("definitions")
    defs = moved["$defs"] if isinstance(moved.get("$defs"), dict) else {}
    for name, entry in old.items():
        if defs.setdefault(name, entry) != entry:
            raise LMStudioValueError(f"{what} has two different definitions of {name!r} in definitions and $defs.")
    moved["$defs"] = defs
    return moved


def _map_references(node: Any, change: Callable[[str, str], str], path: str = "$", *, is_map: bool = False) -> Any:
    """A copy of ``node`` with ``change(reference, path)`` in place of each reference.

    ``is_map``: ``node`` is a mapping of names to schemas, whose names are not keywords.
    """
    if isinstance(node, list):
        return [_map_references(item, change, f"{path}[{index}]") for index, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for key, value in node.items():
        if is_map:
            made[key] = _map_references(value, change, f"{path}.{key}")
        elif key == "$ref" and isinstance(value, str):
            made[key] = change(value, path)
        elif key in DATA:
            made[key] = value
        else:
            made[key] = _map_references(value, change, f"{path}.{key}", is_map=key in SCHEMA_MAPS)
    return made


def resolve(schema: dict[str, Any], reference: str) -> Any:
    """The schema that a reference means: a JSON pointer, percent-encoded or not, or an anchor. Else ``None``."""
    if not reference.startswith("#"):
        return None
    if reference in ("#", "#/"):
        return schema
    if not reference.startswith("#/"):
        return next(_with_anchor(schema, unquote(reference[1:])), None)
    targets = (_at_pointer(schema, pointer) for pointer in (reference, unquote(reference)))
    return next((target for target in targets if isinstance(target, (dict, bool))), None)


def _at_pointer(schema: dict[str, Any], pointer: str) -> Any:
    target: Any = schema
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list):
            target = target[int(step)] if step.isdecimal() and int(step) < len(target) else None
        else:
            target = target.get(step) if isinstance(target, dict) else None
    return target


def _with_anchor(node: Any, anchor: str, *, is_map: bool = False) -> Iterator[dict[str, Any]]:
    """The schemas that have this anchor; before draft 2019-09 ``$id`` with ``#`` was one."""
    if isinstance(node, list):
        for item in node:
            yield from _with_anchor(item, anchor)
    elif isinstance(node, dict):
        names = (node.get("$anchor"), node.get("$dynamicAnchor"))
        if not is_map and (anchor in names or f"#{anchor}" in (node.get("$id"), node.get("id"))):
            yield node
        for key, value in node.items():
            if is_map or key not in DATA:
                yield from _with_anchor(value, anchor, is_map=not is_map and key in SCHEMA_MAPS)


def _names_from(base: str) -> Iterator[str]:
    yield base
    for number in itertools.count(2):
        yield f"{base}_{number}"
