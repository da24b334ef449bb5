"""A scenario file: what an emulator has and answers, as JSON or YAML, for tests that are not written in Python.

```json
{
  "models": [{"key": "qwen/qwen3-4b", "loaded": true}],
  "replies": [
    {"text": "Hello"},
    {"tool_calls": [{"name": "add", "arguments": {"a": 1, "b": 2}}], "model": "qwen/qwen3-4b"}
  ],
  "faults": [{"name": "stall", "after": 2}],
  "embeddings": {"a text": [0.1, 0.2]},
  "presets": {"careful": {"temperature": 0.1}},
  "strict": true
}
```

The members of ``models``, ``repository``, ``replies``, ``tool_calls`` and ``faults`` are the arguments of
``EmulatedModel``, ``Reply`` (and ``model``, as in ``script``), ``ToolCall`` or ``FailedToolCall`` (with
``raw_content``), and ``faults.add``. Events, paces of loads and functions need Python. A mistake is an error with the
file's name and line, and the nearest right name.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lmstudio_integrations.emulator.argument_checks import check_name, unexpected
from lmstudio_integrations.emulator.faults import OPTIONS, Faults
from lmstudio_integrations.emulator.models import EmulatedModel
from lmstudio_integrations.emulator.replies import FailedToolCall, Reply, ToolCall
from lmstudio_integrations.emulator.server import Emulator
from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["Scenario", "read_scenario"]

_FLAGS = ("strict", "any_model", "evict_just_in_time")
_MEMBERS = ("models", "repository", "replies", "faults", "embeddings", "presets", *_FLAGS)
_NEED_PYTHON = ("hold", "hold_after", "tokens")
T = TypeVar("T")


@dataclass(frozen=True)
class Scenario:
    """The contents of a scenario file. ``arguments`` are those of ``Emulator``; ``prepare`` does the rest."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    replies: Sequence[tuple[Reply, str | None]] = ()
    faults: Sequence[Mapping[str, Any]] = ()
    path: Path = Path()

    def prepare(self, server: Emulator) -> None:
        """Queue the replies and ask for the faults.

        Raises:
            LMStudioValueError: A reply is for a model that does not exist, or a fault cannot happen.
        """
        for number, (reply, model) in enumerate(self.replies):
            _located(f"the scenario {self.path}, replies[{number}]", server.script, reply, model=model)
        for number, fault in enumerate(self.faults):
            name = fault.get("name")
            known = (*_parameters(Faults.add), *(OPTIONS.get(name, ()) if isinstance(name, str) else ()))
            _made(self.path, f"faults[{number}]", server.faults.add, fault, known)


class _Object(dict[str, Any]):
    """An object of the file, with the line of each key."""

    lines: Mapping[str, int]


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file: YAML if its name ends with ``.yaml`` or ``.yml``, else JSON.

    Raises:
        LMStudioValueError: The file cannot be read, or something in it is not understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LMStudioValueError(f"the scenario {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LMStudioValueError(f"the scenario {path} is not UTF-8: {error}: save it as UTF-8") from error
    content = (_yaml if path.suffix.lower() in (".yaml", ".yml") else _json)(path, text)
    if not isinstance(content, _Object):
        raise LMStudioValueError(
            f"the scenario {path}: expected an object with {', '.join(_MEMBERS)}, got {content!r:.80}"
        )
    _check_names(path, "a scenario", content, _MEMBERS)
    arguments: dict[str, Any] = {}
    for name in ("embeddings", "presets", *_FLAGS):
        if name in content:
            arguments[name] = content[name]
    for name in ("models", "repository"):
        if name in content:
            arguments[name] = [
                _made(path, f"{name}[{number}]", EmulatedModel, one)
                for number, one in enumerate(_list(path, content, name))
            ]
    given = enumerate(_list(path, content, "replies"))
    replies = [_reply(path, f"replies[{number}]", reply) for number, reply in given]
    faults = _list(path, content, "faults")
    for number, fault in enumerate(faults):
        _check_object(path, f"faults[{number}]", fault)
    scenario = Scenario(arguments, replies, faults, path)
    # Constructed, not started: mistakes in what the parts mean to each other are errors here, too.
    scenario.prepare(_located(f"the scenario {path}", Emulator, **arguments))
    return scenario


def _reply(path: Path, what: str, given: Any) -> tuple[Reply, str | None]:
    _check_object(path, what, given)
    _check_names(path, what, given, (*_parameters(Reply), "model"))
    values = _Object(given)
    values.lines = given.lines
    model = values.pop("model", None)
    calls = [
        _made(path, f"{what}.tool_calls[{number}]", _call_class(call), call)
        for number, call in enumerate(_list(path, values, "tool_calls"))
    ]
    values["tool_calls"] = calls
    if "failed_tool_call" in values:
        values["failed_tool_call"] = _made(path, f"{what}.failed_tool_call", FailedToolCall, values["failed_tool_call"])
    return _made(path, what, Reply, values), model


def _call_class(call: Any) -> type[ToolCall | FailedToolCall]:
    return FailedToolCall if isinstance(call, dict) and {"raw_content", "error"} & set(call) else ToolCall


def _place(path: Path, values: Any, key: str | None = None) -> str:
    lines = getattr(values, "lines", {})
    line = lines.get(key) or min(lines.values(), default=None)
    return f"the scenario {path}{'' if line is None else f', line {line}'}: "


def _list(path: Path, values: _Object, name: str) -> list[Any]:
    given = values.get(name, [])
    if not isinstance(given, list):
        raise unexpected(f"{_place(path, values, name)}{name}", "a list of objects", given)
    return given


def _check_object(path: Path, what: str, values: Any) -> None:
    if not isinstance(values, _Object):
        raise LMStudioValueError(f"the scenario {path}: {what}: expected an object, got {values!r:.80}")


def _check_names(path: Path, what: str, values: _Object, known: Sequence[str]) -> None:
    for name in values:
        place = _place(path, values, name)
        if name in _NEED_PYTHON:
            raise LMStudioValueError(f"{place}{name!r} of {what} needs Python, and cannot be in a scenario file")
        _located(f"{place}{what}", check_name, "member", name, known)


def _parameters(make: Callable[..., Any]) -> tuple[str, ...]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = inspect.signature(make).parameters.values()
    return tuple(one.name for one in found if one.kind in kinds and one.name not in ("self", *_NEED_PYTHON))


def _made(path: Path, what: str, make: Callable[..., T], values: Any, known: Sequence[str] | None = None) -> T:
    """What the members of an object make, as keyword arguments."""
    _check_object(path, what, values)
    _check_names(path, what, values, _parameters(make) if known is None else known)
    required = [
        one.name
        for one in inspect.signature(make).parameters.values()
        if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD and one.name != "self"
    ]
    place = f"{_place(path, values)}{what}"
    if missing := [name for name in required if name not in values]:
        raise LMStudioValueError(f"{place}: expected the member {missing[0]!r}, got {', '.join(values) or 'none'}")
    return _located(place, make, **values)


def _located(place: str, make: Callable[..., T], *arguments: Any, **values: Any) -> T:
    try:
        return make(*arguments, **values)
    except LMStudioValueError as error:
        raise LMStudioValueError(f"{place}: {error}") from error


_TOKENS = re.compile(r'"(?:\\.|[^"\\])*"(\s*:)?|[{}]')


def _key_lines(text: str) -> Iterator[list[int]]:
    """The lines of the keys of each object of a JSON document, in the order in which the objects end."""
    started: list[list[int]] = []
    for token in _TOKENS.finditer(text):
        if token[0] == "{":
            started.append([])
        elif token[0] == "}":
            yield started.pop()
        elif token[1]:
            started[-1].append(text.count("\n", 0, token.start()) + 1)


def _object(path: Path, pairs: Sequence[tuple[Any, Any, int]]) -> _Object:
    made, lines = _Object(), dict[str, int]()
    for key, value, line in pairs:
        if not isinstance(key, str):
            raise unexpected(f"the scenario {path}, line {line}: a key", "a text", key, "put it in quotes")
        if key in made:
            raise LMStudioValueError(
                f"the scenario {path}, line {line}: the key {key!r} occurs twice, first in line {lines[key]}"
            )
        made[key], lines[key] = value, line
    made.lines = lines
    return made


def _json(path: Path, text: str) -> Any:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LMStudioValueError(f"the scenario {path} is not JSON: {error}") from error
    lines = _key_lines(text)

    def pairs(members: list[tuple[str, Any]]) -> _Object:
        return _object(path, [(key, value, line) for (key, value), line in zip(members, next(lines), strict=True)])

    return json.loads(text, object_pairs_hook=pairs)


def _yaml(path: Path, text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise LMStudioValueError(
            f"the scenario {path} is YAML, which needs PyYAML: install it (python -m pip install pyyaml), or write the "
            "scenario as JSON"
        ) from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            self.flatten_mapping(node)
            return _object(
                path,
                [
                    (self.construct_object(key, deep=True), self.construct_object(value, deep=True), _line(key))
                    for key, value in node.value
                ],
            )

    def construct(loader: Any, node: Any) -> Any:
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor("tag:yaml.org,2002:map", construct)
    try:
        return yaml.load(text, Loader)  # noqa: S506  # the loader is a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise LMStudioValueError(f"the scenario {path} is not YAML: {error}") from error


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
