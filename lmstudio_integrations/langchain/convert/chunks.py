"""Events of a prediction -> LangChain's chunks: one kind per chunk, everything else once, on the last.

What was measured in langchain-core 1.7 decides the form: plain text carries nothing but its text (metadata on every
chunk costs time and is merged by adding); tool calls and reasoning carry ``model_provider``, so that
``content_blocks`` of a chunk goes through our own translator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from lmstudio_integrations.client import Fragment, LoadProgress, PredictionResult, PromptProgress
from lmstudio_integrations.langchain._tool_calls import ToolCallAccumulator, ToolCallDelta
from lmstudio_integrations.langchain.convert.answer import (
    PROVIDER,
    Tags,
    Wanted,
    answer_text,
    came_otherwise,
    generation_info,
    metadata_of,
    usage_of,
)
from lmstudio_integrations.langchain.convert.plain import PlainText

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ChunkReader"]


class ChunkReader:
    """Reads one prediction into chunks."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._tags = Tags()
        self._text = PlainText().chunk
        self._calls = ToolCallAccumulator(wanted.answer_tool)

    def begin(self) -> Iterable[ChatGenerationChunk]:
        """Nothing comes before the first event."""
        return ()

    def read(self, event: Any) -> Iterable[ChatGenerationChunk]:
        """The chunks that an event gives, mostly one and often none; the result gives the last."""
        kind = type(event)
        if kind is Fragment:
            content = event.content
            if not content:
                return ()
            if event.is_visible:
                return (self._text(content),)
            if event.is_reasoning:
                return (_chunk(additional_kwargs={"reasoning_content": content}),)
            self._tags.read(event)
            return ()
        if kind is PromptProgress or kind is LoadProgress:
            return ()
        if kind is PredictionResult:
            return (self._last(event),)
        return [self._text(piece) if isinstance(piece, str) else _call(piece) for piece in self._calls.read(event)]

    def _last(self, result: PredictionResult) -> ChatGenerationChunk:
        text = answer_text(result, self._wanted) if came_otherwise(result) else ""
        message = AIMessageChunk(
            content=text,
            additional_kwargs=self._tags.kwargs() if result.reasoning else {},
            response_metadata=metadata_of(result, self._wanted),
            usage_metadata=usage_of(result),
            chunk_position="last",
        )
        info = generation_info(message.response_metadata)
        return ChatGenerationChunk(message=message, generation_info=info)


def _call(piece: ToolCallDelta) -> ChatGenerationChunk:
    return _chunk(tool_call_chunks=[tool_call_chunk(name=piece.name, args=piece.args, id=piece.id, index=piece.index)])


def _chunk(**parts: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(
        message=AIMessageChunk(content="", response_metadata={"model_provider": PROVIDER}, **parts)
    )
