"""A ready progress bar for prompt processing and model loading.

::

    from llama_index.core.instrumentation import get_dispatcher
    from lmstudio_integrations.llama_index import ProgressBarEventHandler

    get_dispatcher().add_event_handler(ProgressBarEventHandler())
"""

from __future__ import annotations

import threading
from typing import Any

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.span import SpanDropEvent
from pydantic import PrivateAttr

from lmstudio_integrations.llama_index.events import LoadProgressEvent, PredictionStatsEvent, PromptProgressEvent

__all__ = ["ProgressBarEventHandler"]


class ProgressBarEventHandler(BaseEventHandler):
    """Draws a bar with ``rich`` while a model is loaded and while a prompt is processed; it goes away afterwards.

    Several calls at once have a bar each. ``console`` is a ``rich.console.Console``; the default writes to stderr.

    Raises:
        ImportError: ``rich`` is not installed.
    """

    _progress: Any = PrivateAttr()
    _bars: dict[tuple[str, str | None], Any] = PrivateAttr(default_factory=dict)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, console: Any = None) -> None:
        super().__init__()
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
        except ImportError as error:
            raise ImportError(
                'ProgressBarEventHandler needs rich: pip install "lmstudio-integrations[progress]"'
            ) from error
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console or Console(stderr=True),
            transient=True,
        )

    @classmethod
    def class_name(cls) -> str:
        return "ProgressBarEventHandler"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        """Move, draw or take away the bar that ``event`` concerns; other events mean nothing here."""
        if isinstance(event, LoadProgressEvent):
            with self._lock:
                self._show("load", event.span_id, f"Loading {event.model or 'the model'}", event.progress, "")
        elif isinstance(event, PromptProgressEvent):
            with self._lock:
                self._end("load", event.span_id)
                self._show("prompt", event.span_id, "Processing the prompt", event.progress, _tokens(event))
        elif isinstance(event, (PredictionStatsEvent, ExceptionEvent, SpanDropEvent)):
            with self._lock:
                self._end("load", event.span_id)
                self._end("prompt", event.span_id)

    @property
    def showing(self) -> int:
        """How many bars there are now."""
        return len(self._bars)

    def refresh(self) -> None:
        """Draw at once what otherwise is drawn ten times a second."""
        self._progress.refresh()

    def _show(self, kind: str, span_id: str | None, title: str, progress: float, detail: str) -> None:
        bar = self._bars.get((kind, span_id))
        if bar is None:
            if progress >= 1:
                return  # over before it began: nothing to draw
            if not self._bars:
                self._progress.start()
            bar = self._bars[kind, span_id] = self._progress.add_task(title, total=1.0, detail=detail)
        self._progress.update(bar, completed=progress, detail=detail)
        if progress >= 1:
            self._end(kind, span_id)

    def _end(self, kind: str, span_id: str | None) -> None:
        bar = self._bars.pop((kind, span_id), None)
        if bar is None:
            return
        self._progress.remove_task(bar)
        if not self._bars:
            self._progress.stop()


def _tokens(event: PromptProgressEvent) -> str:
    if event.total_tokens is None or event.processed_tokens is None:
        return ""
    cached = f", {event.cached_tokens} cached" if event.cached_tokens else ""
    return f"{event.processed_tokens}/{event.total_tokens} tokens{cached}"
