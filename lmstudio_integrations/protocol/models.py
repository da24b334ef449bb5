"""Models: what they are, how one is named, loaded and asked about (PROTOCOL: "llm namespace", "Load / unload")."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictBool

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol._model import Incoming, Number, WireInt, WireModel
from lmstudio_integrations.protocol.config_kv import ConfigStack
from lmstudio_integrations.protocol.history import ChatHistory
from lmstudio_integrations.protocol.tools import ToolDefinition

__all__ = [
    "GET_OR_LOAD_PACKETS",
    "LOAD_MODEL_PACKETS",
    "AlreadyLoadedPacket",
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
    "GetOrLoadCreation",
    "InstanceReference",
    "LoadModelCreation",
    "LoadProgressPacket",
    "LoadSuccessPacket",
    "MemoryEstimate",
    "ModelInfo",
    "ModelInstanceInfo",
    "ModelQuery",
    "ModelSpecifier",
    "PreloadDraftModelParameter",
    "ProcessingState",
    "ProgressPacket",
    "Quantization",
    "QuerySpecifier",
    "ResolvedPacket",
    "ResourceEstimate",
    "StartLoadingPacket",
    "SuccessLoadPacket",
    "TokenizeParameter",
    "TokenizeResult",
    "UnloadModelParameter",
    "UnloadingOtherJitModelPacket",
    "check_identifier",
    "instance_reference",
    "query",
]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _reasonable(text: str) -> str:
    if not 1 <= len(text.encode("utf-16-le", "surrogatepass")) // 2 <= 1024:
        raise ValueError("must be 1 to 1024 characters long")
    if _CONTROL.search(text):
        raise ValueError("must not have control characters")
    if text == "__proto__":
        raise ValueError("is a name that LM Studio refuses")
    return text


KeyText = Annotated[str, AfterValidator(_reasonable)]
Milliseconds = Annotated[WireInt, Field(ge=1)]


def check_identifier(text: str) -> str:
    """A model key or identifier as LM Studio accepts it, unchanged.

    Raises:
        LMStudioValueError: no text, empty, longer than 1024 characters, with control characters, or ``"__proto__"``.
    """
    if not isinstance(text, str):
        raise LMStudioValueError(f"A model key or identifier must be text, not {type(text).__name__}.")
    try:
        return _reasonable(text)
    except ValueError as error:
        raise LMStudioValueError(f"The model key or identifier {text[:80]!r} {error}.") from None


class ModelQuery(WireModel):
    """Which loaded model is meant; ``{}`` is any of them."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier"})

    domain: str | None = None
    device_identifier: str | None = None
    identifier: KeyText | None = None
    path: KeyText | None = None
    vision: StrictBool | None = None


class QuerySpecifier(WireModel):
    """Whichever loaded model fits the query at that moment; survives an unload and reload."""

    type: Literal["query"] = "query"
    query: ModelQuery


class InstanceReference(WireModel):
    """One instance, by LM Studio's own reference; breaks when that instance is unloaded."""

    type: Literal["instanceReference"] = "instanceReference"
    instance_reference: str


ModelSpecifier = Annotated[QuerySpecifier | InstanceReference, Field(discriminator="type")]


def query(
    identifier: str | None = None,
    *,
    path: str | None = None,
    domain: str | None = None,
    vision: bool | None = None,
) -> QuerySpecifier:
    """Any loaded model that fits.

    Raises:
        LMStudioValueError: ``identifier`` or ``path`` would be refused.
    """
    for text in (identifier, path):
        if text is not None:
            check_identifier(text)
    return QuerySpecifier(query=ModelQuery(identifier=identifier, path=path, domain=domain, vision=vision))


def instance_reference(reference: str) -> InstanceReference:
    """Exactly this instance."""
    return InstanceReference.checked(instance_reference=reference)


class Quantization(Incoming):
    """For example ``Q4_K_M`` with 4 bits."""

    name: str = ""
    bits: WireInt = 0


class ModelInfo(Incoming):
    """A downloaded model. What older servers lack has a default; what newer ones add is kept in ``model_extra``.

    ``size_bytes`` is the size on disk; ``max_context_length`` in tokens. ``vision`` and ``trained_for_tool_use`` are
    ``None`` for embedding models.
    """

    model_config = ConfigDict(extra="allow")
    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier"})

    type: str = "llm"
    model_key: str
    format: str = ""
    display_name: str = ""
    publisher: str | None = None
    path: str = ""
    size_bytes: WireInt = 0
    indexed_model_identifier: str | None = None
    device_identifier: str | None = None
    params_string: str | None = None
    architecture: str | None = None
    quantization: Quantization | None = None
    variants: list[str] | None = None
    selected_variant: str | None = None
    vision: bool | None = None
    trained_for_tool_use: bool | None = None
    max_context_length: WireInt = 0


class ModelInstanceInfo(ModelInfo):
    """A loaded model.

    ``ttl_ms`` is the idle time in milliseconds after which it is unloaded, ``None`` for never; ``last_used_time`` is
    Unix time in milliseconds; ``context_length`` in tokens.
    """

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier", "ttl_ms", "last_used_time"})

    identifier: str
    instance_reference: str = ""
    ttl_ms: WireInt | None = None
    last_used_time: WireInt | None = None
    context_length: WireInt = 0


class LoadModelCreation(WireModel):
    """Channel ``loadModel``: always a new instance. ``ttl_ms`` at least 1; leave it out for no limit."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier"})

    model_key: str
    identifier: str | None = None
    device_identifier: str | None = None
    ttl_ms: Milliseconds | None = None
    load_config_stack: ConfigStack


class GetOrLoadCreation(WireModel):
    """Channel ``getOrLoad``: the loaded instance, or load it. Config and TTL count only if it has to be loaded."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset({"device_identifier"})

    identifier: str
    device_identifier: str | None = None
    load_ttl_ms: Milliseconds | None = None
    load_config_stack: ConfigStack


class ResolvedPacket(Incoming):
    """``loadModel``: which downloaded model the key means; ``ambiguous`` lists the others that fit, too."""

    type: Literal["resolved"] = "resolved"
    info: ModelInfo
    ambiguous: list[str] | None = None


class ProgressPacket(Incoming):
    """``loadModel``: 0.0 to 1.0."""

    type: Literal["progress"] = "progress"
    progress: Number = 0.0


class SuccessLoadPacket(Incoming):
    """``loadModel``: done."""

    type: Literal["success"] = "success"
    info: ModelInstanceInfo


class AlreadyLoadedPacket(Incoming):
    """``getOrLoad``: it was there."""

    type: Literal["alreadyLoaded"] = "alreadyLoaded"
    info: ModelInstanceInfo


class UnloadingOtherJitModelPacket(Incoming):
    """``getOrLoad``: another model that was loaded just in time has to go first."""

    type: Literal["unloadingOtherJITModel"] = "unloadingOtherJITModel"
    info: ModelInstanceInfo


class StartLoadingPacket(Incoming):
    """``getOrLoad``: it has to be loaded, under this identifier."""

    type: Literal["startLoading"] = "startLoading"
    identifier: str
    info: ModelInfo


class LoadProgressPacket(Incoming):
    """``getOrLoad``: 0.0 to 1.0."""

    type: Literal["loadProgress"] = "loadProgress"
    progress: Number = 0.0


class LoadSuccessPacket(Incoming):
    """``getOrLoad``: done."""

    type: Literal["loadSuccess"] = "loadSuccess"
    info: ModelInstanceInfo


LOAD_MODEL_PACKETS: dict[str, type[Incoming]] = {
    "resolved": ResolvedPacket,
    "progress": ProgressPacket,
    "success": SuccessLoadPacket,
}
"""The packets of ``loadModel`` by their ``type``."""

GET_OR_LOAD_PACKETS: dict[str, type[Incoming]] = {
    "alreadyLoaded": AlreadyLoadedPacket,
    "unloadingOtherJITModel": UnloadingOtherJitModelPacket,
    "startLoading": StartLoadingPacket,
    "loadProgress": LoadProgressPacket,
    "loadSuccess": LoadSuccessPacket,
}
"""The packets of ``getOrLoad`` by their ``type``."""


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
    """Token ids."""

    tokens: list[WireInt]


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
