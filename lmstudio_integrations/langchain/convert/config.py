"""Which keywords a call of a LangChain model may have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lmstudio_integrations.compat.names import translate_call
from lmstudio_integrations.compat.prediction_settings import SAMPLING

__all__ = ["CALL_KEYWORDS", "call_keywords"]

CALL_KEYWORDS = frozenset(
    {
        *SAMPLING,
        "model",
        "ttl",
        "context_length",
        "load_config",
        "reasoning",
        "draft_model",
        "preset",
        "prediction_config",
        "timeout",
        "max_retries",
        "cancel",
        "on_prompt_progress",
        "on_load_progress",
        "on_first_token",
    }
)
"""What every call may change."""


def call_keywords(given: Mapping[str, Any], allowed: Collection[str]) -> dict[str, Any]:
    """The keywords of a call under our names. Raises ``TypeError`` for an unknown one, naming the nearest right one."""
    return translate_call(given, allowed, {}, lambda message: TypeError(f"{message} (in a call of LM Studio's model)"))
