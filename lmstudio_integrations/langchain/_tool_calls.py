"""The tool-call events of a prediction -> pieces of tool calls, for both of LangChain's streams.

The client has assembled the calls: ids are unique, names are the tools' own, the joined arguments are strict JSON.
What is left is LangChain's form: name and id come with a call's first piece, calls of the answer tool are text, and a
failed call ends in text that LangChain's lenient parser cannot repair, so that no half call is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.utils.json import parse_partial_json

from lmstudio_integrations.client import (
    ToolCallArguments,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallName,
    ToolCallStart,
)

__all__ = ["ToolCallAccumulator", "ToolCallDelta"]


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of tool call number ``index``; ``name`` and ``id`` are set on its first piece only."""

    index: int
    args: str
    name: str | None = None
    id: str | None = None
    error: str | None = None


@dataclass(slots=True)
class _OpenCall:
    """The call that is being streamed. ``waiting``: arguments that came before the name."""

    index: int
    id: str = ""
    name: str | None = None
    waiting: str = ""
    shown: str = ""
    started: bool = False


class ToolCallAccumulator:
    """Converts the tool-call events of one prediction to pieces of calls, and to text for the answer tool."""

    def __init__(self, answer_tool: str | None = None) -> None:
        self._answer_tool = answer_tool
        self._call = _OpenCall(0)
        self._count = 0

    def read(self, event: Any) -> list[ToolCallDelta | str]:
        """The pieces that ``event`` gives; a plain string is a piece of the answer's text."""
        kind = type(event)
        if kind is ToolCallStart:
            self._call = _OpenCall(self._count, event.id)
            return []
        call = self._call
        if kind is ToolCallName:
            call.name = event.name
            return self._emit(call, "") if not self._is_answer(call) else []
        if kind is ToolCallArguments:
            return self._emit(call, event.content)
        self._call = _OpenCall(self._count + (not self._is_answer(call)))
        if kind is ToolCallEnd:
            call.id, call.name = call.id or event.tool_call.id, event.tool_call.name
            pieces = self._emit(call, event.rest)
        elif kind is ToolCallFailed:
            call.id, call.name = call.id or event.id, call.name or event.name or ""
            rest = "" if call.shown else (event.raw_content or event.arguments or "")
            text = rest + _unparsable_ending(call.shown + call.waiting + rest)
            pieces = self._emit(call, text, event.error.title or "LM Studio could not parse the tool call")
        else:
            return []
        self._count = self._call.index = call.index + (not self._is_answer(call))
        return pieces

    def _is_answer(self, call: _OpenCall) -> bool:
        return self._answer_tool is not None and call.name == self._answer_tool

    def _emit(self, call: _OpenCall, args: str, error: str | None = None) -> list[ToolCallDelta | str]:
        if call.name is None:
            call.waiting += args
            return []
        args, call.waiting = call.waiting + args, ""
        call.shown += args
        if self._is_answer(call):
            return [args] if args else []
        if call.started:
            return [ToolCallDelta(call.index, args, error=error)] if args or error else []
        call.started = True
        return [ToolCallDelta(call.index, args, call.name, call.id, error)]


def _unparsable_ending(args: str) -> str:
    """What makes ``args`` unparsable even for LangChain's lenient parser: a bracket that closes nothing."""
    # Outside of a string, within one, and within an escape, which would take the quote.
    for text in (" ]", " }", '" ]', '" }', '\\" ]', '\\" }'):
        try:
            if not isinstance(parse_partial_json(args + text), dict):
                return text
        except ValueError:
            return text
    return '" ] }'
