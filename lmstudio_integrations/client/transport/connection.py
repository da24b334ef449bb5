"""One authenticated WebSocket to one namespace of LM Studio. Runs on the I/O thread."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    PayloadTooBig,
    ProxyError,
    WebSocketException,
)
from websockets.http11 import Response
from websockets.protocol import State

from lmstudio_integrations.client.settings import is_local
from lmstudio_integrations.client.transport import bounds
from lmstudio_integrations.client.transport.daemon import run_in_daemon_thread
from lmstudio_integrations.client.transport.discovery import HOW_TO_START
from lmstudio_integrations.client.transport.multiplexer import Multiplexer, read_authentication
from lmstudio_integrations.client.transport.websocket import MessageConnection
from lmstudio_integrations.client.transport.wire_log import wire_logger
from lmstudio_integrations.errors import (
    LMStudioAuthenticationError,
    LMStudioConnectionError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioServerNotFoundError,
    LMStudioTimeoutError,
    LMStudioValueError,
)
from lmstudio_integrations.protocol.json_text import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from ssl import SSLContext

    from lmstudio_integrations.client.server_headers import ServerHeaders
    from lmstudio_integrations.client.transport.multiplexer import PendingCall
    from lmstudio_integrations.protocol.auth import Authentication

__all__ = ["ConnectProgress", "Connection", "load_certificates"]

# A socket on which nothing has arrived for so long (seconds) is pinged before it is used: after a machine has slept, a
# dead socket looks alive. The ping costs one round trip; the pong must come within the second figure.
_IDLE_BEFORE_PROBE = 5.0
_PROBE_TIMEOUT = 1.0

# Seconds between websockets' own pings, and for a pong. Long, because a server that loads a model may answer slowly
# and a missing pong ends all calls on the socket; after `_PROBE_TIMEOUT` seconds only new calls go elsewhere.
_PING_INTERVAL = 20.0
_PING_TIMEOUT = 60.0

# Seconds for the server's close frame, and for closing as a whole: a stopped server reads nothing, not even ours.
_CLOSE_FRAME_TIMEOUT = 1.0
_CLOSE_TIMEOUT = 2.0


_ACCESS_REFUSED = (401, 403)

# What websockets and the operating system raise for a connection that fails. AssertionError: websockets (up to 17.4 at
# least) asserts that no data arrives before its handshake request was sent. ValueError, LookupError, ImportError and
# RuntimeError: a host name that cannot be encoded, a proxy that needs another package.
_FAILURES = (WebSocketException, OSError, AssertionError, ValueError, LookupError, ImportError, RuntimeError)


def _connect_error(error: Exception, base: str, url: str, headers: ServerHeaders | None) -> LMStudioError:
    """What one of ``_FAILURES`` means for the caller. Pure."""
    closed = f"{url} closed the connection during the handshake"
    match error:
        case ConnectionClosed():
            return LMStudioDisconnectedError(closed)
        case InvalidStatus() if error.response.status_code in _ACCESS_REFUSED:
            return _access_refused(url, error.response.status_code, headers)
        case InvalidStatus():
            return LMStudioConnectionError(
                f"{url} answered with HTTP status {error.response.status_code}, not as LM Studio: check the "
                "address, and the proxy in between if there is one"
            )
        case ProxyError() | InvalidProxy():
            # Not the whole text of InvalidProxy, which has the proxy's address with its password.
            problem = error.msg if isinstance(error, InvalidProxy) else str(error)
            return LMStudioConnectionError(
                f"{url} cannot be reached through the proxy that the environment names (HTTPS_PROXY, HTTP_PROXY or "
                f"SOCKS_PROXY): {problem}. Correct it, or add the host to NO_PROXY"
            )
        case InvalidHandshake() | InvalidMessage():
            if isinstance(error.__cause__, EOFError):
                return LMStudioDisconnectedError(closed)
            # Not the error's words, which quote the answer.
            return LMStudioConnectionError(f"{url} does not speak WebSocket ({type(error).__name__})")
        case ssl.SSLCertVerificationError():
            return LMStudioConnectionError(
                f"the certificate of {base} cannot be verified: {error.verify_message or error}. Pass the CA that "
                "signed it as ssl_context=…, and use the host name that it was issued for"
            )
        case ssl.SSLError():
            return LMStudioConnectionError(f"TLS with {base} failed: {error.reason or error}. {_no_tls(base)}")
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            return LMStudioDisconnectedError(f"{closed}. {_no_tls(base)}" if base.startswith("wss://") else closed)
        case OSError():
            return LMStudioServerNotFoundError(
                f"no LM Studio server at {base}: {error}\n{HOW_TO_START}", addresses=(base,)
            )
        case AssertionError():
            return LMStudioConnectionError(f"{url} does not speak WebSocket: it sent data before the handshake")
        case _:
            return LMStudioConnectionError(f"{url} cannot be reached: {error}")


def _no_tls(base: str) -> str:
    return f"LM Studio itself has no TLS: without a TLS proxy before it, use ws://{base.removeprefix('wss://')}"


def _access_refused(url: str, status: int, headers: ServerHeaders | None) -> LMStudioAuthenticationError:
    """LM Studio itself refuses a client within the WebSocket, so an HTTP status comes from something before it."""
    sent = "without headers" if headers is None else f"with the header names {', '.join(headers.names)}"
    return LMStudioAuthenticationError(
        f"{url} answered with HTTP status {status} to a request {sent}: a reverse proxy wants credentials. Pass "
        "headers={'Authorization': …}, or the address as https://user:password@host. Do not send LM Studio's API token "
        "in a header: pass it as api_token"
    )


class ConnectProgress:
    """How far an attempt to connect has come, for the message of a timeout."""

    def __init__(self) -> None:
        self.url = ""
        self.awaited = "the connection"
        self.heard = "nothing"

    def timeout_error(self, seconds: float) -> LMStudioTimeoutError:
        """The error of a caller that has waited ``seconds``."""
        return LMStudioTimeoutError(
            f"{self.url}: {self.awaited} did not come within {seconds:g} s. Check that LM Studio listens there.\n"
            f"{HOW_TO_START}",
            limit="connect",
            seconds=seconds,
            last_heard=self.heard,
        )


class _ConnectWithoutRedirects(connect):
    """Follows no redirect: the authentication frame holds the API token."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _without_secrets(error: Exception) -> Exception | None:
    """The error as a cause, without what may hold a token or a password.

    Removed are the answer to the handshake and the traceback. Its stack frames within websockets have the proxy's
    address with its password as a local variable, and error trackers record local variables, of causes, too.
    """
    if isinstance(error, InvalidStatus):
        return InvalidStatus(Response(error.response.status_code, "", Headers()))
    if isinstance(error, InvalidHandshake | InvalidMessage) and not isinstance(error.__cause__, EOFError):
        return None
    if isinstance(error, InvalidProxy):
        return None
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


async def _send_authentication(socket: MessageConnection, authentication: Authentication, url: str) -> bytes:
    """Send the authentication frame, and return the server's reply.

    What is raised has no traceback into functions that hold the frame, because error trackers record local variables,
    and no cause if the server's reason for closing repeats the token.
    """
    try:
        await socket.send(encode(authentication.to_wire()))
        return await socket.recv(decode=False)
    except ConnectionClosed as error:
        closed = None if authentication.is_in(str(error)) else _without_secrets(error)
    raise LMStudioDisconnectedError(f"{url} closed the connection during the authentication") from closed


async def load_certificates(path: str) -> SSLContext:
    """TLS that trusts the CA certificates (PEM) of a file or folder, and no others."""

    def load() -> SSLContext:
        if os.path.isdir(path):
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)

    try:
        return await run_in_daemon_thread(load, "lmstudio-certificates")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise LMStudioValueError(f"ssl_context={path!r} cannot be read as CA certificates (PEM): {error}") from error


class Connection:
    """A live socket. ``multiplexer`` routes what arrives on it."""

    clock: Callable[[], float] = staticmethod(time.time)
    """Seconds. The wall clock, because the monotonic one may stand still while a machine sleeps."""

    def __init__(self, socket: MessageConnection, name: str, authentication: Authentication) -> None:
        self._socket = socket
        self._name = name
        self._authentication = authentication
        self._background_tasks: set[asyncio.Task[None]] = set()
        self._probing: asyncio.Task[bool] | None = None
        self.closed_here: bool = False
        """Whether this side is closing it, which happens only without open calls. Nothing is sent any more: a request
        that came too late can safely be sent on another socket."""
        self.multiplexer: Multiplexer = Multiplexer()
        self.retired: bool = False
        self.heard_at: float = self.clock()
        self.loaded_models: dict[str, str] = {}
        """For each model key or identifier that a request named: the identifier that the server answered. Kept here,
        because a restarted server has no model loaded, and its sockets are new."""
        self.loading: dict[Any, Any] = {}
        """Loads under way, shared by all requests that need the same model."""
        socket.listen(self.multiplexer.receive, self._after_read)
        self._watching = asyncio.create_task(self._watch())

    @classmethod
    async def open(
        cls,
        base: str,
        namespace: str,
        authentication: Authentication,
        opening: ConnectProgress,
        tls: SSLContext | None = None,
        headers: ServerHeaders | None = None,
    ) -> Connection:
        """Connect and authenticate, without a time limit; ``opening`` records how far it has come.

        ``tls``: how a ``wss://`` address is verified, ``None`` for Python's default. ``headers``: for a reverse proxy.

        Raises ``LMStudioServerNotFoundError``, ``LMStudioConnectionError`` (``LMStudioDisconnectedError`` if the
        server closed the socket meanwhile), ``LMStudioAuthenticationError`` or ``LMStudioProtocolError``.
        """
        url = opening.url = f"{base}/{namespace}"
        opening.awaited, opening.heard = "the connection", "nothing"
        socket: MessageConnection | None = None
        options: dict[str, Any] = {} if tls is None else {"ssl": tls}
        try:
            connected = await _ConnectWithoutRedirects(
                url,
                create_connection=MessageConnection,
                compression=None,
                max_size=bounds.MAX_MESSAGE_BYTES,
                open_timeout=None,
                ping_interval=_PING_INTERVAL,
                ping_timeout=_PING_TIMEOUT,
                close_timeout=_CLOSE_FRAME_TIMEOUT,
                logger=wire_logger,
                # The environment's proxy is for other machines.
                proxy=None if is_local(base) else True,
                # Not a list, whose values error trackers would show.
                additional_headers=headers,
                **options,
            )
            assert isinstance(connected, MessageConnection)
            socket = connected
            opening.awaited, opening.heard = "the reply to the authentication", "the WebSocket handshake"
            # Nothing may be sent before this reply: LM Studio would discard it silently.
            read_authentication(await _send_authentication(socket, authentication, url), authentication)
            return cls(socket, url, authentication)
        except LMStudioError:
            raise  # some of them are OSErrors
        except _FAILURES as error:
            failure, cause = _connect_error(error, base, url, headers), _without_secrets(error)
        finally:
            if socket is not None and socket.on_message is None:  # no Connection has taken it over
                socket.transport.abort()
        raise failure from cause  # outside of the except block, so that the original error is not its context

    @property
    def usable(self) -> bool:
        """Whether new requests may go out here."""
        return not self.retired and not self.multiplexer.has_warned and self._socket.state is State.OPEN

    def _after_read(self) -> None:
        self.heard_at = self.clock()
        if self.multiplexer.has_warned or self.retired:
            self._close_if_idle()

    async def _watch(self) -> None:
        """Wait for the socket's end, then fail every open call."""
        try:
            await self._socket.wait_closed()
        finally:
            self.retired = True
            self.multiplexer.connection_lost(self._lost)

    def _lost(self) -> LMStudioError:
        if isinstance(self._socket.protocol.parser_exc, PayloadTooBig):
            return bounds.too_large_message(self._name)
        error = LMStudioDisconnectedError(
            f"the connection to {self._name} was lost while waiting for an answer (close code "
            f"{self._socket.close_code}). "
            "LM Studio may have been stopped or restarted; the next request opens a new connection."
        )
        if self._socket.state is State.CLOSED:
            closed = self._socket.protocol.close_exc
            error.__cause__ = None if self._authentication.is_in(str(closed)) else closed
        return error

    async def alive(self) -> bool:
        """Whether the socket can be used. Pings the server if nothing has arrived for long."""
        if not self.usable:
            return False
        if self._probing is None and abs(self.clock() - self.heard_at) < _IDLE_BEFORE_PROBE:
            return True
        return await asyncio.shield(self.verify())

    def verify(self) -> asyncio.Task[bool]:
        """Ping the server; without a pong within a second the socket is retired. One ping at a time."""
        if self._probing is None:
            self._probing = asyncio.create_task(self._probe())
            self._probing.add_done_callback(lambda _: setattr(self, "_probing", None))
        return self._probing

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                await (await self._socket.ping())
        except (TimeoutError, ConnectionClosed, OSError):
            self.retire()
            return False
        self.heard_at = self.clock()
        return self.usable

    def post(self, *frames: str) -> bool:
        """Send frames in this order, without waiting for a server that does not read.

        Returns ``False`` if a frame was not written, because the socket is closing. If it is lost, its calls fail.
        """
        for frame in frames:
            # `broadcast`, which despite its name writes for clients, too, skips sockets that are not open without a
            # word, and asyncio would log an error for each write to a closing transport.
            if self.closed_here or self._socket.state is not State.OPEN or self._socket.transport.is_closing():
                return False
            broadcast((self._socket,), frame)
        return True

    def _run_in_background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)

    def forget(self, call: PendingCall) -> None:
        """Discard what still comes for a call."""
        self.multiplexer.forget(call)
        if self.multiplexer.has_warned or self.retired:
            self._close_if_idle()

    def retire(self) -> None:
        """Accept no new requests; close after the last open call."""
        self.retired = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if not self.multiplexer.open_calls and not self.closed_here:
            self.closed_here = True
            self._run_in_background(self.close())

    async def close(self) -> None:
        """Close the socket. Open calls fail."""
        self.retired = self.closed_here = True
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._socket.close()
        except TimeoutError:
            self._socket.transport.abort()
        await self.closed()

    async def closed(self) -> None:
        """Wait until the socket is closed and its open calls have failed."""
        await asyncio.wait({self._watching})
