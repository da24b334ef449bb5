"""Settings of a model and of one call -> LM Studio's prediction configuration; and which keywords a call may have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["CALL_KEYWORDS", "SAMPLING", "check_keywords", "merged_config", "prediction_config"]

SAMPLING = {
    "temperature": "temperature",
    "max_tokens": "maxTokens",
    "stop": "stopStrings",
    "top_p": "topPSampling",
    "top_k": "topKSampling",
    "min_p": "minPSampling",
    "repeat_penalty": "repeatPenalty",
    "seed": "seed",
    "context_overflow_policy": "contextOverflowPolicy",
}
"""Fields of the models whose value is the value of one of LM Studio's settings."""

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
        "cancel",
        "on_prompt_progress",
        "on_load_progress",
        "on_first_token",
    }
)
"""What every call may change."""


def check_keywords(given: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise ``TypeError`` for a keyword that means nothing here, naming it and the nearest that does."""
    allowed = set(allowed)
    for name in given:
        if name not in allowed:
            near = get_close_matches(name, allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "settings without a name here go into prediction_config"
            raise TypeError(f"unknown keyword {name!r} in a call of LM Studio's model: {hint}")


def prediction_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` under their LangChain names -> LM Studio's names; what is ``None`` is left to LM Studio.

    ``prediction_config`` among them gives settings that have no name here; the named ones win over it.
    """
    config = merged_config(settings.get("prediction_config"))
    for name, key in SAMPLING.items():
        value = settings.get(name)
        if value is not None and not (name == "stop" and not value):
            config[key] = [value] if name == "stop" and isinstance(value, str) else value
    config.update(_reasoning(settings.get("reasoning")))
    return config


def merged_config(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy; snake_case names become LM Studio's, so that no setting is there under two names."""
    made: dict[str, Any] = {}
    for key, value in (given or {}).items():
        first, *rest = key.split("_")
        made["".join([first, *(part.capitalize() for part in rest)]) if rest else key] = value
    return made


def _reasoning(value: Any) -> dict[str, Any]:
    """``True``/"on", ``False``/"off", or a budget in tokens (which switches thinking on)."""
    if value is None:
        return {}
    if value is True or value == "on":
        return {"enableThinking": True}
    if value is False or value == "off":
        return {"enableThinking": False}
    if isinstance(value, int) and value >= 0:
        return {"enableThinking": True, "reasoningBudget": value}
    raise LMStudioValueError(f"reasoning={value!r}: pass True or 'on', False or 'off', or a budget in tokens")
