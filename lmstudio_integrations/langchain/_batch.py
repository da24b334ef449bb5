"""Ctrl-C in a blocking batch.

LangChain's ``batch`` waits in its thread pool's ``__exit__`` until every call that has begun is complete, before
``KeyboardInterrupt`` reaches anyone. So the main thread waits for the batch on another thread, and cancels its calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from typing import TypeVar

from lmstudio_integrations.client.cancellation import CancelToken
from lmstudio_integrations.client.transport.daemon import start_thread

__all__ = ["batch_token", "run_interruptibly"]

T = TypeVar("T")

batch_token: ContextVar[CancelToken | None] = ContextVar("batch_token", default=None)
"""Cancels the calls of the batch that runs in this context, unless they have a token of their own."""


def run_interruptibly(batch: Callable[[], T], cancel: CancelToken | None) -> T:
    """The outcome of ``batch()``, whose calls are cancelled if Ctrl-C interrupts the main thread meanwhile.

    ``cancel``: the token that the calls have, if any.
    """
    if threading.current_thread() is not threading.main_thread():
        return batch()  # Python raises KeyboardInterrupt on the main thread only
    token = cancel or CancelToken()
    outcome: Future[T] = Future()
    context = copy_context()
    context.run(batch_token.set, token)

    def run() -> None:
        try:
            outcome.set_result(context.run(batch))
        except BaseException as error:  # noqa: BLE001  # raised on the thread that waits
            outcome.set_exception(error)

    thread = start_thread(run, "lmstudio-batch", daemon=False)
    try:
        return outcome.result()
    except BaseException:
        if not outcome.done():
            token.cancel()
            thread.join()  # until the cancelled calls have ended; another Ctrl-C ends this wait, too
        raise
