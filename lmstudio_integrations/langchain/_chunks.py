"""The events of a prediction -> LangChain's chunks: one kind per chunk, everything else once, on the last.

Measured in langchain-core 1.7: plain text carries nothing but its text (metadata on every chunk costs time and is
merged by adding); tool calls and reasoning carry ``model_provider``, so that ``content_blocks`` of a chunk goes through
our own translator. The client assembles the tool calls: ids are unique, names are the tools' own, the joined
arguments are strict JSON. Name and id come with a call's first piece, calls of the answer tool are text, and a failed
call ends in text that LangChain's lenient parser cannot repair, so that no half call is run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from langchain_core.utils.json import parse_partial_json

from lmstudio_integrations.client import Fragment, LoadProgress, PredictionResult, PromptProgress, QueueProgress, events
from lmstudio_integrations.client.model_template import ModelTemplate
from lmstudio_integrations.compat.prediction_request import ResponseOptions
from lmstudio_integrations.langchain._response import (
    PROVIDER,
    answer_text,
    completion_info,
    generation_info,
    gives_document,
    metadata_of,
    reasoning_tags,
    usage_of,
    was_not_streamed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ChunkReader", "CompletionChunkReader", "TextChunkFactory", "ToolCallAccumulator", "ToolCallDelta"]


class ChunkReader:
    """Converts one prediction to chunks."""

    def __init__(self, options: ResponseOptions) -> None:
        self._options = options
        self._calls = ToolCallAccumulator(options.answer_tool)

    def begin(self) -> Iterable[ChatGenerationChunk]:
        """Nothing precedes the first event."""
        return ()

    def read(self, event: Any) -> Iterable[ChatGenerationChunk]:
        """The chunks that an event gives, mostly one and often none; the result gives the last."""
        kind = type(event)
        if kind is Fragment:
            content = event.content
            if not content:
                return ()
            if event.is_visible:
                # With an answer tool, text follows at the end: before a document it is not part of the answer.
                return (_text_chunk(content),) if self._options.answer_tool is None else ()
            if event.is_reasoning:
                return (_chunk(additional_kwargs={"reasoning_content": content}),)
            return ()
        if kind is PromptProgress or kind is LoadProgress or kind is QueueProgress:
            return ()
        if kind is PredictionResult:
            return (self._last(event),)
        return [_text_chunk(piece) if isinstance(piece, str) else _call(piece) for piece in self._calls.read(event)]

    def _last(self, result: PredictionResult) -> ChatGenerationChunk:
        text = answer_text(result, self._options) if was_not_streamed(result) else ""
        if self._options.answer_tool is not None and not gives_document(result, self._options):
            text = result.content + text
        message = AIMessageChunk(
            content=text,
            additional_kwargs=reasoning_tags(result),
            response_metadata=metadata_of(result, self._options),
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


class CompletionChunkReader:
    """Converts one completion to chunks; the last is empty and has ``generation_info``."""

    def begin(self) -> Iterable[GenerationChunk]:
        """Nothing precedes the first event."""
        return ()

    def read(self, event: Any) -> Iterable[GenerationChunk]:
        """The chunk that a visible fragment gives; the result gives the last."""
        kind = type(event)
        if kind is Fragment and event.content and event.is_visible:
            return (GenerationChunk(text=event.content),)
        if kind is PredictionResult:
            return (GenerationChunk(text="", generation_info=completion_info(event)),)
        return ()


class TextChunkFactory:
    """Makes chunks of plain text without validation.

    LangChain keeps all chunks of a stream until its end. Measured in langchain-core 1.7, a stream of 2,000 tokens costs
    7 µs a token this way and 12 with the constructors, one of 20,000 tokens 18 and 24. Chunks share nothing mutable,
    not even the default of a field that a newer langchain-core or a subclass (``message_type``) adds.
    """

    def __init__(self, message_type: type[AIMessageChunk] = AIMessageChunk) -> None:
        message = message_type(content="")
        self._messages = ModelTemplate(message, "content")
        self._chunks = ModelTemplate(ChatGenerationChunk(message=message), "message", "text", compact=True)

    def chunk(self, content: str) -> ChatGenerationChunk:
        """``ChatGenerationChunk(message=AIMessageChunk(content=content))``."""
        return self._chunks.make({"text": content, "message": self._messages.make({"content": content})})


_text_chunk = TextChunkFactory().chunk


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
            return self._read_failed(event)
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
