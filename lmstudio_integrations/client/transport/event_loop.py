"""The event loop of the I/O thread: uvloop's if it is installed (the extra ``speed``), else asyncio's.

What a request costs before its first token is half waiting for threads and half the loop's own work, and uvloop's is
less: a sixth to a fifth of the total (benchmarks). No other loop is changed.
"""

from __future__ import annotations

import asyncio
import contextlib

from lmstudio_integrations.client.transport.resolver import resolve

__all__ = ["new_loop"]


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop that is not running yet, and that leaves no thread for Python to wait for when it exits."""
    try:
        from lmstudio_integrations.client.transport.uvloop_event_loop import Loop
    except (ImportError, RuntimeError):  # RuntimeError: Python is exiting, and too late for what uvloop imports
        loop = asyncio.new_event_loop()
        with contextlib.suppress(AttributeError):  # a loop that a policy chose may not let itself be changed
            loop.getaddrinfo = resolve  # type: ignore[method-assign]
        return loop
    return Loop()
