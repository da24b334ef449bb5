"""What a call may leave behind in this process: threads, tasks, sockets, consumers, and complaints in logs."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from lmstudio_integrations import Client
from lmstudio_integrations.client.transport.thread import io_thread

__all__ = ["Leftovers"]

_OURS = ("lmstudio-io", "lmstudio-io", "raw-server", "chaos-proxy")
# LangChain, LlamaIndex and asyncio keep worker threads of their own for awaiting calls.
_FRAMEWORKS = ("asyncio_", "ThreadPoolExecutor", "Thread-")


# asyncio's, for each pong that websockets writes into a socket that was lost in the same read of many pings.
_PONGS = "socket.send() raised exception."


class _Complaints(logging.Handler):
    """Messages of asyncio and the WebSocket library about what was not handled."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName not in ("raw-server", "chaos-proxy") and record.getMessage() != _PONGS:
            self.lines.append(f"{record.name}: {record.getMessage()[:200]} {record.exc_info and record.exc_info[1]!r}")


class Leftovers:
    """Finds what is left after a call. Use it around many; ``after(*urls)`` looks once."""

    def __init__(self) -> None:
        self._complaints = _Complaints()
        for name in ("asyncio", "concurrent.futures", "websockets"):
            logging.getLogger(name).addHandler(self._complaints)
        self._threads = {thread.name for thread in threading.enumerate()}

    def after(self, *urls: str, seconds: float = 8.0) -> list[str]:
        """Close the sockets to ``urls``; every thing that is still there after ``seconds``, in words."""
        for url in urls:
            Client(url).close()
        io = io_thread()
        found = [f"task: {task}" for task in io.submit(_settle(seconds)).result(seconds + 5)]
        found += [f"consumer: {consumer!r}" for consumer in list(io._consumers)]
        for (base, *_), pool in list(io._pools.items()):
            if base in urls:
                found += [f"connection: {name}" for name in pool._connections]
                found += [f"attempt to connect: {name}" for name in pool._connecting]
                del io._pools[next(key for key, value in io._pools.items() if value is pool)]
        threads = {thread.name for thread in threading.enumerate()} - self._threads
        found += [f"thread: {name}" for name in threads if not name.startswith((*_OURS, *_FRAMEWORKS))]
        found += [f"complaint: {line}" for line in self._complaints.lines]
        self._complaints.lines.clear()
        return found


async def _settle(seconds: float) -> list[str]:
    others: set[asyncio.Task[Any]] = asyncio.all_tasks() - {asyncio.current_task()}
    if not others:
        return []
    _, pending = await asyncio.wait(others, timeout=seconds)
    return [repr(task)[:300] for task in pending]
