"""Settings in one place: the models, the dictionaries for editors, and the way to and from the wire."""

from __future__ import annotations

from lmstudio_integrations.protocol.config_kv import (
    LAYER_NAMES,
    ConfigKind,
    ConfigStack,
    from_kv,
    kv_config,
    kv_fields,
    kv_stack,
    to_kv,
)
from lmstudio_integrations.protocol.config_models import (
    Config,
    EmbeddingLoadModelConfig,
    GpuSetting,
    LlmLoadModelConfig,
    LlmPredictionConfig,
)
from lmstudio_integrations.protocol.config_parse import parse_config

__all__ = [
    "LAYER_NAMES",
    "Config",
    "ConfigKind",
    "ConfigStack",
    "EmbeddingLoadModelConfig",
    "GpuSetting",
    "LlmLoadModelConfig",
    "LlmPredictionConfig",
    "from_kv",
    "kv_config",
    "kv_fields",
    "kv_stack",
    "parse_config",
    "to_kv",
]
