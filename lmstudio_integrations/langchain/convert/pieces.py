"""The events of a prediction -> pieces of text, reasoning and tool calls, each of one kind.

Both of LangChain's streams (chunks, and the protocol's events) are made of these, so there is one reading of tool
calls:

* a call's name and id come with its first piece, the arguments as JSON text after it; a call without a name yet waits;
* arguments are streamed as they come while they can be JSON, and are made from the parsed arguments where the server
  sent no fragments or the model writes its calls in another form;
* every call has an id that no other call of the conversation has;
* a call that failed ends in text that can never be parsed, so that nobody runs half a call.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.utils.json import parse_partial_json

from lmstudio_integrations.client import (
    ToolCallArguments,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallName,
    ToolCallStart,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CallPiece", "CallReader", "fresh_id"]

logger = logging.getLogger("lmstudio_integrations")


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of tool call number ``index``; ``name`` and ``id`` are set on its first piece only."""

    index: int
    args: str
    name: str | None = None
    id: str | None = None
    error: str | None = None


@dataclass(slots=True)
class _Open:
    """The call that is being written."""

    index: int
    id: str | None = None
    name: str | None = None
    text: str = ""
    """The arguments as the model writes them."""
    sent: int = 0
    """How much of ``text`` has been handed out."""
    begun: bool = False


class CallReader:
    """Reads the tool-call events of one prediction; ``read`` gives pieces of calls, and of text for the answer tool."""

    def __init__(self, *, taken_ids: Iterable[str] = (), answer_tool: str | None = None, parallel: bool = True) -> None:
        self._taken = set(taken_ids)
        self._answer_tool = answer_tool
        self._parallel = parallel
        self._open: _Open | None = None
        self._count = 0

    def read(self, event: Any) -> list[CallPiece | str]:
        """The pieces that ``event`` gives; a plain string is a piece of the answer's text."""
        kind = type(event)
        if kind is ToolCallStart:
            self._begin(event.id)
            return []
        call = self._open or self._begin(None)
        if kind is ToolCallName:
            call.name = event.name
            return self._flush(call)
        if kind is ToolCallArguments:
            call.text += event.content
            return self._flush(call)
        self._open = None
        self._count += not self._is_answer(call)
        if kind is ToolCallEnd:
            call.id, call.name = call.id or event.tool_call.id, event.tool_call.name
            return self._end(call, event.tool_call.arguments or {})
        return self._failed(call, event) if kind is ToolCallFailed else []

    def _begin(self, id: str | None) -> _Open:
        self._open = _Open(self._count, id)
        return self._open

    def _is_answer(self, call: _Open) -> bool:
        return self._answer_tool is not None and call.name == self._answer_tool

    def _emit(self, call: _Open, args: str, error: str | None = None) -> list[CallPiece | str]:
        if self._is_answer(call):
            return [args] if args else []
        if not self._parallel and call.index > 0:
            return []
        if call.begun:
            return [CallPiece(call.index, args, error=error)] if args or error else []
        call.begun = True
        return [CallPiece(call.index, args, call.name or "", fresh_id(call.id, self._taken), error)]

    def _flush(self, call: _Open) -> list[CallPiece | str]:
        """What may already be shown: the name once it is known, and arguments that look like JSON."""
        if not call.name:
            return []
        if not call.text.lstrip().startswith("{"):  # nothing yet, or no JSON: then the parsed arguments come at the end
            return [] if call.begun or self._is_answer(call) else self._emit(call, "")
        fresh, call.sent = call.text[call.sent :], len(call.text)
        return self._emit(call, fresh)

    def _end(self, call: _Open, arguments: dict[str, Any]) -> list[CallPiece | str]:
        whole = json.dumps(arguments, ensure_ascii=False)
        if not call.sent:
            return self._emit(call, whole)
        shown = call.text[: call.sent]
        if _json(shown) == arguments:
            return []
        if parse_partial_json(shown) == arguments:  # only closing brackets are missing
            for closing in ("}", "]}", '"}', '"]}', "}}", "}]}", '"}}'):
                if _json(shown + closing) == arguments:
                    return self._emit(call, closing)
        logger.warning(
            "the streamed arguments of tool call %r are not those that LM Studio parsed: %r", call.name, shown
        )
        return []

    def _failed(self, call: _Open, event: ToolCallFailed) -> list[CallPiece | str]:
        call.name = call.name or event.name
        shown = call.text[: call.sent]
        rest = "" if shown else (event.raw_content or event.arguments or "")
        error = event.error.title or "the tool call could not be read"
        return self._emit(call, rest + _spoiler(shown + rest), error)


def fresh_id(id: str | None, taken: set[str]) -> str:
    """``id`` if it is one and new, else a made-up one; LM Studio may leave it out, and may count anew in each round."""
    made = f"call_{uuid4().hex}" if not id or id in taken else id
    taken.add(made)
    return made


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _spoiler(args: str) -> str:
    """What makes ``args`` unreadable even for LangChain's lenient parser: a bracket that closes nothing."""
    # Outside of a string, within one, and within an escape, which would take a quote for its own.
    for text in (" ]", " }", '" ]', '" }', '\\" ]', '\\" }'):
        try:
            if not isinstance(parse_partial_json(args + text), dict):
                return text
        except ValueError:
            return text
    return '" ] }'
