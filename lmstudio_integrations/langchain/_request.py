"""One prediction: a request in LM Studio's terms, and the loop over its events, blocking and awaiting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from langchain_core.messages import BaseMessage

from lmstudio_integrations.client.history import HistoryOptions
from lmstudio_integrations.compat.names import CALL_ONLY, translate_call
from lmstudio_integrations.compat.prediction_request import CALL_SETTINGS, PredictionRequest, prediction_request
from lmstudio_integrations.langchain._batch import batch_token
from lmstudio_integrations.langchain._messages import to_history
from lmstudio_integrations.langchain._progress import PROGRESS_EVENTS, ProgressDispatcher
from lmstudio_integrations.langchain._tools import resolve_tools, response_schema
from lmstudio_integrations.langchain.errors import LangChainErrors
from lmstudio_integrations.langchain.settings import GenerationSettings

__all__ = [
    "CALL_KEYWORDS",
    "CHAT_KEYWORDS",
    "TEXT_KEYWORDS",
    "Reader",
    "apredict",
    "call_keywords",
    "chat_request",
    "predict",
    "text_request",
]

CALL_KEYWORDS = CALL_SETTINGS | {
    *("cancel", "on_prompt_progress", "on_load_progress", "on_queue_progress", "on_first_token")
}
"""Keywords of every call."""

TEXT_KEYWORDS = CALL_KEYWORDS | {"response_format", "raise_incomplete"}
"""Keywords of a text-completion model's call."""

# `config` is LangChain's own; langchain-core passes the last one.
CHAT_KEYWORDS = CALL_KEYWORDS | (CALL_ONLY - {"config"}) | {"ls_structured_output_format"}
"""Keywords of a chat model's call. ``raise_incomplete=False`` returns an incomplete structured answer as it is."""

T_co = TypeVar("T_co", covariant=True)


def call_keywords(given: Mapping[str, Any], allowed: Collection[str], settings: Collection[str] = ()) -> dict[str, Any]:
    """The keywords of a call under the names of this package; ``settings`` are the fields of the model.

    Raises:
        TypeError: An unknown keyword; the message names the nearest known one.
    """
    return translate_call(given, allowed, {}, _wrong_keyword, settings=settings)


def _wrong_keyword(message: str) -> TypeError:
    return TypeError(f"{message} (in a call of LM Studio's model)")


def chat_request(
    settings: GenerationSettings,
    messages: Sequence[BaseMessage],
    stop: list[str] | None,
    changes: Mapping[str, Any],
    *,
    history_options: HistoryOptions,
    check_context: bool,
) -> PredictionRequest:
    """The request of a chat model's call; ``changes`` are the keywords of the call.

    Raises:
        TypeError: An unknown keyword.
        LMStudioValueError: A message, tool, schema or setting that LM Studio cannot take.
    """
    call = call_keywords(changes, CHAT_KEYWORDS, type(settings).model_fields)
    tools = resolve_tools(call.get("tools"), call.get("tool_choice"), call.get("response_format"))
    return prediction_request(
        settings._setting,
        _with_context(call, stop),
        to_history(messages, **history_options),
        answer_tool=tools.answer_tool,
        response_format=tools.response_format,
        tools=tools.tools or None,
        tool_choice=tools.tool_choice,
        parallel_tool_calls=call.get("parallel_tool_calls"),
        check_context=check_context,
        fetch_images=history_options.get("fetch_images", False),
    )


def text_request(
    settings: GenerationSettings, prompt: str, stop: list[str] | None, changes: Mapping[str, Any]
) -> PredictionRequest:
    """The request of a text-completion model's call: the prompt as it is, without a chat template.

    Raises:
        TypeError: An unknown keyword.
        LMStudioValueError: A schema or setting that LM Studio cannot take.
    """
    call = call_keywords(changes, TEXT_KEYWORDS, type(settings).model_fields)
    schema = response_schema(call.get("response_format"))
    return prediction_request(settings._setting, _with_context(call, stop), prompt, response_format=schema)


def _with_context(call: Mapping[str, Any], stop: list[str] | None) -> dict[str, Any]:
    """The keywords of a call, its ``stop``, which replaces the model's, and the token of the batch that it is in."""
    made = {**call, "cancel": call.get("cancel") or batch_token.get()}
    return made if stop is None else {**made, "stop": stop}


class Reader(Protocol[T_co]):
    """Converts the events of a prediction to LangChain's objects. Pure."""

    def read(self, event: Any) -> Iterable[T_co]:
        """The objects that an event gives, or at the end the ``PredictionResult``."""
        ...


def predict(
    settings: GenerationSettings, request: PredictionRequest, reader: Reader[T_co], first: Iterable[T_co] = ()
) -> Iterator[T_co]:
    """``first``, and the objects that ``reader`` makes of the prediction. Closing it cancels that at the server."""
    with LangChainErrors():
        yield from first
        progress = ProgressDispatcher()
        with request.start(settings._client(), watch_queue=progress.listens) as stream:
            for event in stream.events():
                if type(event) in PROGRESS_EVENTS:
                    progress.dispatch(event)
                for made in reader.read(event):
                    yield made
            result = request.response.check(stream.result())
            settings._learn(request.model, result.model_info, request.context_length)
            for made in reader.read(result):
                yield made


async def apredict(
    settings: GenerationSettings, request: PredictionRequest, reader: Reader[T_co], first: Iterable[T_co] = ()
) -> AsyncIterator[T_co]:
    """``predict`` for coroutines."""
    with LangChainErrors():
        for made in first:
            yield made
        progress = ProgressDispatcher()
        async with await request.astart(settings._async_client(), watch_queue=progress.listens) as stream:
            async for event in stream.events():
                if type(event) in PROGRESS_EVENTS:
                    await progress.adispatch(event)
                for made in reader.read(event):
                    yield made
            result = request.response.check(await stream.result())
            settings._learn(request.model, result.model_info, request.context_length)
            for made in reader.read(result):
                yield made
