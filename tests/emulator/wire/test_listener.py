"""Every connection that is accepted is also closed."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest

from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.emulator.wire import listener
from lmstudio_integrations.emulator.wire.listener import Listener

UPGRADE = (
    b"GET /llm HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture(autouse=True)
def _no_close_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the cut after the timeout, which would hide a connection that is not closed."""
    monkeypatch.setattr(listener, "_CLOSE_TIMEOUT", None)


async def listening() -> Listener:
    listener = Emulator()._listener
    await listener.open(0)
    return listener


async def connected_clients(listener: Listener, says: bytes, turns: int = 0) -> list[socket.socket]:
    """Three clients that connect, send ``says`` and then nothing, and ``turns`` turns of the loop."""
    clients = [socket.create_connection((listener.host, listener.port)) for _ in range(3)]
    for client in clients:
        client.sendall(says)
    for _ in range(turns):
        await asyncio.sleep(0)
    return clients


@pytest.mark.parametrize("says", [b"", UPGRADE[:20], UPGRADE], ids=["nothing", "half a request", "a request"])
@pytest.mark.parametrize("turns", range(9))
async def test_client_that_connects_during_close_is_closed_without_delay(turns: int, says: bytes) -> None:
    """A socket that stays open causes a ``ResourceWarning``, which is an error here.

    ``turns``: the turns of the loop between connecting and closing.
    """
    listener = await listening()
    clients = await connected_clients(listener, says, turns)
    async with asyncio.timeout(10):
        await listener.close()
    gc.collect()
    for client in clients:
        client.close()
    assert not listener._sockets


@pytest.mark.parametrize("says", [b"", UPGRADE], ids=["nothing", "a request"])
@pytest.mark.parametrize("turns", range(9))
async def test_client_that_connects_during_restart_is_cut_without_delay(turns: int, says: bytes) -> None:
    listener = await listening()
    clients = await connected_clients(listener, says, turns)
    async with asyncio.timeout(10):
        await listener.restart()
    assert not listener._sockets
    await listener.close()
    gc.collect()
    for client in clients:
        client.close()


async def test_client_that_never_reads_does_not_delay_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_CLOSE_TIMEOUT", 0)
    full = await listening()
    clients = await connected_clients(full, UPGRADE)
    while len(full._sockets) < 3 or any(each.response is None for each in full._sockets):  # noqa: ASYNC110
        await asyncio.sleep(0)
    for each in full._sockets:
        each.transport.write(bytes(2**24))
        assert each.transport.get_write_buffer_size() > 0
    async with asyncio.timeout(10):
        await full.close()
    assert not full._sockets
    for client in clients:
        client.close()


async def test_concurrent_close_and_restart_end_closed() -> None:
    """In either order nothing listens afterwards, and a further close has no effect."""
    for order in ("close", "restart"), ("restart", "close"):
        listener = await listening()
        clients = await connected_clients(listener, UPGRADE)
        async with asyncio.timeout(10):
            await asyncio.gather(*(getattr(listener, each)() for each in order))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((listener.host, listener.port))
        await listener.close()
        for client in clients:
            client.close()
