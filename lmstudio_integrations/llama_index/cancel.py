"""Stopping an answer from elsewhere: LlamaIndex hands out generators, which only their own consumer can close."""

from __future__ import annotations

import threading
from typing import Protocol
from weakref import WeakSet

__all__ = ["Cancellation"]


class _Cancellable(Protocol):
    def cancel(self) -> None: ...


class Cancellation:
    """Pass one as ``cancellation=`` to any chat or complete method, and call ``cancel()`` from any thread or task.

    LM Studio stops, and the stream ends in order: its last response has ``raw["finish_reason"] == "cancelled"`` and
    what had come by then. A call that LM Studio had not begun to answer raises ``LMStudioCancelledError``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: WeakSet[_Cancellable] = WeakSet()
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel`` has been called."""
        return self._cancelled

    def cancel(self) -> None:
        """Stop the calls that this was passed to, and those that it will be. Never waits."""
        with self._lock:
            self._cancelled = True
            streams = list(self._streams)
        for stream in streams:
            stream.cancel()

    def attach(self, stream: _Cancellable) -> None:
        """Let ``cancel`` stop this stream of the client's; at once, if it has been called."""
        with self._lock:
            self._streams.add(stream)
            cancelled = self._cancelled
        if cancelled:
            stream.cancel()
