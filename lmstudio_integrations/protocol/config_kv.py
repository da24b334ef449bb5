"""Settings as LM Studio's wire has them: a list of key/value fields, in layers (PROTOCOL: "KV config").

The server does not check a field before the model's engine reads it, and then a wrong value fails the complete request;
so values are checked when the settings are made, and only written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol._model import to_jsonable
from lmstudio_integrations.protocol.config_keys import (
    AUTO_FIT_KEYS,
    EMBEDDING_LOAD_KEYS,
    LLM_LOAD_KEYS,
    PREDICTION_KEYS,
    SIDECAR_KEYS,
    KeyRow,
)
from lmstudio_integrations.protocol.config_models import (
    Config,
    EmbeddingLoadModelConfig,
    GpuSetting,
    LlmLoadModelConfig,
    LlmPredictionConfig,
)

__all__ = ["LAYER_NAMES", "ConfigKind", "ConfigStack", "from_kv", "kv_config", "kv_fields", "kv_stack", "to_kv"]

LAYER_NAMES: tuple[str, ...] = (
    "currentlyEditing",
    "currentlyLoaded",
    "apiOverride",
    "conversationSpecific",
    "conversationGlobal",
    "preset",
    "serverSession",
    "httpServerRequestOverride",
    "completeModeFormatting",
    "instance",
    "userModelDefault",
    "virtualModel",
    "modelDefault",
    "hardware",
)
"""Any other name makes the server refuse the request. Clients use ``apiOverride``; a later layer wins per key."""

ConfigKind = Literal["llm.prediction", "llm.load", "embedding.load"]
_ROWS: dict[str, tuple[KeyRow, ...]] = {
    "llm.prediction": PREDICTION_KEYS,
    "llm.load": LLM_LOAD_KEYS,
    "embedding.load": EMBEDDING_LOAD_KEYS,
}
_KINDS: dict[type[Config], ConfigKind] = {
    LlmPredictionConfig: "llm.prediction",
    LlmLoadModelConfig: "llm.load",
    EmbeddingLoadModelConfig: "embedding.load",
}
_SPLIT_KEY = "load.gpuSplitConfig"
_MLX_OFF = {"enabled": False, "bits": 8, "groupSize": 64, "quantizedStart": 5000}


def _checked_stack(stack: dict[str, Any]) -> dict[str, Any]:
    layers = stack.get("layers")
    if not isinstance(layers, list):
        raise ValueError("a configuration stack needs a list of layers")
    for layer in layers:
        if not isinstance(layer, dict) or layer.get("layerName") not in LAYER_NAMES:
            raise ValueError("a layer needs one of LM Studio's layer names")
        config = layer.get("config")
        fields = config.get("fields") if isinstance(config, dict) else None
        if not isinstance(fields, list):
            raise ValueError("a layer needs a configuration with a list of fields")
        if not all(isinstance(field, dict) and isinstance(field.get("key"), str) for field in fields):
            raise ValueError("a field needs a key")
    return stack


ConfigStack = Annotated[dict[str, Any], AfterValidator(_checked_stack)]
"""``{"layers": [{"layerName", "config": {"fields": [{"key", "value"}]}}]}``, as :func:`kv_stack` makes it."""


def to_kv(config: Config) -> dict[str, Any]:
    """``{"fields": [{"key", "value"}, …]}``, in a fixed order; settings that are ``None`` make no field."""
    kind = _KINDS[type(config)]
    pairs: dict[str, Any] = {}
    if isinstance(config, LlmLoadModelConfig):
        pairs.update(_auto_fit(config))
    gpu = getattr(config, "gpu", None)
    if gpu is not None:
        pairs.update(_gpu(gpu, kind))
    for name, row in _rows(type(config)):
        value = getattr(config, name)
        if value is not None:
            pairs[row.key] = _encoded(row, value)
    if isinstance(config, LlmLoadModelConfig):
        drafting = (config.speculative_draft_mtp, config.speculative_draft_simple, config.speculative_draft_model)
        if any(way is not None for way in drafting):
            pairs.update(dict.fromkeys(SIDECAR_KEYS, False))
    pairs.update(getattr(config, "raw", None) or {})
    return kv_config(pairs)


@cache
def user_names(kind: type[Config]) -> dict[str, str]:
    """Each attribute of a class of settings and its camelCase name; looked up once."""
    kind.model_rebuild()  # it is built at its first use, and may have no aliases before
    return {name: field.alias or name for name, field in kind.model_fields.items()}


@cache
def _rows(kind: type[Config]) -> tuple[tuple[str, KeyRow], ...]:
    """Each attribute with its row, in the order of the rows; looked up once."""
    attributes = {user: name for name, user in user_names(kind).items()}
    return tuple((attributes[row.user], row) for row in _ROWS[_KINDS[kind]])


def kv_config(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """The wire form of a mapping of keys to values."""
    return {"fields": [{"key": key, "value": value} for key, value in pairs.items()]}


def kv_fields(kv: Any) -> dict[str, Any]:
    """The mapping of keys to values of a wire form; whatever in it is no field is skipped."""
    fields = kv.get("fields") if isinstance(kv, Mapping) else None
    return {
        field["key"]: field.get("value")
        for field in (fields if isinstance(fields, list) else ())
        if isinstance(field, Mapping) and isinstance(field.get("key"), str)
    }


def kv_stack(*layers: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A stack of ``(layer name, {"fields": […]})``, the strongest last.

    Raises:
        LMStudioValueError: a layer name that LM Studio does not know.
    """
    for name, _ in layers:
        if name not in LAYER_NAMES:
            raise LMStudioValueError(f"Unknown configuration layer {name!r}; LM Studio knows {', '.join(LAYER_NAMES)}.")
    return {"layers": [{"layerName": name, "config": dict(kv)} for name, kv in layers]}


def from_kv(kv: Any, kind: ConfigKind) -> dict[str, Any]:
    """The settings under their user names (camelCase), from what a server sent.

    Unknown keys are skipped; values that are not of the expected shape are kept as they came.
    """
    pairs = kv_fields(kv)
    found: dict[str, Any] = {}
    for row in _ROWS[kind]:
        if row.key in pairs:
            found[row.user] = _decoded(row, pairs[row.key])
    if kind == "llm.load":
        for key in AUTO_FIT_KEYS:
            if key in pairs:
                found.setdefault("autoFit", pairs[key])
    if kind != "llm.prediction" and (gpu := _gpu_from(pairs, kind)):
        found["gpu"] = gpu
    return found


def _encoded(row: KeyRow, value: Any) -> Any:
    if row.checkbox:
        return {"checked": False, "value": row.unchecked_value} if value is False else {"checked": True, "value": value}
    if row.user == "mlxKvCacheQuantization" and value is False:
        return dict(_MLX_OFF)
    return to_jsonable(value)


def _decoded(row: KeyRow, value: Any) -> Any:
    if row.checkbox and isinstance(value, Mapping) and isinstance(value.get("checked"), bool):
        return value.get("value") if value["checked"] else False
    if row.user == "mlxKvCacheQuantization" and value == _MLX_OFF:
        return False
    return value


def _auto_fit(config: LlmLoadModelConfig) -> dict[str, Any]:
    """As the official SDK 2.0.0: off if a size or a place is given, because the server would choose both."""
    wanted = config.auto_fit
    if wanted is None and manual_load_settings(config):
        wanted = False
    return {} if wanted is None else dict.fromkeys(AUTO_FIT_KEYS, wanted)


def manual_load_settings(config: LlmLoadModelConfig) -> list[str]:
    """The given settings (camelCase) that auto-fit would choose. ``disabledGpus`` is none: auto-fit keeps to it.

    Source: lmstudio-js 2.0.0, ``llmLoadModelConfigToKVConfig``.
    """
    gpu = config.gpu or GpuSetting()
    values = {
        "contextLength": config.context_length,
        "gpu.ratio": gpu.ratio,
        "gpu.numCpuExpertLayersRatio": gpu.num_cpu_expert_layers_ratio,
        "gpu.mainGpu": gpu.main_gpu,
        "gpu.splitStrategy": gpu.split_strategy,
        "gpuStrictVramCap": config.gpu_strict_vram_cap,
    }
    return [name for name, value in values.items() if value is not None]


def _gpu(gpu: GpuSetting, kind: str) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    if gpu.ratio is not None:
        pairs[f"{kind}.llama.acceleration.offloadRatio"] = gpu.ratio
    if gpu.num_cpu_expert_layers_ratio is not None and kind == "llm.load":
        pairs["llm.load.numCpuExpertLayersRatio"] = gpu.num_cpu_expert_layers_ratio
    if gpu.main_gpu is not None or gpu.split_strategy is not None or gpu.disabled_gpus:
        pairs[_SPLIT_KEY] = {
            "strategy": "priorityOrder" if gpu.split_strategy == "favorMainGpu" else "evenly",
            "disabledGpus": list(gpu.disabled_gpus or []),
            "priority": [] if gpu.main_gpu is None else [gpu.main_gpu],
            "customRatio": [],
        }
    return pairs


def _gpu_from(pairs: Mapping[str, Any], kind: str) -> dict[str, Any]:
    gpu: dict[str, Any] = {}
    for user, key in (
        ("ratio", f"{kind}.llama.acceleration.offloadRatio"),
        ("numCpuExpertLayersRatio", f"{kind}.numCpuExpertLayersRatio"),
    ):
        if key in pairs:
            gpu[user] = pairs[key]
    split = pairs.get(_SPLIT_KEY)
    if isinstance(split, Mapping):
        strategy, priority, disabled = (split.get(key) for key in ("strategy", "priority", "disabledGpus"))
        gpu["splitStrategy"] = "favorMainGpu" if strategy == "priorityOrder" else strategy
        if isinstance(priority, list) and priority:
            gpu["mainGpu"] = priority[0]
        gpu["disabledGpus"] = disabled if isinstance(disabled, list) else []
    return gpu
