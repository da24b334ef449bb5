"""The settings as dictionaries, so that an editor can complete LM Studio's camelCase names and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

__all__ = ["EmbeddingLoadModelConfigDict", "GpuSettingDict", "LlmLoadModelConfigDict", "LlmPredictionConfigDict"]

Off = Literal[False]
CacheQuantizationName = Literal["f32", "f16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"]


class LlmPredictionConfigDict(TypedDict, total=False):
    """See :class:`~lmstudio_integrations.protocol.config_models.LlmPredictionConfig`."""

    temperature: float
    maxTokens: int | Off
    stopStrings: Sequence[str]
    toolCallStopStrings: Sequence[str]
    contextOverflowPolicy: Literal["stopAtLimit", "truncateMiddle", "rollingWindow"]
    structured: Any
    rawTools: Mapping[str, Any]
    toolChoice: Literal["none", "auto", "required"] | Mapping[str, Any]
    toolNaming: Literal["passThrough", "removeSpecial", "snakeCase", "camelCase"]
    topKSampling: int
    repeatPenalty: float | Off
    minPSampling: float | Off
    topPSampling: float | Off
    presencePenalty: float | Off
    frequencyPenalty: float | Off
    xtcProbability: float | Off
    xtcThreshold: float | Off
    tailFreeSampling: float | Off
    locallyTypicalSampling: float | Off
    mirostatSampling: Mapping[str, Any]
    logitBias: Mapping[int, float] | Sequence[Sequence[Any]]
    logProbs: int | Off
    seed: int | Off
    cpuThreads: int
    systemPrompt: str
    contextPrefill: Sequence[Mapping[str, Any]]
    enableThinking: bool
    reasoningBudget: int | Off
    reasoningParsing: Mapping[str, Any]
    promptTemplate: Mapping[str, Any]
    draftModel: str
    speculativeDecodingMinDraftLengthToConsider: int
    speculativeDecodingMinContinueDraftingProbability: float
    speculativeDecodingNumDraftTokensExact: int
    speculativeDecodingNumReuseTokens: int
    speculativeDecodingMaxTokensToDraft: int
    userMaxImageDimensionPixels: int | Off
    ignoreModelPreferredMaxImageDimension: bool
    raw: Mapping[str, Any]


class GpuSettingDict(TypedDict, total=False):
    """See :class:`~lmstudio_integrations.protocol.config_models.GpuSetting`."""

    ratio: float | Literal["max", "off"]
    numCpuExpertLayersRatio: float | Literal["max", "off"]
    mainGpu: int
    splitStrategy: Literal["evenly", "favorMainGpu"]
    disabledGpus: Sequence[int]


class LlmLoadModelConfigDict(TypedDict, total=False):
    """See :class:`~lmstudio_integrations.protocol.config_models.LlmLoadModelConfig`."""

    contextLength: int
    gpu: GpuSettingDict
    autoFit: bool
    autoFitMinContextLength: int
    gpuStrictVramCap: bool
    offloadKVCacheToGpu: bool
    numExperts: int
    seed: int | Off
    maxParallelPredictions: int
    useUnifiedKvCache: bool
    promptTemplate: Mapping[str, Any]
    cpuThreadPoolSize: int
    evalBatchSize: int
    physicalBatchSize: int
    flashAttention: bool
    contextCheckpoints: int
    reasoningBudgetMessage: str
    keepModelInMemory: bool
    useFp16ForKVCache: bool
    tryMmap: bool
    tryDirectIO: bool
    ropeFrequencyBase: float | Off
    ropeFrequencyScale: float | Off
    llamaKCacheQuantizationType: CacheQuantizationName | Off
    llamaVCacheQuantizationType: CacheQuantizationName | Off
    speculativeDraftMtp: bool
    speculativeDraftSimple: bool
    speculativeDraftModel: str
    speculativeDraftMaxTokens: int
    speculativeDraftMinTokens: int
    speculativeDraftMinContinueProbability: float
    mlxDiskCache: bool
    mlxKvCacheQuantization: Mapping[str, Any] | Off
    raw: Mapping[str, Any]


class EmbeddingLoadModelConfigDict(TypedDict, total=False):
    """See :class:`~lmstudio_integrations.protocol.config_models.EmbeddingLoadModelConfig`."""

    contextLength: int
    gpu: GpuSettingDict
    seed: int | Off
    evalBatchSize: int
    keepModelInMemory: bool
    tryMmap: bool
    ropeFrequencyBase: float | Off
    ropeFrequencyScale: float | Off
    raw: Mapping[str, Any]
