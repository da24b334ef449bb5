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
  "strict": true
}
```

The members of ``models``, ``replies``, ``tool_calls`` and ``faults`` are the arguments of ``EmulatedModel``, ``Reply``
(and ``model``, as in ``script``), ``ToolCall`` or ``FailedToolCall`` (with ``raw_content``), and ``faults.add``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lmstudio_integrations.emulator.models import EmulatedModel
from lmstudio_integrations.emulator.replies import FailedToolCall, Reply, ToolCall
from lmstudio_integrations.emulator.server import Emulator
from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["Scenario", "read_scenario"]

_MEMBERS = ("models", "replies", "faults", "embeddings", "strict", "any_model", "evict_just_in_time")
T = TypeVar("T")


@dataclass(frozen=True)
class Scenario:
    """The contents of a scenario file. ``arguments`` are those of ``Emulator``; ``prepare`` does the rest."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    replies: Sequence[tuple[Reply, str | None]] = ()
    faults: Sequence[Mapping[str, Any]] = ()

    def prepare(self, server: Emulator) -> None:
        """Queue the replies and ask for the faults.

        Raises:
            LMStudioValueError: A fault or one of its options does not exist.
        """
        for reply, model in self.replies:
            server.script(reply, model=model)
        for fault in self.faults:
            _made("faults", server.faults.add, fault)


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file: YAML if its name ends with ``.yaml`` or ``.yml``, else JSON.

    Raises:
        LMStudioValueError: The file cannot be read, or something in it is not understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LMStudioValueError(f"the scenario {path} cannot be read: {error.strerror}") from error
    content = _yaml(text) if path.suffix in (".yaml", ".yml") else _json(path, text)
    if not isinstance(content, dict):
        raise LMStudioValueError(f"the scenario {path}: expected an object with {', '.join(_MEMBERS)}")
    if unknown := sorted(set(content) - set(_MEMBERS)):
        raise LMStudioValueError(f"the scenario {path} has {', '.join(unknown)}; known are {', '.join(_MEMBERS)}")
    plain = ("embeddings", "strict", "any_model", "evict_just_in_time")
    arguments = {name: content[name] for name in plain if name in content}
    if "models" in content:
        arguments["models"] = [_made("models", EmulatedModel, model) for model in content["models"]]
    return Scenario(arguments, [_reply(reply) for reply in content.get("replies", ())], content.get("faults", ()))


def _reply(given: Mapping[str, Any]) -> tuple[Reply, str | None]:
    values = dict(given)
    model = values.pop("model", None)
    values["tool_calls"] = [
        _made("tool_calls", FailedToolCall if "raw_content" in call else ToolCall, call)
        for call in values.get("tool_calls", ())
    ]
    return _made("replies", Reply, values), model


def _made(what: str, make: Callable[..., T], values: Any) -> T:
    if not isinstance(values, dict):
        raise LMStudioValueError(f"{what}: expected objects, got {values!r}")
    try:
        return make(**values)
    except TypeError as error:
        raise LMStudioValueError(f"{what}: {error}") from error


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise LMStudioValueError(f"the scenario {path} is not JSON: {error}") from error


def _yaml(text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise LMStudioValueError("a scenario in YAML needs PyYAML (pip install pyyaml): or write it as JSON") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LMStudioValueError(f"the scenario is not YAML: {error}") from error
