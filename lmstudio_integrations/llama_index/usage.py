"""What a finished prediction tells about itself, in the shapes that LlamaIndex reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmstudio_integrations import PredictionResult, ToolCallFailed

__all__ = ["counts_of", "raw_of", "usage_of"]


def usage_of(result: PredictionResult) -> dict[str, Any]:
    """Token counts under OpenAI's names, which ``TokenCountingHandler`` reads. Unknown counts are omitted."""
    counts = result.usage
    usage: dict[str, Any] = {
        key: value
        for key in ("prompt_tokens", "completion_tokens", "total_tokens")
        if (value := getattr(counts, key)) is not None
    }
    if counts.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": counts.cached_tokens}
    if counts.reasoning_tokens is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning_tokens}
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
        "finish_reason": result.finish_reason,
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
