"""Events of a prediction -> LangChain's content-block protocol (``stream_events(version="v3")``), natively.

A block has its start, deltas and finish before the next one starts, in the order in which the model wrote them.
Progress has events of its own, ``lmstudio-prompt-progress`` and ``lmstudio-load-progress``, which LangChain passes on
unchanged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from lmstudio_integrations.client import Fragment, LoadProgress, PredictionResult, PromptProgress, QueueProgress
from lmstudio_integrations.compat.prediction_request import ResponseOptions
from lmstudio_integrations.langchain._progress import progress_data, progress_name
from lmstudio_integrations.langchain._response import (
    PROVIDER,
    last_text,
    metadata_of,
    reasoning_tags,
    usage_of,
)
from lmstudio_integrations.langchain._tool_call_deltas import ToolCallAccumulator, ToolCallDelta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_protocol.protocol import MessagesData

__all__ = ["StreamEventReader"]


@dataclass(slots=True)
class _Block:
    """The open block. ``key`` distinguishes blocks of one kind: the number of the call."""

    index: int
    kind: str
    key: int = 0
    texts: list[str] = field(default_factory=list)
    name: str = ""
    id: str = ""
    error: str | None = None


class StreamEventReader:
    """Converts one prediction to the protocol's events. ``model``: the requested key, if any."""

    def __init__(self, options: ResponseOptions, *, message_id: str | None, model: str | None) -> None:
        self._options = options
        self._message_id = message_id
        self._model = model
        self._calls = ToolCallAccumulator(options.answer_tool)
        self._open: _Block | None = None
        self._next = 0

    def begin(self) -> Iterator[MessagesData]:
        """The event that opens the message."""
        metadata = {"provider": PROVIDER}
        if self._model is not None:
            metadata["model"] = self._model
        yield _event("message-start", role="ai", id=self._message_id or "", metadata=metadata)

    def read(self, event: Any) -> Iterator[MessagesData]:
        """The protocol's events for one of the prediction's, or for its result."""
        if isinstance(event, Fragment):
            if event.content and event.is_visible:
                if self._options.answer_tool is None:  # else it follows at the end, unless a document follows it
                    yield from self._text_events("text", event.content)
            elif event.content and event.is_reasoning:
                yield from self._text_events("reasoning", event.content)
        elif isinstance(event, PromptProgress | LoadProgress | QueueProgress):
            kind = progress_name(event).replace(".", "-").replace("_", "-")
            yield _event(kind, **progress_data(event))
        elif isinstance(event, PredictionResult):
            yield from self._finish(event)
        else:
            for piece in self._calls.read(event):
                yield from self._text_events("text", piece) if isinstance(piece, str) else self._call_events(piece)

    def _finish(self, result: PredictionResult) -> Iterator[MessagesData]:
        if text := last_text(result, self._options):
            yield from self._text_events("text", text)
        yield from self._close()
        finish: dict[str, Any] = {"metadata": metadata_of(result, self._options)}
        usage = usage_of(result)
        if usage is not None:
            finish["usage"] = usage
        if kwargs := reasoning_tags(result):
            finish["additional_kwargs"] = kwargs
        yield _event("message-finish", **finish)

    def _text_events(self, kind: str, text: str) -> Iterator[MessagesData]:
        block = self._open
        if block is None or block.kind != kind:
            yield from self._close()
            block = self._begin(kind)
            yield _event("content-block-start", index=block.index, content={"type": kind, kind: ""})
        block.texts.append(text)
        yield _event("content-block-delta", index=block.index, delta={"type": f"{kind}-delta", kind: text})

    def _call_events(self, piece: ToolCallDelta) -> Iterator[MessagesData]:
        block = self._open
        if block is None or block.kind != "call" or block.key != piece.index:
            yield from self._close()
            block = self._begin("call", piece.index)
            block.name, block.id = piece.name or "", piece.id or ""
            content = {"type": "tool_call_chunk", "id": block.id, "name": block.name, "args": "", "index": piece.index}
            yield _event("content-block-start", index=block.index, content=content)
        block.error = piece.error or block.error
        if piece.args:
            block.texts.append(piece.args)
            yield _event(
                "content-block-delta", index=block.index, delta={"type": "tool-call-delta", "args": piece.args}
            )

    def _begin(self, kind: str, key: int = 0) -> _Block:
        self._open = _Block(self._next, kind, key)
        self._next += 1
        return self._open

    def _close(self) -> Iterator[MessagesData]:
        block, self._open = self._open, None
        if block is not None:
            content = (
                _call_content(block) if block.kind == "call" else {"type": block.kind, block.kind: "".join(block.texts)}
            )
            yield _event("content-block-finish", index=block.index, content=content)


def _call_content(block: _Block) -> dict[str, Any]:
    text = "".join(block.texts)
    try:
        args = json.loads(text or "{}")
    except ValueError:
        args = None
    if block.error is None and isinstance(args, dict):
        return {"type": "tool_call", "id": block.id, "name": block.name, "args": args}
    error = block.error or "the arguments are no JSON object"
    return {"type": "invalid_tool_call", "id": block.id, "name": block.name, "args": text, "error": error}


def _event(event: str, **parts: Any) -> MessagesData:
    return cast("MessagesData", {"event": event, **parts})
