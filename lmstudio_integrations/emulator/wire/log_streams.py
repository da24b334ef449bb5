"""The events that ``diagnostics.streamLogs`` sends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["LogStreams"]

LogEvent = dict[str, Any]


class LogStreams:
    """The open log streams. Used on the emulator's loop only."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[LogEvent]] = set()

    def publish(self, data: LogEvent) -> None:
        """Send an event to each open stream, if there are any."""
        for queue in self._queues:
            queue.put_nowait({"timestamp": int(time.time() * 1000), "data": data})

    @contextmanager
    def opened(self) -> Iterator[asyncio.Queue[LogEvent]]:
        """A new stream, with the events from now on."""
        queue: asyncio.Queue[LogEvent] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)
