"""The tool-call events of a prediction -> pieces of tool calls, for both of LangChain's streams.

The client has assembled the calls: ids are unique, names are the tools' own, the joined arguments are strict JSON.
What is left is LangChain's form: name and id come with a call's first piece, calls of the answer tool are text, and a
failed call ends in text that LangChain's lenient parser cannot repair, so that no half call is run.
"""

from __future__ import annotations

from collections.abc import Sequence
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


class ToolCallAccumulator:
    """Converts the tool-call events of one prediction to pieces of calls, and to text for the answer tool."""

    def __init__(self, answer_tool: str | None = None) -> None:
        self._answer_tool = answer_tool
        self._count = 0  # calls before this one, without the answer tool's
        self._id = ""
        self._name: str | None = None
        self._started = False
        self._shown = ""

    def read(self, event: Any) -> Sequence[ToolCallDelta | str]:
        """The pieces that ``event`` gives; a plain string is a piece of the answer's text."""
        kind = type(event)
        if kind is ToolCallArguments:
            self._shown += event.content
            return (event.content,) if self._is_answer else (self._delta(event.content),)
        if kind is ToolCallStart:
            self._id, self._name, self._started, self._shown = event.id, None, False, ""
        elif kind is ToolCallName:
            self._name = event.name
            return () if self._is_answer else (self._delta(""),)
        elif kind is ToolCallEnd:
            self._count += not self._is_answer
        elif kind is ToolCallFailed:
            return self._read_failed(event)
        return ()

    def _read_failed(self, event: ToolCallFailed) -> Sequence[ToolCallDelta | str]:
        rest = "" if self._shown else (event.raw_content or event.arguments)
        rest += _unparsable_ending(self._shown + rest)
        if self._is_answer:
            return (rest,)
        self._name = self._name or ""
        delta = self._delta(rest, event.error.title or "LM Studio could not parse the tool call")
        self._count += 1
        return (delta,)

    @property
    def _is_answer(self) -> bool:
        return self._answer_tool is not None and self._name == self._answer_tool

    def _delta(self, args: str, error: str | None = None) -> ToolCallDelta:
        if self._started:
            return ToolCallDelta(self._count, args, error=error)
        self._started = True
        return ToolCallDelta(self._count, args, self._name, self._id, error)


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
