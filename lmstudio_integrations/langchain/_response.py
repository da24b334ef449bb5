"""The result of a prediction -> ``AIMessage`` or ``Generation``, with usage and metadata.

Usage and metadata are the same for streamed and complete responses and are given once. ``response_metadata`` holds
``model_provider`` ("lmstudio"), ``model_name``, ``finish_reason`` (in the terms of OpenAI's API), ``stop_reason`` (LM
Studio's own term), ``stats`` (LM Studio's statistics: tokens, seconds, tokens per second) and ``model_info``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import Generation

from lmstudio_integrations.client import PredictionResult
from lmstudio_integrations.client.events import TokenLogProb
from lmstudio_integrations.client.history import DEFAULT_REASONING_TAGS
from lmstudio_integrations.client.result import Usage
from lmstudio_integrations.compat.prediction_request import ResponseOptions
from lmstudio_integrations.langchain._block_translator import PROVIDER
from lmstudio_integrations.langchain._tool_call_deltas import ToolCallAccumulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "PROVIDER",
    "GenerationReader",
    "MessageReader",
    "ai_message",
    "completion_info",
    "finish_reason",
    "generation_info",
    "gives_document",
    "last_text",
    "metadata_of",
    "reasoning_tags",
    "usage_of",
]


class MessageReader:
    """Converts one prediction to its ``AIMessage``; ``message`` and ``usage`` are set once the result has been read."""

    message: AIMessage
    usage: Usage

    def __init__(self, options: ResponseOptions) -> None:
        self._options = options
        self._calls = ToolCallAccumulator(options.answer_tool)
        self._document: list[str] = []

    def read(self, event: Any) -> Iterable[Any]:
        """Read the result; of the events only those of the answer tool count."""
        if type(event) is PredictionResult:
            streamed = event.content if self._options.answer_tool is None else "".join(self._document)
            self.message, self.usage = ai_message(event, self._options, streamed), event.usage
        elif self._options.answer_tool is not None:
            self._document += [piece for piece in self._calls.read(event) if isinstance(piece, str)]
        return ()


class GenerationReader:
    """Converts one completion to its ``Generation``; ``generation`` is set once the result has been read."""

    generation: Generation

    def read(self, event: Any) -> Iterable[Any]:
        """Read the result; events are ignored."""
        if type(event) is PredictionResult:
            self.generation = Generation(text=event.content, generation_info=completion_info(event))
        return ()


def ai_message(result: PredictionResult, options: ResponseOptions, streamed: str) -> AIMessage:
    """The response as a message whose text is ``streamed`` and the last text of a stream.

    Reasoning is in ``additional_kwargs["reasoning_content"]``, as with other providers.

    A call that LM Studio could not parse is in ``invalid_tool_calls`` with id, name, text and error.
    """
    reasoning = {"reasoning_content": result.reasoning} if result.reasoning else {}
    return AIMessage(
        content=streamed + last_text(result, options),
        additional_kwargs=reasoning | reasoning_tags(result),
        tool_calls=[
            tool_call(name=call.name, args=call.arguments or {}, id=call.id)
            for call in result.tool_calls
            if call.name != options.answer_tool
        ],
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
        response_metadata=metadata_of(result, options),
    )


def reasoning_tags(result: PredictionResult) -> dict[str, Any]:
    """``additional_kwargs`` that keep the literal tags around the reasoning, if they are not the usual ones."""
    if not result.reasoning:
        return {}
    start, end = result.reasoning_tags
    tags = (start or DEFAULT_REASONING_TAGS[0], end or DEFAULT_REASONING_TAGS[1])
    return {} if tags == DEFAULT_REASONING_TAGS else {"reasoning_tags": list(tags)}


def completion_info(result: PredictionResult) -> dict[str, Any]:
    """``generation_info`` of a completion: metadata, usage and reasoning."""
    info = metadata_of(result, ResponseOptions())
    if (usage := usage_of(result)) is not None:
        info["usage_metadata"] = dict(usage)
    if result.reasoning:
        info["reasoning_content"] = result.reasoning
    return info


def last_text(result: PredictionResult, options: ResponseOptions) -> str:
    """What a stream's last chunk adds to its text: what the model did not write as text, or as text before no document.

    A reasoning model under a schema may write the document in its reasoning and leave the answer empty. A call that LM
    Studio could not parse is the answer's text if the answer has nothing else. With an answer tool, text is held back
    until it is known that no document follows.
    """
    text = ""
    if result.parsed_from_reasoning:
        text = result.reasoning.strip()
    elif not result.content and not result.tool_calls:
        tool = options.answer_tool
        failures = (failed for failed in result.failed_tool_calls if tool is None or failed.name != tool)
        text = "\n".join(filter(None, (failed.raw_content or failed.arguments for failed in failures)))
    if options.answer_tool is not None and not gives_document(result, options):
        text = result.content + text
    return text


def gives_document(result: PredictionResult, options: ResponseOptions) -> bool:
    """Whether the answer has a call of the answer tool. Text before the call is not part of the document."""
    return options.answer_tool is not None and any(call.name == options.answer_tool for call in result.tool_calls)


def usage_of(result: PredictionResult) -> UsageMetadata | None:
    """The token counts of LM Studio; ``None`` if the server sends none."""
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


def finish_reason(result: PredictionResult, options: ResponseOptions) -> str:
    """The result's finish reason; a call of the answer tool alone is an answer, and its reason "stop"."""
    reason = result.finish_reason
    if reason == "tool_calls" and all(call.name == options.answer_tool for call in result.tool_calls):
        return "stop"
    return reason


def generation_info(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The values that tracing reads from a generation: finish reason and model."""
    return {name: metadata[name] for name in ("finish_reason", "model_name")}


def metadata_of(result: PredictionResult, options: ResponseOptions) -> dict[str, Any]:
    """``response_metadata`` of a response. It has floats, so only one chunk may have it (LangChain adds them up)."""
    info = result.model_info
    made: dict[str, Any] = {
        "model_provider": PROVIDER,
        "model_name": info.model_key or info.identifier,
        "finish_reason": finish_reason(result, options),
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
    if result.content and gives_document(result, options):
        made["text_before_answer"] = result.content
    return made


def _log_prob(token: TokenLogProb) -> dict[str, Any]:
    """A token's log probability in the form of OpenAI's API."""
    return {**_log_prob_entry(token), "top_logprobs": [_log_prob_entry(candidate) for candidate in token.candidates]}


def _log_prob_entry(token: TokenLogProb) -> dict[str, Any]:
    return {"token": token.text, "bytes": list(token.text.encode("utf-8", "replace")), "logprob": token.log_prob}
