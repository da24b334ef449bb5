"""Tool calls of a model that is not trained for them: forced by a JSON schema, parsed from the stream."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lmstudio_integrations.emulator.backends.reply_events import (
    CallArguments,
    CallEnd,
    CallFailed,
    CallName,
    CallStart,
    Event,
)

_NAME = re.compile(r'^\s*\{\s*"name"\s*:\s*"((?:[^"\\]|\\.)*)"')
_ARGUMENTS = re.compile(r'"arguments"\s*:\s*')
_NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}


def call_schema(tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A schema of ``{"name": …, "arguments": …}`` for one of the tools."""
    branches = []
    definitions: dict[str, Any] = {}
    for tool in tools:
        parameters = {**(tool.get("parameters") or _NOTHING)}
        if "properties" in parameters:  # a small model invents arguments without end for an open object
            parameters.setdefault("additionalProperties", False)
        definitions.update(parameters.pop("$defs", {}))
        branches.append(
            {
                "type": "object",
                "properties": {"name": {"const": tool["name"]}, "arguments": parameters},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    schema: dict[str, Any] = branches[0] if len(branches) == 1 else {"anyOf": branches}
    return {**schema, "$defs": definitions} if definitions else schema


class CallStream:
    """Converts the JSON text of one call, as it arrives, to the events of a tool call."""

    _ids = 200_000_000

    def __init__(self) -> None:
        self._text = ""
        self._id: str | None = None
        self._named = False
        self._start: int | None = None
        self._sent = 0

    def feed(self, event: Mapping[str, Any]) -> list[Event]:
        """The events for a chunk of the engine's answer."""
        if not event.get("content"):
            return []
        self._text += event["content"]
        out: list[Event] = []
        if self._id is None:
            CallStream._ids += 1
            self._id = str(CallStream._ids)
            out.append(CallStart(self._id))
        if not self._named and (found := _NAME.search(self._text)):
            self._named = True
            out.append(CallName(json.loads(f'"{found[1]}"')))
        if self._named and self._start is None and (found := _ARGUMENTS.search(self._text)):
            self._start = found.end()
        if self._start is not None:
            # A bracket at the end may be the one that closes the call, which is not part of the arguments.
            out += self._arguments(self._text.rstrip().rstrip("}").rstrip())
        return out

    def finish(self) -> list[Event]:
        """The end of the call: complete, or truncated by a limit."""
        try:
            call = json.loads(self._text)
            name, arguments = call["name"], call["arguments"]
        except (ValueError, KeyError, TypeError) as error:
            title = "Failed to parse tool call: the output ended before the call did"
            return [CallFailed({"title": title, "cause": str(error), "rootTitle": title}, self._text)]
        out = self._arguments(self._text.rstrip().removesuffix("}").rstrip())
        return [*out, CallEnd(name, arguments, self._id, self._text)]

    def _arguments(self, text: str) -> list[Event]:
        fresh = text[(self._start or 0) + self._sent :]
        if not fresh:
            return []
        self._sent += len(fresh)
        return [CallArguments(fresh)]
