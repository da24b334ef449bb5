"""``ThreadsafeEvent``: the emulator waits for it, and a test sets it from any thread."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

_POLL_SECONDS = 0.002


class ThreadsafeEvent:
    """An event that is awaited on a loop and set from any thread, with ``set()``.

    Example:
        ```python
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Emulator, Reply, ThreadsafeEvent

        hold = ThreadsafeEvent()
        with Emulator() as server, Client(server.url) as client:
            server.script(Reply("One two", hold=hold))
            stream = client.llm.just_in_time("emulator/chat").respond_stream("Count.")
            fragments = iter(stream)
            print(next(fragments))  # the answer has not ended: the reply waits
            #> One
            hold.set()
            print(stream.result())
            #> One two
        ```
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def set(self) -> None:
        """Set the event; all waiting tasks continue. Thread-safe; further calls have no effect."""
        with self._lock:
            self._is_set = True
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_finish, future)

    def is_set(self) -> bool:
        """Whether the event is set."""
        return self._is_set

    async def wait(self) -> None:
        """Wait until the event is set."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._is_set:
                return
            future: asyncio.Future[None] = loop.create_future()
            self._waiting.append((loop, future))
        await future


async def wait_until_set(event: ThreadsafeEvent | threading.Event) -> None:
    """Wait for an event. A ``threading.Event`` has no callback, so it is polled every 2 ms."""
    if isinstance(event, ThreadsafeEvent):
        await event.wait()
        return
    while not event.is_set():  # noqa: ASYNC110 - it belongs to another thread, and cannot be awaited
        await asyncio.sleep(_POLL_SECONDS)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
