"""An answer as it grows: the client's events go in, LlamaIndex's responses come out.

Pure, and the only place that knows both; the blocking and the awaiting methods, chat and completion, all use it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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

    ``required_tools``: names of the tools that have required parameters.
    """

    required_tools: frozenset[str] = frozenset()
    text: str = ""
    thinking: str = ""
    _thinking_tokens: int = 0
    _tags: dict[str, Any] = field(default_factory=dict)
    _thinking_delta: str = ""
    _thinking_block: ThinkingBlock | None = None
    _calls: dict[int, _Call] = field(default_factory=dict)

    def take(self, event: Event) -> str | None:
        """The visible text that ``event`` adds; ``""`` if it changes the answer otherwise, ``None`` if it does not."""
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
        if log_probs := _log_probs(result):
            response.logprobs = log_probs

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
        if self._thinking_block is None:
            self._thinking_block = ThinkingBlock(
                content=self.thinking, num_tokens=self._thinking_tokens, additional_information=dict(self._tags)
            )
        return self._thinking_block


def _log_probs(result: PredictionResult) -> list[list[LogProb]]:
    """For each token its candidates, or itself, as far as the server gives their log probabilities."""
    found = [
        [
            LogProb(token=entry["text"], logprob=entry["logProb"], bytes=list(entry["text"].encode("utf-8", "replace")))
            for entry in token.get("candidates") or [token]
            if isinstance(entry.get("logProb"), (int, float)) and isinstance(entry.get("text"), str)
        ]
        for token in result.log_probs
    ]
    return [entries for entries in found if entries]
