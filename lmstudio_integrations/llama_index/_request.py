"""One request: settings and the keywords of a call -> the arguments of the client's methods. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.compat.names import CALL_ONLY, translate_call
from lmstudio_integrations.compat.prediction_request import CALL_SETTINGS, PredictionRequest, prediction_request
from lmstudio_integrations.compat.tool_choice import tool_name
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.llama_index._tools import chosen_tools, has_required_parameters
from lmstudio_integrations.llama_index.settings import GenerationSettings

__all__ = ["CALL_KEYWORDS", "call_keywords", "chat_request", "completion_request", "required_tools"]

CALL_KEYWORDS = frozenset(
    GenerationSettings.OWN_NAMES.get(name, name) for name in CALL_SETTINGS | CALL_ONLY | {"raw_completion"}
)
"""Keywords of every call."""


def call_keywords(settings: GenerationSettings, given: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of one call, under the common names of both adapters.

    Keywords have the names of the settings (or synonyms); further ones are ``tools`` (OpenAI form), ``tool_choice``,
    ``response_format`` (JSON schema), ``raise_incomplete`` (``False``: an incomplete structured answer is returned
    as it is), ``allow_parallel_tool_calls``, ``raw_completion``, ``cancel`` and ``config`` (LM Studio's names, wins
    over everything).

    Raises:
        LMStudioValueError: An unknown keyword.
    """
    common = {own: name for name, own in settings.OWN_NAMES.items()}
    call = translate_call(given, CALL_KEYWORDS, settings.OWN_NAMES, settings=type(settings).model_fields)
    return {common.get(name, name): value for name, value in call.items()}


def chat_request(settings: GenerationSettings, call: Mapping[str, Any], history: PreparedHistory) -> PredictionRequest:
    """The request of one call with a conversation; ``call`` is what ``call_keywords`` returns.

    Raises:
        LMStudioValueError: A tool, tool choice, schema or setting that LM Studio cannot take.
    """
    options = _options(call) | {"check_context": settings.check_context, "fetch_images": settings.fetch_images}
    return prediction_request(settings._setting, call, history, **options)


def completion_request(settings: GenerationSettings, call: Mapping[str, Any], prompt: str) -> PredictionRequest:
    """The request of one call whose prompt is sent as it is, without a chat template; raises as ``chat_request``."""
    options = _options(call)
    if "tools" in options:
        raise LMStudioValueError("raw_completion has no chat template for tools: use chat")
    return prediction_request(settings._setting, call, prompt, **options)


def required_tools(request: PredictionRequest) -> frozenset[str]:
    """The names of the tools that have required parameters."""
    return frozenset(tool_name(tool) for tool in request.options.get("tools", ()) if has_required_parameters(tool))


def _options(call: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {name: call.get(name) for name in ("parallel_tool_calls", "response_format")}
    choice, tools = chosen_tools(call.get("tool_choice"), call.get("tools") or ())
    return {**options, "tools": tools, "tool_choice": choice} if tools else options
