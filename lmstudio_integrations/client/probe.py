"""Is LM Studio there? One small HTTP request, as LM Studio's own clients send it when they look for its port.

Source: lmstudio-js, ``lms-client`` (port discovery): ``GET /lmstudio-greeting`` answers ``{"lmstudio": true}``.
"""

from __future__ import annotations

import asyncio
import json

from lmstudio_integrations.client.connection import HOW_TO_START
from lmstudio_integrations.client.settings import DEFAULT_PORTS, USER_PORT
from lmstudio_integrations.errors import LMStudioServerNotFoundError

__all__ = ["discover", "greets"]

_PROBE_SECONDS = 1.0
_HOST = "127.0.0.1"


async def greets(host: str, port: int, seconds: float = _PROBE_SECONDS) -> bool:
    """Whether LM Studio answers at ``host:port`` within ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(
                    f"GET /lmstudio-greeting HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
                )
                head = await reader.readuntil(b"\r\n\r\n")
                status = head.split(b" ", 2)[1:2]
                body = await reader.readuntil(b"}")
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False
    try:
        return status == [b"200"] and json.loads(body[body.find(b"{") :])["lmstudio"] is True
    except (ValueError, KeyError, TypeError):
        return False


async def discover() -> str:
    """The base URL of the LM Studio on this machine: its usual ports, all asked at once, then 1234.

    Raises ``LMStudioServerNotFoundError`` with every address that was tried, after two seconds at the most.
    """
    found = await asyncio.gather(*(greets(_HOST, port) for port in DEFAULT_PORTS))
    for port, there in zip(DEFAULT_PORTS, found, strict=True):
        if there:
            return f"ws://{_HOST}:{port}"
    if await greets(_HOST, USER_PORT):
        return f"ws://{_HOST}:{USER_PORT}"
    tried = tuple(f"{_HOST}:{port}" for port in (*DEFAULT_PORTS, USER_PORT))
    raise LMStudioServerNotFoundError(
        f"no LM Studio server on this machine (tried {', '.join(tried)}).\n{HOW_TO_START}", addresses=tried
    )
