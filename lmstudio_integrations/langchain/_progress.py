"""The progress of a prediction -> LangChain's callback handlers and LangGraph's stream.

Within a run (a chain, a graph, a runnable) it is dispatched as a custom event, which handlers and ``astream_events``
receive. In a node of a graph it is also written to LangGraph's ``stream_mode="custom"``, as a dict of ``type`` (the
event's name) and the event's values. A bare call of a model has no parent run, so langchain-core dispatches nothing; a
handler that needs progress all the same (``ProgressBar``) calls ``listen`` in ``on_chat_model_start``, which runs in
the same context just before.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.callbacks.manager import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables.config import ensure_config, get_callback_manager_for_config

from lmstudio_integrations.client import LoadProgress, PromptProgress, QueueProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig

__all__ = [
    "LOAD_PROGRESS",
    "PROGRESS_EVENTS",
    "PROMPT_PROGRESS",
    "QUEUE_PROGRESS",
    "ProgressDispatcher",
    "ProgressListener",
    "listen",
    "progress_data",
    "progress_name",
]

PROMPT_PROGRESS = "lmstudio.prompt_progress"
"""Custom event while the prompt is read: ``progress`` 0.0 to 1.0, and ``cached_tokens``, ``total_tokens``,
``processed_tokens``, ``unprocessed_tokens`` if the server gives them."""

LOAD_PROGRESS = "lmstudio.load_progress"
"""Custom event while a model is loaded: ``progress`` 0.0 to 1.0, ``identifier``."""

QUEUE_PROGRESS = "lmstudio.queue_progress"
"""Custom event while the request waits behind others: ``queued`` requests wait, ``status`` is what the model does."""

ProgressEvent: TypeAlias = "PromptProgress | LoadProgress | QueueProgress"

_NAMES: dict[type, str] = {
    PromptProgress: PROMPT_PROGRESS,
    LoadProgress: LOAD_PROGRESS,
    QueueProgress: QUEUE_PROGRESS,
}
PROGRESS_EVENTS = frozenset(_NAMES)


def progress_data(event: ProgressEvent) -> dict[str, Any]:
    """The event's values under their own names."""
    return asdict(event)


def progress_name(event: ProgressEvent) -> str:
    """The name of the custom event."""
    return _NAMES[type(event)]


class ProgressListener(Protocol):
    """Receives the progress of one prediction."""

    done: bool
    """Whether its run has ended. A listener whose prediction never started is dropped then."""

    def progress(self, event: ProgressEvent) -> None:
        """Receive one step."""
        ...


_listeners: ContextVar[tuple[ProgressListener, ...]] = ContextVar("lmstudio_progress_listeners", default=())


def listen(listener: ProgressListener) -> None:
    """Pass the progress of the next prediction that starts in this context to ``listener``."""
    _listeners.set((*(other for other in _listeners.get() if not other.done), listener))


class ProgressDispatcher:
    """Dispatches the progress of one prediction. Constructed in the caller's context when the prediction starts."""

    def __init__(self) -> None:
        self._listeners = [listener for listener in _listeners.get() if not listener.done]
        if self._listeners:
            _listeners.set(())
        self._write = _stream_writer()
        self._config: RunnableConfig | None = ensure_config()
        manager = get_callback_manager_for_config(self._config)
        if manager.parent_run_id is None:
            self._config = None
        has_handler = self._config is not None and any(map(_takes_custom_events, manager.handlers))
        self.listens = bool(self._listeners) or self._write is not None or has_handler
        """Whether any handler, listener or stream receives progress."""

    def dispatch(self, event: Any) -> None:
        """Dispatch one step, an event of ``PROGRESS_EVENTS``, from blocking code."""
        self._pass_on(event)
        if self._config is not None:
            dispatch_custom_event(progress_name(event), progress_data(event), config=self._config)

    async def adispatch(self, event: Any) -> None:
        """``dispatch`` for coroutines."""
        self._pass_on(event)
        if self._config is not None:
            await adispatch_custom_event(progress_name(event), progress_data(event), config=self._config)

    def _pass_on(self, event: ProgressEvent) -> None:
        if self._write is not None:
            self._write({"type": progress_name(event), **progress_data(event)})
        for listener in self._listeners:
            listener.progress(event)


def _takes_custom_events(handler: BaseCallbackHandler) -> bool:
    """Whether a handler does anything with custom events."""
    method = type(handler).on_custom_event
    return method not in (BaseCallbackHandler.on_custom_event, AsyncCallbackHandler.on_custom_event)


def _stream_writer() -> Callable[[Any], None] | None:
    """The function that writes to LangGraph's ``stream_mode="custom"``, within a graph."""
    if "langgraph.config" not in sys.modules:
        return None
    from langgraph.config import get_stream_writer

    try:
        return get_stream_writer()
    except (RuntimeError, LookupError, AttributeError):  # outside of a graph
        return None
