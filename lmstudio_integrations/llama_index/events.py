"""Events: progress and statistics for LlamaIndex's instrumentation, and progress for its workflows.

Instrumentation events go through the dispatcher ``lmstudio_integrations.llama_index.events``, whose parent is the root
dispatcher, so a handler of ``llama_index.core.instrumentation.get_dispatcher()`` receives them. Each has the id of the
span of the method that was called (``stream_chat``, ``achat``, …). Inside a generator that span is no longer the active
one, so the id is read in the method's body and passed on. ``ProgressBarEventHandler`` draws progress bars.

LlamaIndex: https://docs.llamaindex.ai/en/stable/module_guides/observability/instrumentation/
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict, fields
from typing import Any, TextIO

from llama_index.core import instrumentation
from llama_index.core.instrumentation.dispatcher import Dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler, NullEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.span import SpanDropEvent
from llama_index.core.workflow import Event
from pydantic import Field, PrivateAttr

from lmstudio_integrations.client import LoadProgress, PromptProgress, QueueProgress
from lmstudio_integrations.client.progress_bar import ProgressBars

__all__ = [
    "LoadProgressEvent",
    "LoadProgressUpdate",
    "PredictionStatsEvent",
    "ProgressBarEventHandler",
    "PromptProgressEvent",
    "PromptProgressUpdate",
    "QueueProgressEvent",
    "QueueProgressUpdate",
    "dispatcher",
    "has_listener",
    "report_progress",
]

dispatcher: Dispatcher = instrumentation.get_dispatcher(__name__)


class PromptProgressEvent(BaseEvent):
    """How much of the prompt has been processed. The counts are tokens, ``None`` from older servers.

    Example:
        ```python
        from llama_index.core.instrumentation import get_dispatcher
        from llama_index.core.instrumentation.event_handlers import BaseEventHandler

        from lmstudio_integrations.llama_index import LMStudio, PromptProgressEvent

        class Show(BaseEventHandler):
            def handle(self, event, **kwargs):
                if isinstance(event, PromptProgressEvent):
                    print(f"{event.progress:.0%} of {event.total_tokens} tokens")

        get_dispatcher().add_event_handler(Show())
        response = LMStudio(model="qwen/qwen3-4b").complete("Why is the sky blue?")
        #> 0% of ... tokens
        #> 50% of ... tokens
        #> 100% of ... tokens
        ```
    """

    progress: float = Field(description="0.0 to 1.0")
    processed_tokens: int | None = None
    unprocessed_tokens: int | None = None
    cached_tokens: int | None = None
    total_tokens: int | None = None

    @classmethod
    def class_name(cls) -> str:
        return "PromptProgressEvent"


class LoadProgressEvent(BaseEvent):
    """How much of the call's model has been loaded.

    Example:
        ```python
        from llama_index.core.instrumentation import get_dispatcher
        from llama_index.core.instrumentation.event_handlers import BaseEventHandler

        from lmstudio_integrations.llama_index import LMStudio, LoadProgressEvent

        class Show(BaseEventHandler):
            def handle(self, event, **kwargs):
                if isinstance(event, LoadProgressEvent):
                    print(event.model, f"{event.progress:.0%}")

        get_dispatcher().add_event_handler(Show())
        response = LMStudio(model="qwen/qwen3-4b").complete("Why is the sky blue?")
        #> qwen/qwen3-4b 0%
        #> ...
        #> qwen/qwen3-4b 100%
        ```
    """

    progress: float = Field(description="0.0 to 1.0")
    model: str | None = Field(default=None, description="identifier of the model")

    @classmethod
    def class_name(cls) -> str:
        return "LoadProgressEvent"


class QueueProgressEvent(BaseEvent):
    """The request waits at the server behind others. It is asked for only if an event handler listens.

    Example:
        ```python
        from lmstudio_integrations.llama_index import QueueProgressEvent

        def handle(event, **kwargs):  # of a BaseEventHandler, as for PromptProgressEvent
            if isinstance(event, QueueProgressEvent):
                print(f"{event.queued} requests wait")

        handle(QueueProgressEvent(queued=2))
        #> 2 requests wait
        ```
    """

    queued: int = Field(description="how many requests wait")
    status: str = Field(default="", description="what the model does now")

    @classmethod
    def class_name(cls) -> str:
        return "QueueProgressEvent"


class PredictionStatsEvent(BaseEvent):
    """The end of a prediction: the same values as in ``raw`` of the last response.

    ``usage`` counts tokens under OpenAI's names; ``stats`` has LM Studio's own figures (``tokens_per_second``,
    ``time_to_first_token_sec``, ``stop_reason``, …); ``finish_reason`` is ``stop``, ``length``, ``tool_calls``,
    ``cancelled`` or ``error``. It has them past query engines and agents, whose responses have no ``raw``.

    Example:
        ```python
        from llama_index.core.instrumentation import get_dispatcher
        from llama_index.core.instrumentation.event_handlers import BaseEventHandler

        from lmstudio_integrations.llama_index import LMStudio, PredictionStatsEvent

        class Show(BaseEventHandler):
            def handle(self, event, **kwargs):
                if isinstance(event, PredictionStatsEvent):
                    print(event.finish_reason, event.usage["completion_tokens"], event.stats["tokens_per_second"])

        get_dispatcher().add_event_handler(Show())
        response = LMStudio(model="qwen/qwen3-4b").complete("Why is the sky blue?")
        #> stop 9 ...
        ```
    """

    model: str | None = None
    finish_reason: str
    usage: dict[str, Any]
    stats: dict[str, Any]

    @classmethod
    def class_name(cls) -> str:
        return "PredictionStatsEvent"


class PromptProgressUpdate(Event):
    """How much of the prompt has been processed, 0.0 to 1.0. The counts are tokens, ``None`` from older servers.

    It comes in the event stream of a workflow or an agent, as do ``LoadProgressUpdate`` and ``QueueProgressUpdate``.

    Example:
        ```python
        from llama_index.core.agent.workflow import FunctionAgent

        from lmstudio_integrations.llama_index import LMStudio, PromptProgressUpdate

        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return "4 degrees"

        handler = FunctionAgent(tools=[get_weather], llm=LMStudio(model="qwen/qwen3-4b")).run("How warm is it in Oslo?")
        async for event in handler.stream_events():
            if isinstance(event, PromptProgressUpdate):
                print(f"{event.progress:.0%} of the prompt")
        #> 0% of the prompt
        #> ...
        #> 100% of the prompt
        print(await handler)
        #> It is 4 degrees in Oslo.
        ```
    """

    progress: float
    processed_tokens: int | None = None
    unprocessed_tokens: int | None = None
    cached_tokens: int | None = None
    total_tokens: int | None = None


class LoadProgressUpdate(Event):
    """How much of the model ``identifier`` has been loaded, 0.0 to 1.0.

    Example:
        ```python
        from lmstudio_integrations.llama_index import LoadProgressUpdate

        event = LoadProgressUpdate(progress=0.5, identifier="qwen/qwen3-4b")  # in the stream, as PromptProgressUpdate
        print(f"{event.identifier}: {event.progress:.0%}")
        #> qwen/qwen3-4b: 50%
        ```
    """

    progress: float
    identifier: str | None = None


class QueueProgressUpdate(Event):
    """The request waits at the server: ``queued`` requests do; ``status`` is what the model does now.

    Example:
        ```python
        from lmstudio_integrations.llama_index import QueueProgressUpdate

        event = QueueProgressUpdate(queued=2, status="generating")  # in the stream, as PromptProgressUpdate
        print(f"{event.queued} requests wait")
        #> 2 requests wait
        ```
    """

    queued: int
    status: str = ""


class ProgressBarEventHandler(BaseEventHandler):
    """Draws a bar while a model is loaded and while a prompt is processed, one for each call.

    Example:
        ```python
        from llama_index.core.instrumentation import get_dispatcher

        from lmstudio_integrations.llama_index import LMStudio, ProgressBarEventHandler

        get_dispatcher().add_event_handler(ProgressBarEventHandler())
        print(LMStudio(model="qwen/qwen3-4b").complete("Why is the sky blue?"))
        #> Air scatters blue light more than red.
        ```

    Nothing is drawn if the output is a pipe or a file.

    Args:
        file: The stream to draw on. ``None`` is the notebook's output, else stderr.
        transient: Remove a bar when it has ended.

    Raises:
        ImportError: tqdm is not installed: ``pip install "lmstudio-integrations[progress]"``.
    """

    _bars: ProgressBars = PrivateAttr()

    def __init__(self, file: TextIO | None = None, *, transient: bool = True) -> None:
        super().__init__()
        self._bars = ProgressBars(file=file, leave=not transient)

    @classmethod
    def class_name(cls) -> str:
        return "ProgressBarEventHandler"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Draw or end the bar of the event's span. Other events are ignored."""
        if isinstance(event, LoadProgressEvent):
            self._bars.show(event.span_id, LoadProgress(event.progress, event.model))
        elif isinstance(event, PromptProgressEvent):
            self._bars.show(event.span_id, PromptProgress(**{name: getattr(event, name) for name in _PROMPT_PROGRESS}))
        elif isinstance(event, PredictionStatsEvent):
            self._bars.end(event.span_id)
        elif isinstance(event, (ExceptionEvent, SpanDropEvent)):
            self._bars.end(event.span_id, failed=True)


_PROMPT_PROGRESS = tuple(field.name for field in fields(PromptProgress))


def has_listener() -> bool:
    """Whether an event handler or a running workflow receives progress."""
    source: Any = dispatcher
    while source is not None:
        if any(not isinstance(handler, NullEventHandler) for handler in source.event_handlers):
            return True
        source = source.parent if source.propagate else None
    return _workflow_context() is not None


def report_progress(
    progress: PromptProgress | LoadProgress | QueueProgress, span_id: str | None, model: str | None
) -> None:
    """Dispatch the progress of a prediction within the span ``span_id``, and to the running workflow, if any."""
    if isinstance(progress, QueueProgress):
        dispatcher.event(QueueProgressEvent(span_id=span_id, **asdict(progress)))
    elif isinstance(progress, PromptProgress):
        dispatcher.event(PromptProgressEvent(span_id=span_id, **asdict(progress)))
    else:
        dispatcher.event(
            LoadProgressEvent(span_id=span_id, progress=progress.progress, model=progress.identifier or model)
        )
    context = _workflow_context()
    if context is not None:
        _write_to_workflow(context, progress)


def _write_to_workflow(context: Any, progress: PromptProgress | LoadProgress | QueueProgress) -> None:
    """Write to the event stream of the workflow whose step is running; ``context`` is the step's.

    A step that runs in a worker thread cannot write: a workflow's stream accepts events only on its event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    context.write_event_to_stream(_UPDATES[type(progress)](**asdict(progress)))


_UPDATES: dict[type, type[Event]] = {
    PromptProgress: PromptProgressUpdate,
    LoadProgress: LoadProgressUpdate,
    QueueProgress: QueueProgressUpdate,
}


def _workflow_context() -> Any:
    """The context of the workflow's step that is running, or ``None``.

    Workflows have no public interface for it. If this private one changes, workflows get no progress.
    """
    variable = getattr(sys.modules.get("workflows.runtime.types.results"), "InternalContextVar", None)
    try:
        context = variable.get()()  # type: ignore[union-attr]  # an AttributeError is expected
        return context if hasattr(context, "write_event_to_stream") else None
    except (AttributeError, LookupError, TypeError):
        return None
