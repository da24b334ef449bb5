"""A clock for the client's time limits that tests move instead of waiting.

A limit that a slow machine could exceed while the client still has something to do makes a test fail by chance. Such a
limit is longer than a test may take, and the test moves the clock once it has seen what had to come before. Where
nothing but the limit can end the wait, ``SURE_TO_EXPIRE`` does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from types import SimpleNamespace
from typing import Any

import pytest

from lmstudio_integrations.client.transport import batch_rpc, multiplexer, pending_request
from lmstudio_integrations.client.transport.thread import io_thread


class _Timer:
    """A call that is due later, or earlier if the clock is moved."""

    def __init__(self, due: float, call: Callable[[], object], context: Context | None) -> None:
        self.due = due
        self.call = call
        self.context = context
        self.handle: Any = None


class MovableClock:
    """The clock by which the client's time limits expire. It runs, and ``advance`` moves it forward.

    It is in the place of ``time.monotonic`` in the modules that compare times, and makes timers of the I/O thread's event
    loop, whichever loop that is, call early. Timers that were started before are not moved, and no other loop's are.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._moved = 0.0
        self._timers: set[_Timer] = set()
        self._loop: Any = io_thread()._loop
        self._schedule = self._loop.call_later
        if isinstance(self._loop, asyncio.BaseEventLoop):  # there call_later calls call_at, which is replaced below
            call_at = self._loop.call_at
            self._schedule = lambda delay, *rest, **options: call_at(self._loop.time() + delay, *rest, **options)
        for module in (batch_rpc, multiplexer, pending_request):
            patch.setattr(module, "time", SimpleNamespace(monotonic=self.now))
        patch.setattr(self._loop, "call_later", self._call_later)
        patch.setattr(self._loop, "call_at", self._call_at)

    def now(self) -> float:
        """Seconds, as ``time.monotonic`` counts them."""
        return time.monotonic() + self._moved

    def advance(self, seconds: float) -> None:
        """Move the clock forward; returns when what has become due has run. Not for the I/O thread itself.

        Sockets send a ping after 20 s and are given up 60 s later without a pong: two moves in a row are shorter.
        """
        io_thread().submit(self._advance(seconds)).result(10)
        io_thread().submit(asyncio.sleep(0)).result(10)  # a round of the loop, in which the timers' calls have run

    async def _advance(self, seconds: float) -> None:
        self._moved += seconds
        due = [timer for timer in self._timers if timer.due <= self.now()]
        for timer in sorted(due, key=lambda timer: timer.due):
            self._timers.discard(timer)
            if not timer.handle.cancelled():
                timer.handle.cancel()
                self._loop.call_soon(timer.call, context=timer.context)

    def _call_later(self, delay: float, callback: Any, *arguments: Any, context: Context | None = None) -> Any:
        timer = _Timer(self.now() + delay, lambda: callback(*arguments), context)

        def run() -> None:
            self._timers.discard(timer)
            timer.call()

        timer.handle = self._schedule(delay, run, context=context)
        self._timers.add(timer)
        return timer.handle

    def _call_at(self, when: float, callback: Any, *arguments: Any, context: Context | None = None) -> Any:
        return self._call_later(when - self._loop.time(), callback, *arguments, context=context)
