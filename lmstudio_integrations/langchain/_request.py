"""One prediction: a request in LM Studio's terms, and the loop over its events, blocking and awaiting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from langchain_core.messages import BaseMessage

from lmstudio_integrations.client import AsyncClient, AsyncPredictionStream, Client, PredictionStream
from lmstudio_integrations.client.history import HistoryOptions
from lmstudio_integrations.compat.names import translate_call
from lmstudio_integrations.compat.prediction_settings import SAMPLING, prediction_config
from lmstudio_integrations.langchain._batch import batch_token
from lmstudio_integrations.langchain._messages import to_history
from lmstudio_integrations.langchain._progress import PROGRESS_EVENTS, ProgressDispatcher
from lmstudio_integrations.langchain._response import ResponseOptions
from lmstudio_integrations.langchain._tools import resolve_tools
from lmstudio_integrations.langchain.errors import LangChainErrors
from lmstudio_integrations.langchain.settings import GenerationSettings

__all__ = [
    "CALL_KEYWORDS",
    "CHAT_KEYWORDS",
    "TEXT_KEYWORDS",
    "Reader",
    "Request",
    "apredict",
    "call_keywords",
    "chat_request",
    "predict",
    "text_request",
]

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
"""Keywords of every call."""

# langchain-core itself passes this one.
_TOLERATED = frozenset({"ls_structured_output_format"})

TEXT_KEYWORDS = CALL_KEYWORDS | {"response_format", "raise_incomplete"}
"""Keywords of a text-completion model's call."""

CHAT_KEYWORDS = (
    CALL_KEYWORDS | _TOLERATED | {"tools", "tool_choice", "parallel_tool_calls", "response_format", "raise_incomplete"}
)
"""Keywords of a chat model's call. ``raise_incomplete=False`` returns an incomplete structured answer as it is."""

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Request:
    """What the client is to do. ``method`` is the name of the model handle's method, ``subject`` its first argument."""

    method: str
    subject: Any
    model: str | None
    load: Mapping[str, Any]
    options: Mapping[str, Any]
    context_length: int | None = None
    response: ResponseOptions = field(default_factory=ResponseOptions)

    def start(self, client: Client, progress: ProgressDispatcher) -> PredictionStream:
        """Start the prediction."""
        llm = client.llm.just_in_time(self.model, **self.load)
        stream: PredictionStream = getattr(llm, self.method)(self.subject, **self.options, watch_queue=progress.listens)
        return stream

    async def astart(self, client: AsyncClient, progress: ProgressDispatcher) -> AsyncPredictionStream:
        """``start`` for coroutines."""
        llm = client.llm.just_in_time(self.model, **self.load)
        stream: AsyncPredictionStream = await getattr(llm, self.method)(
            self.subject, **self.options, watch_queue=progress.listens
        )
        return stream


def call_keywords(given: Mapping[str, Any], allowed: Collection[str]) -> dict[str, Any]:
    """The keywords of a call under the names of this package.

    Raises:
        TypeError: An unknown keyword; the message names the nearest known one.
    """
    return translate_call(given, allowed, {}, lambda message: TypeError(f"{message} (in a call of LM Studio's model)"))


def chat_request(
    settings: GenerationSettings,
    messages: Sequence[BaseMessage],
    stop: list[str] | None,
    changes: Mapping[str, Any],
    *,
    history_options: HistoryOptions,
    check_context: bool,
) -> Request:
    """The request of a chat model's call; ``changes`` are the keywords of the call.

    Raises:
        TypeError: An unknown keyword.
        LMStudioValueError: A message, tool, schema or setting that LM Studio cannot take.
    """
    changes = call_keywords(changes, CHAT_KEYWORDS)
    tools = resolve_tools(changes.get("tools"), changes.get("tool_choice"), changes.get("response_format"))
    history = to_history(messages, **history_options)
    options = _options(settings, stop, changes)
    options.update(
        response_format=tools.response_format,
        tools=tools.tools or None,
        tool_choice=tools.tool_choice,
        check_context=check_context,
        fetch_images=history_options.get("fetch_images", False),
        parallel_tool_calls=changes.get("parallel_tool_calls"),
    )
    return Request(
        method="respond_stream",
        subject=history,
        model=settings._pick("model", changes),
        load=settings._load_options(**changes),
        options=options,
        context_length=settings._pick("context_length", changes),
        response=ResponseOptions(
            tools.answer_tool,
            is_forced_call=tools.tool_choice not in (None, "auto", "none"),
            raise_incomplete=changes.get("raise_incomplete", True),
        ),
    )


def text_request(
    settings: GenerationSettings, prompt: str, stop: list[str] | None, changes: Mapping[str, Any]
) -> Request:
    """The request of a text-completion model's call: the prompt as it is, without a chat template.

    Raises:
        TypeError: An unknown keyword.
        LMStudioValueError: A schema or setting that LM Studio cannot take.
    """
    changes = call_keywords(changes, TEXT_KEYWORDS)
    options = _options(settings, stop, changes)
    options["response_format"] = resolve_tools(None, None, changes.get("response_format")).response_format
    return Request(
        method="complete_stream",
        subject=prompt,
        model=settings._pick("model", changes),
        load=settings._load_options(**changes),
        options=options,
        context_length=settings._pick("context_length", changes),
        response=ResponseOptions(raise_incomplete=changes.get("raise_incomplete", True)),
    )


def _options(settings: GenerationSettings, stop: list[str] | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options of both kinds of prediction; a call's ``stop`` replaces the model's."""
    names = {*SAMPLING, "reasoning", "prediction_config"}
    preset = settings._pick("preset", changes)
    values = {name: settings._pick(name, changes) for name in names} | ({} if stop is None else {"stop": stop})
    config = prediction_config(values, preset=preset is not None)
    return {
        "config": config or None,
        "preset": preset,
        "draft_model": settings._pick("draft_model", changes),
        "timeout": changes.get("timeout"),
        "max_retries": changes.get("max_retries"),
        "cancel": changes.get("cancel") or batch_token.get(),
        "on_prompt_processing_progress": settings._pick("on_prompt_progress", changes),
        "on_load_progress": settings._pick("on_load_progress", changes),
        "on_first_token": settings._pick("on_first_token", changes),
    }


class Reader(Protocol[T_co]):
    """Converts the events of a prediction to LangChain's objects. Pure."""

    def begin(self) -> Iterable[T_co]:
        """The objects before the first event."""
        ...

    def read(self, event: Any) -> Iterable[T_co]:
        """The objects that an event gives, or at the end the ``PredictionResult``."""
        ...


def predict(settings: GenerationSettings, request: Request, reader: Reader[T_co]) -> Iterator[T_co]:
    """The objects that ``reader`` makes of the prediction. Closing the iterator cancels it at the server."""
    with LangChainErrors():
        for made in reader.begin():
            yield made
        progress = ProgressDispatcher()
        with request.start(settings._client(), progress) as stream:
            for event in stream.events():
                if type(event) in PROGRESS_EVENTS:
                    progress.dispatch(event)
                for made in reader.read(event):
                    yield made
            result = request.response.check(stream.result().raise_for_stop_reason())
            settings._learn(request.model, result.model_info, request.context_length)
            for made in reader.read(result):
                yield made


async def apredict(settings: GenerationSettings, request: Request, reader: Reader[T_co]) -> AsyncIterator[T_co]:
    """``predict`` for coroutines."""
    with LangChainErrors():
        for made in reader.begin():
            yield made
        progress = ProgressDispatcher()
        async with await request.astart(settings._aclient(), progress) as stream:
            async for event in stream.events():
                if type(event) in PROGRESS_EVENTS:
                    await progress.adispatch(event)
                for made in reader.read(event):
                    yield made
            result = request.response.check((await stream.result()).raise_for_stop_reason())
            settings._learn(request.model, result.model_info, request.context_length)
            for made in reader.read(result):
                yield made
