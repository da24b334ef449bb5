"""The connections to one server under one identity: a socket for each namespace, opened when first needed.

Runs on the I/O thread. Uploaded images are cached here, because LM Studio keeps files per identity.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from websockets.exceptions import InvalidStatus

from lmstudio_integrations.client.transport.batch_rpc import Slots
from lmstudio_integrations.client.transport.connection import Connection, ConnectProgress, load_certificates
from lmstudio_integrations.client.transport.discovery import discover
from lmstudio_integrations.client.transport.retry import reconnect_delays
from lmstudio_integrations.client.transport.single_flight import SingleFlight
from lmstudio_integrations.errors import (
    LMStudioAuthenticationError,
    LMStudioConnectionError,
    LMStudioDisconnectedError,
    LMStudioProtocolError,
    LMStudioServerNotFoundError,
    LMStudioTimeoutError,
)
from lmstudio_integrations.protocol.auth import Authentication, guest_authentication

if TYPE_CHECKING:
    from ssl import SSLContext

    from lmstudio_integrations.client.server_headers import ServerHeaders
    from lmstudio_integrations.client.settings import Timeout

__all__ = ["ConnectionPool", "UploadCache"]


class UploadCache:
    """For each uploaded image, by the digest of its content: the JSON text of the message part that shows it.

    Holds ``size`` images, and drops the least recently used first.
    """

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._parts: OrderedDict[str, str] = OrderedDict()

    def get(self, digest: str) -> str | None:
        """The JSON text of the part, if the image was uploaded."""
        part = self._parts.get(digest)
        if part is not None:
            self._parts.move_to_end(digest)
        return part

    def put(self, digest: str, part: str) -> None:
        """Remember an upload."""
        self._parts[digest] = part
        self._parts.move_to_end(digest)
        while len(self._parts) > self._size:
            self._parts.popitem(last=False)

    def clear(self) -> None:
        """Forget every upload: the next requests upload their images again."""
        self._parts.clear()


class ConnectionPool:
    """The sockets to one server under one identity.

    Args:
        base: The server's address; ``None`` looks for LM Studio on this machine.
        authentication: ``None`` is a guest, whose random identity is replaced once if the server refuses it.
        ssl_context: TLS for a ``wss://`` address, or the path of CA certificates, which are read at the first
            connection.
        headers: For a reverse proxy in front of the server.
    """

    def __init__(
        self,
        base: str | None,
        authentication: Authentication | None,
        ssl_context: SSLContext | str | None = None,
        headers: ServerHeaders | None = None,
    ) -> None:
        self._base = base
        self._ssl_context = ssl_context
        self._headers = headers
        self._discovered: str | None = None
        self._is_guest = authentication is None
        # One identity for all namespaces: LM Studio keeps uploaded files per identity.
        self._authentication = authentication or guest_authentication()
        self._guest_renewed = False
        self._connections: dict[str, Connection] = {}
        self._connecting: dict[str, SharedConnect] = {}
        self._has_connected = False
        self.uploads: UploadCache = UploadCache()
        self.embedding_slots: Slots = Slots()
        """How many embedding requests of all callers may be unanswered at once."""
        self.reports_queue: bool = True
        """Whether the server says how many requests wait, as far as is known: older ones do not."""

    async def connection(self, namespace: str, limits: Timeout) -> Connection:
        """An open socket, which has answered a ping if nothing had arrived on it for long.

        If this pool has connected before, failed attempts are repeated for up to ``limits.reconnect`` seconds;
        otherwise the first failure is raised. ``limits.connect`` bounds each attempt for this caller, also one that
        another caller has started; when it expires, there is no further attempt.

        Raises:
            LMStudioTimeoutError: The limit ``connect`` expired.
            LMStudioError: What ``Connection.open`` raises.
        """
        delays = reconnect_delays(limits.reconnect)
        while True:
            current = self._connections.get(namespace)
            if current is not None and await current.alive():
                return current
            attempt = self._connecting.get(namespace)
            if attempt is None:
                attempt = self._connecting[namespace] = SharedConnect(self, namespace)
            try:
                return await attempt.join(limits.connect)
            except (LMStudioServerNotFoundError, LMStudioDisconnectedError):
                delay = next(delays, None) if self._has_connected else None
                if delay is None:
                    raise
            await asyncio.sleep(delay)

    async def _open(self, namespace: str, progress: ConnectProgress) -> Connection:
        connection = await self._connect_to_server(namespace, progress)
        self._has_connected = True
        old = self._connections.get(namespace)
        if old is not None:
            old.retire()
        self._connections[namespace] = connection
        return connection

    async def _connect_to_server(self, namespace: str, progress: ConnectProgress) -> Connection:
        if self._base is not None:
            return await self._connect(self._base, namespace, progress)
        if self._discovered is not None:
            try:
                return await self._connect(self._discovered, namespace, progress)
            except (LMStudioConnectionError, LMStudioProtocolError):
                pass  # LM Studio may be on another of its ports now, and another program on this one
            except LMStudioAuthenticationError as error:
                if not _is_http_status(error):
                    raise
        progress.url, progress.awaited = "LM Studio's ports on this machine", "an answer"
        self._discovered = await discover()
        return await self._connect(self._discovered, namespace, progress)

    async def _connect(self, base: str, namespace: str, progress: ConnectProgress) -> Connection:
        tls = await self._tls() if base.startswith("wss://") else None
        identity = self._authentication
        try:
            # A server that restarts closes new sockets, and may be back at once.
            with contextlib.suppress(LMStudioDisconnectedError):
                return await Connection.open(base, namespace, identity, progress, tls, self._headers)
            return await Connection.open(base, namespace, identity, progress, tls, self._headers)
        except LMStudioAuthenticationError as error:
            if not self._is_guest or _is_http_status(error):
                raise
            if identity is self._authentication:  # else another namespace's socket has replaced it meanwhile
                if self._guest_renewed:
                    raise
                self._guest_renewed = True
                self._authentication = guest_authentication()
                self.uploads.clear()
        return await Connection.open(base, namespace, self._authentication, progress, tls, self._headers)

    async def _tls(self) -> SSLContext | None:
        if isinstance(self._ssl_context, str):
            self._ssl_context = await load_certificates(self._ssl_context)
        return self._ssl_context

    def forget_attempt(self, namespace: str, attempt: SharedConnect) -> None:
        """Remove an attempt that has ended, so that the next caller starts another."""
        if self._connecting.get(namespace) is attempt:
            del self._connecting[namespace]

    async def close(self) -> None:
        """Close idle sockets now, and busy ones when their last call ends. The next request opens new ones."""
        connections = list(self._connections.values())
        self._connections.clear()
        for connection in connections:
            connection.retire()
        await asyncio.gather(*(connection.closed() for connection in connections if connection.closed_here))

    async def abort(self) -> None:
        """Close every socket, with its open calls."""
        connections = list(self._connections.values())
        self._connections.clear()
        await asyncio.gather(*(connection.close() for connection in connections), return_exceptions=True)


class SharedConnect:
    """One attempt to connect, for all callers that need the socket. Cancelled when the last of them gives up."""

    def __init__(self, pool: ConnectionPool, namespace: str) -> None:
        self._progress = ConnectProgress()
        self._work = SingleFlight(pool._open(namespace, self._progress), lambda: pool.forget_attempt(namespace, self))

    async def join(self, limit: float | None) -> Connection:
        """Wait for the socket, for ``limit`` seconds at most. Raises ``LMStudioTimeoutError`` then."""
        try:
            return await self._work.join(limit)
        except LMStudioTimeoutError:
            raise
        except TimeoutError as error:
            assert limit is not None
            raise self._progress.timeout_error(limit) from error


def _is_http_status(error: LMStudioAuthenticationError) -> bool:
    """Whether something before LM Studio refused the handshake. LM Studio itself refuses within the WebSocket."""
    return isinstance(error.__cause__, InvalidStatus)
