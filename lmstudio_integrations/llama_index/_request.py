"""One request: settings and the keywords of a call -> the arguments of the client's methods. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.compat.names import translate_call
from lmstudio_integrations.compat.prediction_settings import SAMPLING, merged_config, prediction_config
from lmstudio_integrations.compat.tool_choice import tool_name
from lmstudio_integrations.llama_index._tools import chosen_tool, has_required_parameters, wire_tools
from lmstudio_integrations.llama_index.settings import PredictionSettings

__all__ = ["CALL_KEYWORDS", "Call", "CallOptions", "call_options", "load_options"]

_SETTINGS = {
    *SAMPLING,
    "thinking",
    "model",
    "preset",
    "draft_model",
    "timeout",
    "max_retries",
    "additional_kwargs",
    "ttl",
    "context_window",
    "load_config",
}
_CALL_ONLY = {
    "tools",
    "tool_choice",
    "response_format",
    "allow_parallel_tool_calls",
    "raw_completion",
    "raise_incomplete",
    "config",
    "cancel",
}
CALL_KEYWORDS = frozenset(_SETTINGS | _CALL_ONLY)
"""Keywords of every call."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """One call: its model, the options of ``just_in_time``, and those of ``respond_stream`` or ``complete_stream``."""

    model: str | None
    load: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    context_window: int | None = None
    raw_completion: bool = False
    required_tools: frozenset[str] = frozenset()
    raise_incomplete: bool = True

    @property
    def is_forced_call(self) -> bool:
        """Whether the model has to call a tool."""
        return self.arguments.get("tool_choice") not in (None, "auto", "none")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: a conversation, or (``prompt``) a text to continue without a chat template."""

    options: CallOptions
    history: PreparedHistory = field(default_factory=PreparedHistory)
    prompt: str | None = None

    @property
    def subject(self) -> Any:
        """The first argument of the client's method."""
        return self.history if self.prompt is None else self.prompt


def call_options(settings: PredictionSettings, given: Mapping[str, Any]) -> CallOptions:
    """The settings, overridden by the keywords of one call.

    Keywords have the names of the settings (or synonyms); further ones are ``tools`` (OpenAI form), ``tool_choice``,
    ``response_format`` (JSON schema), ``raise_incomplete`` (``False``: an incomplete structured answer is returned
    as it is), ``allow_parallel_tool_calls``, ``raw_completion``, ``cancel`` and ``config`` (LM Studio's names, wins
    over everything).

    Raises:
        LMStudioValueError: An unknown keyword; a tool choice that names no tool.
    """
    call = translate_call(given, CALL_KEYWORDS, settings.OWN_NAMES)
    merged = {name: call[name] if name in call else getattr(settings, name) for name in _SETTINGS}
    values: dict[str, Any] = {name: merged[name] for name in SAMPLING}
    further = {**settings.additional_kwargs, **(call.get("additional_kwargs") or {})}
    values |= {"reasoning": merged["thinking"], "prediction_config": further}
    config = prediction_config(values, preset=True) | merged_config(call.get("config"))
    if merged["preset"] is None:
        config.setdefault("contextOverflowPolicy", "stopAtLimit")
    arguments: dict[str, Any] = {"config": config or None, "timeout": call.get("timeout")}
    arguments["cancel"] = call.get("cancel")
    arguments["max_retries"] = call.get("max_retries")
    arguments["parallel_tool_calls"] = call.get("allow_parallel_tool_calls")
    arguments |= {name: merged[name] for name in ("preset", "draft_model") if merged[name] is not None}
    arguments |= _tool_arguments(call)
    if call.get("response_format") is not None:
        arguments["response_format"] = call["response_format"]
    return CallOptions(
        model=merged["model"],
        load=load_options(settings, call),
        context_window=merged["context_window"],
        arguments={name: value for name, value in arguments.items() if value is not None},
        raw_completion=bool(call.get("raw_completion", settings.raw_completion)),
        raise_incomplete=bool(call.get("raise_incomplete", True)),
        required_tools=frozenset(
            tool_name(tool) for tool in arguments.get("tools") or () if has_required_parameters(tool)
        ),
    )


def load_options(settings: PredictionSettings, call: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """How to load the model, as the client's ``just_in_time`` takes it; ``context_window`` is its ``contextLength``."""
    config = dict(settings.load_config) | dict(call.get("load_config") or {})
    context_window = call.get("context_window", settings.context_window)
    if "context_window" in call:
        config.pop("context_length", None)
        config["contextLength"] = context_window
    elif context_window is not None and "context_length" not in config:
        config.setdefault("contextLength", context_window)
    options = {"ttl": call.get("ttl", settings.ttl), "config": config or None}
    return options | ({"check_resources": True} if settings.check_resources else {})


def _tool_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    tools = wire_tools(call.get("tools") or ())
    if not tools:
        return {}
    return {"tools": tools, "tool_choice": chosen_tool(call.get("tool_choice"), tools)}
