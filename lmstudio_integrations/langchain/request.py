"""One prediction as it is asked for: settings, changes of the call, messages or prompt, all in LM Studio's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage

from lmstudio_integrations.client import AsyncClient, AsyncPredictionStream, Client, PredictionStream
from lmstudio_integrations.compat.prediction_settings import SAMPLING, prediction_config
from lmstudio_integrations.langchain._messages import to_history
from lmstudio_integrations.langchain._response import ResponseOptions
from lmstudio_integrations.langchain.convert.config import CALL_KEYWORDS, call_keywords
from lmstudio_integrations.langchain.convert.tools import ask
from lmstudio_integrations.langchain.settings import GenerationSettings

__all__ = ["CHAT_KEYWORDS", "Request", "chat_request", "text_request"]

# What langchain-core itself passes.
_TOLERATED = frozenset({"ls_structured_output_format"})

CHAT_KEYWORDS = CALL_KEYWORDS | _TOLERATED | {"tools", "tool_choice", "parallel_tool_calls", "response_format"}


@dataclass(frozen=True, slots=True)
class Request:
    """What the client is to do. ``method`` is the name of the model handle's method, ``subject`` its first argument."""

    method: str
    subject: Any
    model: str | None
    load: Mapping[str, Any]
    options: Mapping[str, Any]
    response: ResponseOptions = field(default_factory=ResponseOptions)

    def start(self, client: Client) -> PredictionStream:
        """The prediction, as a stream."""
        llm = client.llm.just_in_time(self.model, **self.load)
        stream: PredictionStream = getattr(llm, self.method)(self.subject, **self.options)
        return stream

    async def astart(self, client: AsyncClient) -> AsyncPredictionStream:
        """The same for coroutines."""
        llm = client.llm.just_in_time(self.model, **self.load)
        stream: AsyncPredictionStream = await getattr(llm, self.method)(self.subject, **self.options)
        return stream


def chat_request(
    settings: GenerationSettings,
    messages: Sequence[BaseMessage],
    stop: list[str] | None,
    changes: Mapping[str, Any],
    *,
    send_reasoning: bool | None,
    merge_messages: bool,
    message_names: bool,
    fetch_images: bool,
    check_context: bool,
) -> Request:
    """The request of a chat model's call.

    Raises ``TypeError`` for an unknown keyword and ``LMStudioValueError`` for anything that LM Studio has no place for.
    """
    changes = call_keywords(changes, CHAT_KEYWORDS)
    asked = ask(changes.get("tools"), changes.get("tool_choice"), changes.get("response_format"))
    history = to_history(
        messages, send_reasoning=send_reasoning, merge_messages=merge_messages, message_names=message_names
    )
    options = _options(settings, stop, changes)
    options.update(
        response_format=asked.response_format,
        tools=asked.tools or None,
        tool_choice=asked.tool_choice,
        check_context=check_context,
        fetch_images=fetch_images,
        parallel_tool_calls=changes.get("parallel_tool_calls"),
    )
    return Request(
        method="respond_stream",
        subject=history,
        model=settings._pick("model", changes),
        load=settings._load_options(**changes),
        options=options,
        response=ResponseOptions(asked.answer_tool),
    )


def text_request(
    settings: GenerationSettings, prompt: str, stop: list[str] | None, changes: Mapping[str, Any]
) -> Request:
    """The request of a text-completion model's call: the prompt as it is, without a template."""
    changes = call_keywords(changes, CALL_KEYWORDS | {"response_format"})
    options = _options(settings, stop, changes)
    options["response_format"] = ask(None, None, changes.get("response_format")).response_format
    return Request(
        method="complete_stream",
        subject=prompt,
        model=settings._pick("model", changes),
        load=settings._load_options(**changes),
        options=options,
    )


def _options(settings: GenerationSettings, stop: list[str] | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What both kinds of prediction take; a call's ``stop`` replaces the model's."""
    names = {*SAMPLING, "reasoning", "prediction_config"}
    preset = settings._pick("preset", changes)
    values = {name: settings._pick(name, changes) for name in names} | _given_stop(stop)
    config = prediction_config(values, preset=preset is not None)
    return {
        "config": config or None,
        "preset": preset,
        "draft_model": settings._pick("draft_model", changes),
        "timeout": changes.get("timeout"),
        "max_retries": changes.get("max_retries"),
        "cancel": changes.get("cancel"),
        "on_prompt_processing_progress": settings._pick("on_prompt_progress", changes),
        "on_load_progress": settings._pick("on_load_progress", changes),
        "on_first_token": settings._pick("on_first_token", changes),
    }


def _given_stop(stop: list[str] | None) -> dict[str, Any]:
    return {} if stop is None else {"stop": stop}
