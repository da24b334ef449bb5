"""All sockets of a process: one daemon thread, one event loop.

The fronts (``sync.py``, ``aio.py``) post coroutines here and read the answers from mailboxes, so that the I/O exists
once; neither a blocked loop nor a second ``asyncio.run`` of the user's concerns it. The thread starts with the first
request and is a daemon: it never keeps a process alive.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

from lmstudio_integrations.client.connection import Connection
from lmstudio_integrations.client.probe import discover
from lmstudio_integrations.errors import LMStudioError, LMStudioServerNotFoundError
from lmstudio_integrations.protocol.auth import Authentication, guest_authentication

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

__all__ = ["Engine", "Link", "engine", "join"]

T = TypeVar("T")

_EXIT_SECONDS = 1.0


async def join(task: asyncio.Task[T]) -> T:
    """Wait for a task that others wait for too: a cancelled waiter leaves it running, each is told by its own error."""
    try:
        return await asyncio.shield(task)
    except LMStudioError as error:
        raise copy(error) from error.__cause__


class Link:
    """The way to one server under one identity: a socket for each namespace, opened when first needed.

    Lives on the engine's loop. ``base`` is ``None`` where LM Studio has to be looked for on this machine.
    """

    def __init__(self, base: str | None, authentication: Authentication | None) -> None:
        self._base = base
        self._found: str | None = None
        # One identity for all namespaces: LM Studio scopes uploaded files to it.
        self._authentication = authentication or guest_authentication()
        self._connections: dict[str, Connection] = {}
        self._opening: dict[str, asyncio.Task[Connection]] = {}

    async def connection(self, namespace: str, limit: float | None) -> Connection:
        """A socket that is open and, as far as can be known, alive. Raises what ``Connection.open`` does."""
        current = self._connections.get(namespace)
        if current is not None and await current.alive():
            return current
        opening = self._opening.get(namespace)
        if opening is None:
            opening = self._opening[namespace] = asyncio.create_task(self._open(namespace, limit))
            opening.add_done_callback(lambda task: self._opened(namespace, task))
        return await join(opening)

    def _opened(self, namespace: str, task: asyncio.Task[Connection]) -> None:
        self._opening.pop(namespace, None)
        if not task.cancelled() and task.exception() is None:
            old = self._connections.get(namespace)
            if old is not None:
                old.retire()
            self._connections[namespace] = task.result()

    async def _open(self, namespace: str, limit: float | None) -> Connection:
        if self._base is not None:
            return await Connection.open(self._base, namespace, self._authentication, limit)
        if self._found is not None:
            with contextlib.suppress(LMStudioServerNotFoundError):
                return await Connection.open(self._found, namespace, self._authentication, limit)
        self._found = await discover()  # LM Studio may have come back on another of its ports
        return await Connection.open(self._found, namespace, self._authentication, limit)

    async def close(self) -> None:
        """Close the idle sockets now and the others after their last answer. The next request opens new ones."""
        closing = []
        for connection in self._connections.values():
            if connection.session.open_conversations:
                connection.retire()
            else:
                closing.append(asyncio.create_task(connection.close()))
        self._connections.clear()
        if closing:
            await asyncio.wait(closing)

    async def abort(self) -> None:
        """Close every socket, whatever is under way."""
        connections = list(self._connections.values())
        self._connections.clear()
        await asyncio.gather(*(connection.close() for connection in connections), return_exceptions=True)


class Engine:
    """The thread and its loop. Use ``engine()`` to get the process's own."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._links: dict[tuple[str | None, tuple[str, str] | None], Link] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="lmstudio-engine", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def link(self, base: str | None, authentication: Authentication | None) -> Link:
        """The link to a server; call it on the loop only."""
        key = (
            base,
            None if authentication is None else (authentication.client_identifier, authentication.client_passkey),
        )
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = Link(base, authentication)
        return link

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``coroutine`` on the loop. The future may be waited for on any other thread, or cancelled."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start ``coroutine`` on the loop and hold it until it ends; its outcome goes where it leaves it."""
        self._loop.call_soon_threadsafe(self._start, coroutine)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def post(self, call: Callable[[], object]) -> None:
        """Call ``call`` on the loop, soon. Safe in a finalizer on any thread: it takes no lock, and never waits.

        After a fork or at the interpreter's end nobody is left to do it, and nothing is done.
        """
        if self.pid == os.getpid() and not self._stopped:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call)

    def stop(self) -> None:
        """Close the sockets and end the thread, at the interpreter's exit: no message, no hang."""
        if self._stopped or self.pid != os.getpid():
            return
        self._stopped = True
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._stop()))
        self._thread.join(_EXIT_SECONDS)

    async def _stop(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS / 2):
                await asyncio.gather(*(link.abort() for link in self._links.values()), return_exceptions=True)
        this = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not this]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()


class _Process:
    """What a process has one of."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engine: Engine | None = None
        self.left_behind: list[Engine] = []

    def after_fork(self) -> None:
        """In the child: the thread is not there, and the sockets are the parent's. Nothing of them may be finalized."""
        self.lock = threading.Lock()
        if self.engine is not None:
            self.left_behind.append(self.engine)
            self.engine = None


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.after_fork)


def engine() -> Engine:
    """This process's engine, started if need be. A forked child gets its own."""
    current = _process.engine
    if current is not None:
        return current
    with _process.lock:
        if _process.engine is None:
            _process.engine = Engine()
            atexit.register(_process.engine.stop)
        return _process.engine
