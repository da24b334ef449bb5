"""Waits for the I/O thread in an event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from lmstudio_integrations.client.callbacks import check_callback
from lmstudio_integrations.client.prediction import load_progress
from lmstudio_integrations.client.transport.loop_waker import running_loop, waker_of
from lmstudio_integrations.client.transport.mailbox import AsyncMailbox

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["follow", "load_progress_reader", "run", "wait"]

T = TypeVar("T")


async def wait(future: Future[T]) -> T:
    """The future's outcome. Cancelling the task that waits cancels the request.

    ``asyncio.wrap_future`` would do the same, but logs an error if the loop was closed meanwhile.
    """
    try:
        loop = running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        waker = waker_of(loop)
        future.add_done_callback(lambda _: waker.schedule(loop, wake))
        await waiter
    except BaseException:
        future.cancel()
        raise
    return future.result()


async def run(callback: Callable[..., Any], *arguments: Any) -> None:
    """Call a callback, and wait for it if it is a coroutine function's."""
    outcome = callback(*arguments)
    if inspect.isawaitable(outcome):
        await outcome


async def follow(start: Callable[[Callable[[Any], object]], Future[T]], read: Callable[[Any], Awaitable[None]]) -> T:
    """The outcome of a channel, whose packets ``read`` gets. An error of ``read`` cancels it."""
    mailbox = AsyncMailbox(running_loop())
    future = start(mailbox.put)
    future.add_done_callback(lambda _: mailbox.put(None))
    try:
        while (packet := await mailbox.get()) is not None:
            await read(packet)
    except BaseException:
        future.cancel()
        raise
    return await wait(future)


def load_progress_reader(callback: Callable[[float], Any] | None) -> Callable[[Any], Awaitable[None]]:
    """What calls ``callback`` for each progress (0.0 to 1.0) that the packets of a load report."""
    check_callback("on_load_progress", callback, blocking=False)
    last = -1.0

    async def read(packet: Any) -> None:
        nonlocal last
        progress = load_progress(packet)
        if progress is not None and progress != last:
            last = progress
            if callback is not None:
                await run(callback, progress)

    return read
