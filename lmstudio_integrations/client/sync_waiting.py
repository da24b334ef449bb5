"""Waits for the I/O thread in blocking code."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["follow", "wait"]

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
