"""The way to one server under one identity: a socket for each namespace, opened when first needed.

Everything here runs on the engine's loop.
"""

from __future__ import annotations

import asyncio
import contextlib

from lmstudio_integrations.client.transport.connection import Connection, ConnectProgress
from lmstudio_integrations.client.transport.discovery import discover
from lmstudio_integrations.client.transport.single_flight import SingleFlight
from lmstudio_integrations.errors import LMStudioDisconnectedError, LMStudioServerNotFoundError, LMStudioTimeoutError
from lmstudio_integrations.protocol.auth import Authentication, guest_authentication

__all__ = ["ConnectionPool"]


class ConnectionPool:
    """``base`` is the server's address, or ``None`` where LM Studio has to be looked for on this machine."""

    def __init__(self, base: str | None, authentication: Authentication | None) -> None:
        self._base = base
        self._found: str | None = None
        # One identity for all namespaces: LM Studio scopes uploaded files to it.
        self._authentication = authentication or guest_authentication()
        self._connections: dict[str, Connection] = {}
        self._openings: dict[str, SharedConnect] = {}

    async def connection(self, namespace: str, limit: float | None) -> Connection:
        """A socket that is open and, as far as can be known, alive.

        ``limit`` (seconds) is this caller's own, also where another has begun to connect. Raises
        ``LMStudioTimeoutError`` and what ``Connection.open`` does.
        """
        current = self._connections.get(namespace)
        if current is not None and await current.alive():
            return current
        attempt = self._openings.get(namespace)
        if attempt is None:
            attempt = self._openings[namespace] = SharedConnect(self, namespace)
        return await attempt.join(limit)

    async def _open(self, namespace: str, opening: ConnectProgress) -> Connection:
        connection = await self._reach(namespace, opening)
        old = self._connections.get(namespace)
        if old is not None:
            old.retire()
        self._connections[namespace] = connection
        return connection

    async def _reach(self, namespace: str, opening: ConnectProgress) -> Connection:
        if self._base is not None:
            return await self._connect(self._base, namespace, opening)
        if self._found is not None:
            with contextlib.suppress(LMStudioServerNotFoundError):
                return await self._connect(self._found, namespace, opening)
        opening.url, opening.awaited = "LM Studio's ports on this machine", "an answer"
        self._found = await discover()  # LM Studio may have come back on another of its ports
        return await self._connect(self._found, namespace, opening)

    async def _connect(self, base: str, namespace: str, opening: ConnectProgress) -> Connection:
        with contextlib.suppress(LMStudioDisconnectedError):  # a server that restarts hangs up, and may be back at once
            return await Connection.open(base, namespace, self._authentication, opening)
        return await Connection.open(base, namespace, self._authentication, opening)

    def _forget(self, namespace: str, attempt: SharedConnect) -> None:
        if self._openings.get(namespace) is attempt:
            del self._openings[namespace]

    async def close(self) -> None:
        """Close the idle sockets now and the others after their last answer. The next request opens new ones."""
        connections = list(self._connections.values())
        self._connections.clear()
        for connection in connections:
            connection.retire()
        await asyncio.gather(*(connection.closed() for connection in connections if connection.closed_here))

    async def abort(self) -> None:
        """Close every socket, whatever is under way."""
        connections = list(self._connections.values())
        self._connections.clear()
        await asyncio.gather(*(connection.close() for connection in connections), return_exceptions=True)


class SharedConnect:
    """One attempt to connect, for all who need the socket at once. Given up once the last of them has gone."""

    def __init__(self, pool: ConnectionPool, namespace: str) -> None:
        self._opening = ConnectProgress()
        self._work = SingleFlight(pool._open(namespace, self._opening), lambda: pool._forget(namespace, self))

    async def join(self, limit: float | None) -> Connection:
        try:
            return await self._work.join(limit)
        except LMStudioTimeoutError:
            raise
        except TimeoutError as error:
            assert limit is not None
            raise self._opening.overdue(limit) from error
