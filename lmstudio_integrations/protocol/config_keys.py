"""Which user name stands for which key of LM Studio's key/value configuration (PROTOCOL: "KV config").

One row per setting, in the order in which they are sent. ``CHECKBOX`` settings travel as
``{"checked": bool, "value": …}``: a value ``v`` as ``{true, v}``, ``False`` as ``{false, unchecked_value}``. The
unchecked values are those of the official JavaScript SDK.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["AUTO_FIT_KEYS", "EMBEDDING_LOAD_KEYS", "LLM_LOAD_KEYS", "PREDICTION_KEYS", "SIDECAR_KEYS", "KeyRow"]


class KeyRow(NamedTuple):
    """``user`` is the camelCase name; ``unchecked_value`` is not ``None`` for checkbox settings."""

    user: str
    key: str
    unchecked_value: float | int | str | None = None

    @property
    def checkbox(self) -> bool:
        """Whether the value travels with a checkbox."""
        return self.unchecked_value is not None


_P, _L, _E = "llm.prediction.", "llm.load.", "embedding.load."

PREDICTION_KEYS: tuple[KeyRow, ...] = (
    KeyRow("temperature", _P + "temperature"),
    KeyRow("contextOverflowPolicy", _P + "contextOverflowPolicy"),
    KeyRow("maxTokens", _P + "maxPredictedTokens", 1),
    KeyRow("reasoningBudget", _P + "reasoning.budgetTokens", 1024),
    KeyRow("stopStrings", _P + "stopStrings"),
    KeyRow("toolCallStopStrings", _P + "toolCallStopStrings"),
    KeyRow("structured", _P + "structured"),
    KeyRow("rawTools", _P + "tools"),
    KeyRow("toolChoice", _P + "toolChoice"),
    KeyRow("toolNaming", _P + "toolNaming"),
    KeyRow("topKSampling", _P + "topKSampling"),
    KeyRow("repeatPenalty", _P + "repeatPenalty", 1.1),
    KeyRow("presencePenalty", _P + "llama.presencePenalty", 0),
    KeyRow("frequencyPenalty", _P + "llama.frequencyPenalty", 0),
    KeyRow("minPSampling", _P + "minPSampling", 0.05),
    KeyRow("topPSampling", _P + "topPSampling", 0.95),
    KeyRow("xtcProbability", _P + "llama.xtcProbability", 0),
    KeyRow("xtcThreshold", _P + "llama.xtcThreshold", 0),
    KeyRow("tailFreeSampling", _P + "llama.tailFreeSampling", 0.95),
    KeyRow("locallyTypicalSampling", _P + "llama.locallyTypicalSampling", 0.9),
    KeyRow("mirostatSampling", _P + "llama.mirostatSampling"),
    KeyRow("logitBias", _P + "llama.logitBias"),
    KeyRow("logProbs", _P + "logProbs", 0),
    KeyRow("seed", _P + "seed", 0),
    KeyRow("cpuThreads", _P + "llama.cpuThreads"),
    KeyRow("systemPrompt", _P + "systemPrompt"),
    KeyRow("contextPrefill", _P + "contextPrefill"),
    KeyRow("enableThinking", _P + "reasoning.enableThinking"),
    KeyRow("reasoningParsing", _P + "reasoning.parsing"),
    KeyRow("promptTemplate", _P + "promptTemplate"),
    KeyRow("draftModel", _P + "speculativeDecoding.draftModel"),
    KeyRow("speculativeDecodingMinDraftLengthToConsider", _P + "speculativeDecoding.minDraftLengthToConsider"),
    KeyRow(
        "speculativeDecodingMinContinueDraftingProbability", _P + "speculativeDecoding.minContinueDraftingProbability"
    ),
    KeyRow("speculativeDecodingNumDraftTokensExact", _P + "speculativeDecoding.numDraftTokensExact"),
    KeyRow("speculativeDecodingNumReuseTokens", _P + "speculativeDecoding.numReuseTokens"),
    KeyRow("speculativeDecodingMaxTokensToDraft", _P + "speculativeDecoding.maxTokensToDraft"),
    KeyRow("userMaxImageDimensionPixels", _P + "vision.userMaxImageDimensionPixels", 1024),
    KeyRow("ignoreModelPreferredMaxImageDimension", _P + "vision.ignoreModelPreferredMaxImageDimension"),
)

LLM_LOAD_KEYS: tuple[KeyRow, ...] = (
    KeyRow("contextLength", _L + "contextLength"),
    KeyRow("autoFitMinContextLength", _L + "autoFitMinContextLength"),
    KeyRow("gpuStrictVramCap", "load.gpuStrictVramCap"),
    KeyRow("offloadKVCacheToGpu", _L + "offloadKVCacheToGpu"),
    KeyRow("numExperts", _L + "numExperts"),
    KeyRow("seed", _L + "seed", 0),
    KeyRow("maxParallelPredictions", _L + "numParallelSessions"),
    KeyRow("useUnifiedKvCache", _L + "useUnifiedKvCache"),
    KeyRow("promptTemplate", _L + "promptTemplate"),
    KeyRow("cpuThreadPoolSize", _L + "llama.cpuThreadPoolSize"),
    KeyRow("evalBatchSize", _L + "llama.evalBatchSize"),
    KeyRow("physicalBatchSize", _L + "llama.physicalBatchSize"),
    KeyRow("flashAttention", _L + "llama.flashAttention"),
    KeyRow("contextCheckpoints", _L + "llama.contextCheckpoints"),
    KeyRow("reasoningBudgetMessage", _L + "llama.reasoningBudgetMessage"),
    KeyRow("keepModelInMemory", _L + "llama.keepModelInMemory"),
    KeyRow("useFp16ForKVCache", _L + "llama.useFp16ForKVCache"),
    KeyRow("tryMmap", _L + "llama.tryMmap"),
    KeyRow("tryDirectIO", _L + "llama.tryDirectIO"),
    KeyRow("ropeFrequencyBase", _L + "llama.ropeFrequencyBase", 0),
    KeyRow("ropeFrequencyScale", _L + "llama.ropeFrequencyScale", 0),
    KeyRow("llamaKCacheQuantizationType", _L + "llama.kCacheQuantizationType", "f16"),
    KeyRow("llamaVCacheQuantizationType", _L + "llama.vCacheQuantizationType", "f16"),
    KeyRow("speculativeDraftMtp", _L + "llama.speculativeDecoding.draftMtp"),
    KeyRow("speculativeDraftSimple", _L + "llama.speculativeDecoding.draftSimple"),
    KeyRow("speculativeDraftModel", _L + "llama.speculativeDecoding.draftModel"),
    KeyRow("speculativeDraftMaxTokens", _L + "llama.speculativeDecoding.draftMaxTokens"),
    KeyRow("speculativeDraftMinTokens", _L + "llama.speculativeDecoding.draftMinTokens"),
    KeyRow("speculativeDraftMinContinueProbability", _L + "llama.speculativeDecoding.draftMinContinueProbability"),
    KeyRow("mlxDiskCache", _L + "mlx.diskCache"),
    KeyRow("mlxKvCacheQuantization", _L + "mlx.kvCacheQuantization"),
)

EMBEDDING_LOAD_KEYS: tuple[KeyRow, ...] = (
    KeyRow("contextLength", _E + "contextLength"),
    KeyRow("seed", _E + "seed", 0),
    KeyRow("evalBatchSize", _E + "llama.evalBatchSize"),
    KeyRow("keepModelInMemory", _E + "llama.keepModelInMemory"),
    KeyRow("tryMmap", _E + "llama.tryMmap"),
    KeyRow("ropeFrequencyBase", _E + "llama.ropeFrequencyBase", 0),
    KeyRow("ropeFrequencyScale", _E + "llama.ropeFrequencyScale", 0),
)

AUTO_FIT_KEYS = (_L + "llama.autoFit", _L + "mlx.autoFit", _L + "yuzu.autoFit")
"""One setting, one key per engine (the third is known to SDK 2.0.0 only; servers ignore keys they do not know)."""

SIDECAR_KEYS = tuple(
    _L + f"llama.speculativeDecoding.{name}" for name in ("draftDflashSidecar", "draftDsparkSidecar", "draftMtpSidecar")
)
"""Switched off whenever a way of drafting is chosen."""
