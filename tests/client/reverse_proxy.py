"""A reverse proxy that demands headers: it forwards what follows a right request head, and refuses the others."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self
from urllib.parse import urlsplit

REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
REFUSAL = (
    b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
)


class ReverseProxy:
    """Listens on 127.0.0.1 while it is entered. ``heads`` are the requests that came, name (lower case) to value.

    ``demanded``: headers without which a request is refused with 401. ``redirect_to``: answer with a redirect instead.
    """

    def __init__(self, server_url: str, demanded: dict[str, str], redirect_to: str | None = None) -> None:
        parts = urlsplit(server_url)
        self._server = (parts.hostname or "", parts.port or 80)
        self._demanded = {name.lower(): value for name, value in demanded.items()}
        self._redirect_to = redirect_to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.heads: list[dict[str, str]] = []
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"ws://{self.host}"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        # A listener that only is closed may leave `accept` waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self._spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the test may end, and close the connection, at any moment
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        head = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self.heads.append(head)
        if self._redirect_to is not None:
            connection.sendall(REDIRECT % self._redirect_to.encode())
            connection.shutdown(socket.SHUT_WR)
            return
        if any(head.get(name) != value for name, value in self._demanded.items()):
            connection.sendall(REFUSAL)
            connection.shutdown(socket.SHUT_WR)
            return
        upstream = socket.create_connection(self._server)
        self._open.append(upstream)
        upstream.sendall(data)
        self._spawn(_pump, upstream, connection)
        _pump(connection, upstream)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
