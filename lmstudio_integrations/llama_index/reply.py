"""An answer as it grows: the client's events go in, LlamaIndex's responses come out.

Pure, and the only place that knows both; the blocking and the awaiting methods, chat and completion, all use it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse, LogProb, ThinkingBlock, ToolCallBlock

from lmstudio_integrations import (
    Fragment,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallName,
    ToolCallStart,
)
from lmstudio_integrations.llama_index.cheap import chat_response, completion_response, text_block
from lmstudio_integrations.llama_index.tools import original_name
from lmstudio_integrations.llama_index.usage import counts_of, raw_of

if TYPE_CHECKING:
    from lmstudio_integrations import PredictionResult
    from lmstudio_integrations.client.events import Event

__all__ = ["Reply"]


@dataclass(slots=True)
class _Call:
    """A tool call as far as it has come. ``arguments`` is JSON text while it grows, then the parsed object."""

    id: str
    name: str = ""
    arguments: str | dict[str, Any] = ""
    failed: bool = False

    def block(self) -> ToolCallBlock:
        return ToolCallBlock(tool_call_id=self.id, tool_name=self.name, tool_kwargs=self.arguments)

    def legacy(self) -> dict[str, Any]:
        """The same in OpenAI's shape: parts of LlamaIndex read only ``additional_kwargs["tool_calls"]``."""
        text = self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": text}}


@dataclass(slots=True)
class Reply:
    """The state of one answer.

    ``single_call``: show only the first tool call. ``surface_failed_calls``: show the raw text of a call that the
    server could not parse as part of the answer. ``logprobs``: collect log probabilities. ``tool_names``: of the tools
    that were given.
    """

    single_call: bool = False
    surface_failed_calls: bool = False
    logprobs: bool = False
    tool_names: tuple[str, ...] = ()
    text: str = ""
    thinking: str = ""
    _thinking_tokens: int = 0
    _tags: dict[str, Any] = field(default_factory=dict)
    _thinking_delta: str = ""
    _thinking_block: ThinkingBlock | None = None
    _calls: dict[int, _Call] = field(default_factory=dict)
    _collected: list[list[LogProb]] = field(default_factory=list)

    def take(self, event: Event) -> str | None:
        """The visible text that ``event`` adds; ``""`` if it changes the answer otherwise, ``None`` if it does not."""
        if isinstance(event, Fragment):
            kind = event.reasoning_type
            if kind == "none":
                if self.logprobs:
                    self._collect(event)
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

    def finished_chat(self, result: PredictionResult, delta: str | None = "") -> ChatResponse:
        """The last response, with ``raw``, counts and log probabilities; ``delta`` is ``None`` outside a stream."""
        self._thinking_delta = ""
        response = self.chat(delta)
        self._finish(response, result)
        return response

    def finished_completion(self, result: PredictionResult, delta: str | None = "") -> CompletionResponse:
        """The last response of a completion."""
        self._thinking_delta = ""
        response = self.completion(delta)
        self._finish(response, result)
        if self.thinking:
            response.additional_kwargs["thinking"] = self.thinking
        return response

    def _finish(self, response: ChatResponse | CompletionResponse, result: PredictionResult) -> None:
        response.raw = raw_of(result)
        response.additional_kwargs |= counts_of(response.raw["usage"])
        if self._collected:
            response.logprobs = self._collected

    def _take_reasoning(self, kind: str, event: Fragment) -> str | None:
        if kind == "reasoning":
            self._thinking_tokens += event.tokens_count
            if not event.content:
                return None
            self.thinking += event.content
            self._thinking_delta = event.content
            self._thinking_block = None
            return ""
        if kind in ("reasoningStartTag", "reasoningEndTag"):
            self._tags["start_tag" if kind == "reasoningStartTag" else "end_tag"] = event.content
            self._thinking_block = None
        return None

    def _take_call(self, event: Event) -> str | None:
        if isinstance(event, ToolCallStart):
            self._open(event.index, event.id)
            return None
        if isinstance(event, ToolCallName):
            self._call(event.index).name = original_name(event.name, self.tool_names)
        elif isinstance(event, ToolCallArguments):
            call = self._call(event.index)
            if isinstance(call.arguments, str):
                call.arguments += event.content
            if not call.name:
                return None
        elif isinstance(event, ToolCallEnd):
            call = self._calls.get(event.index) or self._open(event.index, event.tool_call.id)
            call.name = original_name(event.tool_call.name, self.tool_names)
            call.arguments = dict(event.tool_call.arguments or {})
        elif isinstance(event, ToolCallFailed):
            self._call(event.index).failed = True
            return self._surface(event)
        else:
            return None
        self._thinking_delta = ""
        return ""

    def _surface(self, event: ToolCallFailed) -> str:
        if not self.surface_failed_calls:
            return ""
        text = event.raw_content or event.arguments
        self.text += text
        return text

    def _call(self, index: int) -> _Call:
        return self._calls.get(index) or self._open(index, None)

    def _open(self, index: int, given: str | None) -> _Call:
        """A new call. Its id is the server's, unless that is missing or already another call's of this answer."""
        taken = {call.id for call in self._calls.values()}
        call = _Call(given if given and given not in taken else f"call_{uuid4().hex[:24]}")
        self._calls[index] = call
        return call

    def _shown_calls(self) -> list[_Call]:
        shown = [call for call in self._calls.values() if call.name and not call.failed]
        return shown[:1] if self.single_call else shown

    def _thinking(self) -> ThinkingBlock:
        if self._thinking_block is None:
            self._thinking_block = ThinkingBlock(
                content=self.thinking, num_tokens=self._thinking_tokens, additional_information=dict(self._tags)
            )
        return self._thinking_block

    def _collect(self, event: Fragment) -> None:
        for token in event.tokens:
            entries = token.get("candidates") or [token]
            found = [
                LogProb(token=entry["text"], logprob=entry["logProb"], bytes=list(entry["text"].encode()))
                for entry in entries
                if isinstance(entry.get("logProb"), (int, float)) and isinstance(entry.get("text"), str)
            ]
            if found:
                self._collected.append(found)
