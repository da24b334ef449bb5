"""Predictions: what starts one and the packets it is made of (PROTOCOL: "predict", "completeRawText", "stats")."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, StrictBool, field_validator

from lmstudio_integrations.protocol._model import Incoming, Number, WireInt, WireModel
from lmstudio_integrations.protocol.config_kv import ConfigStack
from lmstudio_integrations.protocol.envelopes import SerializedError
from lmstudio_integrations.protocol.history import ChatHistory, ToolCallRequest
from lmstudio_integrations.protocol.models import ModelInstanceInfo, ModelSpecifier

__all__ = [
    "CANCEL",
    "PREDICTION_PACKETS",
    "STOP_REASONS",
    "CandidateToken",
    "CompleteRawTextCreation",
    "FragmentData",
    "FragmentPacket",
    "PredictCreation",
    "PredictionStats",
    "PromptProcessingDetails",
    "PromptProcessingProgress",
    "SuccessPacket",
    "Token",
    "ToolCallGenerationArgumentFragmentGenerated",
    "ToolCallGenerationEnd",
    "ToolCallGenerationFailed",
    "ToolCallGenerationNameReceived",
    "ToolCallGenerationStart",
]

CANCEL: dict[str, str] = {"type": "cancel"}
"""The one packet that a client sends on a prediction or a load."""

STOP_REASONS = (
    "userStopped",
    "modelUnloaded",
    "failed",
    "eosFound",
    "stopStringFound",
    "toolCalls",
    "maxPredictedTokensReached",
    "contextLengthReached",
)


class PredictCreation(WireModel):
    """Channel ``predict``. The stack may be empty, but not missing."""

    model_specifier: ModelSpecifier
    history: ChatHistory
    prediction_config_stack: ConfigStack
    fuzzy_preset_identifier: str | None = None
    ignore_server_session_config: StrictBool | None = None


class CompleteRawTextCreation(WireModel):
    """Channel ``completeRawText`` (newer than October 2025): the prompt as it is, no template."""

    model_specifier: ModelSpecifier
    raw_prompt: str
    prediction_config_stack: ConfigStack
    fuzzy_preset_identifier: str | None = None
    ignore_server_session_config: StrictBool | None = None


class PromptProcessingDetails(Incoming):
    """Tokens of the prompt: found in the cache, in all, processed so far (without the cached ones), still to do."""

    cached_token_count: WireInt = 0
    total_prompt_token_count: WireInt = 0
    processed_prompt_token_count: WireInt = 0
    unprocessed_prompt_token_count: WireInt = 0


class PromptProcessingProgress(Incoming):
    """0.0 to 1.0; may be left out, come twice, or come as the integers 0 and 1. Older servers send no ``details``."""

    type: Literal["promptProcessingProgress"] = "promptProcessingProgress"
    progress: Number = 0.0
    details: PromptProcessingDetails | None = None


class CandidateToken(Incoming):
    """A token that might have come instead, with the natural logarithm of its probability."""

    text: str = ""
    id: WireInt = 0
    log_prob: Number | None = None


class Token(Incoming):
    """A token that came; ``log_prob`` and ``candidates`` only if ``logProbs`` was asked for."""

    text: str = ""
    id: WireInt = 0
    log_prob: Number | None = None
    candidates: list[CandidateToken] | None = None


class FragmentData(Incoming):
    """A piece of the answer; ``content`` may be empty or hold several tokens.

    The visible answer is what has ``reasoning_type == "none"`` and is not structural.
    """

    content: str = ""
    tokens_count: WireInt = 0
    contains_drafted: bool = False
    reasoning_type: str = "none"
    is_structural: bool = False
    tokens: list[Token] | None = None


class FragmentPacket(Incoming):
    """A piece of the answer."""

    type: Literal["fragment"] = "fragment"
    fragment: FragmentData


class ToolCallGenerationStart(Incoming):
    """The model begins a tool call. Calls come one after the other, without an index."""

    type: Literal["toolCallGenerationStart"] = "toolCallGenerationStart"
    tool_call_id: str | None = None


class ToolCallGenerationNameReceived(Incoming):
    """Its name; may be left out."""

    type: Literal["toolCallGenerationNameReceived"] = "toolCallGenerationNameReceived"
    name: str


class ToolCallGenerationArgumentFragmentGenerated(Incoming):
    """A piece of the JSON text of its arguments; may be left out."""

    type: Literal["toolCallGenerationArgumentFragmentGenerated"] = "toolCallGenerationArgumentFragmentGenerated"
    content: str


class ToolCallGenerationEnd(Incoming):
    """The whole call."""

    type: Literal["toolCallGenerationEnd"] = "toolCallGenerationEnd"
    tool_call_request: ToolCallRequest
    raw_content: str | None = None


class ToolCallGenerationFailed(Incoming):
    """The model wrote something that is no call; the prediction goes on."""

    type: Literal["toolCallGenerationFailed"] = "toolCallGenerationFailed"
    error: SerializedError = Field(default_factory=SerializedError)
    raw_content: str | None = None

    @field_validator("error", mode="before")
    @classmethod
    def _any_error(cls, value: Any) -> Any:
        return value if isinstance(value, SerializedError) else SerializedError.from_any(value)


class PredictionStats(Incoming):
    """How it went. ``stop_reason`` is one of ``STOP_REASONS`` or, from newer servers, any other text.

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


class SuccessPacket(Incoming):
    """The end of a prediction, also of a cancelled one. The two configurations are in key/value form."""

    type: Literal["success"] = "success"
    stats: PredictionStats = Field(default_factory=PredictionStats)
    model_info: ModelInstanceInfo | None = None
    load_model_config: dict[str, Any] = Field(default_factory=lambda: {"fields": []})
    prediction_config: dict[str, Any] = Field(default_factory=lambda: {"fields": []})


_PACKETS: tuple[type[Incoming], ...] = (
    PromptProcessingProgress,
    FragmentPacket,
    ToolCallGenerationStart,
    ToolCallGenerationNameReceived,
    ToolCallGenerationArgumentFragmentGenerated,
    ToolCallGenerationEnd,
    ToolCallGenerationFailed,
    SuccessPacket,
)
PREDICTION_PACKETS: dict[str, type[Incoming]] = {kind.model_fields["type"].default: kind for kind in _PACKETS}
"""The packets of a prediction by their ``type``."""
