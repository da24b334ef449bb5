"""Waits for the I/O thread in blocking code."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from lmstudio_integrations.client.callbacks import check_callback
from lmstudio_integrations.client.prediction import load_progress

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["follow", "load_progress_reader", "wait"]

T = TypeVar("T")


def wait(future: Future[T]) -> T:
    """The future's outcome. Ctrl-C while waiting cancels the request and is raised."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def follow(start: Callable[[Callable[[Any], object]], Future[T]], read: Callable[[Any], None]) -> T:
    """The outcome of a channel, whose packets ``read`` gets. An error of ``read`` cancels it."""
    mailbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    future = start(mailbox.put)
    future.add_done_callback(lambda _: mailbox.put(None))
    try:
        while (packet := mailbox.get()) is not None:
            read(packet)
    except BaseException:
        future.cancel()
        raise
    return wait(future)


def load_progress_reader(callback: Callable[[float], Any] | None) -> Callable[[Any], None]:
    """What calls ``callback`` for each progress (0.0 to 1.0) that the packets of a load report."""
    check_callback("on_load_progress", callback, blocking=True)
    last = -1.0

    def read(packet: Any) -> None:
        nonlocal last
        progress = load_progress(packet)
        if progress is not None and progress != last:
            last = progress
            if callback is not None:
                callback(progress)

    return read
