"""``CancelToken``: cancels predictions from anywhere, for callers that hold neither the stream nor the task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lmstudio_integrations.errors import LMStudioCancelledError

__all__ = ["CancelToken"]


class CancelToken:
    """Cancels every prediction that it is passed to: ``cancel=token`` in the client and in both adapters.

    ::

        token = CancelToken()
        threading.Timer(5, token.cancel).start()
        model.invoke("Write a novel.", cancel=token)   # or respond(…, cancel=token), chat(…, cancel=token)

    ``token.cancel()`` may be called from any thread, task, signal handler or callback. A prediction that LM Studio has
    started ends with the text so far, its finish reason is "cancelled" and its stop reason "userStopped". One that LM
    Studio has not started, or that starts later, raises ``LMStudioCancelledError``.
    """

    def __init__(self) -> None:
        self._cancelled = False
        self._callbacks: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel`` has been called."""
        return self._cancelled

    def cancel(self) -> None:
        """Cancel. Never waits; further calls change nothing."""
        self._cancelled = True
        for callback in tuple(self._callbacks):
            callback()

    def raise_if_cancelled(self) -> None:
        """Raise ``LMStudioCancelledError`` if ``cancel`` has been called."""
        if self._cancelled:
            raise LMStudioCancelledError("the prediction was cancelled by its CancelToken before it was sent")

    @contextmanager
    def attached(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call ``callback`` on ``cancel`` while the block runs; at once if the token is cancelled already."""
        self._callbacks.append(callback)
        if self._cancelled:  # checked after the append, so that a cancel in between is not lost
            callback()
        try:
            yield
        finally:
            self._callbacks.remove(callback)

    def __getstate__(self) -> dict[str, Any]:
        return {"_cancelled": self._cancelled, "_callbacks": []}
