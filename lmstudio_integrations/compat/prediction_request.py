"""Makes the arguments of the client's methods from a model's settings and the keywords of a call.

Both adapters use it, and pass their settings and keywords under one set of names: those of ``CommonSettings`` and of
LangChain's classes (``context_length``, ``reasoning``, ``prediction_config``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lmstudio_integrations.client import AsyncClient, AsyncPredictionStream, Client, PredictionResult, PredictionStream
from lmstudio_integrations.client.common_settings import COMMON_NAMES
from lmstudio_integrations.client.result import raise_for_incomplete_result
from lmstudio_integrations.compat.prediction_settings import merged_config, prediction_config

__all__ = ["CALL_SETTINGS", "PredictionRequest", "ResponseOptions", "Setting", "load_options", "prediction_request"]

CALL_SETTINGS: frozenset[str] = frozenset(
    {
        *COMMON_NAMES,
        *("model", "preset", "draft_model", "reasoning", "prediction_config", "timeout", "max_retries"),
        *("ttl", "context_length", "load_config"),
    }
)
"""The settings of a model that a call may change."""

Setting = Callable[[str], Any]
"""The model's value of a setting, by its common name; ``None`` if it has no such setting."""

NO_CALL: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """What was requested of one response.

    ``answer_tool``: the tool whose arguments are the text of the answer. ``is_forced_call``: the answer must be a tool
    call. ``raise_incomplete``: an incomplete document or forced call is an error.
    """

    answer_tool: str | None = None
    is_forced_call: bool = False
    raise_incomplete: bool = True

    def check(self, result: PredictionResult) -> PredictionResult:
        """Return ``result`` unchanged.

        Raises:
            LMStudioModelUnloadedError, LMStudioServerError: A failure ended the prediction.
            LMStudioStructuredOutputError: The result is incomplete, and ``raise_incomplete`` is set.
        """
        result.raise_for_stop_reason()
        if self.raise_incomplete:
            raise_for_incomplete_result(result, answer_tool=self.answer_tool, forced_call=self.is_forced_call)
        return result


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """The arguments of one prediction by the client.

    ``prompt``: a ``PreparedHistory``, or text that is sent without a chat template. ``load``: the options of
    ``just_in_time``. ``options``: those of ``respond_stream`` or ``complete_stream``. ``context_length``: the tokens
    with which the model is to be loaded, ``None`` if that is not set.
    """

    prompt: Any
    model: str | None = None
    load: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    context_length: int | None = None
    response: ResponseOptions = field(default_factory=ResponseOptions)

    def start(self, client: Client, *, watch_queue: bool) -> PredictionStream:
        """Start the prediction. ``watch_queue``: report the request's place in LM Studio's queue."""
        llm = client.llm.just_in_time(self.model, **self.load)
        start = llm.complete_stream if isinstance(self.prompt, str) else llm.respond_stream
        return start(self.prompt, **self.options, watch_queue=watch_queue)

    async def astart(self, client: AsyncClient, *, watch_queue: bool) -> AsyncPredictionStream:
        """``start`` for coroutines."""
        llm = client.llm.just_in_time(self.model, **self.load)
        start = llm.complete_stream if isinstance(self.prompt, str) else llm.respond_stream
        stream: AsyncPredictionStream = await start(self.prompt, **self.options, watch_queue=watch_queue)
        return stream


def prediction_request(
    setting: Setting,
    call: Mapping[str, Any],
    prompt: Any,
    *,
    answer_tool: str | None = None,
    **options: Any,
) -> PredictionRequest:
    """The request of one call. A keyword of the call wins over the model's setting, also as ``None``.

    ``prediction_config`` and ``load_config`` of a call are merged into the model's instead; ``config`` (LM Studio's
    names) wins over every other setting of the prediction. ``options`` are further options of the client's method, such
    as ``tools``; ``None`` leaves one out.

    Raises:
        LMStudioValueError: A setting that LM Studio cannot take.
    """

    def value(name: str) -> Any:
        return call[name] if name in call else setting(name)

    preset = value("preset")
    settings = {name: value(name) for name in (*COMMON_NAMES, "reasoning")} | {"config": call.get("config")}
    settings["prediction_config"] = merged_config(setting("prediction_config")) | merged_config(
        call.get("prediction_config")
    )
    made = {
        "config": prediction_config(settings, preset=preset is not None) or None,
        "preset": preset,
        "draft_model": value("draft_model"),
        "timeout": call.get("timeout"),
        "max_retries": call.get("max_retries"),
        "cancel": call.get("cancel"),
        "on_prompt_processing_progress": value("on_prompt_progress"),
        "on_load_progress": value("on_load_progress"),
        "on_queue_progress": value("on_queue_progress"),
        "on_first_token": value("on_first_token"),
        **options,
    }
    load = load_options(setting, call)
    return PredictionRequest(
        prompt=prompt,
        model=value("model"),
        load=load,
        options={name: item for name, item in made.items() if item is not None},
        context_length=(load["config"] or {}).get("contextLength"),
        response=ResponseOptions(
            answer_tool,
            is_forced_call=made.get("tool_choice") not in (None, "auto", "none"),
            raise_incomplete=call.get("raise_incomplete") is not False,
        ),
    )


def load_options(setting: Setting, call: Mapping[str, Any] = NO_CALL) -> dict[str, Any]:
    """How to load the model, as the client's ``just_in_time`` takes it.

    ``context_length`` becomes ``contextLength``, unless ``load_config`` has that. A call's ``ttl``, ``context_length``
    and ``load_config`` win over the model's; ``device`` and ``check_resources`` are settings of the model only.
    """
    config: dict[str, Any] = {}
    if setting("context_length") is not None:
        config["contextLength"] = setting("context_length")
    config |= merged_config(setting("load_config"))
    if "context_length" in call:
        config.pop("contextLength", None)
        if call["context_length"] is not None:
            config["contextLength"] = call["context_length"]
    config |= merged_config(call.get("load_config"))
    options = {"ttl": call["ttl"] if "ttl" in call else setting("ttl"), "config": config or None}
    named = {
        name: value
        for name in ("device", "check_resources")
        if (value := setting(name)) is not None and value is not False
    }
    return options | named
