"""Starts threads: blocking work for the I/O thread, on daemon threads.

asyncio's own executor keeps its threads until they finish, and Python joins them when it exits: a name server or a
network share that does not answer would delay the end of the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from lmstudio_integrations.client.transport.loop_waker import running_loop
from lmstudio_integrations.errors import LMStudioConnectionError, LMStudioError

__all__ = ["exit_error", "run_in_daemon_thread", "start_thread"]

T = TypeVar("T")


def exit_error() -> LMStudioConnectionError:
    """The error of a request that is made while Python exits."""
    return LMStudioConnectionError("Python is exiting: there is no connection to LM Studio any more")


def start_thread(target: Callable[[], object], name: str, *, daemon: bool = True) -> threading.Thread:
    """A started thread.

    Raises:
        LMStudioConnectionError: Python is exiting. From 3.12 on it starts no thread then.
        LMStudioError: The operating system starts no further thread.
    """
    thread = threading.Thread(target=target, name=name, daemon=daemon)
    try:
        thread.start()
    except RuntimeError as error:
        if "shutdown" in str(error):
            raise exit_error() from error
        raise LMStudioError(
            f"the thread {name!r} cannot be started: {error}. End some of the process's threads."
        ) from error
    return thread


async def run_in_daemon_thread(function: Callable[[], T], name: str) -> T:
    """The result of ``function()``, called on a daemon thread of its own, or the exception that it raised.

    Cancelling the caller leaves the thread to finish; its result is discarded.
    """
    loop = running_loop()
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

    start_thread(run, name)
    return await finished
