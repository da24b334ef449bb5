"""Threads that cannot be started: Python is exiting, or the process has too many."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.client.transport import thread as thread_module
from lmstudio_integrations.client.transport.daemon import run_in_daemon_thread, start_thread
from lmstudio_integrations.errors import LMStudioConnectionError, LMStudioError

AT_EXIT = "can't create new thread at interpreter shutdown"  # Python 3.12 and newer


@pytest.fixture
def _no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be started, and there is no I/O thread yet."""

    def start(self: threading.Thread) -> None:
        raise RuntimeError(AT_EXIT)

    monkeypatch.setattr(thread_module._process, "io_thread", None)
    monkeypatch.setattr(threading.Thread, "start", start)


@pytest.mark.usefixtures("_no_thread")
def test_first_request_at_exit_raises_connection_error() -> None:
    model = Client("ws://127.0.0.1:1").llm.just_in_time("chat")
    calls: list[Any] = [lambda: model.respond("Hi"), lambda: model.count_tokens("Hi"), model.unload]
    for call in calls:
        with pytest.raises(LMStudioConnectionError, match="Python is exiting"):
            call()


@pytest.mark.usefixtures("_no_thread")
async def test_first_async_request_at_exit_raises_connection_error() -> None:
    model = AsyncClient("ws://127.0.0.1:1").llm.just_in_time("chat")
    with pytest.raises(LMStudioConnectionError, match="Python is exiting"):
        await model.respond("Hi")
    with pytest.raises(LMStudioConnectionError, match="Python is exiting"):
        await model.count_tokens("Hi")


@pytest.mark.usefixtures("_no_thread")
def test_blocking_work_at_exit_raises_connection_error() -> None:
    with pytest.raises(LMStudioConnectionError, match="Python is exiting"):
        asyncio.run(run_in_daemon_thread(lambda: 1, "work"))


def test_start_thread_beyond_the_systems_limit_raises_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(LMStudioError, match="the thread 'work' cannot be started: can't start new thread"):
        start_thread(print, "work")
