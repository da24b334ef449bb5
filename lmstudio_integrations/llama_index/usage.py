"""What a finished prediction tells about itself, in the shapes that LlamaIndex reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmstudio_integrations import PredictionResult, PromptProgress, ToolCallFailed

__all__ = ["counts_of", "finish_reason", "raw_of", "usage_of"]

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


def finish_reason(stop_reason: str) -> str:
    """LM Studio's stop reason in OpenAI's words; one that is not known yet stays as it is."""
    return _FINISH_REASONS.get(stop_reason, stop_reason)


def usage_of(result: PredictionResult) -> dict[str, Any]:
    """Token counts under OpenAI's names, which ``TokenCountingHandler`` reads. What the server left out is left out."""
    stats = result.stats
    counts = {
        "prompt_tokens": stats.prompt_tokens_count,
        "completion_tokens": stats.predicted_tokens_count,
        "total_tokens": stats.total_tokens_count,
    }
    usage: dict[str, Any] = {key: int(value) for key, value in counts.items() if value is not None}
    if "total_tokens" not in usage and len(usage) == 2:
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    cached = _cached_tokens(result.prompt_progress)
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if result.reasoning:
        usage["completion_tokens_details"] = {"reasoning_tokens": result.reasoning_tokens_count}
    return usage


def counts_of(usage: dict[str, Any]) -> dict[str, int]:
    """The three plain counts, as OpenAI's integration keeps them in ``additional_kwargs``."""
    return {key: usage[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens") if key in usage}


def raw_of(result: PredictionResult) -> dict[str, Any]:
    """``raw`` of the last response: a plain dict that can be stored as JSON.

    ``model`` (instance identifier), ``model_key``, ``finish_reason``, ``stop_reason`` (LM Studio's word), ``usage``,
    ``stats`` and ``model_info`` (LM Studio's figures under snake_case names); ``failed_tool_calls`` and
    ``parsed_from_reasoning`` only where there is something to tell.
    """
    info = result.model_info.model_dump(mode="json", exclude_none=True)
    raw: dict[str, Any] = {
        "model": info.get("identifier"),
        "model_key": info.get("model_key"),
        "finish_reason": finish_reason(result.stats.stop_reason),
        "stop_reason": result.stats.stop_reason,
        "usage": usage_of(result),
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


def _cached_tokens(progress: PromptProgress | None) -> int | None:
    return None if progress is None or progress.cached_tokens is None else int(progress.cached_tokens)
