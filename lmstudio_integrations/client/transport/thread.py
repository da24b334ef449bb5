"""All sockets of a process: one daemon thread, one event loop.

Both clients (``sync.py``, ``aio.py``) submit coroutines to it and read the answers from mailboxes, so that the I/O
exists once; a blocked event loop or a second ``asyncio.run`` in the user's program does not affect it. The thread
starts with the first request and is a daemon: it never keeps a process alive.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lmstudio_integrations.client.transport.daemon import exit_error, start_thread
from lmstudio_integrations.client.transport.event_loop import new_loop
from lmstudio_integrations.client.transport.loop_waker import LoopWaker
from lmstudio_integrations.client.transport.pending_request import discard
from lmstudio_integrations.errors import LMStudioDisconnectedError, LMStudioError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from ssl import SSLContext

    from lmstudio_integrations.client.server_headers import ServerHeaders
    from lmstudio_integrations.client.transport.pool import ConnectionPool
    from lmstudio_integrations.protocol.auth import Authentication

    PoolKey = tuple[str | None, Authentication | None, SSLContext | str | None, ServerHeaders | None]

__all__ = ["Consumer", "IOThread", "io_thread"]

T = TypeVar("T")

# Seconds by which a server that does not close its sockets may delay the exit of the interpreter.
_EXIT_SECONDS = 1.0


class Consumer(Protocol):
    """The receiver of a spawned flow: ``deliver``, which may be replaced."""

    deliver: Callable[[Any], object]


class IOThread:
    """The thread and its loop. Use ``io_thread()`` to get the process's own."""

    def __init__(self) -> None:
        self.pid: int = os.getpid()
        self._loop = new_loop()
        self._waker = LoopWaker()
        self._pools: dict[PoolKey, ConnectionPool] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._consumers: set[Consumer] = set()
        self._lock = threading.Lock()
        self._stopped = False
        try:
            self._thread: threading.Thread = start_thread(self._run, "lmstudio-io")
        except BaseException:
            self._loop.close()
            raise

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come from it: Python is exiting, or this is the child of a fork."""
        return self._stopped or self.pid != os.getpid()

    def pool(
        self,
        base: str | None,
        authentication: Authentication | None,
        ssl_context: SSLContext | str | None = None,
        headers: ServerHeaders | None = None,
    ) -> ConnectionPool:
        """The pool of a server; call it on the loop only."""
        key = (base, authentication, ssl_context, headers)
        pool = self._pools.get(key)
        if pool is None:
            # Here and not above: websockets and TLS are a third of what importing this package would take. On this
            # thread, so that no event loop of a user waits for it.
            with _process.importing:
                from lmstudio_integrations.client.transport.pool import ConnectionPool

            pool = self._pools[key] = ConnectionPool(base, authentication, ssl_context, headers)
        return pool

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``coroutine`` on the loop. The future may be waited for on any other thread, or cancelled.

        Raises ``LMStudioConnectionError`` while Python exits.
        """
        future: Future[T] = Future()

        def start() -> None:
            task = self._start(coroutine)
            task.add_done_callback(lambda task: self._hand_over(task, future))
            future.add_done_callback(lambda future: self.post(task.cancel) if future.cancelled() else None)

        self._call(start, coroutine)
        return future

    def _hand_over(self, task: asyncio.Task[T], future: Future[T]) -> None:
        # The exception is always retrieved; else asyncio logs it if the future was cancelled.
        error = None if task.cancelled() else task.exception()
        if self._stopped:
            return  # at Python's exit only daemon threads wait, and to wake one would let it write a traceback
        if task.cancelled():
            future.cancel()
        if not future.set_running_or_notify_cancel():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())

    def spawn(self, coroutine: Coroutine[Any, Any, None], consumer: Consumer) -> None:
        """Start ``coroutine`` on the loop and hold it until it ends; its outcome goes to ``consumer.deliver``.

        Raises ``LMStudioConnectionError`` while Python exits.
        """

        def start() -> None:
            task = self._start(coroutine)
            task.add_done_callback(lambda _: self._consumers.discard(consumer))

        self._consumers.add(consumer)
        try:
            self._call(start, coroutine)
        except BaseException:
            self._consumers.discard(consumer)
            raise

    def _call(self, start: Callable[[], object], coroutine: Coroutine[Any, Any, Any]) -> None:
        """Call ``start`` on the loop. The lock ensures that the thread does not stop between the check and the call."""
        if threading.get_ident() == self._thread.ident:
            coroutine.close()
            raise LMStudioError(
                "this request was made on the I/O thread of lmstudio_integrations, which would wait for itself. "
                "A logging handler runs there: make requests on another thread, for example behind a QueueHandler."
            )
        with self._lock:
            if not self.ended:
                self._waker.schedule(self._loop, start)
                return
        coroutine.close()
        raise exit_error()

    def _start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def post(self, call: Callable[[], object]) -> None:
        """Call ``call`` on the loop, soon. Safe in a finalizer on any thread: it takes no lock, and never waits.

        After a fork and at the exit of the interpreter the thread no longer exists: nothing is done.
        """
        if not self.ended:
            self._waker.schedule(self._loop, call)

    def left_behind(self) -> None:
        """In a forked child: fail the pending requests, because the I/O thread exists in the parent only."""
        for consumer in self._consumers:
            consumer.deliver(
                LMStudioDisconnectedError("this stream belongs to the parent process: after a fork the child has none")
            )

    def stop(self) -> None:
        """Cancel what is under way, close the sockets and end the thread, at Python's exit: no message, no hang."""
        if self.pid != os.getpid():
            return  # before the lock, which may have been copied in its locked state
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            for consumer in list(self._consumers):
                consumer.deliver = discard
            self._loop.call_soon_threadsafe(lambda: self._tasks.add(self._loop.create_task(self._stop())))
        self._thread.join(_EXIT_SECONDS)

    async def _stop(self) -> None:
        this = asyncio.current_task()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS / 2):
                flows = self._tasks - {this}
                for task in flows:
                    task.cancel()  # each sends its cancel to the server
                if flows:
                    await asyncio.wait(flows)
                await asyncio.gather(*(pool.abort() for pool in self._pools.values()), return_exceptions=True)
        others = asyncio.all_tasks() - {this}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()


class _Process:
    """What a process has one of."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # A fork waits for it, or the child would have a module that a thread it has not got has locked for ever.
        self.importing = threading.Lock()
        self.io_thread: IOThread | None = None
        self.left_behind: list[IOThread] = []

    def after_fork(self) -> None:
        """In the child: the thread is not there, and the sockets are the parent's. Nothing of them may be finalized."""
        self.importing.release()
        self.lock = threading.Lock()
        if self.io_thread is not None:
            self.left_behind.append(self.io_thread)
            self.io_thread.left_behind()
            self.io_thread = None


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_process.importing.acquire,
        after_in_parent=_process.importing.release,
        after_in_child=_process.after_fork,
    )


def io_thread() -> IOThread:
    """This process's I/O thread, started if it does not run yet. A forked child gets its own."""
    current = _process.io_thread
    if current is not None:
        return current
    with _process.lock:
        if _process.io_thread is None:
            _process.io_thread = IOThread()
            atexit.register(_process.io_thread.stop)
        return _process.io_thread
