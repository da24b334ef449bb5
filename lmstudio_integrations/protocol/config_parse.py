"""Settings from a mapping that a person wrote: misspelt names and wrong values are named, before anything is sent."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import ValidationError

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol._model import to_jsonable
from lmstudio_integrations.protocol.config_kv import manual_load_settings, user_names
from lmstudio_integrations.protocol.config_models import Config, GpuSetting, LlmLoadModelConfig
from lmstudio_integrations.protocol.json_text import encode

__all__ = ["parse_config"]

C = TypeVar("C", bound=Config)

_WORDS = {
    "LlmPredictionConfig": "a prediction",
    "LlmLoadModelConfig": "loading an LLM",
    "EmbeddingLoadModelConfig": "loading an embedding model",
    "GpuSetting": "the GPU",
}


def parse_config(cls: type[C], value: Mapping[str, Any] | C | None) -> C:
    """Settings of the class ``cls`` from a mapping (camelCase or snake_case names), from themselves, or from nothing.

    ``None`` values count as not given.

    Raises:
        LMStudioValueError: a misspelt name (names the nearest right one), or a value that will not do (names the
            setting, what came and what would do), or settings that exclude each other.
    """
    if value is None:
        return cls()
    if isinstance(value, cls):
        _check_combinations(value)
        return value
    if not isinstance(value, Mapping):
        raise LMStudioValueError(
            f"The settings of {_WORDS[cls.__name__]} must be a mapping or {cls.__name__}, not {type(value).__name__}."
        )
    names = _names(cls)
    given: dict[str, Any] = {}
    spelt: dict[str, str] = {}
    for key, item in value.items():
        name = names.get(key)
        if name is None:
            raise LMStudioValueError(_unknown(cls, key))
        if item is None:
            continue
        if name in given:
            raise LMStudioValueError(f"{spelt[name]!r} and {key!r} are the same setting; give it once.")
        spelt[name] = key
        given[name] = parse_config(GpuSetting, item) if name == "gpu" and isinstance(item, Mapping) else item
    try:
        made = cls.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = names[str(first["loc"][0])]
        reason = first.get("ctx", {}).get("error")
        if isinstance(reason, LMStudioValueError):  # of a tool or a schema: it says more than what the setting takes
            raise LMStudioValueError(f"{spelt[name]!r}: {reason}") from None
        raise LMStudioValueError(_wrong(cls, name, spelt[name], given[name])) from None
    for name, key in spelt.items():
        _check_sendable(key, getattr(made, name))
    _check_combinations(made)
    return made


def _check_combinations(config: Config) -> None:
    """Raise for settings that the official SDK 2.0.0 refuses together.

    Source: lmstudio-js 2.0.0, ``llmLoadModelConfigSchema`` and its cross-field validation of speculative decoding.
    """
    if not isinstance(config, LlmLoadModelConfig):
        return
    if config.auto_fit and (manual := manual_load_settings(config)):
        raise LMStudioValueError(
            f"'autoFit' cannot be enabled with manual context, placement or memory settings, and {', '.join(manual)} "
            "is given: leave one or the other out."
        )
    if config.speculative_draft_mtp and config.speculative_draft_simple:
        raise LMStudioValueError("'speculativeDraftMtp' and 'speculativeDraftSimple' cannot both be enabled.")
    if config.speculative_draft_simple and not config.speculative_draft_model:
        raise LMStudioValueError("'speculativeDraftSimple' requires a 'speculativeDraftModel'.")
    if config.speculative_draft_model and not config.speculative_draft_simple:
        raise LMStudioValueError(
            "'speculativeDraftModel' requires the type of the draft: set 'speculativeDraftSimple' to true as well."
        )
    fewest, most = config.speculative_draft_min_tokens, config.speculative_draft_max_tokens
    if fewest is not None and most is not None and fewest > most:
        raise LMStudioValueError(
            f"'speculativeDraftMinTokens' must be at most 'speculativeDraftMaxTokens': {fewest} is more than {most}."
        )


@cache
def _names(cls: type[Config]) -> dict[str, str]:
    """Each spelling of a setting and the attribute that it means."""
    return {spelling: name for name, user in user_names(cls).items() for spelling in (name, user)}


def _unknown(cls: type[Config], key: Any) -> str:
    text = str(key)
    snake, camel = zip(*user_names(cls).items(), strict=True)
    spellings = {spelling.lower(): spelling for spelling in (snake if "_" in text else camel)}
    close = difflib.get_close_matches(text.lower(), spellings, n=1, cutoff=0.45)
    advice = f"did you mean {spellings[close[0]]!r}?" if close else f"there are {', '.join(camel)}."
    return f"There is no setting {key!r} for {_WORDS[cls.__name__]}; {advice}"


def _wrong(cls: type[Config], name: str, key: str, value: Any) -> str:
    try:
        came = repr(value)
    except (RecursionError, ValueError):  # nested too deeply, or an integer of more than 4,300 digits
        came = f"this {type(value).__name__}"
    if len(came) > 120:
        came = came[:117] + "..."
    return f"{key!r} must be {cls.model_fields[name].description}, not {came}."


def _check_sendable(key: str, value: Any) -> None:
    try:
        encode(None if isinstance(value, Config) else to_jsonable(value))
    except LMStudioValueError as error:
        raise LMStudioValueError(f"{key!r} cannot be sent: {error}") from None
