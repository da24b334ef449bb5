"""A whole prediction -> ``AIMessage``, with usage and metadata.

Usage and metadata are the same for streamed and whole answers and are given once. ``response_metadata`` holds
``model_provider`` ("lmstudio"), ``model_name``, ``finish_reason`` (LangChain's usual words), ``stop_reason`` (LM
Studio's own word), ``stats`` (LM Studio's statistics: tokens, seconds, tokens per second) and ``model_info``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call

from lmstudio_integrations.client import Fragment, PredictionResult
from lmstudio_integrations.client.history import DEFAULT_REASONING_TAGS as DEFAULT_TAGS
from lmstudio_integrations.langchain.convert.blocks import PROVIDER
from lmstudio_integrations.langchain.convert.pieces import fresh_id

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "PROVIDER",
    "AnswerReader",
    "Tags",
    "Wanted",
    "ai_message",
    "answer_text",
    "finish_reason",
    "metadata_of",
    "usage_of",
]

_FINISH_REASONS = {
    "eosFound": "stop",
    "stopStringFound": "stop",
    "toolCalls": "tool_calls",
    "maxPredictedTokensReached": "length",
    "contextLengthReached": "length",
    "userStopped": "cancelled",
    "modelUnloaded": "error",
    "failed": "error",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller of one prediction wants of its answer."""

    taken_ids: frozenset[str] = field(default_factory=frozenset)
    answer_tool: str | None = None
    parallel: bool = True


class Tags:
    """The literal tags that the reasoning came in, as far as they were seen."""

    __slots__ = ("end", "start")

    def __init__(self) -> None:
        self.start = self.end = ""

    def read(self, fragment: Any) -> None:
        """Note a tag fragment; any other is passed over."""
        kind = fragment.reasoning_type
        if kind == "reasoningStartTag" and not self.start:
            self.start = fragment.content
        elif kind == "reasoningEndTag" and not self.end:
            self.end = fragment.content

    def kwargs(self) -> dict[str, Any]:
        """``additional_kwargs`` that remember tags other than the usual ones."""
        start, end = self.start or DEFAULT_TAGS[0], self.end or DEFAULT_TAGS[1]
        return {} if (start, end) == DEFAULT_TAGS else {"reasoning_tags": [start, end]}


class AnswerReader:
    """Reads one prediction into its whole answer: ``answer`` is there once the result has been read."""

    answer: AIMessage

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._tags = Tags()

    def begin(self) -> Iterable[Any]:
        """Nothing is handed out on the way."""
        return ()

    def read(self, event: Any) -> Iterable[Any]:
        """Note what the result will not hold; keep the answer."""
        kind = type(event)
        if kind is PredictionResult:
            self.answer = ai_message(event, self._wanted, self._tags)
        elif kind is Fragment and not event.is_visible:
            self._tags.read(event)
        return ()


def ai_message(result: PredictionResult, wanted: Wanted, tags: Tags) -> AIMessage:
    """The answer as a message; reasoning is in ``additional_kwargs["reasoning_content"]``, as with other providers."""
    taken = set(wanted.taken_ids)
    calls = [call for call in result.tool_calls if call.name != wanted.answer_tool]
    if not wanted.parallel:
        calls = calls[:1]
    kwargs: dict[str, Any] = {}
    if result.reasoning:
        kwargs = {"reasoning_content": result.reasoning, **tags.kwargs()}
    return AIMessage(
        content=result.content + answer_text(result, wanted),
        additional_kwargs=kwargs,
        tool_calls=[
            tool_call(name=call.name, args=call.arguments or {}, id=fresh_id(call.id, taken)) for call in calls
        ],
        invalid_tool_calls=[
            invalid_tool_call(
                name=failed.name,
                args=failed.raw_content or failed.arguments,
                id=fresh_id(None, taken),
                error=failed.error.title,
            )
            for failed in result.failed_tool_calls
        ],
        usage_metadata=usage_of(result),
        response_metadata=metadata_of(result, wanted),
    )


def answer_text(result: PredictionResult, wanted: Wanted) -> str:
    """The answer's text where it did not come as text: from the answer tool, or from among the reasoning.

    A reasoning model under a schema may write its document among its thoughts and leave the answer empty.
    """
    if result.parsed_from_reasoning:
        return result.reasoning.strip()
    texts = [
        json.dumps(call.arguments or {}, ensure_ascii=False)
        for call in result.tool_calls
        if wanted.answer_tool is not None and call.name == wanted.answer_tool
    ]
    return texts[0] if texts else ""


def usage_of(result: PredictionResult) -> UsageMetadata | None:
    """Token counts as LM Studio gives them; ``None`` from a server that gives none."""
    stats = result.stats
    prompt, predicted, total = stats.prompt_tokens_count, stats.predicted_tokens_count, stats.total_tokens_count
    if prompt is None and predicted is None:
        return None
    prompt, predicted = int(prompt or 0), int(predicted or 0)
    usage = UsageMetadata(
        input_tokens=prompt, output_tokens=predicted, total_tokens=int(total or 0) or prompt + predicted
    )
    cached = result.prompt_progress.cached_tokens if result.prompt_progress else None
    if cached is not None:
        usage["input_token_details"] = InputTokenDetails(cache_read=min(int(cached), prompt))
    if result.reasoning_tokens_count:
        usage["output_token_details"] = OutputTokenDetails(reasoning=min(result.reasoning_tokens_count, predicted))
    return usage


def finish_reason(result: PredictionResult, wanted: Wanted) -> str:
    """LangChain's usual word for why the answer ended; LM Studio's own word where there is none."""
    reason = str(result.stats.stop_reason or "")
    if reason in {"eosFound", "toolCalls"} and any(call.name != wanted.answer_tool for call in result.tool_calls):
        return "tool_calls"
    if reason == "toolCalls":
        return "stop"
    return _FINISH_REASONS.get(reason, reason or "stop")


def metadata_of(result: PredictionResult, wanted: Wanted) -> dict[str, Any]:
    """``response_metadata`` of a whole answer. Holds floats, so it must go on one chunk only."""
    info = result.model_info
    made: dict[str, Any] = {
        "model_provider": PROVIDER,
        "model_name": info.model_key or info.identifier,
        "finish_reason": finish_reason(result, wanted),
        "stop_reason": str(result.stats.stop_reason),
        "stats": result.stats.model_dump(mode="json", exclude_none=True),
        "model_info": info.model_dump(mode="json", exclude_none=True),
    }
    if result.failed_tool_calls:
        made["failed_tool_calls"] = [
            {
                "name": failed.name,
                "error": failed.error.title,
                "arguments": failed.arguments,
                "raw_content": failed.raw_content,
            }
            for failed in result.failed_tool_calls
        ]
    if result.parsed_from_reasoning:
        made["structured_from_reasoning"] = True
    return made
