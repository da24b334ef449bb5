"""LM Studio beyond an HTTP proxy that the environment names."""

from __future__ import annotations

import socket
import threading

import pytest

from lmstudio_integrations import Client
from lmstudio_integrations.emulator import Emulator, Reply
from lmstudio_integrations.errors import LMStudioConnectionError
from tests.client.failure_modes.frame_builders import CHAT
from tests.client.failure_modes.misbehaving_servers import Listener, Proxy

FAR = "lm-studio.example"


class HttpProxy(Proxy):
    """Answers ``CONNECT`` with ``status``; what it was asked for is in ``asked``."""

    def __init__(self, target: int, status: str = "200 OK") -> None:
        super().__init__(target)
        self._status = status
        self.asked: list[str] = []

    def _forward(self, near: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += near.recv(1)
        self.asked.append(head.split(b"\r\n")[0].decode())
        near.sendall(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
        if self._status.startswith("200"):
            super()._forward(near)


@pytest.fixture(autouse=True)
def _no_other_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ws", "wss", "http", "https", "socks", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


def test_remote_server_is_reached_through_the_proxy(server: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script(Reply("One two three"))
    with HttpProxy(server.port) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("ws:", "http:"))
        with Client(f"ws://{FAR}:1234") as client:
            assert client.llm.model(CHAT).respond("hi").content == "One two three"
        assert proxy.asked == [f"CONNECT {FAR}:1234 HTTP/1.1"]


def test_refusal_by_the_proxy_raises_connection_error(server: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpProxy(server.port, "403 Forbidden") as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("ws:", "http:"))
        with pytest.raises(LMStudioConnectionError, match=r"system cannot be reached through the proxy .*403"):
            Client(f"ws://{FAR}:1234", timeout=5).system.version()


def test_local_server_is_never_reached_through_a_proxy(server: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    with Listener(lambda _: asked.set()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("ws:", "http:"))
        with Client(server.url) as client:
            assert client.system.version().version
    assert not asked.is_set()
