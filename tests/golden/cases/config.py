"""Every setting that the client's ``config`` takes: of a prediction, and of loading either kind of model."""

from __future__ import annotations

import re
from typing import Any

from lmstudio_integrations import EmbeddingLoadModelConfig, GpuSetting, LlmLoadModelConfig, LlmPredictionConfig
from tests.golden.recorder import Cases, Wire

CASES = Cases("config")

_TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
_JINJA = {"template": "{{ messages }}"}

# name: values that travel differently from each other (False: the checkbox is not ticked)
PREDICTION: dict[str, list[Any]] = {
    "temperature": [0, 0.7],
    "maxTokens": [5, False],
    "stopStrings": [["a", "ß"], []],
    "toolCallStopStrings": [["x"]],
    "contextOverflowPolicy": ["stopAtLimit", "truncateMiddle", "rollingWindow"],
    "structured": [
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"type": "json"},
        {"type": "none"},
        {"type": "gbnf", "gbnfGrammar": 'root ::= "yes"'},
    ],
    "rawTools": [{"type": "none"}, {"type": "toolArray", "tools": [_TOOL]}],
    "toolChoice": ["none", "auto", "required", {"type": "generic", "mode": "auto"}],
    "toolNaming": ["passThrough", "removeSpecial", "snakeCase", "camelCase"],
    "topKSampling": [20, -1],
    "repeatPenalty": [1.3, False],
    "minPSampling": [0.1, False],
    "topPSampling": [0.8, 1, False],
    "presencePenalty": [0.5, False],
    "frequencyPenalty": [0.5, False],
    "xtcProbability": [0.3, False],
    "xtcThreshold": [0.2, False],
    "tailFreeSampling": [0.9, False],
    "locallyTypicalSampling": [0.8, False],
    "mirostatSampling": [{"version": 2}, {"version": 1, "learningRate": 0.2, "targetEntropy": 4}],
    "logitBias": [{"7": 1.5}, [[7, "-inf"], [8, -2]], {9: float("-inf")}],
    "logProbs": [3, False],
    "seed": [42, -1, False],
    "cpuThreads": [4],
    "systemPrompt": ["Be brief. 😀"],
    "contextPrefill": [[{"type": "jsonFile", "absPath": "/a.json"}]],
    "enableThinking": [True, False],
    "reasoningBudget": [100, 0, False],
    "reasoningParsing": [{"enabled": True, "startString": "<r>", "endString": "</r>"}, {"enabled": False}],
    "promptTemplate": [
        {"type": "jinja", "jinjaPromptTemplate": _JINJA},
        {"type": "manual", "manualPromptTemplate": {"beforeUser": "U: "}, "stopStrings": ["U:"]},
    ],
    "draftModel": ["emulator/draft", ""],
    "speculativeDecodingMinDraftLengthToConsider": [3],
    "speculativeDecodingMinContinueDraftingProbability": [0.4],
    "speculativeDecodingNumDraftTokensExact": [5],
    "speculativeDecodingNumReuseTokens": [6],
    "speculativeDecodingMaxTokensToDraft": [7],
    "userMaxImageDimensionPixels": [512, False],
    "ignoreModelPreferredMaxImageDimension": [True],
    "raw": [
        {"llm.prediction.unheardOf": {"a": [1, None]}},
        {"fields": [{"key": "llm.prediction.temperature", "value": 1}]},
    ],
}

LLM_LOAD: dict[str, list[Any]] = {
    "contextLength": [2048],
    "gpu": [
        {"ratio": 0.5},
        {"ratio": "max"},
        {"ratio": "off"},
        {"numCpuExpertLayersRatio": 0.25},
        {"mainGpu": 1, "splitStrategy": "favorMainGpu"},
        {"splitStrategy": "evenly", "disabledGpus": [0, 2]},
    ],
    "autoFit": [True, False],
    "autoFitMinContextLength": [1024],
    "gpuStrictVramCap": [True],
    "offloadKVCacheToGpu": [False],
    "numExperts": [4],
    "seed": [42, -1, False],
    "maxParallelPredictions": [2],
    "useUnifiedKvCache": [True],
    "promptTemplate": [{"type": "jinja", "jinjaPromptTemplate": _JINJA}],
    "cpuThreadPoolSize": [3],
    "evalBatchSize": [256],
    "physicalBatchSize": [128],
    "flashAttention": [True],
    "contextCheckpoints": [0],
    "reasoningBudgetMessage": ["Enough."],
    "keepModelInMemory": [False],
    "useFp16ForKVCache": [True],
    "tryMmap": [False],
    "tryDirectIO": [True],
    "ropeFrequencyBase": [10000.5, False],
    "ropeFrequencyScale": [0.5, False],
    "llamaKCacheQuantizationType": ["q8_0", False],
    "llamaVCacheQuantizationType": ["iq4_nl", False],
    "speculativeDraftMtp": [True],
    "speculativeDraftSimple": [True],
    "speculativeDraftModel": ["emulator/draft"],
    "speculativeDraftMaxTokens": [8],
    "speculativeDraftMinTokens": [2],
    "speculativeDraftMinContinueProbability": [0.6],
    "mlxDiskCache": [True],
    "mlxKvCacheQuantization": [{"bits": 4}, False],
    "raw": [{"llm.load.unheardOf": 1}],
}

EMBEDDING_LOAD: dict[str, list[Any]] = {
    "contextLength": [512],
    "gpu": [{"ratio": 0.5}, {"mainGpu": 1, "splitStrategy": "favorMainGpu"}],
    "seed": [42, False],
    "evalBatchSize": [256],
    "keepModelInMemory": [True],
    "tryMmap": [False],
    "ropeFrequencyBase": [10000.5, False],
    "ropeFrequencyScale": [0.5, False],
    "raw": [{"embedding.load.unheardOf": 1}],
}

_ODD = {
    "offloadKVCacheToGpu": "offload_kv_cache_to_gpu",
    "useFp16ForKVCache": "use_fp16_for_kv_cache",
    "tryDirectIO": "try_direct_io",
}


def snake(name: str) -> str:
    """``maxTokens`` as ``max_tokens``."""
    return _ODD.get(name) or re.sub(r"(?<!^)([A-Z])", lambda found: "_" + found[1].lower(), name)


def _snake_inside(value: Any) -> Any:
    return {snake(name): item for name, item in value.items()} if isinstance(value, dict) else value


def _predict(wire: Wire, config: Any) -> None:
    wire.llm.respond("Hi", config=config)


def _load_llm(wire: Wire, config: Any) -> None:
    wire.client.llm.model("emulator/chat-2", config=config)


def _load_embedding(wire: Wire, config: Any) -> None:
    wire.client.embedding.model("emulator/embedding-2", config=config)


def _add(title: str, table: dict[str, list[Any]], use: Any, cls: Any) -> None:
    def case(name: str, config: Any) -> None:
        CASES.add(f"{title}: {name}", lambda wire: use(wire, config))

    for name, values in table.items():
        for value in values:
            case(f"{name} = {value!r}", {name: value})
        case(f"{snake(name)} in snake_case", {snake(name): values[0]})
        inner = GpuSetting(**_snake_inside(values[0])) if name == "gpu" else values[0]
        case(f"{name} as an object of the class", cls(**{snake(name): inner}))
    left_out = {"rawTools", "structured", "raw", "autoFit", "speculativeDraftMtp"}  # the last two exclude others
    everything = {name: values[0] for name, values in table.items() if name not in left_out}
    case("everything at once", everything)
    case("nothing at all", {})
    case("None counts as not given", dict.fromkeys(table))
    case("an unknown name", {"temprature": 1})


_add("prediction", PREDICTION, _predict, LlmPredictionConfig)
_add("loading an LLM", LLM_LOAD, _load_llm, LlmLoadModelConfig)
_add("loading an embedding model", EMBEDDING_LOAD, _load_embedding, EmbeddingLoadModelConfig)

for _bad in (
    {"temperature": -1},
    {"maxTokens": 0},
    {"maxTokens": -1},
    {"maxTokens": True},
    {"topPSampling": 2},
    {"topKSampling": False},
    {"seed": 1.5},
    {"stopStrings": "a"},
    {"contextOverflowPolicy": "cut"},
    {"enableThinking": 1},
    {"temperature": 0, "Temperature": 1},
    {"maxTokens": 1, "max_tokens": 2},
):
    CASES.add(f"prediction: {_bad!r}", lambda wire, bad=_bad: _predict(wire, bad))  # type: ignore[misc]
