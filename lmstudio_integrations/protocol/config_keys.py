"""The table of settings: each setting's name, LM Studio's key for it, its type, limits, default and documentation.

One row per setting, in the order in which they are sent. Everything else that lists settings is derived: ``config_kv``
reads the table, and ``tools/generate_settings.py`` writes from it what type checkers must find as source:
``config_models``, ``config_dicts`` and ``client/common_settings``. A new setting is a new row and a run of that script
(and then of ``tools/generate_keywords.py``, for the keywords of the adapters' constructors).

Checkbox settings are sent as ``{"checked": bool, "value": …}``: a value ``v`` as ``{true, v}``, ``False`` as
``{false, unchecked_value}``. The unchecked values are those of the official JavaScript SDK.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "AUTO_FIT_KEYS",
    "COMMON_NAMES",
    "EMBEDDING_LOAD_KEYS",
    "EMBEDDING_LOAD_SETTINGS",
    "GPU_SETTINGS",
    "LLM_LOAD_KEYS",
    "LLM_LOAD_SETTINGS",
    "PREDICTION_KEYS",
    "PREDICTION_SETTINGS",
    "SIDECAR_KEYS",
    "KeyRow",
    "ValueType",
]


class ValueType(NamedTuple):
    """What a setting takes.

    ``model`` is the annotation in the pydantic class (names of ``config_values`` and pydantic), ``written`` that in the
    dictionary for editors, ``text`` what error messages say. ``minimum`` and ``maximum`` are inclusive.
    """

    model: str
    written: str
    text: str
    minimum: float | None = None
    maximum: float | None = None


class KeyRow(NamedTuple):
    """A setting. ``user`` is the camelCase name; ``key`` is empty if ``config_kv`` encodes the setting by itself.

    ``doc`` begins with "Guess:" where LM Studio documents nothing.
    ``default`` is LM Studio's own as a user would write it, ``None`` if it is empty or an object. ``unchecked_value``
    is not ``None`` for checkbox settings, and ``off`` says what ``False`` does there. ``common`` is the field and
    keyword of a call of the adapters' models; ``common_type`` is its type, if that is another one, and ``common_doc``
    what else is to be said about it.
    """

    user: str
    key: str
    type: ValueType
    doc: str
    default: bool | float | str | None = None
    unchecked_value: float | str | None = None
    off: str = "to switch it off"
    common: str = ""
    common_type: str = ""
    common_doc: str = ""

    @property
    def checkbox(self) -> bool:
        """Whether the value travels with a checkbox."""
        return self.unchecked_value is not None

    @property
    def attribute(self) -> str:
        """The snake_case name."""
        words = re.sub("([A-Z]+)([A-Z][a-z])", r"\1_\2", self.user)
        return re.sub("([a-z0-9])([A-Z])", r"\1_\2", words).lower()

    @property
    def text(self) -> str:
        """What the setting takes, as error messages say it."""
        return f"{self.type.text}, or false {self.off}" if self.checkbox else self.type.text


def _limits(minimum: float | None, maximum: float | None) -> str:
    if maximum is not None:
        return f" from {minimum} to {maximum}"
    return "" if minimum is None else f" of at least {minimum}"


def _number(minimum: float | None = None, maximum: float | None = None) -> ValueType:
    return ValueType("Number", "float", f"a number{_limits(minimum, maximum)}", minimum, maximum)


def _whole(minimum: int, maximum: int | None = None, unit: str = "") -> ValueType:
    return ValueType("WireInt", "int", f"a whole number{unit}{_limits(minimum, maximum)}", minimum, maximum)


def _choice(text: str, *names: str) -> ValueType:
    literal = f"Literal[{', '.join(map(repr, names))}]".replace("'", '"')
    return ValueType(literal, literal, text)


def _object(model: str, text: str, written: str = "Mapping[str, Any]") -> ValueType:
    return ValueType(model, written, text)


_BOOL = ValueType("StrictBool", "bool", "true or false")
_TEXT = ValueType("str", "str", "text")
_TEXTS = ValueType("list[str]", "Sequence[str]", "a list of texts")
_MODEL = ValueType("str", "str", 'a model key, or "" to switch it off')
_UNIT = _number(0, 1)
_COUNT = _whole(1)
_COUNT0 = _whole(0)
_SEED = _whole(-1)
_RATIO = ValueType("OffloadRatio", 'float | Literal["max", "off"]', 'a number from 0 to 1, "max" or "off"')
_CACHE = ValueType(
    "CacheQuantization", "CacheQuantizationName", "one of f32, f16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1"
)
_GPU = ValueType("GpuSetting", "GpuSettingDict", '{"ratio": …, "mainGpu": …, "splitStrategy": …, "disabledGpus": […]}')

_RANDOM = "for a random seed"
_UNLIMITED = "for no limit"
_OWN = "for the model's own"

_P, _L, _E = "llm.prediction.", "llm.load.", "embedding.load."

PREDICTION_SETTINGS: tuple[KeyRow, ...] = (
    KeyRow(
        "temperature",
        _P + "temperature",
        _number(0),
        "How random the sampling is: 0 always takes the likeliest token.",
        0.8,
        common="temperature",
    ),
    KeyRow(
        "contextOverflowPolicy",
        _P + "contextOverflowPolicy",
        _choice('"stopAtLimit", "truncateMiddle" or "rollingWindow"', "stopAtLimit", "truncateMiddle", "rollingWindow"),
        "What happens when prompt and answer outgrow the context: an error or the end of the answer, or older text is "
        "cut out without notice.",
        "truncateMiddle",
        common="context_overflow_policy",
        common_doc="None: an answer stops there and a prompt that is too long is an error (stopAtLimit), unless a "
        "preset decides.",
    ),
    KeyRow(
        "maxTokens",
        _P + "maxPredictedTokens",
        _whole(1),
        "The most tokens to generate.",
        False,
        1,
        _UNLIMITED,
        common="max_tokens",
        common_doc="None and -1 are no limit, too.",
    ),
    KeyRow(
        "reasoningBudget",
        _P + "reasoning.budgetTokens",
        _whole(0, unit=" of tokens"),
        "The most tokens of reasoning.",
        False,
        1024,
        _UNLIMITED,
    ),
    KeyRow(
        "stopStrings",
        _P + "stopStrings",
        _TEXTS,
        "Texts that end the answer and are not part of it.",
        common="stop",
        common_type="str | list[str]",
        common_doc="A call's own stop replaces them.",
    ),
    KeyRow(
        "toolCallStopStrings", _P + "toolCallStopStrings", _TEXTS, "Guess: texts that end the answer as a tool call."
    ),
    KeyRow(
        "structured",
        _P + "structured",
        _object("Structured", 'a pydantic class, a JSON Schema or {"type": "json"|"gbnf"|"none", …}', "Any"),
        "The form that the answer must have.",
    ),
    KeyRow(
        "rawTools",
        _P + "tools",
        _object("ToolUse", '{"type": "none"} or {"type": "toolArray", "tools": […]}'),
        "The tools that the model may call, in LM Studio's form.",
    ),
    KeyRow(
        "toolChoice",
        _P + "toolChoice",
        _object(
            "ToolChoiceValue",
            '"none", "auto" or "required"',
            'Literal["none", "auto", "required"] | Mapping[str, Any]',
        ),
        "Whether the model may or must call a tool.",
    ),
    KeyRow(
        "toolNaming",
        _P + "toolNaming",
        ValueType(
            "ToolNaming",
            'Literal["passThrough", "removeSpecial", "snakeCase", "camelCase"]',
            '"passThrough", "removeSpecial", "snakeCase" or "camelCase"',
        ),
        "How LM Studio rewrites the names of tools for the model.",
        "removeSpecial",
    ),
    KeyRow(
        "topKSampling",
        _P + "topKSampling",
        _whole(-1, 500),
        "Samples among the likeliest k tokens.",
        40,
        common="top_k",
    ),
    KeyRow(
        "repeatPenalty",
        _P + "repeatPenalty",
        _number(-1),
        "Penalty on tokens that occurred already; 1.0 is none.",
        1.1,
        1.1,
        common="repeat_penalty",
    ),
    KeyRow(
        "presencePenalty",
        _P + "llama.presencePenalty",
        _number(),
        "Penalty on tokens that occurred at all; 0.0 is none.",
        False,
        0,
        common="presence_penalty",
    ),
    KeyRow(
        "frequencyPenalty",
        _P + "llama.frequencyPenalty",
        _number(),
        "Penalty on tokens by how often they occurred; 0.0 is none.",
        False,
        0,
        common="frequency_penalty",
    ),
    KeyRow(
        "minPSampling",
        _P + "minPSampling",
        _UNIT,
        "Drops tokens less likely than this share of the likeliest.",
        0.05,
        0.05,
        common="min_p",
    ),
    KeyRow(
        "topPSampling",
        _P + "topPSampling",
        _UNIT,
        "Nucleus sampling: the likeliest tokens that together have this probability.",
        0.95,
        0.95,
        common="top_p",
    ),
    KeyRow("xtcProbability", _P + "llama.xtcProbability", _UNIT, "How often XTC sampling applies.", False, 0),
    KeyRow("xtcThreshold", _P + "llama.xtcThreshold", _UNIT, "From which probability XTC excludes tokens.", False, 0),
    KeyRow("tailFreeSampling", _P + "llama.tailFreeSampling", _UNIT, "Tail-free sampling; 1.0 is none.", False, 0.95),
    KeyRow(
        "locallyTypicalSampling",
        _P + "llama.locallyTypicalSampling",
        _UNIT,
        "Locally typical sampling; 1.0 is none.",
        False,
        0.9,
    ),
    KeyRow(
        "mirostatSampling",
        _P + "llama.mirostatSampling",
        _object("Mirostat", '{"version": 0, 1 or 2, "learningRate": number, "targetEntropy": number}'),
        "Mirostat sampling; version 0 is none.",
    ),
    KeyRow(
        "logitBias",
        _P + "llama.logitBias",
        _object(
            "LogitBias",
            'a mapping of token ids to biases, or a list of [token id, bias]; a bias is a number or "-inf"',
            "Mapping[int, float] | Sequence[Sequence[Any]]",
        ),
        "Biases on single tokens.",
    ),
    KeyRow(
        "logProbs",
        _P + "logProbs",
        _whole(0, 100),
        "How many candidates to report for each token.",
        False,
        0,
        common="logprobs",
        common_type="bool | int",
        common_doc="True is 1.",
    ),
    KeyRow(
        "seed",
        _P + "seed",
        _SEED,
        "The same seed gives the same tokens, as far as the engine allows.",
        False,
        0,
        _RANDOM,
        common="seed",
    ),
    KeyRow("cpuThreads", _P + "llama.cpuThreads", _COUNT, "How many threads of the processor to use.", 4),
    KeyRow("systemPrompt", _P + "systemPrompt", _TEXT, "The system prompt."),
    KeyRow(
        "contextPrefill",
        _P + "contextPrefill",
        _object(
            "list[ChatTurn]",
            'a list of {"type": "jsonFile"|"yamlFile", "absPath": "…"}',
            "Sequence[Mapping[str, Any]]",
        ),
        "Guess: files at the server with the beginning of the conversation.",
    ),
    KeyRow(
        "enableThinking",
        _P + "reasoning.enableThinking",
        _BOOL,
        "Whether a model that can switch its reasoning uses it.",
        True,
    ),
    KeyRow(
        "reasoningParsing",
        _P + "reasoning.parsing",
        _object("ReasoningParsing", '{"enabled": true or false, "startString": "…", "endString": "…"}'),
        "Which texts mark reasoning.",
    ),
    KeyRow(
        "promptTemplate",
        _P + "promptTemplate",
        _object(
            "PromptTemplate",
            '{"type": "jinja", "jinjaPromptTemplate": {"template": "…"}, "stopStrings": []} or the manual form',
        ),
        "How the conversation becomes a prompt.",
    ),
    KeyRow(
        "draftModel",
        _P + "speculativeDecoding.draftModel",
        _MODEL,
        "A small model that drafts tokens (speculative decoding).",
    ),
    KeyRow(
        "speculativeDecodingMinDraftLengthToConsider",
        _P + "speculativeDecoding.minDraftLengthToConsider",
        _COUNT0,
        "The shortest draft that is checked.",
        0,
    ),
    KeyRow(
        "speculativeDecodingMinContinueDraftingProbability",
        _P + "speculativeDecoding.minContinueDraftingProbability",
        _UNIT,
        "Drafting stops at a token less probable than this.",
        0.75,
    ),
    KeyRow(
        "speculativeDecodingNumDraftTokensExact",
        _P + "speculativeDecoding.numDraftTokensExact",
        _COUNT,
        "How many tokens to draft, exactly.",
        2,
    ),
    KeyRow(
        "speculativeDecodingNumReuseTokens",
        _P + "speculativeDecoding.numReuseTokens",
        _COUNT,
        "Guess: how many tokens of a draft may be used again.",
        256,
    ),
    KeyRow(
        "speculativeDecodingMaxTokensToDraft",
        _P + "speculativeDecoding.maxTokensToDraft",
        _COUNT,
        "The most tokens to draft.",
        16,
    ),
    KeyRow(
        "userMaxImageDimensionPixels",
        _P + "vision.userMaxImageDimensionPixels",
        _whole(1, unit=" of pixels"),
        "Images are scaled down to this width and height.",
        1024,
        1024,
        _UNLIMITED,
    ),
    KeyRow(
        "ignoreModelPreferredMaxImageDimension",
        _P + "vision.ignoreModelPreferredMaxImageDimension",
        _BOOL,
        "Whether the size of images that the model prefers is ignored.",
        False,
    ),
)

GPU_SETTINGS: tuple[KeyRow, ...] = (
    KeyRow("ratio", "", _RATIO, "Share of the layers on the GPU."),
    KeyRow("numCpuExpertLayersRatio", "", _RATIO, "Share of the layers whose experts stay on the processor (LLMs)."),
    KeyRow(
        "mainGpu",
        "",
        ValueType("WireInt", "int", "the number of a GPU, from 0", 0),
        "The GPU that is filled first.",
    ),
    KeyRow(
        "splitStrategy",
        "",
        _choice('"evenly" or "favorMainGpu"', "evenly", "favorMainGpu"),
        "How layers are split between GPUs.",
    ),
    KeyRow(
        "disabledGpus",
        "",
        ValueType("list[IntFrom0]", "Sequence[int]", "a list of numbers of GPUs, from 0"),
        "GPUs that are not used.",
    ),
)
"""The parts of ``gpu``; ``config_kv`` encodes them."""

LLM_LOAD_SETTINGS: tuple[KeyRow, ...] = (
    KeyRow("contextLength", _L + "contextLength", _COUNT, "Length of the context in tokens.", 2048),
    KeyRow("gpu", "", _GPU, "Where the model's layers go."),
    KeyRow("autoFit", "", _BOOL, "Whether LM Studio shrinks what it loads to fit the machine."),
    KeyRow(
        "autoFitMinContextLength",
        _L + "autoFitMinContextLength",
        _COUNT0,
        "The shortest context that fitting may choose, in tokens.",
        0,
    ),
    KeyRow(
        "gpuStrictVramCap",
        "load.gpuStrictVramCap",
        _BOOL,
        "Guess: whether only the GPU's own memory is used for layers.",
        False,
    ),
    KeyRow(
        "offloadKVCacheToGpu", _L + "offloadKVCacheToGpu", _BOOL, "Whether the key/value cache is on the GPU.", True
    ),
    KeyRow(
        "numExperts", _L + "numExperts", _COUNT0, "How many experts are active for each token; 0 is the model's own.", 0
    ),
    KeyRow("seed", _L + "seed", _SEED, "The seed of the sampling.", False, 0, _RANDOM),
    KeyRow(
        "maxParallelPredictions",
        _L + "numParallelSessions",
        _whole(1, 1023),
        "How many predictions the model computes at once.",
        4,
    ),
    KeyRow(
        "useUnifiedKvCache",
        _L + "useUnifiedKvCache",
        _BOOL,
        "Whether parallel predictions share one key/value cache.",
        True,
    ),
    KeyRow(
        "promptTemplate",
        _L + "promptTemplate",
        _object("LoadPromptTemplate", '{"type": "jinja", "jinjaPromptTemplate": {"template": "…"}}'),
        "How conversations become prompts.",
    ),
    KeyRow("cpuThreadPoolSize", _L + "llama.cpuThreadPoolSize", _COUNT, "How many threads of the processor to use.", 4),
    KeyRow(
        "evalBatchSize", _L + "llama.evalBatchSize", _COUNT, "How many tokens of a prompt are evaluated at once.", 2048
    ),
    KeyRow(
        "physicalBatchSize", _L + "llama.physicalBatchSize", _COUNT, "How many tokens the engine computes at once.", 512
    ),
    KeyRow("flashAttention", _L + "llama.flashAttention", _BOOL, "Whether flash attention is used.", False),
    KeyRow(
        "contextCheckpoints",
        _L + "llama.contextCheckpoints",
        _COUNT0,
        "Guess: how many states of the context the engine keeps to return to.",
        32,
    ),
    KeyRow(
        "reasoningBudgetMessage",
        _L + "llama.reasoningBudgetMessage",
        _TEXT,
        "Guess: the text that ends reasoning when its budget is spent.",
    ),
    KeyRow(
        "keepModelInMemory",
        _L + "llama.keepModelInMemory",
        _BOOL,
        "Whether the system may not swap the model out.",
        True,
    ),
    KeyRow(
        "useFp16ForKVCache",
        _L + "llama.useFp16ForKVCache",
        _BOOL,
        "Whether the key/value cache has 16-bit floats.",
        True,
    ),
    KeyRow("tryMmap", _L + "llama.tryMmap", _BOOL, "Whether the model's file is mapped into memory.", True),
    KeyRow(
        "tryDirectIO",
        _L + "llama.tryDirectIO",
        _BOOL,
        "Guess: whether the model's file is read past the system's cache.",
        False,
    ),
    KeyRow(
        "ropeFrequencyBase",
        _L + "llama.ropeFrequencyBase",
        _number(0),
        "Base frequency of the rotary position embedding.",
        False,
        0,
        _OWN,
    ),
    KeyRow(
        "ropeFrequencyScale",
        _L + "llama.ropeFrequencyScale",
        _number(0),
        "Scale of the rotary position embedding's frequency.",
        False,
        0,
        _OWN,
    ),
    KeyRow(
        "llamaKCacheQuantizationType",
        _L + "llama.kCacheQuantizationType",
        _CACHE,
        "Number format of the keys in the cache.",
        False,
        "f16",
    ),
    KeyRow(
        "llamaVCacheQuantizationType",
        _L + "llama.vCacheQuantizationType",
        _CACHE,
        "Number format of the values in the cache; wants flash attention.",
        False,
        "f16",
    ),
    KeyRow(
        "speculativeDraftMtp",
        _L + "llama.speculativeDecoding.draftMtp",
        _BOOL,
        "Whether the model drafts tokens by its own multi-token prediction.",
        False,
    ),
    KeyRow(
        "speculativeDraftSimple",
        _L + "llama.speculativeDecoding.draftSimple",
        _BOOL,
        "Whether a draft model drafts tokens.",
        False,
    ),
    KeyRow("speculativeDraftModel", _L + "llama.speculativeDecoding.draftModel", _MODEL, "The draft model."),
    KeyRow(
        "speculativeDraftMaxTokens",
        _L + "llama.speculativeDecoding.draftMaxTokens",
        _COUNT0,
        "The most tokens to draft.",
        3,
    ),
    KeyRow(
        "speculativeDraftMinTokens",
        _L + "llama.speculativeDecoding.draftMinTokens",
        _COUNT0,
        "The fewest tokens to draft.",
        0,
    ),
    KeyRow(
        "speculativeDraftMinContinueProbability",
        _L + "llama.speculativeDecoding.draftMinContinueProbability",
        _UNIT,
        "Drafting stops at a token less probable than this.",
        0,
    ),
    KeyRow(
        "mlxDiskCache",
        _L + "mlx.diskCache",
        _BOOL,
        "Guess: whether the MLX engine keeps prompts in a cache on disk.",
        True,
    ),
    KeyRow(
        "mlxKvCacheQuantization",
        _L + "mlx.kvCacheQuantization",
        _object(
            "MlxKvCacheQuantization | Off",
            '{"enabled": …, "bits": 8, 6, 4, 3 or 2, "groupSize": 32, 64 or 128, "quantizedStart": …} or false',
            "Mapping[str, Any] | Off",
        ),
        "Quantization of the key/value cache in the MLX engine.",
    ),
)

EMBEDDING_LOAD_SETTINGS: tuple[KeyRow, ...] = (
    KeyRow("contextLength", _E + "contextLength", _COUNT, "Length of the context in tokens.", 2048),
    KeyRow("gpu", "", _GPU, "Where the model's layers go."),
    KeyRow("seed", _E + "seed", _SEED, "The seed of the engine.", False, 0, _RANDOM),
    KeyRow(
        "evalBatchSize", _E + "llama.evalBatchSize", _COUNT, "How many tokens of a text are evaluated at once.", 2048
    ),
    KeyRow(
        "keepModelInMemory",
        _E + "llama.keepModelInMemory",
        _BOOL,
        "Whether the system may not swap the model out.",
        True,
    ),
    KeyRow("tryMmap", _E + "llama.tryMmap", _BOOL, "Whether the model's file is mapped into memory.", True),
    KeyRow(
        "ropeFrequencyBase",
        _E + "llama.ropeFrequencyBase",
        _number(0),
        "Base frequency of the rotary position embedding.",
        False,
        0,
        _OWN,
    ),
    KeyRow(
        "ropeFrequencyScale",
        _E + "llama.ropeFrequencyScale",
        _number(0),
        "Scale of the rotary position embedding's frequency.",
        False,
        0,
        _OWN,
    ),
)

# The settings that travel under a key of their own, in the order in which they are sent.
PREDICTION_KEYS = tuple(row for row in PREDICTION_SETTINGS if row.key)
LLM_LOAD_KEYS = tuple(row for row in LLM_LOAD_SETTINGS if row.key)
EMBEDDING_LOAD_KEYS = tuple(row for row in EMBEDDING_LOAD_SETTINGS if row.key)

COMMON_NAMES = {row.common: row.user for row in PREDICTION_SETTINGS if row.common}
"""Fields and keywords of the adapters' models, and the setting that each stands for."""

AUTO_FIT_KEYS = (_L + "llama.autoFit", _L + "mlx.autoFit", _L + "yuzu.autoFit")
"""One setting, one key per engine (the third is known to SDK 2.0.0 only; servers ignore keys they do not know)."""

SIDECAR_KEYS = tuple(
    _L + f"llama.speculativeDecoding.{name}" for name in ("draftDflashSidecar", "draftDsparkSidecar", "draftMtpSidecar")
)
"""Switched off whenever a way of drafting is chosen."""
