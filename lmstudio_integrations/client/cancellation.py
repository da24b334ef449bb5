"""``CancelToken``: cancels predictions from anywhere, for callers that hold neither the stream nor the task."""

from __future__ import annotations

import threading
from typing import Any, Protocol
from weakref import WeakSet

from lmstudio_integrations.errors import LMStudioCancelledError

__all__ = ["CancelToken", "Cancellable"]


class Cancellable(Protocol):
    """What a token cancels: its ``cancel`` never waits and may be called on any thread."""

    def cancel(self) -> object:
        """Cancel."""
        ...


class CancelToken:
    """Cancels every prediction that it is passed to: ``cancel=token`` in the client and in both adapters.

    Example:
        ```python
        import threading

        from lmstudio_integrations import CancelToken, Client

        token = CancelToken()
        threading.Timer(5, token.cancel).start()  # seconds
        model = Client().llm.just_in_time("qwen/qwen3-4b")
        print(model.respond("Why is the sky blue?", cancel=token).finish_reason)  # "cancelled" if the timer was faster
        #> stop
        ```

    ``token.cancel()`` may be called from any thread, task, signal handler or callback. A prediction that LM Studio has
    started ends with the text so far, its finish reason is "cancelled" and its stop reason "userStopped". One that LM
    Studio has not started, or that starts later, raises ``LMStudioCancelledError``.
    """

    def __init__(self) -> None:
        self._cancelled = False
        self._lock = threading.RLock()  # a signal handler may call `cancel` while this thread holds it
        self._predictions: WeakSet[Cancellable] = WeakSet()

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel`` has been called."""
        return self._cancelled

    def cancel(self) -> None:
        """Cancel. Never waits; further calls change nothing."""
        with self._lock:
            self._cancelled = True
            predictions = list(self._predictions)
        for prediction in predictions:
            prediction.cancel()

    def raise_if_cancelled(self) -> None:
        """Raise ``LMStudioCancelledError`` if ``cancel`` has been called."""
        if self._cancelled:
            raise LMStudioCancelledError("the prediction was cancelled by its CancelToken before it was sent")

    def attach(self, prediction: Cancellable) -> None:
        """Let ``cancel`` also cancel ``prediction``; immediately if it has been called. Holds a weak reference only."""
        with self._lock:
            self._predictions.add(prediction)
        if self._cancelled:
            prediction.cancel()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._cancelled)


def _restore(kind: type[CancelToken], cancelled: bool) -> CancelToken:
    """A token in another process, or a copy: it cancels nothing that the original was passed to."""
    token = kind()
    token._cancelled = cancelled
    return token
