"""Servers that misbehave below LM Studio's protocol: each on threads of its own, on port 0, closed by ``with``."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.sync.server import Server, ServerConnection, serve

_HOST = "127.0.0.1"


class Listener:
    """A TCP server without a program behind it: ``behave(socket)`` runs for each connection, on its own thread."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self._listening = socket.create_server((_HOST, 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self.accepted = 0
        self.ended = 0

    @property
    def url(self) -> str:
        return f"ws://{_HOST}:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def wait_until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait for something that changes with ``accepted`` or ``ended``."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            with self._changed:
                self.accepted += 1
                self._changed.notify_all()
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._behave(connection)
        with self._changed:
            self.ended += 1
            self._changed.notify_all()


def read_forever(connection: socket.socket) -> None:
    """Read until the client closes, and send nothing."""
    while connection.recv(65536):
        pass


def close_at_once(connection: socket.socket) -> None:
    """Close at once."""


def answer_http(status: str, body: str = "{}") -> Callable[[socket.socket], None]:
    """Answer any request with an HTTP response that is no upgrade."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )

    return behave


class NonReadingServer(Listener):
    """Accepts a WebSocket client, and reads nothing from then on: the network's buffers fill up.

    ``not_reading`` counts the connections that have reached that state.
    """

    def __init__(self) -> None:
        super().__init__(self._accept_websocket)
        self.not_reading = 0
        self._released = threading.Event()

    def __exit__(self, *exc_info: object) -> None:
        self._released.set()
        super().__exit__(*exc_info)

    def _accept_websocket(self, connection: socket.socket) -> None:
        protocol = ServerProtocol(max_size=None)
        while True:
            protocol.receive_data(connection.recv(65536))
            for event in protocol.events_received():
                if isinstance(event, Request):
                    protocol.send_response(protocol.accept(event))
                else:
                    protocol.send_text(b'{"success": true}')
                    with self._changed:
                        self.not_reading += 1
                        self._changed.notify_all()
            for data in protocol.data_to_send():
                connection.sendall(data)
            if self.not_reading >= self.accepted:
                self._released.wait()
                return


class MisbehavingServer:
    """A WebSocket server that calls ``behave(side)`` for each connection."""

    def __init__(self, behave: Callable[[ServerSide], None]) -> None:
        self._behave = behave
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._server = serve(self._serve, _HOST, 0, compression=None, max_size=None)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._thread.join(5)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://{_HOST}:{self._server.socket.getsockname()[1]}"

    def _serve(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            self._behave(ServerSide(connection))


class ServerSide:
    """The server's side of a connection to a ``MisbehavingServer``, frame by frame."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection

    def read(self) -> Any:
        return json.loads(self.connection.recv(5))

    def send(self, *messages: Any) -> None:
        """Send documents, or text that is none."""
        for message in messages:
            self.connection.send(message if isinstance(message, str) else json.dumps(message))

    def authenticate(self) -> None:
        """Read the client's authentication and accept it."""
        assert self.read()["authVersion"] == 1
        self.send({"success": True})

    def read_to_the_end(self) -> list[Any]:
        """The frames that still arrive, until the client closes."""
        frames = []
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            while True:
                frames.append(self.read())
        return frames


def scripted(*answers: Sequence[Any]) -> Callable[[ServerSide], None]:
    """Authenticate, answer the first request with the first of ``answers``, and so on; then read to the end.

    ``"ID"`` as a channel's or call's id stands for the request's own.
    """

    def behave(side: ServerSide) -> None:
        side.authenticate()
        for answer in answers:
            request = side.read()
            own = request.get("channelId", request.get("callId"))
            for message in answer:
                side.send({key: own if value == "ID" else value for key, value in message.items()})
        side.read_to_the_end()

    return behave


class Proxy:
    """Forwards TCP to ``target`` until ``freeze()``: from then on it discards everything and closes nothing."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._frozen = threading.Event()
        self._listener = Listener(self._forward)
        self._discarded = threading.Condition()
        self.discarded = 0

    def __enter__(self) -> Self:
        self._listener.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.__exit__()

    @property
    def url(self) -> str:
        return self._listener.url

    @property
    def accepted(self) -> int:
        return self._listener.accepted

    def freeze(self) -> None:
        """As a router does that has forgotten the connections of a machine that slept. New ones are forwarded."""
        self._frozen.set()
        self._frozen = threading.Event()

    def wait_discarded(self, timeout: float = 5.0) -> None:
        """Wait until something was discarded."""
        with self._discarded:
            assert self._discarded.wait_for(lambda: self.discarded > 0, timeout)

    def _forward(self, near: socket.socket) -> None:
        frozen = self._frozen
        with socket.create_connection((_HOST, self._target)) as far:
            back = threading.Thread(target=self._pump, args=(far, near, frozen), daemon=True)
            back.start()
            self._pump(near, far, frozen)
            # The far side is closed in any case, so that the emulator's count of sockets is right.
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)
            back.join(5)

    def _pump(self, source: socket.socket, sink: socket.socket, frozen: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if frozen.is_set():
                    with self._discarded:
                        self.discarded += len(data)
                        self._discarded.notify_all()
                else:
                    sink.sendall(data)
            if not frozen.is_set():
                sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def silent_port() -> Iterator[str]:
    """The address of a port where the kernel accepts connections and no program ever does."""
    with socket.create_server((_HOST, 0)) as listening:
        yield f"ws://{_HOST}:{listening.getsockname()[1]}"


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """The address of a port that is bound, so that no other program gets it, and at which no program listens."""
    with socket.socket() as bound:
        bound.bind((_HOST, 0))
        yield f"ws://{_HOST}:{bound.getsockname()[1]}"
