"""How the progress of a prediction reaches LangChain's callback handlers.

Inside a run (a chain, a graph, a runnable) it is dispatched as a custom event, which handlers and ``astream_events``
see. In a node of a graph it is also written to LangGraph's ``stream_mode="custom"``, as a dict of ``type`` (the event's
name) and the event's values. A model that is called bare has no parent run, and langchain-core dispatches nothing then;
a handler that needs progress all the same (``ProgressBar``) calls ``listen`` in ``on_chat_model_start``, which runs in
the same context just before.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.callbacks.manager import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables.config import ensure_config, get_callback_manager_for_config

from lmstudio_integrations.client import LoadProgress, PromptProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig

__all__ = [
    "LOAD_PROGRESS",
    "PROGRESS_EVENTS",
    "PROMPT_PROGRESS",
    "Listener",
    "ProgressDispatcher",
    "listen",
    "progress_data",
    "progress_name",
]

PROMPT_PROGRESS = "lmstudio.prompt_progress"
"""Custom event while the prompt is read: ``progress`` 0.0 to 1.0, and ``cached_tokens``, ``total_tokens``,
``processed_tokens``, ``unprocessed_tokens`` if the server gives them."""

LOAD_PROGRESS = "lmstudio.load_progress"
"""Custom event while a model is loaded: ``progress`` 0.0 to 1.0, ``identifier``."""

PROGRESS_EVENTS = frozenset({PromptProgress, LoadProgress})


def progress_data(event: PromptProgress | LoadProgress) -> dict[str, Any]:
    """The event's values under their own names."""
    return asdict(event)


def progress_name(event: PromptProgress | LoadProgress) -> str:
    """The name of the custom event."""
    return PROMPT_PROGRESS if isinstance(event, PromptProgress) else LOAD_PROGRESS


class Listener(Protocol):
    """Who wants to hear about the progress of one prediction."""

    done: bool
    """Set when its run has ended, however it ended: a listener that nobody took up is then passed over."""

    def progress(self, name: str, data: dict[str, Any]) -> None:
        """One step, as a custom event would tell it."""
        ...


_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("lmstudio_progress_listeners", default=())


def listen(listener: Listener) -> None:
    """Tell ``listener`` about the progress of the next prediction that starts in this context."""
    _listeners.set((*(other for other in _listeners.get() if not other.done), listener))


class ProgressDispatcher:
    """Hands on the progress of one prediction. Made when the prediction starts, in the caller's context."""

    def __init__(self) -> None:
        self._listeners = [listener for listener in _listeners.get() if not listener.done]
        if self._listeners:
            _listeners.set(())
        self._write = _stream_writer()
        self._config: RunnableConfig | None = ensure_config()
        if get_callback_manager_for_config(self._config).parent_run_id is None:
            self._config = None

    def dispatch(self, event: Any) -> None:
        """Hand on one step, an event of ``PROGRESS_EVENTS``, from blocking code."""
        told = self._told(event)
        if told is not None:
            dispatch_custom_event(*told, config=self._config)

    async def adispatch(self, event: Any) -> None:
        """The same from a coroutine."""
        told = self._told(event)
        if told is not None:
            await adispatch_custom_event(*told, config=self._config)

    def _told(self, event: PromptProgress | LoadProgress) -> tuple[str, dict[str, Any]] | None:
        """Tell the listeners, and return what the run is to be told if there is one."""
        if not self._listeners and self._config is None and self._write is None:
            return None
        name, data = progress_name(event), progress_data(event)
        if self._write is not None:
            self._write({"type": name, **data})
        for listener in self._listeners:
            listener.progress(name, data)
        return None if self._config is None else (name, data)


def _stream_writer() -> Callable[[Any], None] | None:
    """What writes to LangGraph's ``stream_mode="custom"``, if a graph runs this."""
    if "langgraph.config" not in sys.modules:
        return None
    from langgraph.config import get_stream_writer

    try:
        return get_stream_writer()
    except (RuntimeError, LookupError, AttributeError):  # outside of a graph
        return None
