"""The settings as dictionaries, for editors and type checkers: LM Studio's camelCase names, and snake_case ones."""

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
    max_tokens: int | Off
    stopStrings: Sequence[str]
    stop_strings: Sequence[str]
    toolCallStopStrings: Sequence[str]
    tool_call_stop_strings: Sequence[str]
    contextOverflowPolicy: Literal["stopAtLimit", "truncateMiddle", "rollingWindow"]
    context_overflow_policy: Literal["stopAtLimit", "truncateMiddle", "rollingWindow"]
    structured: Any
    rawTools: Mapping[str, Any]
    raw_tools: Mapping[str, Any]
    toolChoice: Literal["none", "auto", "required"] | Mapping[str, Any]
    tool_choice: Literal["none", "auto", "required"] | Mapping[str, Any]
    toolNaming: Literal["passThrough", "removeSpecial", "snakeCase", "camelCase"]
    tool_naming: Literal["passThrough", "removeSpecial", "snakeCase", "camelCase"]
    topKSampling: int
    top_k_sampling: int
    repeatPenalty: float | Off
    repeat_penalty: float | Off
    minPSampling: float | Off
    min_p_sampling: float | Off
    topPSampling: float | Off
    top_p_sampling: float | Off
    presencePenalty: float | Off
    presence_penalty: float | Off
    frequencyPenalty: float | Off
    frequency_penalty: float | Off
    xtcProbability: float | Off
    xtc_probability: float | Off
    xtcThreshold: float | Off
    xtc_threshold: float | Off
    tailFreeSampling: float | Off
    tail_free_sampling: float | Off
    locallyTypicalSampling: float | Off
    locally_typical_sampling: float | Off
    mirostatSampling: Mapping[str, Any]
    mirostat_sampling: Mapping[str, Any]
    logitBias: Mapping[int, float] | Sequence[Sequence[Any]]
    logit_bias: Mapping[int, float] | Sequence[Sequence[Any]]
    logProbs: int | Off
    log_probs: int | Off
    seed: int | Off
    cpuThreads: int
    cpu_threads: int
    systemPrompt: str
    system_prompt: str
    contextPrefill: Sequence[Mapping[str, Any]]
    context_prefill: Sequence[Mapping[str, Any]]
    enableThinking: bool
    enable_thinking: bool
    reasoningBudget: int | Off
    reasoning_budget: int | Off
    reasoningParsing: Mapping[str, Any]
    reasoning_parsing: Mapping[str, Any]
    promptTemplate: Mapping[str, Any]
    prompt_template: Mapping[str, Any]
    draftModel: str
    draft_model: str
    speculativeDecodingMinDraftLengthToConsider: int
    speculative_decoding_min_draft_length_to_consider: int
    speculativeDecodingMinContinueDraftingProbability: float
    speculative_decoding_min_continue_drafting_probability: float
    speculativeDecodingNumDraftTokensExact: int
    speculative_decoding_num_draft_tokens_exact: int
    speculativeDecodingNumReuseTokens: int
    speculative_decoding_num_reuse_tokens: int
    speculativeDecodingMaxTokensToDraft: int
    speculative_decoding_max_tokens_to_draft: int
    userMaxImageDimensionPixels: int | Off
    user_max_image_dimension_pixels: int | Off
    ignoreModelPreferredMaxImageDimension: bool
    ignore_model_preferred_max_image_dimension: bool
    raw: Mapping[str, Any]


class GpuSettingDict(TypedDict, total=False):
    """See :class:`~lmstudio_integrations.protocol.config_models.GpuSetting`."""

    ratio: float | Literal["max", "off"]
    numCpuExpertLayersRatio: float | Literal["max", "off"]
    num_cpu_expert_layers_ratio: float | Literal["max", "off"]
    mainGpu: int
    main_gpu: int
    splitStrategy: Literal["evenly", "favorMainGpu"]
    split_strategy: Literal["evenly", "favorMainGpu"]
    disabledGpus: Sequence[int]
    disabled_gpus: Sequence[int]


class LlmLoadModelConfigDict(TypedDict, total=False):
    """See :class:`~lmstudio_integrations.protocol.config_models.LlmLoadModelConfig`."""

    contextLength: int
    context_length: int
    gpu: GpuSettingDict
    autoFit: bool
    auto_fit: bool
    autoFitMinContextLength: int
    auto_fit_min_context_length: int
    gpuStrictVramCap: bool
    gpu_strict_vram_cap: bool
    offloadKVCacheToGpu: bool
    offload_kv_cache_to_gpu: bool
    numExperts: int
    num_experts: int
    seed: int | Off
    maxParallelPredictions: int
    max_parallel_predictions: int
    useUnifiedKvCache: bool
    use_unified_kv_cache: bool
    promptTemplate: Mapping[str, Any]
    prompt_template: Mapping[str, Any]
    cpuThreadPoolSize: int
    cpu_thread_pool_size: int
    evalBatchSize: int
    eval_batch_size: int
    physicalBatchSize: int
    physical_batch_size: int
    flashAttention: bool
    flash_attention: bool
    contextCheckpoints: int
    context_checkpoints: int
    reasoningBudgetMessage: str
    reasoning_budget_message: str
    keepModelInMemory: bool
    keep_model_in_memory: bool
    useFp16ForKVCache: bool
    use_fp16_for_kv_cache: bool
    tryMmap: bool
    try_mmap: bool
    tryDirectIO: bool
    try_direct_io: bool
    ropeFrequencyBase: float | Off
    rope_frequency_base: float | Off
    ropeFrequencyScale: float | Off
    rope_frequency_scale: float | Off
    llamaKCacheQuantizationType: CacheQuantizationName | Off
    llama_k_cache_quantization_type: CacheQuantizationName | Off
    llamaVCacheQuantizationType: CacheQuantizationName | Off
    llama_v_cache_quantization_type: CacheQuantizationName | Off
    speculativeDraftMtp: bool
    speculative_draft_mtp: bool
    speculativeDraftSimple: bool
    speculative_draft_simple: bool
    speculativeDraftModel: str
    speculative_draft_model: str
    speculativeDraftMaxTokens: int
    speculative_draft_max_tokens: int
    speculativeDraftMinTokens: int
    speculative_draft_min_tokens: int
    speculativeDraftMinContinueProbability: float
    speculative_draft_min_continue_probability: float
    mlxDiskCache: bool
    mlx_disk_cache: bool
    mlxKvCacheQuantization: Mapping[str, Any] | Off
    mlx_kv_cache_quantization: Mapping[str, Any] | Off
    raw: Mapping[str, Any]


class EmbeddingLoadModelConfigDict(TypedDict, total=False):
    """See :class:`~lmstudio_integrations.protocol.config_models.EmbeddingLoadModelConfig`."""

    contextLength: int
    context_length: int
    gpu: GpuSettingDict
    seed: int | Off
    evalBatchSize: int
    eval_batch_size: int
    keepModelInMemory: bool
    keep_model_in_memory: bool
    tryMmap: bool
    try_mmap: bool
    ropeFrequencyBase: float | Off
    rope_frequency_base: float | Off
    ropeFrequencyScale: float | Off
    rope_frequency_scale: float | Off
    raw: Mapping[str, Any]
