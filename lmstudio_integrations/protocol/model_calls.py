"""The results of calls about models (PROTOCOL: "llm namespace", "embedding.embedString")."""

import math
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from lmstudio_integrations.protocol._model import LenientModel, Number, WireInt

__all__ = [
    "ApplyPromptTemplateResult",
    "CountTokensResult",
    "EmbedStringResult",
    "MemoryEstimate",
    "ProcessingState",
    "ResourceEstimate",
    "TokenizeResult",
]


class ApplyPromptTemplateResult(LenientModel):
    """The prompt as the model would see it."""

    formatted: str


class TokenizeResult(LenientModel):
    """Token ids. Read as leniently as pydantic does by itself, which takes a twentieth of the time of ``WireInt``."""

    tokens: list[int]


class CountTokensResult(LenientModel):
    """Number of tokens."""

    token_count: WireInt


class EmbedStringResult(LenientModel):
    """``embedString``: the vector of one text. LM Studio's documentation does not promise that its length is one."""

    embedding: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]

    @field_validator("embedding", mode="wrap")
    @classmethod
    def _name_what_is_not_finite(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        """NaN from an engine's arithmetic is ``null`` in the JSON of LM Studio's JavaScript."""
        try:
            return validate(value)
        except ValidationError:
            if isinstance(value, list) and any(map(_is_not_finite, value)):
                raise ValueError(
                    "the model's vector for this text has entries that are no finite numbers (NaN). The same text "
                    "gives the same: change it, or update LM Studio's runtime, or load the model without GPU"
                ) from None
            raise


def _is_not_finite(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


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
