"""LM Studio's configuration keys as the emulator checks them: key -> (shape, default).

The keys, limits and defaults are those of LM Studio's public key/value schema. Unknown keys pass unchecked,
as they do there. The number of processor threads and similar machine facts are stand-ins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmstudio_integrations.emulator.errors import EndpointError
from lmstudio_integrations.emulator.wire.request_schemas import tool
from lmstudio_integrations.emulator.wire.validators import (
    Shape,
    anything,
    array,
    boolean,
    constant,
    integer,
    number,
    one_of,
    record,
    tagged,
    text,
)

Fields = dict[str, Any]


def checkbox(value: Shape) -> Shape:
    """``{"checked": bool, "value": …}``, both members required."""
    return record({"checked": boolean, "value": value})


_RATIO = one_of(number(minimum=0, maximum=1), text(choices=("max", "off")))
_CACHE_TYPE = checkbox(text(choices=("f32", "f16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")))
_SHARE = number(minimum=0, maximum=1)
_STRINGS = array(text())
_SPLIT = record(
    {
        "strategy": text(choices=("evenly", "priorityOrder", "tensor", "custom")),
        "disabledGpus": array(integer()),
        "priority": array(integer()),
        "customRatio": array(number()),
    }
)
_TEMPLATE_SIDES = ("System", "User", "Assistant")
_MANUAL = record({f"{side}{role}": text() for role in _TEMPLATE_SIDES for side in ("before", "after")})
_PROMPT_TEMPLATE = record(
    {"type": text(choices=("manual", "jinja")), "stopStrings": _STRINGS},
    {"manualPromptTemplate": _MANUAL, "jinjaPromptTemplate": record({"template": text()})},
)
_STRUCTURED = record({"type": text(choices=("none", "json", "gbnf"))}, {"jsonSchema": anything, "gbnfGrammar": text()})
_TOOLS = tagged("type", {"none": record({}), "toolArray": record({}, {"tools": array(tool)})})
_CHOICE = record({"type": constant("generic"), "mode": text(choices=("none", "auto", "required"))})
_PARSING = record({"enabled": boolean, "startString": text(), "endString": text()})


def _off(value: Any) -> dict[str, Any]:
    return {"checked": False, "value": value}


def _on(value: Any) -> dict[str, Any]:
    return {"checked": True, "value": value}


_P = "llm.prediction."
PREDICTION: dict[str, tuple[Shape, Any]] = {
    _P + "temperature": (number(minimum=0), 0.8),
    _P + "maxPredictedTokens": (checkbox(integer(minimum=1)), _off(1000)),
    _P + "tools": (_TOOLS, {"type": "none"}),
    _P + "toolChoice": (_CHOICE, {"type": "generic", "mode": "auto"}),
    _P + "toolNaming": (text(choices=("passThrough", "removeSpecial", "snakeCase", "camelCase")), "removeSpecial"),
    _P + "promptTemplate": (_PROMPT_TEMPLATE, None),
    _P + "systemPrompt": (text(), ""),
    _P + "seed": (checkbox(integer(minimum=-1)), _off(-1)),
    _P + "contextPrefill": (array(anything), []),
    _P + "reasoning.enableThinking": (boolean, True),
    _P + "reasoning.budgetTokens": (checkbox(integer(minimum=0)), _off(1024)),
    _P + "reasoning.parsing": (_PARSING, {"enabled": True, "startString": "<think>", "endString": "</think>"}),
    _P + "vision.userMaxImageDimensionPixels": (checkbox(integer(minimum=1)), _on(1024)),
    _P + "vision.ignoreModelPreferredMaxImageDimension": (boolean, False),
    _P + "contextOverflowPolicy": (
        text(choices=("stopAtLimit", "truncateMiddle", "rollingWindow")),
        "truncateMiddle",
    ),
    _P + "stopStrings": (_STRINGS, []),
    _P + "toolCallStopStrings": (_STRINGS, []),
    _P + "structured": (_STRUCTURED, {"type": "none"}),
    _P + "speculativeDecoding.draftModel": (text(), ""),
    _P + "speculativeDecoding.minDraftLengthToConsider": (integer(minimum=0), 0),
    _P + "speculativeDecoding.numReuseTokens": (integer(minimum=1), 256),
    _P + "speculativeDecoding.minContinueDraftingProbability": (_SHARE, 0.75),
    _P + "speculativeDecoding.maxTokensToDraft": (integer(minimum=1), 16),
    _P + "speculativeDecoding.numDraftTokensExact": (integer(minimum=1), None),
    _P + "topKSampling": (integer(minimum=-1, maximum=500), 40),
    _P + "repeatPenalty": (checkbox(number(minimum=-1)), _on(1.1)),
    _P + "minPSampling": (checkbox(_SHARE), _on(0.05)),
    _P + "topPSampling": (checkbox(_SHARE), _on(0.95)),
    _P + "logProbs": (checkbox(integer(minimum=0, maximum=100)), _off(0)),
    _P + "llama.cpuThreads": (integer(minimum=1), 4),
    _P + "llama.frequencyPenalty": (checkbox(number()), _off(0)),
    _P + "llama.xtcProbability": (checkbox(_SHARE), _off(0.5)),
    _P + "llama.xtcThreshold": (checkbox(_SHARE), _off(0.1)),
    _P + "llama.presencePenalty": (checkbox(number()), _off(0)),
    _P + "llama.tailFreeSampling": (checkbox(_SHARE), _off(0.95)),
    _P + "llama.locallyTypicalSampling": (checkbox(_SHARE), _off(0.9)),
    _P + "llama.logitBias": (array(array(anything)), []),
}

_L = "llm.load."
LLM_LOAD: dict[str, tuple[Shape, Any]] = {
    _L + "contextLength": (integer(minimum=1), 4096),
    _L + "autoFitMinContextLength": (integer(minimum=0), 0),
    _L + "numExperts": (integer(minimum=0), None),
    _L + "seed": (checkbox(integer(minimum=-1)), _off(-1)),
    _L + "promptTemplate": (
        record({"type": constant("jinja"), "jinjaPromptTemplate": record({"template": text()})}),
        None,
    ),
    _L + "offloadKVCacheToGpu": (boolean, True),
    _L + "numCpuExpertLayersRatio": (_RATIO, None),
    _L + "numParallelSessions": (integer(minimum=1, maximum=1023), 4),
    _L + "useUnifiedKvCache": (boolean, True),
    _L + "llama.autoFit": (boolean, True),
    _L + "llama.acceleration.offloadRatio": (_RATIO, "max"),
    _L + "llama.cpuThreadPoolSize": (number(minimum=1), 4),
    _L + "llama.evalBatchSize": (integer(minimum=1), 2048),
    _L + "llama.physicalBatchSize": (integer(minimum=1), 512),
    _L + "llama.flashAttention": (boolean, False),
    _L + "llama.contextCheckpoints": (integer(minimum=0), 32),
    _L + "llama.reasoningBudgetMessage": (text(), ""),
    _L + "llama.speculativeDecoding.draftMtp": (boolean, False),
    _L + "llama.speculativeDecoding.draftSimple": (boolean, False),
    _L + "llama.speculativeDecoding.draftModel": (text(), ""),
    _L + "llama.speculativeDecoding.draftMaxTokens": (integer(minimum=0), 3),
    _L + "llama.speculativeDecoding.draftMinTokens": (integer(minimum=0), 0),
    _L + "llama.speculativeDecoding.draftMinContinueProbability": (_SHARE, 0),
    _L + "llama.ropeFrequencyBase": (checkbox(number(minimum=0)), _off(0)),
    _L + "llama.ropeFrequencyScale": (checkbox(number(minimum=0)), _off(0)),
    _L + "llama.keepModelInMemory": (boolean, True),
    _L + "llama.useFp16ForKVCache": (boolean, True),
    _L + "llama.tryMmap": (boolean, True),
    _L + "llama.tryDirectIO": (boolean, False),
    _L + "llama.kCacheQuantizationType": (_CACHE_TYPE, _off("f16")),
    _L + "llama.vCacheQuantizationType": (_CACHE_TYPE, _off("f16")),
    "load.gpuSplitConfig": (_SPLIT, {"strategy": "evenly", "disabledGpus": [], "priority": [], "customRatio": []}),
    "load.gpuStrictVramCap": (boolean, False),
}

_E = "embedding.load."
EMBEDDING_LOAD: dict[str, tuple[Shape, Any]] = {
    _E + "contextLength": (integer(minimum=1), 2048),
    _E + "seed": (checkbox(integer(minimum=-1)), _off(-1)),
    _E + "llama.acceleration.offloadRatio": (_RATIO, "max"),
    _E + "llama.evalBatchSize": (integer(minimum=1), 2048),
    _E + "llama.ropeFrequencyBase": (checkbox(number(minimum=0)), _off(0)),
    _E + "llama.ropeFrequencyScale": (checkbox(number(minimum=0)), _off(0)),
    _E + "llama.keepModelInMemory": (boolean, True),
    _E + "llama.tryMmap": (boolean, True),
    "load.gpuSplitConfig": LLM_LOAD["load.gpuSplitConfig"],
    "load.gpuStrictVramCap": LLM_LOAD["load.gpuStrictVramCap"],
}


_CHUNKING = record({"type": constant("recursive-v1"), "chunkSize": integer(), "chunkOverlap": integer()})
RETRIEVAL: dict[str, tuple[Shape, Any]] = {
    "retrieval.databaseFile": (text(), ""),
    "retrieval.chunkingMethod": (_CHUNKING, {"type": "recursive-v1", "chunkSize": 512, "chunkOverlap": 100}),
    "retrieval.limit": (integer(minimum=1), 5),
    "retrieval.embeddingModel": (text(), ""),
}


def fields_of(config: Mapping[str, Any]) -> Fields:
    """A key/value configuration as a dictionary. Fields without a value are ignored."""
    return {field["key"]: field["value"] for field in config["fields"] if "value" in field}


def merged(stack: Mapping[str, Any]) -> Fields:
    """A configuration stack as one dictionary: a later layer wins, key by key."""
    fields: Fields = {}
    for layer in stack["layers"]:
        fields.update(fields_of(layer["config"]))
    return fields


def checked(fields: Fields, table: Mapping[str, tuple[Shape, Any]]) -> Fields:
    """The fields, with the table's defaults below them.

    Raises:
        EndpointError: a known key has a value that LM Studio's typed schema refuses.
    """
    for key, value in fields.items():
        known = table.get(key)
        if known is not None and (problem := known[0](value, "value")):
            raise EndpointError(f"Field with key {key} does not satisfy the schema: {problem}")
    defaults = {key: default for key, (_, default) in table.items() if default is not None}
    return {**defaults, **fields}


def kv_config(fields: Fields) -> dict[str, Any]:
    """The wire form of a dictionary of fields."""
    return {"fields": [{"key": key, "value": value} for key, value in fields.items()]}
