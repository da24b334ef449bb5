"""How the progress of a prediction reaches LangChain's callback handlers.

Inside a run (a chain, a graph, a runnable) it is dispatched as a custom event, which handlers and ``astream_events``
see. A model that is called bare has no parent run, and langchain-core dispatches nothing then; a handler that wants
progress all the same (``ProgressBar``) says so in ``on_chat_model_start`` by ``listen``, which runs in the same
context just before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks.manager import adispatch_custom_event, dispatch_custom_event
from langchain_core.runnables.config import ensure_config, get_callback_manager_for_config

from lmstudio_integrations.client.prediction import LoadProgress, PromptProgress
from lmstudio_integrations.langchain.convert.progress import progress_data, progress_name

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

__all__ = ["PROGRESS_EVENTS", "Announcer", "Listener", "listen", "unlisten"]

PROGRESS_EVENTS = frozenset({PromptProgress, LoadProgress})

Listener = Callable[[str, dict[str, Any]], object]

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("lmstudio_progress_listeners", default=())


def listen(listener: Listener) -> None:
    """Call ``listener(name, data)`` with the progress of the next prediction that starts in this context."""
    _listeners.set((*_listeners.get(), listener))


def unlisten(listener: Listener) -> None:
    """Take ``listener`` back, if no prediction has taken it up (its answer came from a cache)."""
    waiting = _listeners.get()
    if listener in waiting:
        _listeners.set(tuple(other for other in waiting if other is not listener))


class Announcer:
    """Hands on the progress of one prediction. Made when the prediction starts, in the caller's context."""

    def __init__(self) -> None:
        self._listeners = _listeners.get()
        if self._listeners:
            _listeners.set(())
        self._config: RunnableConfig | None = ensure_config()
        if get_callback_manager_for_config(self._config).parent_run_id is None:
            self._config = None

    def tell(self, event: PromptProgress | LoadProgress) -> None:
        """Hand on one step, from blocking code."""
        name, data = self._told(event)
        if self._config is not None:
            dispatch_custom_event(name, data, config=self._config)

    async def atell(self, event: PromptProgress | LoadProgress) -> None:
        """Hand on one step, from a coroutine."""
        name, data = self._told(event)
        if self._config is not None:
            await adispatch_custom_event(name, data, config=self._config)

    def _told(self, event: PromptProgress | LoadProgress) -> tuple[str, dict[str, Any]]:
        name, data = progress_name(event), progress_data(event)
        for listener in self._listeners:
            listener(name, data)
        return name, data
