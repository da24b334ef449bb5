"""Waits for the I/O thread in an event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from lmstudio_integrations.client.transport.loop_waker import running_loop, waker_of
from lmstudio_integrations.client.transport.mailbox import AsyncMailbox

if TYPE_CHECKING:
    from concurrent.futures import Future

    from lmstudio_integrations.client.callbacks import Calls

__all__ = ["follow", "run", "wait"]

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


async def follow(start: Callable[[Callable[[Any], object]], Future[T]], take_calls: Callable[[Any], Calls]) -> T:
    """The outcome of a channel. ``take_calls``: the callbacks for a packet. An error of one cancels the channel."""
    mailbox = AsyncMailbox(running_loop())
    future = start(mailbox.put)
    future.add_done_callback(lambda _: mailbox.put(None))
    try:
        while (packet := await mailbox.get()) is not None:
            for callback, arguments in take_calls(packet):
                await run(callback, *arguments)
    except BaseException:
        future.cancel()
        raise
    return await wait(future)
