"""Settings under their common names -> LM Studio's prediction configuration. Both adapters use it."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from lmstudio_integrations.client.common_settings import COMMON_NAMES, check_max_tokens
from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["merged_config", "prediction_config"]


def prediction_config(settings: Mapping[str, Any], *, preset: bool = False) -> dict[str, Any]:
    """``settings`` under LM Studio's names; what is ``None`` is left to LM Studio.

    ``prediction_config`` among them holds settings that have no common name; the named ones win over it. ``config``
    holds settings under LM Studio's names that win over all others. ``preset``: a preset was asked for. Without one a
    prompt that is too long is an error ("stopAtLimit"): LM Studio's own default silently cuts out its middle.

    Raises:
        LMStudioValueError: A value that cannot be right for ``max_tokens``, ``logprobs`` or ``reasoning``.
    """
    config = merged_config(settings.get("prediction_config"))
    for name, key in COMMON_NAMES.items():
        value = _value(name, settings.get(name))
        if value is not None:
            config[key] = value
    config.update(_reasoning(settings.get("reasoning")))
    config.update(merged_config(settings.get("config")))
    if not preset:
        config.setdefault("contextOverflowPolicy", "stopAtLimit")
    return config


def merged_config(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy; snake_case names become LM Studio's, so that no setting is there under two names."""
    made: dict[str, Any] = {}
    for key, value in (given or {}).items():
        first, *rest = key.split("_")
        made["".join([first, *(part.capitalize() for part in rest)]) if rest else key] = value
    return made


def _value(name: str, value: Any) -> Any:
    """The value that LM Studio takes; ``None`` leaves the setting out."""
    if name == "stop":
        return [value] if isinstance(value, str) and value else (list(value) if value else None)
    if isinstance(value, Integral) and not isinstance(value, int):
        value = int(value)  # an integer of numpy
    if name == "max_tokens":
        if value is False or value == -1:
            return False  # no limit
        check_max_tokens(value)
    if name == "logprobs":
        return 1 if value is True else (None if value is False else value)
    return value


def _reasoning(value: Any) -> dict[str, Any]:
    """``True``/"on", ``False``/"off", or a budget in tokens (which switches reasoning on)."""
    if value is None:
        return {}
    if value is True or value == "on":
        return {"enableThinking": True}
    if value is False or value == "off":
        return {"enableThinking": False}
    if isinstance(value, Integral) and int(value) >= 0:
        return {"enableThinking": True, "reasoningBudget": int(value)}
    raise LMStudioValueError(f"reasoning={value!r}: expected True or 'on', False or 'off', or a budget in tokens")
