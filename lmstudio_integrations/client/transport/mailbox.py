"""The queue of packets from the I/O thread to an awaiting consumer.

The blocking client reads a ``queue.SimpleQueue`` of the standard library. This is its counterpart for an
event loop: a deque, and one wake-up each time it becomes non-empty while a consumer waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from lmstudio_integrations.client.transport.loop_waker import running_loop, waker_of
from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["AsyncMailbox"]


class AsyncMailbox:
    """Any thread puts, tasks of one loop get."""

    __slots__ = ("_awaited", "_loop", "_waiters", "_waker", "items")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waker = waker_of(loop)
        self._waiters: set[asyncio.Future[None]] = set()
        self._awaited = False
        self.items: deque[Any] = deque()
        """What has come and not been read. A reader may take from the left without asking ``get``."""

    def put(self, item: Any) -> None:
        """Append ``item``. Never blocks; wakes nothing if the consumer's loop is closed."""
        self.items.append(item)
        if self._awaited:
            self._awaited = False
            self._waker.schedule(self._loop, self._wake)

    def _wake(self) -> None:
        """On the loop: wake the waiting tasks."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def check_loop(self) -> None:
        """Raise ``LMStudioValueError`` unless the caller runs on the mailbox's loop."""
        if running_loop() is not self._loop:
            raise LMStudioValueError(
                "a stream of AsyncClient is read in the event loop in which it was made, and this is another one: make "
                "and read it within one asyncio.run(), or use Client, whose streams any thread may read"
            )

    async def get(self) -> Any:
        """The next item, waiting for it if need be. Raises ``LMStudioValueError`` on another loop."""
        while not self.items:
            waiter = self._loop.create_future()
            self._waiters.add(waiter)
            self._awaited = True
            # The flag first, the look second: what was put in between has seen the flag or is seen here. The flag is
            # taken down by put() alone, and each time a wake-up follows; one too many does no harm.
            try:
                if not self.items:
                    await waiter
            except RuntimeError:  # what asyncio raises for a future of another loop
                self.check_loop()
                raise
            finally:
                self._waiters.discard(waiter)
        return self.items.popleft()
