"""How a consumer cancels a request that runs on the I/O thread."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.transport.pending_request import Deliver, discard
from lmstudio_integrations.errors import LMStudioCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmstudio_integrations.client.transport.pending_request import PendingRequest
    from lmstudio_integrations.client.transport.thread import IOThread

__all__ = ["StreamController"]


class StreamController:
    """``cancel`` and ``abandon`` may be called on any thread and in a finalizer; the rest runs on the I/O thread."""

    __slots__ = ("__weakref__", "_io_thread", "_request", "_task", "cancelled", "deliver", "unread", "watch_queue")

    def __init__(self, io_thread: IOThread, deliver: Deliver, unread: Callable[[], int] = lambda: 0) -> None:
        self._io_thread = io_thread
        self._task: asyncio.Task[Any] | None = None
        self._request: PendingRequest | None = None
        self.deliver: Deliver = deliver
        self.unread: Callable[[], int] = unread
        """How many delivered packets the consumer has not taken yet."""
        self.cancelled: bool = False
        self.watch_queue: bool = False
        """Whether the server is asked how many requests wait, until the first packet comes (``QueueProgress``)."""

    @property
    def io_thread_ended(self) -> bool:
        """Whether nothing more will be delivered, because the I/O thread has ended."""
        return self._io_thread.ended

    def cancel(self, *, at_once: bool = False) -> None:
        """Ask the server to stop. What it had produced still arrives, with its statistics.

        The cancel waits up to 50 ms while packets arrive faster than a model makes them, since the end may be among
        them. ``at_once``: it does not wait, as this process may be about to end.
        """
        self._io_thread.post(partial(self._cancel, at_once))

    def abandon(self, *, at_once: bool = False) -> None:
        """Cancel, and discard what still arrives."""
        self._io_thread.post(partial(self._abandon, at_once))

    def _cancel(self, at_once: bool) -> None:
        if self.cancelled:
            return
        self.cancelled = True
        if self._request is not None:
            self._request.cancel(at_once=at_once)
        elif self._task is not None:
            self._task.cancel()

    def _abandon(self, at_once: bool) -> None:
        # Another thread may be waiting for the next packet.
        self.deliver(LMStudioCancelledError("the stream was closed before its end"))
        self.deliver = discard
        if self._request is not None:
            self._request.call.deliver = discard
        self._cancel(at_once)

    def deliver_progress(self, packet: object) -> None:
        """Deliver a packet of a load, unless the stream was abandoned meanwhile."""
        self.deliver(packet)

    def started(self) -> None:
        """The request's task runs. A cancel that came before ends it here."""
        self._task = asyncio.current_task()
        self.raise_if_cancelled()

    def raise_if_cancelled(self) -> None:
        """Raise ``asyncio.CancelledError`` after a cancel: nothing may be sent any more."""
        if self.cancelled:
            raise asyncio.CancelledError

    def attach(self, request: PendingRequest | None) -> None:
        """Name the request that a cancel is sent for; ``None`` while the server has nothing to cancel."""
        if request is not None:
            self.raise_if_cancelled()
        self._request = request
