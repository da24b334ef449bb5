"""The events of a prediction -> LlamaIndex's responses and instrumentation events.

Pure but for the dispatcher. The blocking and the awaiting methods, chat and completion, use one ``ResponseReader``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from lmstudio_integrations import (
    Fragment,
    LoadProgress,
    PredictionResult,
    PromptProgress,
    QueueProgress,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallName,
    ToolCallStart,
)
from lmstudio_integrations.client.model_template import ModelTemplate
from lmstudio_integrations.llama_index.events import PredictionStatsEvent, dispatcher, report_progress

if TYPE_CHECKING:
    from lmstudio_integrations.client.events import Event

__all__ = ["ResponseBuilder", "ResponseReader", "chat_response", "completion_response", "raw_of", "text_block"]

_TEXT_BLOCKS = ModelTemplate(TextBlock(text=""), "text")
_THINKING_BLOCKS = ModelTemplate(
    ThinkingBlock(content="", num_tokens=0, additional_information={}),
    "content",
    "num_tokens",
    "additional_information",
)
_MESSAGES = ModelTemplate(
    ChatMessage(role=MessageRole.ASSISTANT, additional_kwargs={}, blocks=[]), "additional_kwargs", "blocks"
)
_CHAT_RESPONSES = ModelTemplate(
    ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[]), delta=None, additional_kwargs={}),
    "message",
    "delta",
    "additional_kwargs",
)
_COMPLETION_RESPONSES = ModelTemplate(
    CompletionResponse(text="", delta=None, additional_kwargs={}), "text", "delta", "additional_kwargs"
)


class ResponseReader:
    """Converts one prediction to responses of one ``kind``, and to instrumentation events of one span.

    ``complete_only``: only the last response is wanted, so none is made before it. ``span_id`` is that of the public
    method; ``model`` is the requested model.
    """

    def __init__(
        self,
        kind: Literal["chat", "completion"],
        *,
        span_id: str | None,
        model: str | None,
        required_tools: frozenset[str] = frozenset(),
        complete_only: bool = False,
    ) -> None:
        self.model = model
        self._builder = ResponseBuilder(required_tools)
        self._chat = kind == "chat"
        self._span_id = span_id
        self._complete_only = complete_only

    def read(self, event: Event | PredictionResult) -> Iterable[Any]:
        """The responses that an event gives, mostly one and often none; the result gives the last."""
        if type(event) is PredictionResult:
            return (self._last(event),)
        delta = self._builder.take(event)  # type: ignore[arg-type]  # it is an event
        if delta is None:
            if isinstance(event, PromptProgress | LoadProgress | QueueProgress):
                report_progress(event, self._span_id, self.model)
            return ()
        if self._complete_only:
            return ()
        return (self._builder.chat(delta) if self._chat else self._builder.completion(delta),)

    def _last(self, result: PredictionResult) -> ChatResponse | CompletionResponse:
        response = self._builder.finish(result, None if self._complete_only else "", chat=self._chat)
        raw: dict[str, Any] = response.raw or {}
        dispatcher.event(
            PredictionStatsEvent(
                span_id=self._span_id,
                model=raw["model"],
                finish_reason=raw["finish_reason"],
                usage=raw["usage"],
                stats=raw["stats"],
            )
        )
        return response


@dataclass(slots=True)
class _Call:
    """A tool call so far. ``arguments`` is JSON text while it streams, then the parsed object."""

    id: str
    name: str = ""
    arguments: str | dict[str, Any] = ""
    failed: bool = False

    def block(self) -> ToolCallBlock:
        return ToolCallBlock(tool_call_id=self.id, tool_name=self.name, tool_kwargs=deepcopy(self.arguments))

    def legacy(self) -> dict[str, Any]:
        """The call in OpenAI's form: parts of LlamaIndex read only ``additional_kwargs["tool_calls"]``."""
        text = self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": text}}


@dataclass(slots=True)
class ResponseBuilder:
    """The response so far.

    ``required_tools``: names of the tools that have required parameters.
    """

    required_tools: frozenset[str] = frozenset()
    text: str = ""
    thinking: str = ""
    _thinking_tokens: int = 0
    _tags: dict[str, Any] = field(default_factory=dict)
    _thinking_delta: str = ""
    _calls: dict[int, _Call] = field(default_factory=dict)

    def take(self, event: Event) -> str | None:
        """The visible text that ``event`` adds; ``""`` if it changes something else, ``None`` if it changes nothing."""
        if isinstance(event, Fragment):
            kind = event.reasoning_type
            if kind == "none":
                content = event.content
                if not content or event.is_structural:
                    return None
                self.text += content
                self._thinking_delta = ""
                return content
            return self._take_reasoning(kind, event)
        return self._take_call(event)

    def chat(self, delta: str | None) -> ChatResponse:
        """The answer so far as a new ``ChatResponse``, ``delta`` being what ``take`` returned last."""
        if not self.thinking and not self._calls:
            return chat_response([text_block(self.text)], delta=delta)
        blocks: list[Any] = []
        if self.thinking:
            blocks.append(self._thinking())
        calls = self._shown_calls()
        if self.text or not calls:
            blocks.append(text_block(self.text))
        blocks += [call.block() for call in calls]
        return chat_response(
            blocks,
            delta=delta,
            message_kwargs={"tool_calls": [call.legacy() for call in calls]} if calls else None,
            additional_kwargs={"thinking_delta": self._thinking_delta} if self._thinking_delta else None,
        )

    def completion(self, delta: str | None) -> CompletionResponse:
        """The answer so far as a new ``CompletionResponse``."""
        thinking = {"thinking_delta": self._thinking_delta} if self._thinking_delta else None
        return completion_response(self.text, delta=delta, additional_kwargs=thinking)

    def finish(
        self, result: PredictionResult, delta: str | None = "", *, chat: bool = True
    ) -> ChatResponse | CompletionResponse:
        """The last response, with ``raw``, counts and log probabilities; ``delta`` is ``None`` outside a stream."""
        self._thinking_delta = ""
        response = self.chat(delta) if chat else self.completion(delta)
        response.raw = raw_of(result)
        response.additional_kwargs |= counts_of(response.raw["usage"])
        if self.thinking and not chat:
            response.additional_kwargs["thinking"] = self.thinking
        if log_probs := _log_probs(result):
            response.logprobs = log_probs
        return response

    def _take_reasoning(self, kind: str, event: Fragment) -> str | None:
        if event.is_reasoning:
            self._thinking_tokens += event.tokens_count
            if not event.content:
                return None
            self.thinking += event.content
            self._thinking_delta = event.content
            return ""
        if kind in ("reasoningStartTag", "reasoningEndTag"):
            self._tags["start_tag" if kind == "reasoningStartTag" else "end_tag"] = event.content
        return None

    def _take_call(self, event: Event) -> str | None:
        if isinstance(event, ToolCallStart):
            self._calls[event.index] = _Call(event.id)
            return None
        if isinstance(event, ToolCallName):
            self._calls[event.index].name = event.name
        elif isinstance(event, ToolCallArguments):
            self._calls[event.index].arguments += event.content  # type: ignore[operator]  # text until its end
        elif isinstance(event, ToolCallEnd):
            call = self._calls[event.index]
            call.name = event.tool_call.name
            call.arguments = dict(event.tool_call.arguments or {})
        elif isinstance(event, ToolCallFailed):
            return self._take_failed_call(event)
        else:
            return None
        self._thinking_delta = ""
        return ""

    def _take_failed_call(self, event: ToolCallFailed) -> str:
        """Show a call that LM Studio could not parse; returns what it adds to the text.

        It becomes a call without arguments if the tool requires some, so that the tool's error reaches the model, else
        text, so that no answer is empty.
        """
        call = self._calls[event.index]
        self._thinking_delta = ""
        if event.name in self.required_tools:
            call.name, call.arguments = str(event.name), {}
            return ""
        call.failed = True
        text = event.raw_content or event.arguments
        self.text += text
        return text

    def _shown_calls(self) -> list[_Call]:
        return [call for call in self._calls.values() if call.name and not call.failed]

    def _thinking(self) -> ThinkingBlock:
        values = {
            "content": self.thinking,
            "num_tokens": self._thinking_tokens,
            "additional_information": self._tags.copy(),
        }
        return _THINKING_BLOCKS.make(values)


def _log_probs(result: PredictionResult) -> list[list[LogProb]]:
    """For each token its candidates, or itself, as far as the server gives their log probabilities."""
    found = [
        [
            LogProb(token=entry.text, logprob=entry.log_prob, bytes=list(entry.text.encode("utf-8", "replace")))
            for entry in token.candidates or (token,)
            if entry.log_prob is not None
        ]
        for token in result.log_probs
    ]
    return [entries for entries in found if entries]


def text_block(text: str) -> TextBlock:
    """``TextBlock(text=text)``."""
    return _TEXT_BLOCKS.make({"text": text})


def chat_response(
    blocks: list[Any],
    *,
    delta: str | None,
    message_kwargs: dict[str, Any] | None = None,
    additional_kwargs: dict[str, Any] | None = None,
) -> ChatResponse:
    """A ``ChatResponse`` of the assistant with these blocks."""
    message = _MESSAGES.make({"additional_kwargs": {} if message_kwargs is None else message_kwargs, "blocks": blocks})
    kwargs = {} if additional_kwargs is None else additional_kwargs
    return _CHAT_RESPONSES.make({"message": message, "delta": delta, "additional_kwargs": kwargs})


def completion_response(
    text: str, *, delta: str | None, additional_kwargs: dict[str, Any] | None = None
) -> CompletionResponse:
    """A ``CompletionResponse`` with the text so far."""
    kwargs = {} if additional_kwargs is None else additional_kwargs
    return _COMPLETION_RESPONSES.make({"text": text, "delta": delta, "additional_kwargs": kwargs})


def counts_of(usage: dict[str, Any]) -> dict[str, int]:
    """The three plain counts, as OpenAI's integration keeps them in ``additional_kwargs``."""
    return {key: usage[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens") if key in usage}


def raw_of(result: PredictionResult) -> dict[str, Any]:
    """``raw`` of the last response: a plain dict that can be stored as JSON.

    ``model`` (instance identifier), ``model_key``, ``finish_reason``, ``usage``, ``stats`` and ``model_info`` (LM
    Studio's figures under snake_case names; ``stats["stop_reason"]`` is its own term for the finish reason);
    ``failed_tool_calls`` and ``parsed_from_reasoning`` only if there are any. There is no ``stop_reason`` beside
    ``finish_reason``, because tracing (OpenInference) would take it for the finish reason.
    """
    info = result.model_info.model_dump(mode="json", exclude_none=True)
    raw: dict[str, Any] = {
        "model": info.get("identifier"),
        "model_key": info.get("model_key"),
        "finish_reason": result.finish_reason,
        "usage": result.usage.to_openai(),  # `TokenCountingHandler` reads it
        "stats": result.stats.model_dump(mode="json", exclude_none=True),
        "model_info": info,
    }
    if result.failed_tool_calls:
        raw["failed_tool_calls"] = [_failed(call) for call in result.failed_tool_calls]
    if result.parsed_from_reasoning:
        raw["parsed_from_reasoning"] = True
    return raw


def _failed(call: ToolCallFailed) -> dict[str, Any]:
    return {
        "name": call.name,
        "arguments": call.arguments,
        "error": call.error.model_dump(mode="json", exclude_none=True, exclude={"stack"}),
        "raw_content": call.raw_content,
    }
