"""The packets of a server on its channels (PROTOCOL: "predict", "completeRawText", "Load / unload / JIT / TTL").

The emulator writes these; the client reads them as plain dictionaries, and need not import them. A fragment has no
model at all: there is one for every token.
"""

from typing import Any, Literal

from lmstudio_integrations.protocol._model import Number, WireInt, WireModel
from lmstudio_integrations.protocol.history import ToolCallRequest
from lmstudio_integrations.protocol.models import ModelInfo, ModelInstanceInfo
from lmstudio_integrations.protocol.prediction import PredictionStats

__all__ = [
    "AlreadyLoadedPacket",
    "LoadProgressPacket",
    "LoadSuccessPacket",
    "ProgressPacket",
    "PromptProcessingDetails",
    "PromptProcessingProgress",
    "ResolvedPacket",
    "StartLoadingPacket",
    "SuccessLoadPacket",
    "SuccessPacket",
    "ToolCallGenerationArgumentFragmentGenerated",
    "ToolCallGenerationEnd",
    "ToolCallGenerationFailed",
    "ToolCallGenerationNameReceived",
    "ToolCallGenerationStart",
    "UnloadingOtherJitModelPacket",
]


class ResolvedPacket(WireModel):
    """``loadModel``: which downloaded model the key means."""

    type: Literal["resolved"] = "resolved"
    info: ModelInfo


class ProgressPacket(WireModel):
    """``loadModel``: 0.0 to 1.0."""

    type: Literal["progress"] = "progress"
    progress: Number


class SuccessLoadPacket(WireModel):
    """``loadModel``: done."""

    type: Literal["success"] = "success"
    info: ModelInstanceInfo


class AlreadyLoadedPacket(WireModel):
    """``getOrLoad``: the model was loaded already."""

    type: Literal["alreadyLoaded"] = "alreadyLoaded"
    info: ModelInstanceInfo


class UnloadingOtherJitModelPacket(WireModel):
    """``getOrLoad``: another model, which was loaded just in time, is unloaded first."""

    type: Literal["unloadingOtherJITModel"] = "unloadingOtherJITModel"
    info: ModelInstanceInfo


class StartLoadingPacket(WireModel):
    """``getOrLoad``: the model is loaded under this identifier."""

    type: Literal["startLoading"] = "startLoading"
    identifier: str
    info: ModelInfo


class LoadProgressPacket(WireModel):
    """``getOrLoad``: 0.0 to 1.0."""

    type: Literal["loadProgress"] = "loadProgress"
    progress: Number


class LoadSuccessPacket(WireModel):
    """``getOrLoad``: done."""

    type: Literal["loadSuccess"] = "loadSuccess"
    info: ModelInstanceInfo


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
    """The complete call."""

    type: Literal["toolCallGenerationEnd"] = "toolCallGenerationEnd"
    tool_call_request: ToolCallRequest
    raw_content: str | None = None


class ToolCallGenerationFailed(WireModel):
    """The model wrote something that is no call; the prediction goes on."""

    type: Literal["toolCallGenerationFailed"] = "toolCallGenerationFailed"
    error: dict[str, Any]
    raw_content: str | None = None


class SuccessPacket(WireModel):
    """The end of a prediction, also of a cancelled one. The two configurations are in key/value form."""

    type: Literal["success"] = "success"
    stats: PredictionStats
    model_info: ModelInstanceInfo
    load_model_config: dict[str, Any]
    prediction_config: dict[str, Any]
