"""Is LM Studio there? One small HTTP request, as LM Studio's own clients send it when they look for its port.

Source: lmstudio-js, ``lms-client`` (port discovery): ``GET /lmstudio-greeting`` answers ``{"lmstudio": true}``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from lmstudio_integrations.client.settings import DEFAULT_PORTS, USER_PORT
from lmstudio_integrations.errors import LMStudioServerNotFoundError

__all__ = ["HOW_TO_START", "discover", "find_local", "greets", "is_lm_studio"]

HOW_TO_START = (
    "Start LM Studio's server: in the app under Developer, or with the command 'lms server start'. "
    "For a server elsewhere pass its address (base_url or url), or set LMSTUDIO_BASE_URL."
)


_PROBE_SECONDS = 1.0
_REMOTE_SECONDS = 4.0
_HOST = "127.0.0.1"


async def greets(
    host: str,
    port: int,
    seconds: float = _PROBE_SECONDS,
    *,
    prefix: str = "",
    tls: bool = False,
    headers: Iterable[tuple[str, str]] = (),
) -> bool:
    """Whether LM Studio answers at ``host:port`` within ``seconds``; ``prefix`` comes before the path.

    ``headers`` are for a reverse proxy.
    """
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls or None)
            try:
                name = f"[{host}]" if ":" in host else host
                lines = [f"GET {prefix}/lmstudio-greeting HTTP/1.1", f"Host: {name}:{port}", "Connection: close"]
                lines += [f"{name}: {value}" for name, value in headers]
                writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
                head = await reader.readuntil(b"\r\n\r\n")
                status = head.split(b" ", 2)[1:2]
                body = await reader.readuntil(b"}")
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):  # OSError: TLS, too
        return False
    try:
        return status == [b"200"] and json.loads(body[body.find(b"{") :])["lmstudio"] is True
    except (ValueError, KeyError, TypeError):
        return False


async def is_lm_studio(address: str, headers: Iterable[tuple[str, str]] = ()) -> bool:
    """Whether LM Studio answers at a base URL as ``parse_address`` makes them; ``headers`` are for a reverse proxy."""
    parts = urlsplit(address)
    tls = parts.scheme == "wss"
    return await greets(
        parts.hostname or "",
        parts.port or (443 if tls else 80),
        prefix=parts.path,
        tls=tls,
        seconds=_REMOTE_SECONDS,
        headers=headers,
    )


async def find_local() -> str | None:
    """``host:port`` of the LM Studio on this machine, or ``None``."""
    try:
        return (await discover()).partition("://")[2]
    except LMStudioServerNotFoundError:
        return None


async def discover() -> str:
    """The base URL of the LM Studio on this machine: its usual ports, tried concurrently, then 1234.

    The first to greet is taken, as lmstudio-js does, so that a silent stranger on another port costs no time. Raises
    ``LMStudioServerNotFoundError`` with every address that was tried, after two seconds at the most.
    """
    for ports in (DEFAULT_PORTS, (USER_PORT,)):
        port = await _first_to_greet(ports)
        if port is not None:
            return f"ws://{_HOST}:{port}"
    tried = tuple(f"{_HOST}:{port}" for port in (*DEFAULT_PORTS, USER_PORT))
    raise LMStudioServerNotFoundError(
        f"no LM Studio server on this machine (tried {', '.join(tried)}).\n{HOW_TO_START}", addresses=tried
    )


async def _first_to_greet(ports: tuple[int, ...]) -> int | None:
    asked = {asyncio.create_task(greets(_HOST, port)): port for port in ports}
    waiting = set(asked)
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.result():
                    return asked[task]
    finally:
        for task in waiting:
            task.cancel()
    return None
