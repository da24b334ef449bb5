"""A whole prediction -> ``AIMessage``, with usage and metadata.

Usage and metadata are the same for streamed and whole answers and are given once. ``response_metadata`` holds
``model_provider`` ("lmstudio"), ``model_name``, ``finish_reason`` (LangChain's usual words), ``stop_reason`` (LM
Studio's own word), ``stats`` (LM Studio's statistics: tokens, seconds, tokens per second) and ``model_info``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call

from lmstudio_integrations.client import Fragment, PredictionResult
from lmstudio_integrations.client.history import DEFAULT_REASONING_TAGS as DEFAULT_TAGS
from lmstudio_integrations.langchain.convert.blocks import PROVIDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "PROVIDER",
    "AnswerReader",
    "Tags",
    "Wanted",
    "ai_message",
    "answer_text",
    "came_otherwise",
    "finish_reason",
    "generation_info",
    "metadata_of",
    "usage_of",
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller of one prediction wants of its answer."""

    answer_tool: str | None = None


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
    calls = [call for call in result.tool_calls if call.name != wanted.answer_tool]
    kwargs: dict[str, Any] = {}
    if result.reasoning:
        kwargs = {"reasoning_content": result.reasoning, **tags.kwargs()}
    return AIMessage(
        content=result.content + answer_text(result, wanted),
        additional_kwargs=kwargs,
        tool_calls=[tool_call(name=call.name, args=call.arguments or {}, id=call.id) for call in calls],
        invalid_tool_calls=[
            invalid_tool_call(
                name=failed.name,
                args=failed.raw_content or failed.arguments,
                id=failed.id,
                error=failed.error.title,
            )
            for failed in result.failed_tool_calls
        ],
        usage_metadata=usage_of(result),
        response_metadata=metadata_of(result, wanted),
    )


def answer_text(result: PredictionResult, wanted: Wanted) -> str:
    """The answer's text if it did not come as text: from the answer tool, the reasoning, or a call that failed.

    A reasoning model under a schema may write its document in its reasoning and leave the answer empty. A call that LM
    Studio could not parse is the answer's text if there is nothing else.
    """
    if result.parsed_from_reasoning:
        return result.reasoning.strip()
    if wanted.answer_tool is not None:
        for call in result.tool_calls:
            if call.name == wanted.answer_tool:
                return json.dumps(call.arguments or {}, ensure_ascii=False)
    if came_otherwise(result):
        return "\n".join(filter(None, (failed.raw_content or failed.arguments for failed in result.failed_tool_calls)))
    return ""


def came_otherwise(result: PredictionResult) -> bool:
    """Whether ``answer_text`` was not streamed: it is in the reasoning, or a call that failed and nothing else."""
    failed_only = bool(result.failed_tool_calls) and not result.content and not result.tool_calls
    return result.parsed_from_reasoning or failed_only


def usage_of(result: PredictionResult) -> UsageMetadata | None:
    """Token counts as LM Studio gives them; ``None`` from a server that gives none."""
    counts = result.usage
    if counts.total_tokens is None:
        return None
    usage = UsageMetadata(
        input_tokens=counts.prompt_tokens or 0,
        output_tokens=counts.completion_tokens or 0,
        total_tokens=counts.total_tokens,
    )
    if counts.cached_tokens is not None:
        usage["input_token_details"] = InputTokenDetails(cache_read=counts.cached_tokens)
    if counts.reasoning_tokens:
        usage["output_token_details"] = OutputTokenDetails(reasoning=counts.reasoning_tokens)
    return usage


def finish_reason(result: PredictionResult, wanted: Wanted) -> str:
    """The result's finish reason; a call of the answer tool alone is an answer, and its reason "stop"."""
    reason = result.finish_reason
    if reason == "tool_calls" and all(call.name == wanted.answer_tool for call in result.tool_calls):
        return "stop"
    return reason


def generation_info(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What tracing reads from a generation: the finish reason and the model."""
    return {name: metadata[name] for name in ("finish_reason", "model_name")}


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
    if result.log_probs:
        made["logprobs"] = {"content": [_log_prob(token) for token in result.log_probs]}
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


def _log_prob(token: Mapping[str, Any]) -> dict[str, Any]:
    """A token's log probability in the form of OpenAI's API."""
    candidates = token.get("candidates")
    top = candidates if isinstance(candidates, list) else []
    return {**_log_prob_entry(token), "top_logprobs": [_log_prob_entry(entry) for entry in top]}


def _log_prob_entry(token: Mapping[str, Any]) -> dict[str, Any]:
    text = str(token.get("text", ""))
    return {"token": text, "bytes": list(text.encode("utf-8", "replace")), "logprob": token.get("logProb")}
