"""One prediction: a model's settings and the keywords of a call -> the arguments of the client's methods.

Both adapters use it. Their settings and keywords come under the common names: those of the fields of
``CommonSettings``, ``compat.names`` and LangChain's classes (``context_length``, ``reasoning``, ``prediction_config``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lmstudio_integrations.client import AsyncClient, AsyncPredictionStream, Client, PredictionResult, PredictionStream
from lmstudio_integrations.client.result import raise_for_incomplete_result
from lmstudio_integrations.compat.prediction_settings import SAMPLING, merged_config, prediction_config

__all__ = ["PredictionRequest", "ResponseOptions", "Setting", "load_options", "prediction_request"]

Setting = Callable[[str], Any]
"""The model's value of a setting, by its common name; ``None`` if it has no such setting."""

NO_CALL: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """What was requested of one response.

    ``answer_tool``: the tool whose arguments are the text of the answer. ``is_forced_call``: a tool call was requested.
    ``raise_incomplete``: an incomplete document or forced call is an error.
    """

    answer_tool: str | None = None
    is_forced_call: bool = False
    raise_incomplete: bool = True

    def check(self, result: PredictionResult) -> PredictionResult:
        """``result`` itself.

        Raises:
            LMStudioModelUnloadedError, LMStudioServerError: A failure ended the prediction.
            LMStudioStructuredOutputError: The result is incomplete and may not be.
        """
        result.raise_for_stop_reason()
        if self.raise_incomplete:
            raise_for_incomplete_result(result, answer_tool=self.answer_tool, forced_call=self.is_forced_call)
        return result


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """What the client is to do.

    ``subject`` is a ``PreparedHistory``, or as ``str`` a prompt that is sent without a chat template. ``load`` are the
    options of ``just_in_time``, ``options`` those of ``respond_stream`` or ``complete_stream``. ``context_length``
    (tokens) is the one that was asked for.
    """

    subject: Any
    model: str | None = None
    load: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    context_length: int | None = None
    response: ResponseOptions = field(default_factory=ResponseOptions)

    def start(self, client: Client, *, watch_queue: bool) -> PredictionStream:
        """Start the prediction. ``watch_queue``: report the request's place in LM Studio's queue."""
        llm = client.llm.just_in_time(self.model, **self.load)
        stream = llm.complete_stream if isinstance(self.subject, str) else llm.respond_stream
        return stream(self.subject, **self.options, watch_queue=watch_queue)

    async def astart(self, client: AsyncClient, *, watch_queue: bool) -> AsyncPredictionStream:
        """``start`` for coroutines."""
        llm = client.llm.just_in_time(self.model, **self.load)
        start = llm.complete_stream if isinstance(self.subject, str) else llm.respond_stream
        stream: AsyncPredictionStream = await start(self.subject, **self.options, watch_queue=watch_queue)
        return stream


def prediction_request(
    setting: Setting,
    call: Mapping[str, Any],
    subject: Any,
    *,
    answer_tool: str | None = None,
    **options: Any,
) -> PredictionRequest:
    """The request of one call. A keyword of the call wins over the model's setting, also as ``None``.

    ``options`` are further options of the client's method, such as ``tools``; ``None`` leaves one out.
    ``prediction_config`` and ``load_config`` of a call are merged into the model's; ``config`` (LM Studio's names) wins
    over every other setting of the prediction.

    Raises:
        LMStudioValueError: A setting that LM Studio cannot take.
    """

    def value(name: str) -> Any:
        return call[name] if name in call else setting(name)

    preset = value("preset")
    settings = {name: value(name) for name in (*SAMPLING, "reasoning")} | {"config": call.get("config")}
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
    return PredictionRequest(
        subject=subject,
        model=value("model"),
        load=load_options(setting, call),
        options={name: item for name, item in made.items() if item is not None},
        context_length=value("context_length"),
        response=ResponseOptions(
            answer_tool,
            is_forced_call=made.get("tool_choice") not in (None, "auto", "none"),
            raise_incomplete=call.get("raise_incomplete", True),
        ),
    )


def load_options(setting: Setting, call: Mapping[str, Any] = NO_CALL) -> dict[str, Any]:
    """How to load the model, as the client's ``just_in_time`` takes it.

    ``context_length`` is the ``contextLength`` of a ``load_config`` that has none itself. What a call says wins over
    the model's settings.
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
    named = {name: value for name in ("device", "check_resources") if (value := setting(name)) not in (None, False)}
    return options | named
