"""One authenticated WebSocket to one namespace of LM Studio, and the session that it carries.

Everything here runs on the engine's loop.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from lmstudio_integrations.client.session import Session, read_authentication
from lmstudio_integrations.client.settings import is_local
from lmstudio_integrations.errors import (
    LMStudioConnectionError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioServerNotFoundError,
    LMStudioTimeoutError,
)
from lmstudio_integrations.protocol.envelopes import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmstudio_integrations.protocol.auth import Authentication

__all__ = ["HOW_TO_START", "Connection"]

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


Bytes = bytes | bytearray | memoryview


class _Socket(ClientConnection):
    """A connection that hands each message on as it is parsed, without a queue and a task between.

    websockets documents subclassing through ``create_connection``; ``process_event`` is its hook for subclasses. It
    saves about a third of the cost per message. Until ``on_message`` is set, messages go to ``recv()`` as usual.
    """

    on_message: Callable[[Bytes], None] | None = None
    _pieces: list[Bytes] | None = None

    def process_event(self, event: Any) -> None:
        on_message = self.on_message
        if on_message is None or type(event) is not Frame:
            super().process_event(event)
        elif event.opcode is Opcode.TEXT or event.opcode is Opcode.BINARY:
            if event.fin:
                on_message(event.data)
            else:
                self._pieces = [event.data]
        elif event.opcode is Opcode.CONT:
            pieces = self._pieces if self._pieces is not None else []
            pieces.append(event.data)
            if event.fin:
                self._pieces = None
                on_message(b"".join(pieces))
        else:
            super().process_event(event)


class Connection:
    """A live socket: requests go out through it, and ``session`` routes what comes in."""

    def __init__(self, socket: _Socket, name: str) -> None:
        self._socket = socket
        self._name = name
        self._sending: set[asyncio.Task[None]] = set()
        self._probing: asyncio.Task[bool] | None = None
        self.session = Session()
        self.retired = False
        self.heard_at = time.time()
        self.ready: set[str] = set()
        """Identifiers of models that were loaded when last heard of; a restarted server begins with none."""
        self.loading: dict[str, Any] = {}
        """Loads under way, by identifier, for others who need the same model."""
        socket.on_message = self._receive
        self._watching = asyncio.create_task(self._watch())

    @classmethod
    async def open(cls, base: str, namespace: str, authentication: Authentication, limit: float | None) -> Connection:
        """Connect and authenticate within ``limit`` seconds.

        Raises ``LMStudioServerNotFoundError``, ``LMStudioConnectionError``, ``LMStudioTimeoutError``,
        ``LMStudioAuthenticationError`` or ``LMStudioProtocolError``.
        """
        url = f"{base}/{namespace}"
        stage = "the connection"
        socket: _Socket | None = None
        try:
            async with asyncio.timeout(limit):
                connected = await connect(
                    url,
                    create_connection=_Socket,
                    compression=None,
                    max_size=None,
                    open_timeout=None,
                    ping_interval=_PING_INTERVAL,
                    ping_timeout=_PING_TIMEOUT,
                    close_timeout=1.0,
                    # A proxy that the environment names is for the world outside.
                    proxy=None if is_local(base) else True,
                )
                assert isinstance(connected, _Socket)
                socket = connected
                stage = "the reply to the authentication"
                await socket.send(encode(authentication.to_wire()))
                # Nothing may follow before this reply has come: LM Studio would drop it without a word.
                read_authentication(await socket.recv(decode=False), authentication)
                return cls(socket, url)
        except TimeoutError as error:
            raise LMStudioTimeoutError(
                f"{url}: {stage} did not come within {limit:g} s. Is it LM Studio that listens there?\n{HOW_TO_START}",
                limit="connect",
                seconds=limit or 0.0,
                last_heard="nothing" if socket is None else "the WebSocket handshake",
            ) from error
        except ConnectionClosed as error:
            raise LMStudioConnectionError(f"{url} closed the connection during the authentication") from error
        except InvalidStatus as error:
            raise LMStudioConnectionError(
                f"{url} answered with HTTP status {error.response.status_code}: no LM Studio server there"
            ) from error
        except (InvalidHandshake, InvalidMessage) as error:
            raise LMStudioConnectionError(f"{url} does not speak WebSocket: {error}") from error
        except OSError as error:
            raise LMStudioServerNotFoundError(
                f"no LM Studio server at {base}: {error}\n{HOW_TO_START}", addresses=(base,)
            ) from error
        finally:
            if socket is not None and socket.on_message is None:
                socket.transport.abort()

    @property
    def usable(self) -> bool:
        """Whether new requests may go out here."""
        return not self.retired and not self.session.warned and self._socket.state is State.OPEN

    def _receive(self, data: Bytes) -> None:
        self.heard_at = time.time()
        self.session.receive(bytes(data) if type(data) is memoryview else data)
        if (self.session.warned or self.retired) and not self.session.open_conversations:
            self.retire()

    async def _watch(self) -> None:
        """Wait for the socket's end and tell all who still wait for an answer."""
        try:
            await self._socket.wait_closed()
        finally:
            self.retired = True
            code = self._socket.close_code
            self.session.lose(lambda: self._lost(code))

    def _lost(self, code: int | None) -> LMStudioError:
        error = LMStudioDisconnectedError(
            f"the connection to {self._name} was lost while an answer was due (close code {code}). "
            "LM Studio may have been stopped or restarted; the next request connects anew."
        )
        error.__cause__ = self._socket.protocol.close_exc
        return error

    async def alive(self) -> bool:
        """Whether the socket can be used, asking the server if it has been silent for long."""
        if not self.usable:
            return False
        # The wall clock, because the monotonic one may stand still while a machine sleeps.
        if abs(time.time() - self.heard_at) < _IDLE_BEFORE_PROBE:
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
        self.heard_at = time.time()
        return self.usable

    async def send(self, frame: str) -> None:
        """Send a frame. A socket that is lost here tells its conversations by itself."""
        try:
            await self._socket.send(frame)
        except ConnectionClosed:
            return

    def post(self, frame: str) -> None:
        """Send a frame without waiting, as cancels are."""
        task = asyncio.get_running_loop().create_task(self.send(frame))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def retire(self) -> None:
        """Take no new requests; close as soon as the last answer is in."""
        self.retired = True
        if not self.session.open_conversations:
            self.post_close()

    def post_close(self) -> None:
        """Close without waiting for it."""
        self.retired = True
        task = asyncio.get_running_loop().create_task(self.close())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Close the socket; whoever still waits for an answer is told."""
        self.retired = True
        await self._socket.close()
        await asyncio.wait({self._watching})
