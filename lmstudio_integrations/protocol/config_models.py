"""Settings under the names of LM Studio's documentation: of a prediction, and of loading either kind of model.

Attributes are snake_case; mappings may use LM Studio's camelCase names or ours. ``None`` means "not set: whatever the
server, the preset or the model says". Where a setting has a checkbox, ``False`` unticks it. Each field's description
says what it takes; the error messages quote it.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from lmstudio_integrations.protocol._model import Number, WireInt, to_camel
from lmstudio_integrations.protocol.config_values import (
    CacheQuantization,
    ChatTurn,
    LoadPromptTemplate,
    LogitBias,
    Mirostat,
    MlxKvCacheQuantization,
    Off,
    OffloadRatio,
    PromptTemplate,
    ReasoningParsing,
    Structured,
    ToolChoiceValue,
    ToolUse,
    UnitNumber,
)
from lmstudio_integrations.protocol.tools import ToolNaming

__all__ = ["Config", "EmbeddingLoadModelConfig", "GpuSetting", "LlmLoadModelConfig", "LlmPredictionConfig"]


def _raw_mapping(value: Any) -> Any:
    """A mapping of keys to values, or LM Studio's own ``{"fields": [{"key", "value"}]}``."""
    if isinstance(value, dict) and set(value) == {"fields"} and isinstance(value["fields"], list):
        return {field["key"]: field.get("value") for field in value["fields"]}
    return value


Raw = Annotated[dict[str, Any], BeforeValidator(_raw_mapping)]
AtLeast0 = Annotated[WireInt, Field(ge=0)]
AtLeast1 = Annotated[WireInt, Field(ge=1)]
Seed = Annotated[WireInt, Field(ge=-1)]
Penalty = Annotated[Number, Field(ge=-1)]
NonNegative = Annotated[Number, Field(ge=0)]

_BOOL = "true or false"
_UNIT = "a number from 0 to 1"
_UNIT_OFF = "a number from 0 to 1, or false to switch it off"
_COUNT = "a whole number of at least 1"
_COUNT0 = "a whole number of at least 0"
_NUMBER_OFF = "a number, or false to switch it off"
_SEED = "a whole number of at least -1, or false for a random seed"
_STRINGS = "a list of texts"
_ROPE = "a number of at least 0, or false for the model's own"
_CACHE = "one of f32, f16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1, or false to switch it off"
_RAW = "a mapping of LM Studio's own keys to values, sent as it is and after everything else"
_RATIO = 'a number from 0 to 1, "max" or "off"'


def _name(attribute: str) -> str:
    return _ODD_NAMES.get(attribute) or to_camel(attribute)


_ODD_NAMES = {
    "offload_kv_cache_to_gpu": "offloadKVCacheToGpu",
    "use_fp16_for_kv_cache": "useFp16ForKVCache",
    "try_direct_io": "tryDirectIO",
    "llama_k_cache_quantization_type": "llamaKCacheQuantizationType",
    "llama_v_cache_quantization_type": "llamaVCacheQuantizationType",
    "min_p_sampling": "minPSampling",
    "top_p_sampling": "topPSampling",
    "top_k_sampling": "topKSampling",
}


class Config(BaseModel):
    """Base of the settings; unknown names are errors."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        alias_generator=_name, populate_by_name=True, extra="forbid", defer_build=True, protected_namespaces=()
    )


class LlmPredictionConfig(Config):
    """How a model answers (LM Studio's ``LLMPredictionConfig``, and keys that have no public name there)."""

    temperature: NonNegative | None = Field(default=None, description="a number of at least 0")
    max_tokens: AtLeast1 | Off | None = Field(
        default=None, description="a whole number of at least 1, or false for no limit"
    )
    stop_strings: list[str] | None = Field(default=None, description=_STRINGS)
    tool_call_stop_strings: list[str] | None = Field(default=None, description=_STRINGS)
    context_overflow_policy: Literal["stopAtLimit", "truncateMiddle", "rollingWindow"] | None = Field(
        default=None, description='"stopAtLimit", "truncateMiddle" or "rollingWindow"'
    )
    structured: Structured | None = Field(
        default=None, description='a pydantic class, a JSON Schema or {"type": "json"|"gbnf"|"none", …}'
    )
    raw_tools: ToolUse | None = Field(
        default=None, description='{"type": "none"} or {"type": "toolArray", "tools": […]}'
    )
    tool_choice: ToolChoiceValue | None = Field(default=None, description='"none", "auto" or "required"')
    tool_naming: ToolNaming | None = Field(
        default=None, description='"passThrough", "removeSpecial", "snakeCase" or "camelCase"'
    )
    top_k_sampling: Annotated[WireInt, Field(ge=-1, le=500)] | None = Field(
        default=None, description="a whole number from -1 to 500"
    )
    repeat_penalty: Penalty | Off | None = Field(
        default=None, description="a number of at least -1, or false to switch it off"
    )
    min_p_sampling: UnitNumber | Off | None = Field(default=None, description=_UNIT_OFF)
    top_p_sampling: UnitNumber | Off | None = Field(default=None, description=_UNIT_OFF)
    presence_penalty: Number | Off | None = Field(default=None, description=_NUMBER_OFF)
    frequency_penalty: Number | Off | None = Field(default=None, description=_NUMBER_OFF)
    xtc_probability: UnitNumber | Off | None = Field(default=None, description=_UNIT_OFF)
    xtc_threshold: UnitNumber | Off | None = Field(default=None, description=_UNIT_OFF)
    tail_free_sampling: UnitNumber | Off | None = Field(default=None, description=_UNIT_OFF)
    locally_typical_sampling: UnitNumber | Off | None = Field(default=None, description=_UNIT_OFF)
    mirostat_sampling: Mirostat | None = Field(
        default=None, description='{"version": 0, 1 or 2, "learningRate": number, "targetEntropy": number}'
    )
    logit_bias: LogitBias | None = Field(
        default=None,
        description='a mapping of token ids to biases, or a list of [token id, bias]; a bias is a number or "-inf"',
    )
    log_probs: Annotated[WireInt, Field(ge=0, le=100)] | Off | None = Field(
        default=None, description="a whole number from 0 to 100, or false to switch it off"
    )
    seed: Seed | Off | None = Field(default=None, description=_SEED)
    cpu_threads: AtLeast1 | None = Field(default=None, description=_COUNT)
    system_prompt: str | None = Field(default=None, description="text")
    context_prefill: list[ChatTurn] | None = Field(
        default=None, description='a list of {"type": "jsonFile"|"yamlFile", "absPath": "…"}'
    )
    enable_thinking: StrictBool | None = Field(default=None, description=_BOOL)
    reasoning_budget: AtLeast0 | Off | None = Field(
        default=None, description="a whole number of tokens of at least 0, or false for no limit"
    )
    reasoning_parsing: ReasoningParsing | None = Field(
        default=None, description='{"enabled": true or false, "startString": "…", "endString": "…"}'
    )
    prompt_template: PromptTemplate | None = Field(
        default=None,
        description='{"type": "jinja", "jinjaPromptTemplate": {"template": "…"}, "stopStrings": []} or the manual form',
    )
    draft_model: str | None = Field(default=None, description='a model key, or "" to switch it off')
    speculative_decoding_min_draft_length_to_consider: AtLeast0 | None = Field(default=None, description=_COUNT0)
    speculative_decoding_min_continue_drafting_probability: UnitNumber | None = Field(default=None, description=_UNIT)
    speculative_decoding_num_draft_tokens_exact: AtLeast1 | None = Field(default=None, description=_COUNT)
    speculative_decoding_num_reuse_tokens: AtLeast1 | None = Field(default=None, description=_COUNT)
    speculative_decoding_max_tokens_to_draft: AtLeast1 | None = Field(default=None, description=_COUNT)
    user_max_image_dimension_pixels: AtLeast1 | Off | None = Field(
        default=None, description="a whole number of pixels of at least 1, or false for no limit"
    )
    ignore_model_preferred_max_image_dimension: StrictBool | None = Field(default=None, description=_BOOL)
    raw: Raw | None = Field(default=None, description=_RAW)


class GpuSetting(Config):
    """Where a model's layers go. ``split_strategy`` ``"favorMainGpu"`` wants ``main_gpu``."""

    ratio: OffloadRatio | None = Field(default=None, description=_RATIO)
    num_cpu_expert_layers_ratio: OffloadRatio | None = Field(default=None, description=_RATIO)
    main_gpu: AtLeast0 | None = Field(default=None, description="the number of a GPU, from 0")
    split_strategy: Literal["evenly", "favorMainGpu"] | None = Field(
        default=None, description='"evenly" or "favorMainGpu"'
    )
    disabled_gpus: list[AtLeast0] | None = Field(default=None, description="a list of numbers of GPUs, from 0")


_GPU = '{"ratio": …, "mainGpu": …, "splitStrategy": …, "disabledGpus": […]}'


class LlmLoadModelConfig(Config):
    """How an LLM is loaded (LM Studio's ``LLMLoadModelConfig``). ``context_length`` in tokens.

    ``auto_fit``: LM Studio shrinks what it loads to fit the machine. As the official SDK 2.0.0 does, it is switched off
    when ``context_length`` or ``gpu`` is given, unless set here.
    """

    context_length: AtLeast1 | None = Field(default=None, description=_COUNT)
    gpu: GpuSetting | None = Field(default=None, description=_GPU)
    auto_fit: StrictBool | None = Field(default=None, description=_BOOL)
    auto_fit_min_context_length: AtLeast0 | None = Field(default=None, description=_COUNT0)
    gpu_strict_vram_cap: StrictBool | None = Field(default=None, description=_BOOL)
    offload_kv_cache_to_gpu: StrictBool | None = Field(default=None, description=_BOOL)
    num_experts: AtLeast0 | None = Field(default=None, description=_COUNT0)
    seed: Seed | Off | None = Field(default=None, description=_SEED)
    max_parallel_predictions: Annotated[WireInt, Field(ge=1, le=1023)] | None = Field(
        default=None, description="a whole number from 1 to 1023"
    )
    use_unified_kv_cache: StrictBool | None = Field(default=None, description=_BOOL)
    prompt_template: LoadPromptTemplate | None = Field(
        default=None, description='{"type": "jinja", "jinjaPromptTemplate": {"template": "…"}}'
    )
    cpu_thread_pool_size: AtLeast1 | None = Field(default=None, description=_COUNT)
    eval_batch_size: AtLeast1 | None = Field(default=None, description=_COUNT)
    physical_batch_size: AtLeast1 | None = Field(default=None, description=_COUNT)
    flash_attention: StrictBool | None = Field(default=None, description=_BOOL)
    context_checkpoints: AtLeast0 | None = Field(default=None, description=_COUNT0)
    reasoning_budget_message: str | None = Field(default=None, description="text")
    keep_model_in_memory: StrictBool | None = Field(default=None, description=_BOOL)
    use_fp16_for_kv_cache: StrictBool | None = Field(default=None, description=_BOOL)
    try_mmap: StrictBool | None = Field(default=None, description=_BOOL)
    try_direct_io: StrictBool | None = Field(default=None, description=_BOOL)
    rope_frequency_base: NonNegative | Off | None = Field(default=None, description=_ROPE)
    rope_frequency_scale: NonNegative | Off | None = Field(default=None, description=_ROPE)
    llama_k_cache_quantization_type: CacheQuantization | Off | None = Field(default=None, description=_CACHE)
    llama_v_cache_quantization_type: CacheQuantization | Off | None = Field(default=None, description=_CACHE)
    speculative_draft_mtp: StrictBool | None = Field(default=None, description=_BOOL)
    speculative_draft_simple: StrictBool | None = Field(default=None, description=_BOOL)
    speculative_draft_model: str | None = Field(default=None, description='a model key, or "" to switch it off')
    speculative_draft_max_tokens: AtLeast0 | None = Field(default=None, description=_COUNT0)
    speculative_draft_min_tokens: AtLeast0 | None = Field(default=None, description=_COUNT0)
    speculative_draft_min_continue_probability: UnitNumber | None = Field(default=None, description=_UNIT)
    mlx_disk_cache: StrictBool | None = Field(default=None, description=_BOOL)
    mlx_kv_cache_quantization: MlxKvCacheQuantization | Off | None = Field(
        default=None,
        description='{"enabled": …, "bits": 8, 6, 4, 3 or 2, "groupSize": 32, 64 or 128, "quantizedStart": …} or false',
    )
    raw: Raw | None = Field(default=None, description=_RAW)


class EmbeddingLoadModelConfig(Config):
    """How an embedding model is loaded (LM Studio's ``EmbeddingLoadModelConfig``). ``context_length`` in tokens."""

    context_length: AtLeast1 | None = Field(default=None, description=_COUNT)
    gpu: GpuSetting | None = Field(default=None, description=_GPU)
    seed: Seed | Off | None = Field(default=None, description=_SEED)
    eval_batch_size: AtLeast1 | None = Field(default=None, description=_COUNT)
    keep_model_in_memory: StrictBool | None = Field(default=None, description=_BOOL)
    try_mmap: StrictBool | None = Field(default=None, description=_BOOL)
    rope_frequency_base: NonNegative | Off | None = Field(default=None, description=_ROPE)
    rope_frequency_scale: NonNegative | Off | None = Field(default=None, description=_ROPE)
    raw: Raw | None = Field(default=None, description=_RAW)
