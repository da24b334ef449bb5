"""Without an address LM Studio is looked for on this machine: its usual ports, all at once, then 1234."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from lmstudio_integrations import Client, LMStudioServerNotFoundError, Timeout
from lmstudio_integrations.client.settings import DEFAULT_PORTS, USER_PORT
from lmstudio_integrations.client.transport import discovery
from lmstudio_integrations.emulator import Emulator
from tests.client.failure_modes.misbehaving_servers import Listener


@contextmanager
def closed_ports(count: int) -> Iterator[tuple[int, ...]]:
    """Ports of this machine where nothing listens: bound, so that no other program takes them."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        yield tuple(each.getsockname()[1] for each in sockets)


def test_default_ports_are_lm_studios() -> None:
    assert DEFAULT_PORTS == (41343, 52993, 16141, 39414, 22931)
    assert USER_PORT == 1234


@pytest.mark.parametrize("place", [0, 2, 4])
def test_server_at_any_default_port_is_found(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    with closed_ports(5) as ports:
        usual = (*ports[:place], lmstudio_emulator.port, *ports[place:4])
        monkeypatch.setattr(discovery, "DEFAULT_PORTS", usual)
        monkeypatch.setattr(discovery, "USER_PORT", ports[4])
        with Client() as client:
            assert client.url is None
            assert client.system.version().version == "emulator"


def test_user_port_is_tried_last(lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_ports(5) as ports:
        monkeypatch.setattr(discovery, "DEFAULT_PORTS", ports)
        monkeypatch.setattr(discovery, "USER_PORT", lmstudio_emulator.port)
        with Client() as client:
            assert client.system.version().version == "emulator"


def test_default_port_wins_over_the_user_port(lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator() as other, closed_ports(1) as ports:
        monkeypatch.setattr(discovery, "DEFAULT_PORTS", (*ports, lmstudio_emulator.port))
        monkeypatch.setattr(discovery, "USER_PORT", other.port)
        with Client() as client:
            client.system.version()
        assert lmstudio_emulator.requests
        assert not other.requests


def test_silent_server_at_a_default_port_is_not_awaited(
    lmstudio_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    greets = discovery.greets

    async def slow_at_the_first(host: str, port: int, seconds: float = 1.0) -> bool:
        if port == 1:
            await asyncio.get_running_loop().create_future()  # for ever
        return await greets(host, port, seconds)

    monkeypatch.setattr(discovery, "greets", slow_at_the_first)
    monkeypatch.setattr(discovery, "DEFAULT_PORTS", (1, lmstudio_emulator.port))
    with Client() as client:
        assert client.system.version().version == "emulator"


def test_all_ports_are_tried_concurrently(monkeypatch: pytest.MonkeyPatch) -> None:
    # Number 10: a server that has answered in this process would be looked for again and again.
    monkeypatch.setattr(discovery, "greets", asked := _Asked())
    monkeypatch.setattr(discovery, "DEFAULT_PORTS", (1, 2, 3))
    with Client(timeout=Timeout(reconnect=0)) as client, pytest.raises(LMStudioServerNotFoundError):
        client.system.version()
    assert asked.most_at_once == 3
    assert asked.ports == [1, 2, 3, USER_PORT]


class _Asked:
    """In place of ``greets``: no server answers; counts how many ports are tried at the same time."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.now = self.most_at_once = 0

    async def __call__(self, host: str, port: int) -> bool:
        self.ports.append(port)
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return False


def test_missing_server_error_lists_every_address_and_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_ports(3) as ports:
        monkeypatch.setattr(discovery, "DEFAULT_PORTS", ports[:2])
        monkeypatch.setattr(discovery, "USER_PORT", ports[2])
        with (
            Client(timeout=Timeout(reconnect=0)) as client,
            pytest.raises(LMStudioServerNotFoundError, match="lms server start") as caught,
        ):
            client.system.version()
    assert caught.value.addresses == tuple(f"127.0.0.1:{port}" for port in ports)
    assert all(address in str(caught.value) for address in caught.value.addresses)


async def test_greeting_names_an_ipv6_host_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[bytes] = []
    connect = asyncio.open_connection

    async def connect_here(host: str, port: int, **options: Any) -> Any:
        assert host == "::1"
        return await connect("127.0.0.1", port, **options)

    monkeypatch.setattr(asyncio, "open_connection", connect_here)
    with Listener(lambda connection: received.append(connection.recv(4096))) as server:
        port = int(server.url.rpartition(":")[2])
        assert not await discovery.greets("::1", port)
    assert f"\r\nHost: [::1]:{port}\r\n".encode() in received[0]
