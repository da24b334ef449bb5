"""Predictions: the rare packets they are made of (PROTOCOL: "predict", "completeRawText", "stats").

A fragment has no model: there is one for every token, and both ends read and write it as a plain dictionary.
"""

from typing import Any, Literal

from pydantic import ConfigDict

from lmstudio_integrations.protocol._model import Incoming, Number, WireInt, WireModel
from lmstudio_integrations.protocol.history import ToolCallRequest
from lmstudio_integrations.protocol.models import ModelInstanceInfo

__all__ = [
    "PredictionStats",
    "PromptProcessingDetails",
    "PromptProcessingProgress",
    "SuccessPacket",
    "ToolCallGenerationArgumentFragmentGenerated",
    "ToolCallGenerationEnd",
    "ToolCallGenerationFailed",
    "ToolCallGenerationNameReceived",
    "ToolCallGenerationStart",
]


class PromptProcessingDetails(WireModel):
    """Tokens of the prompt: found in the cache, in all, processed so far (without the cached ones), still to do."""

    cached_token_count: WireInt
    total_prompt_token_count: WireInt
    processed_prompt_token_count: WireInt
    unprocessed_prompt_token_count: WireInt


class PromptProcessingProgress(WireModel):
    """0.0 to 1.0; may be left out, come twice, or come as the integers 0 and 1. Older servers send no ``details``."""

    type: Literal["promptProcessingProgress"] = "promptProcessingProgress"
    progress: Number
    details: PromptProcessingDetails | None = None


class ToolCallGenerationStart(WireModel):
    """The model begins a tool call. Calls come one after the other, without an index."""

    type: Literal["toolCallGenerationStart"] = "toolCallGenerationStart"
    tool_call_id: str | None = None


class ToolCallGenerationNameReceived(WireModel):
    """Its name; may be left out."""

    type: Literal["toolCallGenerationNameReceived"] = "toolCallGenerationNameReceived"
    name: str


class ToolCallGenerationArgumentFragmentGenerated(WireModel):
    """A piece of the JSON text of its arguments; may be left out."""

    type: Literal["toolCallGenerationArgumentFragmentGenerated"] = "toolCallGenerationArgumentFragmentGenerated"
    content: str


class ToolCallGenerationEnd(WireModel):
    """The whole call."""

    type: Literal["toolCallGenerationEnd"] = "toolCallGenerationEnd"
    tool_call_request: ToolCallRequest
    raw_content: str | None = None


class ToolCallGenerationFailed(WireModel):
    """The model wrote something that is no call; the prediction goes on."""

    type: Literal["toolCallGenerationFailed"] = "toolCallGenerationFailed"
    error: dict[str, Any]
    raw_content: str | None = None


class PredictionStats(Incoming):
    """How it went.

    ``stop_reason`` is ``userStopped``, ``modelUnloaded``, ``failed``, ``eosFound``, ``stopStringFound``, ``toolCalls``,
    ``maxPredictedTokensReached``, ``contextLengthReached`` or, from newer servers, any other text.

    Seconds for ``…_sec``; ``num_gpu_layers`` is -1 for all; the rest are token counts. Only ``stop_reason`` is sure to
    be there. What newer servers add is kept in ``model_extra``.
    """

    model_config = ConfigDict(extra="allow")

    stop_reason: str = "failed"
    stop_string: str | None = None
    tokens_per_second: Number | None = None
    num_gpu_layers: Number | None = None
    time_to_first_token_sec: Number | None = None
    total_time_sec: Number | None = None
    prompt_tokens_count: WireInt | None = None
    predicted_tokens_count: WireInt | None = None
    total_tokens_count: WireInt | None = None
    used_draft_model_key: str | None = None
    total_draft_tokens_count: WireInt | None = None
    accepted_draft_tokens_count: WireInt | None = None
    rejected_draft_tokens_count: WireInt | None = None
    ignored_draft_tokens_count: WireInt | None = None


class SuccessPacket(WireModel):
    """The end of a prediction, also of a cancelled one. The two configurations are in key/value form."""

    type: Literal["success"] = "success"
    stats: PredictionStats
    model_info: ModelInstanceInfo
    load_model_config: dict[str, Any]
    prediction_config: dict[str, Any]
