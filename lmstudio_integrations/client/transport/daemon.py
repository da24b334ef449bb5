"""Blocking work for the I/O thread, on daemon threads.

asyncio's own executor keeps its threads until they finish, and Python joins them when it exits: a name server or a
network share that does not answer would delay the end of the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["run_in_daemon_thread"]

T = TypeVar("T")


async def run_in_daemon_thread(function: Callable[[], T], name: str) -> T:
    """The result of ``function()``, called on a daemon thread of its own, or the exception that it raised.

    Cancelling the caller leaves the thread to finish; its result is discarded.
    """
    loop = asyncio.get_running_loop()
    finished: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if finished.done():
            return
        if error is not None:
            finished.set_exception(error)
        else:
            finished.set_result(result)  # type: ignore[arg-type]  # `T` may include None

    def run() -> None:
        result, failure = None, None
        try:
            result = function()
        except Exception as error:  # noqa: BLE001  # raised in the caller
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: Python is exiting
            loop.call_soon_threadsafe(finish, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await finished
