"""Names of settings: synonyms of other integrations, ignored and refused keywords, the nearest right name.

The synonyms are the documented parameters of ChatOpenAI and ChatOllama (LangChain), OpenAI, OpenAILike and Ollama
(LlamaIndex) for settings that exist here, as of November 2026; they were written down by hand.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["IGNORED", "REFUSED", "SYNONYMS", "translate_call", "translate_constructor", "unknown_name"]

logger = logging.getLogger("lmstudio_integrations")

SYNONYMS: dict[str, str] = {
    "api_key": "api_token",
    "openai_api_key": "api_token",
    "base_url": "base_url",
    "api_base": "base_url",
    "openai_api_base": "base_url",
    "url": "base_url",
    "host": "base_url",
    "model_name": "model",
    "model_id": "model",
    "request_timeout": "timeout",
    "keep_alive": "ttl",
    "num_ctx": "context_length",
    "n_ctx": "context_length",
    "context_window": "context_length",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "num_predict": "max_tokens",
    "num_output": "max_tokens",
    "stop_sequences": "stop",
    "repetition_penalty": "repeat_penalty",
    "thinking": "reasoning",
    "model_kwargs": "prediction_config",
    "extra_body": "prediction_config",
    "options": "prediction_config",
    "additional_kwargs": "prediction_config",
    "allow_parallel_tool_calls": "parallel_tool_calls",
    "cancellation": "cancel",
}
"""Other integrations' names and the setting that each means. An adapter's own names win over them."""

IGNORED = frozenset(
    {
        "betas",
        "cache_control",
        "extra_headers",
        "extra_query",
        "include",
        "metadata",
        "prompt_cache_key",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "stream_usage",
        "strict",
        "user",
        "verbose",
        "verbosity",
    }
)
"""Keywords that frameworks and applications pass to every model, and that have no meaning for LM Studio."""

REFUSED = {
    "n": "LM Studio gives one answer per request: send the request several times",
    "functions": "functions are OpenAI's former tools: pass tools=[…]",
    "function_call": "function_call is OpenAI's former tool choice: pass tool_choice=…",
}
"""Keywords that would change the answer and that LM Studio does not have; ``n=1`` and ``None`` are ignored."""

_EFFORT: dict[str, bool | int] = {"none": False, "minimal": 512, "low": 1024, "medium": 8192, "high": True}
"""Guess: LM Studio has no effort levels of its own, so each becomes a budget in tokens; "high" has none."""

_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def unknown_name(name: str, known: Iterable[str], what: str) -> str:
    """The message for a name that is not among ``known``, with the nearest one that is."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "settings without a name here go into prediction_config"
    return f"unknown {what} {name!r}: {hint}"


def translate_constructor(values: Mapping[str, Any], fields: Collection[str], own: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of a constructor under the names of ``fields``.

    ``own``: the class's field for a setting whose field has another name than the setting itself. Names in ``IGNORED``
    are dropped with a warning.

    Raises:
        LMStudioValueError: An unknown name, with the nearest right one; one setting under two names; a refused name.
    """
    return _translate(values, fields, own, LMStudioValueError, "setting", warn=True)


def translate_call(
    values: Mapping[str, Any],
    keywords: Collection[str],
    own: Mapping[str, str],
    error: Callable[[str], Exception] = LMStudioValueError,
) -> dict[str, Any]:
    """The keywords of one call under the names of ``keywords``; as ``translate_constructor``, without warnings.

    ``error`` makes the exception for an unknown name.
    """
    return _translate(values, keywords, own, error, "keyword", warn=False)


def _translate(
    values: Mapping[str, Any],
    known: Collection[str],
    own: Mapping[str, str],
    error: Callable[[str], Exception],
    what: str,
    *,
    warn: bool,
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    named: dict[str, str] = {}
    for name, value in values.items():
        if name in known:
            pairs = {name: value}
        elif name in own:
            pairs = {own[name]: value}
        elif name in _CONVERTED:
            pairs = {own.get(setting, setting): item for setting, item in _CONVERTED[name](value).items()}
        elif name in SYNONYMS:
            setting = SYNONYMS[name]
            pairs = {own.get(setting, setting): value}
        elif name in REFUSED and value not in (None, 1):
            raise LMStudioValueError(f"{name}={value!r}: {REFUSED[name]}")
        elif name in IGNORED or name in REFUSED:
            if warn:
                logger.warning("the setting %r has no meaning for LM Studio and is ignored", name)
            continue
        else:
            raise error(unknown_name(name, {*known, *SYNONYMS, *_CONVERTED}, what))
        for setting, item in pairs.items():
            if setting not in known:
                raise error(unknown_name(name, known, what))
            if setting in made and made[setting] != item:
                raise LMStudioValueError(
                    f"{named[setting]!r} and {name!r} are one setting under two names: pass one of them"
                )
            made[setting] = item
            named[setting] = name
    return made


def _keep_alive(value: Any) -> dict[str, Any]:
    """Ollama's ``keep_alive``: seconds, or text like "5m"; negative is for ever."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            raise LMStudioValueError(f"keep_alive={value!r}: expected seconds or a duration like '5m', '1h' or '-1'")
        value = float(found[1]) * _UNITS[found[2]]
    if isinstance(value, (int, float)) and value < 0:
        value = None
    return {"ttl": value}


def _format(value: Any) -> dict[str, Any]:
    """Ollama's ``format``: "json", or a JSON schema."""
    if value is None or value == "":
        return {}
    return {"response_format": {"type": "json_object"} if value == "json" else value}


def _json_mode(value: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_object"}} if value else {}


def _effort(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if value not in _EFFORT:
        raise LMStudioValueError(f"reasoning_effort={value!r}: expected one of {', '.join(_EFFORT)}")
    return {"reasoning": _EFFORT[value]}


def _top_logprobs(value: Any) -> dict[str, Any]:
    return {} if value is None else {"logprobs": value}


def _is_chat_model(value: Any) -> dict[str, Any]:
    return {"raw_completion": not value}


_CONVERTED: dict[str, Callable[[Any], dict[str, Any]]] = {
    "keep_alive": _keep_alive,
    "format": _format,
    "json_mode": _json_mode,
    "reasoning_effort": _effort,
    "top_logprobs": _top_logprobs,
    "is_chat_model": _is_chat_model,
}
"""Names whose value has another form than the setting's."""
