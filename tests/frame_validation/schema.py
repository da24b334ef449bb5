"""First witness: LM Studio's own schema of every endpoint (August 2026).

Stricter than LM Studio in one thing: keys that the schema does not know are an error here, since LM Studio would strip
them without a word and a misspelt key would never be found.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any, Literal

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from tests.frame_validation import conversation
from tests.frame_validation.conversation import ABSENT, Direction, Part, Socket
from tests.frame_validation.shared import SCHEMA_PATH


class SchemaWitness:
    """Compares with ``schema.json``. What it has no endpoint for is an error: LM Studio would not know it either."""

    def complain(self, namespace: str, kind: Literal["rpc", "channel"], endpoint: str, part: Part, value: Any) -> None:
        known = definitions()
        place = known.get(f"pseudo/{namespace}/{kind}/{endpoint}")
        if place is None:
            raise AssertionError(f"LM Studio has no {kind} endpoint {endpoint!r} in {namespace!r}")
        if value is ABSENT:
            if part in place.get("required", ()):
                raise AssertionError(f"{part} of {endpoint} is missing")
            return
        if part not in place["properties"] or known[f"{namespace}/{kind}/{endpoint}/{part}"] == {"not": {}}:
            raise AssertionError(f"{endpoint} has no {part}: the key must be absent")
        _validate(f"{namespace}/{kind}/{endpoint}/{part}", value)

    def complain_of_error(self, error: Any) -> None:
        _validate("serializedLMSExtendedError", error)


def check_client_frame(namespace: str, frame: Any, socket: Socket) -> None:
    """One frame of a client against the schema; ``socket`` remembers what is open. Raises ``AssertionError``."""
    conversation.check_client_frame(SchemaWitness(), namespace, frame, socket)


def check_server_frame(namespace: str, frame: Any, socket: Socket) -> None:
    """One frame of a server against the schema; ``socket`` remembers what is open. Raises ``AssertionError``."""
    conversation.check_server_frame(SchemaWitness(), namespace, frame, socket)


def check_conversation(
    frames: Iterable[tuple[Direction, str, int, Any]], *, whole: bool = True, client: bool = True, server: bool = True
) -> int:
    """Everything at once; see :func:`tests.frame_validation.conversation.check_conversation`."""
    return conversation.check_conversation(SchemaWitness(), frames, whole=whole, client=client, server=server)


def check_definition(name: str, value: Any) -> None:
    """``value`` against one definition of the schema, for example ``"chatHistoryData"``. Raises ``AssertionError``."""
    _validate(name, value)


def definition(name: str) -> Any:
    """One definition of the schema as it stands there."""
    return definitions()[name]


@cache
def definitions() -> dict[str, Any]:
    """All definitions of the schema, with references and patterns that Python understands."""
    made: dict[str, Any] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))["definitions"]
    _repair(made, made.keys())
    return made


def _repair(node: Any, names: Collection[str]) -> None:
    """Escape the slashes in references such as ``#/definitions/llm/rpc/tokenize``; replace JavaScript's patterns."""
    if isinstance(node, list):
        for item in node:
            _repair(item, names)
    elif isinstance(node, dict):
        for key, item in node.items():
            if key == "$ref" and isinstance(item, str):
                node[key] = _escaped(item.removeprefix("#/definitions/"), names)
            elif key == "pattern" and isinstance(item, str):
                node[key] = item.replace(r"\p{L}\p{N}", r"\w")  # the one class that there is; it has "_", too
            else:
                _repair(item, names)


def _escaped(path: str, names: Collection[str]) -> str:
    name = max((name for name in names if path == name or path.startswith(f"{name}/")), key=len)
    return "#/definitions/" + name.replace("~", "~0").replace("/", "~1") + path[len(name) :]


@cache
def _validator(name: str) -> Draft7Validator:
    return Draft7Validator({"$ref": _escaped(name, definitions()), "definitions": definitions()})


@cache
def _branches(name: str) -> dict[str, Draft7Validator]:
    """For a union of objects with a constant ``type``: one validator per type, for speed and for clear complaints."""
    branches = definitions()[name].get("anyOf", [])
    kinds = [branch.get("properties", {}).get("type", {}).get("const") for branch in branches]
    if not all(isinstance(kind, str) for kind in kinds):
        return {}
    return {
        kind: Draft7Validator({"$ref": f"{_escaped(name, definitions())}/anyOf/{index}", "definitions": definitions()})
        for index, kind in enumerate(kinds)
    }


def _validate(name: str, value: Any) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    validator = _branches(name).get(kind) if isinstance(kind, str) else None
    error = best_match((validator or _validator(name)).iter_errors(value))
    if error is not None:
        raise AssertionError(f"{name}: {error.json_path}: {error.message:.400}")
