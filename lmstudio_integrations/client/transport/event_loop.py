"""The event loop of the engine: uvloop's where that is installed (the extra ``speed``), else asyncio's own.

What a request costs before its first token is half waiting for threads and half the loop's own work, and uvloop's is
less: a sixth to a fifth of the whole (benchmarks). Nobody else's loop is touched.
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
