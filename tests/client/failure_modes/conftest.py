"""After each of these tests nothing may be left: no thread, task or socket, and no error logged by asyncio."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator

import pytest

from lmstudio_integrations import Client
from lmstudio_integrations.emulator import Emulator
from tests.client.failure_modes.frame_builders import unfinished_tasks

_IO_THREAD, _EMULATOR = "lmstudio-io", "lmstudio-emulator"


class _Complaints(logging.Handler):
    """Collects uncaught errors that asyncio and concurrent.futures log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName == _EMULATOR:
            return  # it still writes to a socket that a test made it cut
        self.lines.append(
            f"{record.threadName}, {record.name}: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}"
        )


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name != _IO_THREAD and thread.is_alive()}


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    complaints = _Complaints()
    loggers = [logging.getLogger(name) for name in ("asyncio", "concurrent.futures", "websockets")]
    for logger in loggers:
        logger.addHandler(complaints)
    before = _threads()
    try:
        yield
        gc.collect()
        assert unfinished_tasks() == []
        for thread in _threads() - before:
            thread.join(5)
        assert _threads() - before == set()
        assert complaints.lines == []
    finally:
        for logger in loggers:
            logger.removeHandler(complaints)


@pytest.fixture
def server(_nothing_left_behind: None) -> Iterator[Emulator]:
    """An emulator; after the test each of its sockets must have been closed by the client."""
    with Emulator() as emulator:
        yield emulator
        emulator.faults.clear()
        Client(emulator.url).close()
        emulator.wait_until(lambda: emulator.connections == 0)


@pytest.fixture
def client(server: Emulator) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client
