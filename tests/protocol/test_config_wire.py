"""Settings on the wire, compared with what the official SDKs sent and with LM Studio's own list of keys."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol import config as c
from lmstudio_integrations.protocol.config_keys import EMBEDDING_LOAD_KEYS, LLM_LOAD_KEYS, PREDICTION_KEYS, KeyRow
from lmstudio_integrations.protocol.json_text import encode
from tests.frame_validation import schema, transcripts
from tests.frame_validation.shared import KEYS_PATH, needs_shared
from tests.protocol.closed import closed
from tests.protocol.strategies import json_values

Kind = Literal["llm.prediction", "llm.load", "embedding.load"]
CLASSES: dict[Kind, type[c.Config]] = {
    "llm.prediction": c.LlmPredictionConfig,
    "llm.load": c.LlmLoadModelConfig,
    "embedding.load": c.EmbeddingLoadModelConfig,
}


def _sent(kind: Kind, user: dict[str, Any]) -> dict[str, Any]:
    return c.kv_fields(c.to_kv(c.parse_config(CLASSES[kind], user)))


ALL_CONFIG: dict[str, Any] = {
    "temperature": 0.5,
    "contextOverflowPolicy": "rollingWindow",
    "reasoningBudget": 64,
    "stopStrings": ["a"],
    "toolCallStopStrings": ["b"],
    "structured": {"type": "none"},
    "toolChoice": {"type": "generic", "mode": "auto"},
    "toolNaming": "passThrough",
    "topKSampling": 20,
    "presencePenalty": 0.1,
    "minPSampling": 0.1,
    "cpuThreads": 2,
    "enableThinking": False,
    "draftModel": "",
    "reasoningParsing": {"enabled": True, "startString": "<t>", "endString": "</t>"},
    "userMaxImageDimensionPixels": 512,
    "ignoreModelPreferredMaxImageDimension": True,
}


@needs_shared
def test_settings_give_the_fields_of_the_javascript_sdk() -> None:
    user = ALL_CONFIG | {"maxTokens": False, "repeatPenalty": False, "topPSampling": False, "logProbs": False}
    (recorded,) = transcripts.settings("allconfig.js20", "predict")
    assert _sent("llm.prediction", user) == recorded
    # The SDK loses these two on the way; we do not.
    with_xtc = _sent("llm.prediction", user | {"xtcProbability": 0.5, "xtcThreshold": False})
    assert with_xtc == recorded | {
        "llm.prediction.llama.xtcProbability": {"checked": True, "value": 0.5},
        "llm.prediction.llama.xtcThreshold": {"checked": False, "value": 0},
    }


@needs_shared
def test_settings_give_the_fields_of_the_python_sdk_where_it_has_them() -> None:
    (recorded,) = transcripts.settings("allconfig.py16", "predict")
    user = {name: ALL_CONFIG[name] for name in ALL_CONFIG if name in c.from_kv(_kv(recorded), "llm.prediction")}
    user |= {"maxTokens": 30, "repeatPenalty": 1.1, "topPSampling": 0.9}
    assert _sent("llm.prediction", user) == recorded


@needs_shared
def test_unchecked_values_are_those_of_the_javascript_sdk() -> None:
    (recorded,) = transcripts.settings("checkbox_false.js20", "predict")
    user = dict.fromkeys(("maxTokens", "repeatPenalty", "minPSampling", "topPSampling", "logProbs"), False)
    assert _sent("llm.prediction", user) == recorded


@needs_shared
def test_checkbox_fault_of_the_python_sdk_is_not_repeated() -> None:
    (recorded,) = transcripts.settings("checkbox_false.py16", "predict")
    assert recorded == {"llm.prediction.maxPredictedTokens": {"checked": True, "value": False}}
    assert _sent("llm.prediction", {"maxTokens": False}) == {
        "llm.prediction.maxPredictedTokens": {"checked": False, "value": 1}
    }


@needs_shared
def test_load_settings_give_the_fields_of_the_javascript_sdk() -> None:
    (recorded,) = transcripts.settings("load_unload.js20", "loadModel")
    user = {"gpu": {"ratio": 0.5}, "contextLength": 2048, "flashAttention": True, "seed": 3}
    assert _sent("llm.load", user) == recorded


@needs_shared
@pytest.mark.parametrize("name", [name for name in transcripts.names() if name != "checkbox_false.py16"])
def test_recorded_settings_survive_reading_and_writing(name: str) -> None:
    for endpoint, kind in (
        ("predict", "llm.prediction"),
        ("completeRawText", "llm.prediction"),
        ("loadModel", "llm.load"),
    ):
        for recorded in transcripts.settings(name, endpoint):
            user = c.from_kv(_kv(recorded), kind)  # type: ignore[arg-type]
            expected = {key: value for key, value in recorded.items() if not key.endswith(".autoFit")}
            again = _sent(kind, user)  # type: ignore[arg-type]
            assert {key: value for key, value in again.items() if not key.endswith(".autoFit")} == closed(expected)


@needs_shared
@pytest.mark.parametrize("name", ["respond.js20", "load_unload.js20", "embeddings.js20", "reasoning.py16"])
def test_reported_settings_have_user_names(name: str) -> None:
    for frame in transcripts.load(name):
        message = frame.frame.get("message", {})
        if message.get("type") == "success" and "stats" in message:
            load = c.from_kv(message["loadModelConfig"], "llm.load")
            assert load["contextLength"] == 4096
            assert load["seed"] is False
            assert load["gpu"]["ratio"] == "max"
            assert load["gpu"]["splitStrategy"] == "evenly"
            assert load["llamaKCacheQuantizationType"] is False
            prediction = c.from_kv(message["predictionConfig"], "llm.prediction")
            assert prediction["toolNaming"] == "removeSpecial"
            assert "rawTools" in prediction


def _kv(pairs: dict[str, Any]) -> dict[str, Any]:
    return c.kv_config(pairs)


# --- every key that LM Studio has -------------------------------------------------------------------------------------

ROWS: dict[Kind, tuple[KeyRow, ...]] = {
    "llm.prediction": PREDICTION_KEYS,
    "llm.load": LLM_LOAD_KEYS,
    "embedding.load": EMBEDDING_LOAD_KEYS,
}
# Keys without a row of their own: where they come from.
BY_OTHER_NAMES = {
    "llm.load.llama.autoFit": ("llm.load", {"autoFit": True}),
    "llm.load.mlx.autoFit": ("llm.load", {"autoFit": True}),
    "llm.load.llama.acceleration.offloadRatio": ("llm.load", {"gpu": {"ratio": "max"}}),
    "llm.load.numCpuExpertLayersRatio": ("llm.load", {"gpu": {"numCpuExpertLayersRatio": 0.5}}),
    "llm.load.llama.speculativeDecoding.draftDflashSidecar": ("llm.load", {"speculativeDraftMtp": True}),
    "llm.load.llama.speculativeDecoding.draftDsparkSidecar": (
        "llm.load",
        {"speculativeDraftSimple": True, "speculativeDraftModel": "m"},
    ),
    "llm.load.llama.speculativeDecoding.draftMtpSidecar": ("llm.load", {"speculativeDraftMtp": False}),
    "load.gpuSplitConfig": ("llm.load", {"gpu": {"mainGpu": 1}}),
    "embedding.load.llama.acceleration.offloadRatio": ("embedding.load", {"gpu": {"ratio": 0.5}}),
}
# Neither SDK has a name for these; `raw` takes them. Retrieval runs on the client's side of other endpoints.
RAW_ONLY = {"envVars"} | {f"retrieval.{name}" for name in ("databaseFile", "chunkingMethod", "limit", "embeddingModel")}


@cache
def _known_keys() -> dict[str, dict[str, Any]]:
    if not KEYS_PATH.is_file():
        return {}
    return {row["key"]: row for row in json.loads(KEYS_PATH.read_text(encoding="utf-8"))}


@needs_shared
def test_every_lm_studio_key_has_a_user_name() -> None:
    reached = {row.key for rows in ROWS.values() for row in rows} | set(BY_OTHER_NAMES) | RAW_ONLY
    assert reached == set(_known_keys())


@needs_shared
def test_checkbox_keys_are_lm_studios() -> None:
    for rows in ROWS.values():
        for row in rows:
            kind = _known_keys()[row.key]["valueType"]
            assert row.checkbox == (kind in ("checkboxNumeric", "llamaCacheQuantizationType")), row.key


@pytest.mark.parametrize("key", BY_OTHER_NAMES)
def test_keys_without_a_user_name_are_sent_by_the_setting_that_implies_them(key: str) -> None:
    kind, user = BY_OTHER_NAMES[key]
    assert key in _sent(kind, user)  # type: ignore[arg-type]


def _example(row: dict[str, Any]) -> Any:
    """LM Studio's default as a user would write it."""
    default = row["default"]
    if row["valueType"] in ("checkboxNumeric", "llamaCacheQuantizationType"):
        return default["value"]
    return default


@needs_shared
@pytest.mark.parametrize(
    ("kind", "row"),
    [(kind, row) for kind, rows in ROWS.items() for row in rows],
    ids=lambda item: getattr(item, "key", item),
)
def test_lm_studios_default_is_accepted_and_sent_unchanged(kind: Kind, row: KeyRow) -> None:
    known = _known_keys()[row.key]
    value = _example(known)
    sent = _sent(kind, {row.user: value})[row.key]
    assert sent == ({"checked": True, "value": value} if row.checkbox else known["default"])
    back = c.from_kv(_kv({row.key: known["default"]}), kind)[row.user]
    off_by_default = row.checkbox and not known["default"]["checked"]
    assert back == (False if off_by_default or row.user == "mlxKvCacheQuantization" else value)


@needs_shared
@pytest.mark.parametrize(
    ("kind", "row"),
    [(kind, row) for kind, rows in ROWS.items() for row in rows],
    ids=lambda item: getattr(item, "key", item),
)
def test_values_beyond_lm_studios_limits_are_refused(kind: Kind, row: KeyRow) -> None:
    params = _known_keys()[row.key]["params"]
    beyond = []
    if "min" in params:
        beyond.append(params["min"] - 1)
        _sent(kind, {row.user: params["min"]})
    if "max" in params:
        beyond.append(params["max"] + 1)
        _sent(kind, {row.user: params["max"]})
    if params.get("int"):
        beyond.append(params.get("min", 0) + 0.5)
    for value in [*beyond, [object()]]:
        with pytest.raises(LMStudioValueError, match=f"'{row.user}'(: | must be )"):
            _sent(kind, {row.user: value})


@pytest.mark.parametrize(("kind", "row"), [(kind, row) for kind, rows in ROWS.items() for row in rows if row.checkbox])
def test_false_unchecks_a_checkbox_and_is_read_as_false(kind: Kind, row: KeyRow) -> None:
    sent = _sent(kind, {row.user: False})
    assert sent == {row.key: {"checked": False, "value": row.unchecked_value}}
    assert c.from_kv(_kv(sent), kind) == {row.user: False}


@pytest.mark.parametrize(("kind", "row"), [(kind, row) for kind, rows in ROWS.items() for row in rows if row.checkbox])
def test_true_is_refused_as_a_checkbox_value(kind: Kind, row: KeyRow) -> None:
    with pytest.raises(LMStudioValueError, match=f"'{row.user}' must be .*not True"):
        _sent(kind, {row.user: True})


# --- the rules of loading ---------------------------------------------------------------------------------------------


def test_auto_fit_is_off_if_a_size_or_place_is_given() -> None:
    off = {"llm.load.llama.autoFit": False, "llm.load.mlx.autoFit": False, "llm.load.yuzu.autoFit": False}
    asked_for: list[dict[str, Any]] = [
        {"contextLength": 10},
        {"gpu": {"ratio": "max"}},
        {"gpu": {"numCpuExpertLayersRatio": 0.5}},
        {"gpu": {"mainGpu": 0}},
        {"gpu": {"splitStrategy": "evenly"}},
        {"gpuStrictVramCap": True},
        {"gpu_strict_vram_cap": False},
    ]
    for user in asked_for:
        assert off.items() <= _sent("llm.load", user).items(), user
    not_asked_for: list[dict[str, Any]] = [
        {},
        {"gpu": {}},
        {"flashAttention": True},
        {"gpu": {"disabledGpus": [1]}},
        {"gpu": {"disabledGpus": []}},
    ]
    for user in not_asked_for:
        assert not any(key.endswith("autoFit") for key in _sent("llm.load", user)), user
    asked = _sent("llm.load", {"autoFit": True, "gpu": {"disabledGpus": [1]}})
    assert asked["llm.load.llama.autoFit"] is asked["llm.load.mlx.autoFit"] is True
    assert asked["load.gpuSplitConfig"]["disabledGpus"] == [1]
    assert "load.gpuSplitConfig" not in _sent("llm.load", {"gpu": {"disabledGpus": []}})
    assert "autoFit" not in c.EmbeddingLoadModelConfig.model_fields
    assert _sent("embedding.load", {"contextLength": 10}) == {"embedding.load.contextLength": 10}


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"autoFit": True, "contextLength": 4096}, "'autoFit' cannot be enabled with .*contextLength is given"),
        ({"auto_fit": True, "gpu": {"ratio": 0.5, "mainGpu": 1}}, "gpu.ratio, gpu.mainGpu is given"),
        ({"autoFit": True, "gpuStrictVramCap": False}, "gpuStrictVramCap is given"),
        ({"speculativeDraftModel": "small"}, "'speculativeDraftModel' requires the type of the draft"),
        ({"speculativeDraftModel": "small", "speculativeDraftMtp": True}, "requires the type of the draft"),
        ({"speculativeDraftSimple": True}, "'speculativeDraftSimple' requires a 'speculativeDraftModel'"),
        (
            {"speculativeDraftSimple": True, "speculativeDraftMtp": True, "speculativeDraftModel": "small"},
            "cannot both be enabled",
        ),
        ({"speculativeDraftMinTokens": 5, "speculativeDraftMaxTokens": 4}, "5 is more than 4"),
    ],
)
def test_load_settings_that_the_sdk_refuses_together_are_errors(user: dict[str, Any], message: str) -> None:
    with pytest.raises(LMStudioValueError, match=message):
        c.parse_config(c.LlmLoadModelConfig, user)
    by_attribute = {re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name): value for name, value in user.items()}
    with pytest.raises(LMStudioValueError, match=message):
        c.parse_config(c.LlmLoadModelConfig, c.LlmLoadModelConfig(**by_attribute))


@pytest.mark.parametrize(
    ("gpu", "split"),
    [
        ({"mainGpu": 0}, {"strategy": "evenly", "disabledGpus": [], "priority": [0], "customRatio": []}),
        (
            {"splitStrategy": "favorMainGpu", "mainGpu": 1},
            {"strategy": "priorityOrder", "disabledGpus": [], "priority": [1], "customRatio": []},
        ),
        (
            {"splitStrategy": "evenly", "disabledGpus": [2]},
            {"strategy": "evenly", "disabledGpus": [2], "priority": [], "customRatio": []},
        ),
    ],
)
def test_gpu_setting_gives_the_split_fields(gpu: dict[str, Any], split: dict[str, Any]) -> None:
    for kind in ("llm.load", "embedding.load"):
        sent = _sent(kind, {"gpu": gpu})
        assert sent["load.gpuSplitConfig"] == split
        assert gpu.items() <= c.from_kv(_kv(sent), kind)["gpu"].items()


def test_gpu_ratio_alone_sends_no_split() -> None:
    assert "load.gpuSplitConfig" not in _sent("llm.load", {"gpu": {"ratio": 0.5}})


def test_draft_mode_switches_the_other_draft_modes_off() -> None:
    sent = _sent("llm.load", {"speculativeDraftMtp": True})
    assert [sent[f"llm.load.llama.speculativeDecoding.{name}"] for name in ("draftMtp", "draftMtpSidecar")] == [
        True,
        False,
    ]
    assert len(sent) == 4
    assert len(_sent("llm.load", {"speculativeDraftMaxTokens": 3})) == 1


def test_mlx_cache_quantization_false_is_sent() -> None:
    (value,) = _sent("llm.load", {"mlxKvCacheQuantization": False}).values()
    assert value == {"enabled": False, "bits": 8, "groupSize": 64, "quantizedStart": 5000}
    sent = _sent("llm.load", {"mlxKvCacheQuantization": False})
    assert c.from_kv(_kv(sent), "llm.load") == {"mlxKvCacheQuantization": False}
    (value,) = _sent("llm.load", {"mlxKvCacheQuantization": {"bits": 4}}).values()
    assert value == {"enabled": True, "bits": 4, "groupSize": 64, "quantizedStart": 5000}


def test_raw_keys_win_over_named_settings() -> None:
    sent = _sent("llm.prediction", {"raw": {"x.y": [1], "llm.prediction.temperature": 2}, "temperature": 1, "seed": 5})
    assert sent == {
        "llm.prediction.temperature": 2,
        "llm.prediction.seed": {"checked": True, "value": 5},
        "x.y": [1],
    }
    own_form = {"fields": [{"key": "x.y", "value": [1]}]}
    assert _sent("llm.prediction", {"raw": own_form}) == {"x.y": [1]}


@pytest.mark.parametrize(
    ("given_bias", "sent"),
    [
        ({50256: -100}, [[50256, -100]]),
        ({"50256": 1.5}, [[50256, 1.5]]),
        ([[1, "-inf"], (2, 0)], [[1, "-inf"], [2, 0]]),
        ({1: float("-inf")}, [[1, "-inf"]]),
        ([], []),
    ],
)
def test_logit_bias_takes_openais_mapping_and_lm_studios_pairs(given_bias: Any, sent: Any) -> None:
    assert _sent("llm.prediction", {"logitBias": given_bias}) == {"llm.prediction.llama.logitBias": sent}


@pytest.mark.parametrize("bias", [5, "a", [1], [[1]], [["x", 1]], {1: "no"}, {1: True}, {1: float("nan")}, {1.5: 1}])
def test_other_logit_biases_are_refused(bias: Any) -> None:
    with pytest.raises(LMStudioValueError, match="'logitBias' must be"):
        _sent("llm.prediction", {"logitBias": bias})


# --- both ways --------------------------------------------------------------------------------------------------------

unit = st.floats(0, 1)
off = st.just(value=False)
predictions = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 5) | st.integers(0, 5),
        "maxTokens": st.integers(1, 10**6) | off,
        "stopStrings": st.lists(st.text(max_size=5), max_size=3),
        "topKSampling": st.integers(-1, 500),
        "topPSampling": unit | off,
        "repeatPenalty": st.floats(-1, 3) | off,
        "presencePenalty": st.floats(-3, 3) | off,
        "seed": st.integers(-1, 2**31) | off,
        "logProbs": st.integers(0, 100) | off,
        "enableThinking": st.booleans(),
        "structured": st.just({"type": "json", "jsonSchema": {"type": "object"}}),
        "toolChoice": st.sampled_from(["none", "auto", "required"]).map(lambda mode: {"type": "generic", "mode": mode}),
        "draftModel": st.text(max_size=5),
        "mirostatSampling": st.just({"version": 2, "learningRate": 0.1, "targetEntropy": 5}),
        "contextPrefill": st.just([{"type": "jsonFile", "absPath": "/a"}]),
        "promptTemplate": st.just(
            {"type": "jinja", "jinjaPromptTemplate": {"template": "x"}, "stopStrings": ["a"]},
        ),
    },
)
loads = st.fixed_dictionaries(
    {},
    optional={
        "contextLength": st.integers(1, 10**6),
        "gpu": st.fixed_dictionaries(
            {
                "splitStrategy": st.sampled_from(["evenly", "favorMainGpu"]),
                "disabledGpus": st.lists(st.integers(0, 8), max_size=3),
            },
            optional={"ratio": unit | st.sampled_from(["max", "off"]), "mainGpu": st.integers(0, 8)},
        ),
        "autoFit": st.booleans(),
        "seed": st.integers(-1, 2**31) | off,
        "ropeFrequencyBase": st.floats(0, 1e6) | off,
        "llamaKCacheQuantizationType": st.sampled_from(["f16", "q8_0"]) | off,
        "mlxKvCacheQuantization": off,
        "speculativeDraftModel": st.text(max_size=5),
        "maxParallelPredictions": st.integers(1, 1023),
    },
)


@given(predictions)
def test_prediction_settings_survive_writing_and_reading(user: dict[str, Any]) -> None:
    config = c.parse_config(c.LlmPredictionConfig, user)
    assert c.from_kv(c.to_kv(config), "llm.prediction") == user
    assert encode(c.to_kv(config)) == encode(
        c.to_kv(c.parse_config(c.LlmPredictionConfig, dict(reversed(user.items()))))
    )


@given(loads)
def test_load_settings_survive_writing_and_reading(user: dict[str, Any]) -> None:
    if {"contextLength", "gpu"} & user.keys() and user.get("autoFit"):
        del user["autoFit"]
    if user.get("speculativeDraftModel"):
        user["speculativeDraftSimple"] = True
    back = c.from_kv(c.to_kv(c.parse_config(c.LlmLoadModelConfig, user)), "llm.load")
    implied = {"autoFit": False} if {"contextLength", "gpu"} & user.keys() else {}
    assert back == implied | user


@given(json_values)
def test_reading_any_reported_settings_raises_nothing(value: Any) -> None:
    for kind, rows in ROWS.items():
        assert c.from_kv(value, kind) == {} or isinstance(value, dict)
        for row in rows[:3]:
            assert row.user in c.from_kv({"fields": [value, {"key": row.key, "value": value}]}, kind)
    assert c.from_kv({"fields": [{"key": "load.gpuSplitConfig", "value": value}]}, "llm.load").keys() <= {"gpu"}


def test_reported_unknown_keys_are_skipped_and_malformed_values_kept() -> None:
    kv = _kv({"new.key": 1, "llm.prediction.temperature": "warm", "llm.prediction.maxPredictedTokens": 7})
    assert c.from_kv(kv, "llm.prediction") == {"temperature": "warm", "maxTokens": 7}


# --- layers -----------------------------------------------------------------------------------------------------------


def test_config_layers_keep_their_order_and_unknown_names_are_refused() -> None:
    one, two = _kv({"a": 1}), _kv({"a": 2})
    assert c.kv_stack(("preset", one), ("apiOverride", two)) == {
        "layers": [{"layerName": "preset", "config": one}, {"layerName": "apiOverride", "config": two}]
    }
    assert c.kv_stack() == {"layers": []}
    with pytest.raises(LMStudioValueError, match=r"'mine'.*apiOverride"):
        c.kv_stack(("mine", one))


@needs_shared
def test_config_layer_names_are_lm_studios() -> None:
    for name in c.LAYER_NAMES:
        schema.check_definition("kvConfigStack", c.kv_stack((name, _kv({}))))
    assert len(c.LAYER_NAMES) == len(schema.definition("kvConfigLayerName")["enum"])
