"""``CancelToken``: stops answers from anywhere, where there is no stream at hand to close or task to cancel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lmstudio_integrations.errors import LMStudioCancelledError

__all__ = ["CancelToken"]


class CancelToken:
    """``model.invoke(…, cancel=token)`` here, ``token.cancel()`` in another thread, a signal handler or a callback.

    The answer then ends with what there is, ``finish_reason`` "cancelled" and ``stop_reason`` "userStopped". An answer
    that LM Studio had not begun raises ``LMStudioCancelledError``. One token may serve several calls and stops them
    all, those too that begin later.
    """

    def __init__(self) -> None:
        self._cancelled = False
        self._cancels: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether ``cancel`` has been called."""
        return self._cancelled

    def cancel(self) -> None:
        """Stop. Never waits, and may be called more than once, from any thread."""
        self._cancelled = True
        for cancel in tuple(self._cancels):
            cancel()

    def check(self) -> None:
        """Raise ``LMStudioCancelledError`` if this token has been used: nothing more is asked for then."""
        if self._cancelled:
            raise LMStudioCancelledError("the answer was cancelled by its token before it was asked for")

    @contextmanager
    def covering(self, cancel: Callable[[], None]) -> Iterator[None]:
        """While the block runs, have ``cancel`` called by this token; at once if it has been used already."""
        self._cancels.append(cancel)
        if self._cancelled:  # looked at after the list has it, so that a cancel in between is not lost
            cancel()
        try:
            yield
        finally:
            self._cancels.remove(cancel)
