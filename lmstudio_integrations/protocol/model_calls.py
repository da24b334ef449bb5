"""Calls about models: parameters and results of every remote procedure of the llm and embedding namespaces.

(PROTOCOL: "llm namespace". Here the key is ``specifier``; in predictions and embeddings it is ``modelSpecifier``.)
"""

from typing import ClassVar

from pydantic import Field, StrictBool

from lmstudio_integrations.protocol._model import Incoming, Number, WireInt, WireModel
from lmstudio_integrations.protocol.config_kv import ConfigStack
from lmstudio_integrations.protocol.history import ChatHistory
from lmstudio_integrations.protocol.models import ModelSpecifier
from lmstudio_integrations.protocol.tools import ToolDefinition

__all__ = [
    "ApplyPromptTemplateOptions",
    "ApplyPromptTemplateParameter",
    "ApplyPromptTemplateResult",
    "CountTokensParameter",
    "CountTokensResult",
    "EstimateModelUsageParameter",
    "GetBasePredictionConfigParameter",
    "GetInstanceProcessingStateParameter",
    "GetLoadConfigParameter",
    "GetModelInfoParameter",
    "MemoryEstimate",
    "PreloadDraftModelParameter",
    "ProcessingState",
    "ResourceEstimate",
    "TokenizeParameter",
    "TokenizeResult",
    "UnloadModelParameter",
]


class UnloadModelParameter(WireModel):
    """``unloadModel``."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier"})

    identifier: str
    device_identifier: str | None = None


class GetModelInfoParameter(WireModel):
    """``getModelInfo``; ``throw_if_not_found`` must be given. "Not found" is an answer without ``result``."""

    specifier: ModelSpecifier
    throw_if_not_found: StrictBool = False


class GetLoadConfigParameter(WireModel):
    """``getLoadConfig``; answers a key/value configuration."""

    specifier: ModelSpecifier


class GetBasePredictionConfigParameter(WireModel):
    """``getBasePredictionConfig`` (newer than October 2025); answers a key/value configuration."""

    specifier: ModelSpecifier
    ignore_server_session_config: StrictBool | None = None


class GetInstanceProcessingStateParameter(WireModel):
    """``getInstanceProcessingState`` (newer than October 2025)."""

    specifier: ModelSpecifier
    throw_if_not_found: StrictBool = False


class ProcessingState(Incoming):
    """What an instance does: ``idle``, ``processingPrompt``, ``generating`` or ``computingEmbedding``."""

    status: str = "idle"
    queued: Number = 0


class EstimateModelUsageParameter(WireModel):
    """``estimateModelUsage`` (newer than October 2025)."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier"})

    model_key: str
    load_config_stack: ConfigStack
    device_identifier: str | None = None


class MemoryEstimate(Incoming):
    """Bytes; ``confidence`` is LM Studio's own word for how sure it is."""

    confidence: str = ""
    model_vram_bytes: Number = 0
    context_vram_bytes: Number = 0
    total_vram_bytes: Number = 0
    model_bytes: Number = 0
    context_bytes: Number = 0
    total_bytes: Number = 0


class ResourceEstimate(Incoming):
    """Whether LM Studio's guardrails would let the model be loaded, and what it would take."""

    memory: MemoryEstimate = Field(default_factory=MemoryEstimate)
    passes_guardrails: bool = True


class ApplyPromptTemplateOptions(WireModel):
    """All optional; the object itself is not."""

    omit_bos_token: StrictBool | None = None
    omit_eos_token: StrictBool | None = None
    tool_definitions: list[ToolDefinition] | None = None


class ApplyPromptTemplateParameter(WireModel):
    """``applyPromptTemplate``."""

    specifier: ModelSpecifier
    history: ChatHistory
    prediction_config_stack: ConfigStack
    opts: ApplyPromptTemplateOptions = Field(default_factory=ApplyPromptTemplateOptions)


class ApplyPromptTemplateResult(Incoming):
    """The prompt as the model would see it."""

    formatted: str


class TokenizeParameter(WireModel):
    """``tokenize``: one text per call."""

    specifier: ModelSpecifier
    input_string: str


class TokenizeResult(Incoming):
    """Token ids. Read as leniently as pydantic does by itself, which takes a twentieth of the time of ``WireInt``."""

    tokens: list[int]


class CountTokensParameter(WireModel):
    """``countTokens``."""

    specifier: ModelSpecifier
    input_string: str


class CountTokensResult(Incoming):
    """Number of tokens."""

    token_count: WireInt


class PreloadDraftModelParameter(WireModel):
    """``preloadDraftModel``: for speculative decoding."""

    specifier: ModelSpecifier
    draft_model_key: str
