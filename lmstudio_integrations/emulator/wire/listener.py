"""The listening socket: the HTTP greeting, WebSocket upgrades, and the open connections."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from lmstudio_integrations.emulator.server_state import ServerState
from lmstudio_integrations.emulator.wire.calls import EndpointTable
from lmstudio_integrations.emulator.wire.connection import Connection, close_nowait, wait_for_any

_MAX_FRAME = 100 * 2**20  # the default of ws, the WebSocket library of LM Studio's server
_CLOSE_TIMEOUT = 1.0  # seconds for the client's answer to a close frame
_GREETING = '{"lmstudio":true}'


class Listener:
    """Accepts the connections of one emulator. Not thread-safe: its methods run on the emulator's loop."""

    def __init__(
        self, state: ServerState, endpoints: Mapping[str, EndpointTable], host: str, port: int, prefix: str = ""
    ) -> None:
        self.host = host
        self.prefix = prefix
        self.port: int = port
        self.connections: set[Connection] = set()
        self._sockets: set[ServerConnection] = set()
        self._state = state
        self._endpoints = endpoints
        self._numbers = itertools.count(1)
        self._server: Server | None = None
        self._closing = asyncio.Event()
        self._lifecycle_lock = asyncio.Lock()
        self._background_tasks: set[asyncio.Task[None]] = set()
        state.restart_soon = self._restart_soon

    async def open(self, port: int) -> None:
        """Listen; port 0 takes a free one."""
        self._lifecycle_lock = asyncio.Lock()  # a lock belongs to one loop, and each start makes a new loop
        await self._listen(port)

    async def _listen(self, port: int) -> None:
        self._closing = asyncio.Event()
        self._server = await serve(
            self._serve,
            self.host,
            port,
            process_request=self._process_request,
            create_connection=partial(_Socket, self._sockets),  # type: ignore[arg-type]  # typed as a class, but a callable is accepted
            compression=None,
            open_timeout=None,
            ping_interval=None,
            max_size=_MAX_FRAME,
            max_queue=None,
            write_limit=2**30,
            server_header=None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, send a close frame on every connection, and cut those without an answer after a second."""
        async with self._lifecycle_lock:
            server, self._server = self._server, None
            if server is None:
                return
            await _stop_accepting(server)
            server.close(close_connections=False)
            self._closing.set()  # cuts the connections whose upgrade is not answered
            for socket in list(self._sockets):
                close_nowait(socket, 1001)
            closed = asyncio.ensure_future(server.wait_closed())
            await asyncio.wait([closed], timeout=_CLOSE_TIMEOUT)
            left = list(self._sockets)  # clients that do not read: the close frame stays in the send buffer
            for socket in left:
                socket.transport.abort()
            await asyncio.gather(closed, *(socket.wait_closed() for socket in left))

    def drop(self) -> None:
        """Cut every WebSocket connection, without a close frame."""
        for connection in list(self.connections):
            connection.drop()

    async def restart(self) -> None:
        """Cut every connection, reset the models and files, and listen again on the same port.

        The connections are cut last, so that the port accepts clients that reconnect.
        """
        async with self._lifecycle_lock:
            if (old := self._server) is None:  # closed since the restart was requested
                return
            await _stop_accepting(old)
            cut = list(self._sockets)
            old.close(close_connections=False)
            while old.sockets:  # noqa: ASYNC110  # a task of websockets closes them, without an event to wait for
                await asyncio.sleep(0)
            self._closing.set()
            self._state.reset()
            await self._listen(self.port)
            for socket in cut:
                socket.transport.abort()
            await old.wait_closed()

    def _restart_soon(self) -> None:
        """Run ``restart`` as a background task: the calling task is cancelled when its connection is cut."""
        task = asyncio.get_running_loop().create_task(self.restart())
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)

    async def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        closing = self._closing  # that of this server: a restart makes a new one
        if "Upgrade" not in request.headers:
            found = request.path.partition("?")[0] == f"{self.prefix}/lmstudio-greeting"
            return _http_answer(socket, found=found)
        if (origin := request.headers.get("Origin")) is not None and not self._state.allows(origin):
            # Only browsers send it. A web page must not reach a server on this machine without permission.
            return socket.respond(
                HTTPStatus.FORBIDDEN, f"The emulator does not allow the origin {origin}: pass Emulator(origins=…).\n"
            )
        if (namespace := self._namespace(request)) is not None:
            if fault := self._state.faults.take_connection("no_upgrade", namespace):
                await wait_for_any(fault.released.wait(), closing.wait())
        else:
            # As LM Studio: an unknown path gets no response, and the connection stays open.
            await closing.wait()
        if closing.is_set():
            socket.transport.abort()
            await socket.wait_closed()
        return None

    def _namespace(self, request: Request) -> str | None:
        """The namespace that a path names; a query string is ignored."""
        start = f"{self.prefix}/"
        path = request.path.partition("?")[0]
        namespace = path.removeprefix(start)
        return namespace if path.startswith(start) and namespace in self._endpoints else None

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        connection = Connection(
            self._state, self._endpoints, socket, self._namespace(socket.request) or "", next(self._numbers)
        )
        self.connections.add(connection)
        self._state.frame_log.wake()
        try:
            await connection.serve()
        finally:
            self.connections.discard(connection)
            self._state.frame_log.wake()


class _Socket(ServerConnection):
    """A connection that adds itself to ``sockets`` when it is made, and removes itself when it is lost."""

    def __init__(self, sockets: set[ServerConnection], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sockets = sockets

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._sockets.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sockets.discard(self)
        super().connection_lost(exc)


async def _stop_accepting(server: Server) -> None:
    """Stop accepting, and let accepted sockets become connections: asyncio does not close them with the server."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # loops that do not wait for sockets to become readable
        for socket in server.sockets:
            loop.remove_reader(socket.fileno())
    for _ in range(3):  # accept, connection_made, _process_request
        await asyncio.sleep(0)


def _http_answer(socket: ServerConnection, *, found: bool) -> Response:
    text = _GREETING if found else '{"error":"Unexpected endpoint or method."}'
    response = socket.respond(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, text)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response
