"""One coroutine for all callers that need its result at once: opening a socket, loading a model. On the I/O thread."""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lmstudio_integrations.errors import LMStudioError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["SingleFlight"]

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs a coroutine once, until it ends or its last caller stops waiting.

    ``over()`` is called as soon as no caller may join any more: the work has ended, or is being cancelled.
    """

    def __init__(self, work: Coroutine[Any, Any, T], over: Callable[[], object]) -> None:
        self._over = over
        self._waiting = 0
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved here, or asyncio would log it if no caller waits any more
        self._over()

    async def join(self, seconds: float | None = None) -> T:
        """The outcome. ``TimeoutError`` after ``seconds``; other callers may wait longer.

        Each caller gets its own copy of an ``LMStudioError``.
        """
        self._waiting += 1
        try:
            await asyncio.wait({self._task}, timeout=seconds)
        finally:
            self._waiting -= 1
            if not self._waiting and not self._task.done():
                self._over()
                self._task.cancel()
        if not self._task.done():
            raise TimeoutError
        try:
            return self._task.result()
        except LMStudioError as error:
            raise copy(error) from error.__cause__
