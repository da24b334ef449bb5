"""Where the engine's thread leaves packets for an awaiting consumer.

The blocking front reads a ``queue.SimpleQueue``, which the standard library has ready. This is its counterpart for an
event loop: a deque, and one wake-up each time it goes from empty to full while somebody waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["AsyncMailbox"]


class _Bell:
    """One wake-up of a loop for all its mailboxes that have become full since it last looked.

    Waking a loop from another thread is a system call. With many streams at once that would be one for each token; so
    it is one for each time that the loop comes round.
    """

    __slots__ = ("_full", "_rung")

    def __init__(self) -> None:
        self._full: deque[AsyncMailbox] = deque()
        self._rung = False

    def ring(self, loop: asyncio.AbstractEventLoop, mailbox: AsyncMailbox) -> None:
        """Have ``loop`` wake who waits at ``mailbox``. Any thread; takes no lock."""
        self._full.append(mailbox)
        if not self._rung:
            self._rung = True
            try:
                loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # the loop is closed: nobody is left to tell
                self._rung = False
                self._full.clear()

    def _answer(self) -> None:
        # The flag first, the look second: what was left in between has seen the flag or is seen here.
        self._rung = False
        while self._full:
            self._full.popleft().wake()


# The bell knows its loop by the mailboxes only, so that a loop can go when its user lets go of it.
_bells: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = WeakKeyDictionary()


def _bell_of(loop: asyncio.AbstractEventLoop) -> _Bell:
    return _bells.get(loop) or _bells.setdefault(loop, _Bell())


class AsyncMailbox:
    """Any thread puts, tasks of one loop get."""

    __slots__ = ("_awaited", "_bell", "_loop", "_waiters", "items")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._bell = _bell_of(loop)
        self._waiters: set[asyncio.Future[None]] = set()
        self._awaited = False
        self.items: deque[Any] = deque()
        """What has come and not been read. A reader may take from the left without asking ``get``."""

    def put(self, item: Any) -> None:
        """Leave ``item``. Never blocks; once the consumer's loop is closed, nobody is left to tell."""
        self.items.append(item)
        if self._awaited:
            self._awaited = False
            self._bell.ring(self._loop, self)

    def wake(self) -> None:
        """On the loop: let those who wait look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def get(self) -> Any:
        """The next item, waiting for it if need be."""
        while not self.items:
            waiter = self._loop.create_future()
            self._waiters.add(waiter)
            self._awaited = True
            # The flag first, the look second: what was put in between has seen the flag or is seen here. The flag is
            # taken down by put() alone, and each time a wake-up follows; one too many does no harm.
            try:
                if not self.items:
                    await waiter
            finally:
                self._waiters.discard(waiter)
        return self.items.popleft()
