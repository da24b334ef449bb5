"""Looking up host names on a thread that Python does not join when it exits."""

from __future__ import annotations

import socket
from typing import Any

from lmstudio_integrations.client.transport.daemon import run_in_daemon_thread

__all__ = ["resolve"]


async def resolve(
    host: bytes | str | None,
    port: bytes | str | int | None,
    *,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[Any]:
    """``loop.getaddrinfo``, on a daemon thread of its own. Raises ``OSError`` as ``socket.getaddrinfo`` does."""
    return await run_in_daemon_thread(
        lambda: socket.getaddrinfo(host, port, family, type, proto, flags), "lmstudio-names"
    )
