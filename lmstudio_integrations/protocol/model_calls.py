"""Calls about models: parameters and results of the remote procedures of the llm and embedding namespaces.

(PROTOCOL: "llm namespace". Here the key is ``specifier``; in predictions and embeddings it is ``modelSpecifier``.)
"""

from typing import ClassVar

from pydantic import ConfigDict, Field, StrictBool

from lmstudio_integrations.protocol._model import LenientModel, Number, WireInt, WireModel
from lmstudio_integrations.protocol.config_kv import ConfigStack
from lmstudio_integrations.protocol.history import ChatHistory
from lmstudio_integrations.protocol.models import QuerySpecifier
from lmstudio_integrations.protocol.tools import ToolDefinition

__all__ = [
    "ApplyPromptTemplateOptions",
    "ApplyPromptTemplateParameter",
    "ApplyPromptTemplateResult",
    "CountTokensParameter",
    "CountTokensResult",
    "GetLoadConfigParameter",
    "GetModelInfoParameter",
    "MemoryEstimate",
    "ProcessingState",
    "ResourceEstimate",
    "TokenizeParameter",
    "TokenizeResult",
    "UnloadModelParameter",
]


class UnloadModelParameter(WireModel):
    """``unloadModel``."""

    identifier: str


class GetModelInfoParameter(WireModel):
    """``getModelInfo``; ``throw_if_not_found`` must be given. "Not found" is an answer without ``result``."""

    specifier: QuerySpecifier
    throw_if_not_found: StrictBool = False


class GetLoadConfigParameter(WireModel):
    """``getLoadConfig``; answers a key/value configuration."""

    specifier: QuerySpecifier


class ApplyPromptTemplateOptions(WireModel):
    """All optional; the object itself is not."""

    omit_bos_token: StrictBool | None = None
    omit_eos_token: StrictBool | None = None
    tool_definitions: list[ToolDefinition] | None = None


class ApplyPromptTemplateParameter(WireModel):
    """``applyPromptTemplate``."""

    specifier: QuerySpecifier
    history: ChatHistory
    prediction_config_stack: ConfigStack
    opts: ApplyPromptTemplateOptions = Field(default_factory=ApplyPromptTemplateOptions)


class ApplyPromptTemplateResult(LenientModel):
    """The prompt as the model would see it."""

    formatted: str


class TokenizeParameter(WireModel):
    """``tokenize``: one text per call."""

    specifier: QuerySpecifier
    input_string: str


class TokenizeResult(LenientModel):
    """Token ids. Read as leniently as pydantic does by itself, which takes a twentieth of the time of ``WireInt``."""

    tokens: list[int]


class CountTokensParameter(WireModel):
    """``countTokens``."""

    specifier: QuerySpecifier
    input_string: str


class CountTokensResult(LenientModel):
    """Number of tokens."""

    token_count: WireInt


class ProcessingState(LenientModel):
    """``getInstanceProcessingState``: what a loaded model does, and how many requests wait for it.

    ``status`` is "idle", "processingPrompt", "generating", "computingEmbedding", or a newer server's word.
    """

    status: str
    queued: WireInt = 0


class MemoryEstimate(LenientModel):
    """Bytes that a model would take: the model itself, its context, and both; on GPUs alone, and in all.

    ``confidence`` is "high" or "low".
    """

    confidence: str = "low"
    model_vram_bytes: Number = 0
    context_vram_bytes: Number = 0
    total_vram_bytes: Number = 0
    model_bytes: Number = 0
    context_bytes: Number = 0
    total_bytes: Number = 0


class ResourceEstimate(LenientModel):
    """``estimateModelUsage``: what loading a model would take, and whether LM Studio's guardrails let it pass."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow")

    memory: MemoryEstimate
    passes_guardrails: bool
