"""Waits for the I/O thread in blocking code."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

    from lmstudio_integrations.client.callbacks import Calls

__all__ = ["follow", "wait"]

T = TypeVar("T")


def wait(future: Future[T]) -> T:
    """The future's outcome. Ctrl-C while waiting cancels the request and is raised."""
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def follow(start: Callable[[Callable[[Any], object]], Future[T]], take_calls: Callable[[Any], Calls]) -> T:
    """The outcome of a channel. ``take_calls``: the callbacks for a packet. An error of one cancels the channel."""
    mailbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    future = start(mailbox.put)
    future.add_done_callback(lambda _: mailbox.put(None))
    try:
        while (packet := mailbox.get()) is not None:
            for callback, arguments in take_calls(packet):
                callback(*arguments)
    except BaseException:
        future.cancel()
        raise
    return wait(future)
