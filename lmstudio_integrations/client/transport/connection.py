"""One authenticated WebSocket to one namespace of LM Studio, and the session that it carries.

Everything here runs on the engine's loop.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)
from websockets.protocol import State

from lmstudio_integrations.client.settings import is_local
from lmstudio_integrations.client.transport.multiplexer import Multiplexer, read_authentication
from lmstudio_integrations.client.transport.websocket import MessageConnection
from lmstudio_integrations.client.transport.wire_log import wire_logger
from lmstudio_integrations.errors import (
    LMStudioConnectionError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioServerNotFoundError,
    LMStudioTimeoutError,
)
from lmstudio_integrations.protocol.envelopes import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from lmstudio_integrations.client.transport.multiplexer import PendingCall
    from lmstudio_integrations.protocol.auth import Authentication

__all__ = ["HOW_TO_START", "ConnectProgress", "Connection"]

HOW_TO_START = (
    "Start LM Studio's server: in the app under Developer, or with the command 'lms server start'. "
    "For a server elsewhere pass its address (base_url or url), or set LMSTUDIO_BASE_URL."
)

# A socket that has heard nothing for so long (seconds) is asked whether it lives before it is used: after a machine
# has slept, a dead one looks the same. The question costs one round trip.
_IDLE_BEFORE_PROBE = 5.0
_PROBE = 1.0

# A server that is loading a model may be slow to answer pings, so it gets time.
_PING_INTERVAL = 20.0
_PING_TIMEOUT = 60.0

# How long the server has to answer a close frame, and how long to take it at all: it may not read any more.
_CLOSE_TIMEOUT = 1.0
_CLOSE = 2.0


class ConnectProgress:
    """How far an attempt to connect has come, for those whose time runs out meanwhile."""

    def __init__(self) -> None:
        self.url = ""
        self.awaited = "the connection"
        self.heard = "nothing"

    def overdue(self, seconds: float) -> LMStudioTimeoutError:
        """What to tell who has waited ``seconds`` and waits no longer."""
        return LMStudioTimeoutError(
            f"{self.url}: {self.awaited} did not come within {seconds:g} s. Is it LM Studio that listens there?\n"
            f"{HOW_TO_START}",
            limit="connect",
            seconds=seconds,
            last_heard=self.heard,
        )


class Connection:
    """A live socket: requests go out through it, and ``session`` routes what comes in."""

    clock: Callable[[], float] = staticmethod(time.time)
    """Seconds. The wall clock, because the monotonic one may stand still while a machine sleeps."""

    def __init__(self, socket: MessageConnection, name: str) -> None:
        self._socket = socket
        self._name = name
        self._background_tasks: set[asyncio.Task[None]] = set()
        self._probing: asyncio.Task[bool] | None = None
        self.closed_here = False
        """Whether it is being closed from this side, which happens only while no answer is due. From then on nothing
        is sent any more: a request that came too late can safely be made again."""
        self.multiplexer = Multiplexer()
        self.retired = False
        self.heard_at = self.clock()
        self.loaded_models: set[str] = set()
        """Identifiers of models that were loaded when last heard of; a restarted server begins with none."""
        self.loading: dict[Any, Any] = {}
        """Loads under way, for others who need the same model."""
        socket.listen(self.multiplexer.receive, self._after_read)
        self._watching = asyncio.create_task(self._watch())

    @classmethod
    async def open(
        cls, base: str, namespace: str, authentication: Authentication, opening: ConnectProgress
    ) -> Connection:
        """Connect and authenticate, however long it takes; ``opening`` tells how far it has come.

        Raises ``LMStudioServerNotFoundError``, ``LMStudioConnectionError`` (``LMStudioDisconnectedError`` where the
        server hung up on the way), ``LMStudioAuthenticationError`` or ``LMStudioProtocolError``.
        """
        url = opening.url = f"{base}/{namespace}"
        opening.awaited = "the connection"
        socket: MessageConnection | None = None
        try:
            connected = await connect(
                url,
                create_connection=MessageConnection,
                compression=None,
                max_size=None,
                open_timeout=None,
                ping_interval=_PING_INTERVAL,
                ping_timeout=_PING_TIMEOUT,
                close_timeout=_CLOSE_TIMEOUT,
                logger=wire_logger,
                # A proxy that the environment names is for the world outside.
                proxy=None if is_local(base) else True,
            )
            assert isinstance(connected, MessageConnection)
            socket = connected
            opening.awaited, opening.heard = "the reply to the authentication", "the WebSocket handshake"
            await socket.send(encode(authentication.to_wire()))
            # Nothing may follow before this reply has come: LM Studio would discard it without a word.
            read_authentication(await socket.recv(decode=False), authentication)
            return cls(socket, url)
        except ConnectionClosed as error:
            stage = "handshake" if socket is None else "authentication"
            raise LMStudioDisconnectedError(f"{url} closed the connection during the {stage}") from error
        except InvalidStatus as error:
            raise LMStudioConnectionError(
                f"{url} answered with HTTP status {error.response.status_code}: no LM Studio server there"
            ) from error
        except ProxyError as error:
            raise LMStudioConnectionError(f"{url} cannot be reached: {error}") from error
        except (InvalidHandshake, InvalidMessage) as error:
            if isinstance(error.__cause__, EOFError):
                raise LMStudioDisconnectedError(f"{url} closed the connection during the handshake") from error
            raise LMStudioConnectionError(f"{url} does not speak WebSocket: {error}") from error
        except OSError as error:
            raise LMStudioServerNotFoundError(
                f"no LM Studio server at {base}: {error}\n{HOW_TO_START}", addresses=(base,)
            ) from error
        except AssertionError as error:
            # websockets takes it for impossible that somebody speaks before he is spoken to (up to 17.4, at the least).
            raise LMStudioConnectionError(f"{url} does not speak WebSocket: it spoke before it was asked") from error
        except (WebSocketException, ValueError, LookupError, ImportError, RuntimeError) as error:
            # A host name that cannot be encoded, a redirect that leads nowhere, a proxy that needs another package.
            if isinstance(error, LMStudioError):
                raise
            raise LMStudioConnectionError(f"{url} cannot be reached: {error}") from error
        finally:
            if socket is not None and socket.on_message is None:
                socket.transport.abort()

    @property
    def usable(self) -> bool:
        """Whether new requests may go out here."""
        return not self.retired and not self.multiplexer.warned and self._socket.state is State.OPEN

    def _after_read(self) -> None:
        self.heard_at = self.clock()
        if self.multiplexer.warned or self.retired:
            self._close_if_idle()

    async def _watch(self) -> None:
        """Wait for the socket's end and tell all who still wait for an answer."""
        try:
            await self._socket.wait_closed()
        finally:
            self.retired = True
            self.multiplexer.connection_lost(self._lost)

    def _lost(self) -> LMStudioError:
        error = LMStudioDisconnectedError(
            f"the connection to {self._name} was lost while an answer was due (close code {self._socket.close_code}). "
            "LM Studio may have been stopped or restarted; the next request connects anew."
        )
        if self._socket.state is State.CLOSED:
            error.__cause__ = self._socket.protocol.close_exc
        return error

    async def alive(self) -> bool:
        """Whether the socket can be used, asking the server if it has been silent for long."""
        if not self.usable:
            return False
        if abs(self.clock() - self.heard_at) < _IDLE_BEFORE_PROBE:
            return True
        if self._probing is None:
            self._probing = asyncio.create_task(self._probe())
            self._probing.add_done_callback(lambda _: setattr(self, "_probing", None))
        return await asyncio.shield(self._probing)

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE):
                await (await self._socket.ping())
        except (TimeoutError, ConnectionClosed, OSError):
            self.retire()
            return False
        self.heard_at = self.clock()
        return self.usable

    def post(self, *frames: str) -> None:
        """Send frames, without waiting for a server that does not read. They leave in the order of the calls.

        A socket that is lost here tells its calls by itself.
        """
        for frame in frames:
            # Lost, and about to say so: asyncio would complain of each further write on standard error.
            if self.closed_here or self._socket.transport.is_closing():
                return
            broadcast((self._socket,), frame)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)

    def forget(self, call: PendingCall) -> None:
        """Nobody waits for this answer any more."""
        self.multiplexer.forget(call)
        if self.multiplexer.warned or self.retired:
            self._close_if_idle()

    def retire(self) -> None:
        """Take no new requests; close as soon as the last answer is in."""
        self.retired = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self.multiplexer.open_calls and not self.closed_here:
            self.closed_here = True
            self._run(self.close())

    async def close(self) -> None:
        """Close the socket; whoever still waits for an answer is told."""
        self.retired = self.closed_here = True
        try:
            async with asyncio.timeout(_CLOSE):
                await self._socket.close()
        except TimeoutError:
            self._socket.transport.abort()
        await self.closed()

    async def closed(self) -> None:
        """Wait until the socket is closed and all who waited for an answer have been told."""
        await asyncio.wait({self._watching})
