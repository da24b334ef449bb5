"""The tool-call events of one prediction -> deltas of calls, and text for the answer tool. Pure.

Complete and streamed messages use the same accumulator, so that both have the same text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.utils.json import parse_partial_json

from lmstudio_integrations.client import events

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """Converts the tool-call events of one prediction to deltas of calls, and to text for the answer tool."""

    def __init__(self, answer_tool: str | None = None) -> None:
        self._answer_tool = answer_tool
        self._answered = False
        self._count = 0  # calls before this one, without the answer tool's
        self._id = ""
        self._name: str | None = None
        self._started = False
        self._shown = ""

    def read(self, event: Any) -> Sequence[ToolCallDelta | str]:
        """The deltas of ``event``; a string is text of the answer."""
        kind = type(event)
        if kind is events.ToolCallArguments:
            self._shown += event.content
            if self._is_answer:  # the first call is the answer
                return () if self._answered else (event.content,)
            return (self._delta(event.content),)
        if kind is events.ToolCallStart:
            self._id, self._name, self._started, self._shown = event.id, None, False, ""
        elif kind is events.ToolCallName:
            self._name = event.name
            return () if self._is_answer else (self._delta(""),)
        elif kind is events.ToolCallEnd:
            self._count += not self._is_answer
            self._answered = self._answered or self._is_answer
        elif kind is events.ToolCallFailed:
            read = self._read_failed(event)
            self._answered = self._answered or self._is_answer  # no later call can replace the text that was given
            return read
        return ()

    def _read_failed(self, event: events.ToolCallFailed) -> Sequence[ToolCallDelta | str]:
        rest = "" if self._shown else (event.raw_content or event.arguments)
        rest += _unparsable_ending(self._shown + rest)
        if self._is_answer:
            return () if self._answered else (rest,)
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
    """A text after which even LangChain's lenient parser cannot parse ``args``: a bracket that closes nothing."""
    # Outside of a string, within one, and within an escape, which would take the quote.
    for text in (" ]", " }", '" ]', '" }', '\\" ]', '\\" }'):
        try:
            if not isinstance(parse_partial_json(args + text), dict):
                return text
        except ValueError:
            return text
    return '" ] }'
