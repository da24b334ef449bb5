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
def _all_the_time_in_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing here is mended by the cut after the moment of grace."""
    monkeypatch.setattr(listener, "_GRACE", None)


async def listening() -> Listener:
    listener = Emulator()._listener
    await listener.open(0)
    return listener


async def arrivals(listener: Listener, says: bytes, turns: int = 0) -> list[socket.socket]:
    """Some who come, say something, and never read, answer or leave; it is so many turns of the loop later."""
    newcomers = [socket.create_connection((listener.host, listener.port)) for _ in range(3)]
    for newcomer in newcomers:
        newcomer.sendall(says)
    for _ in range(turns):
        await asyncio.sleep(0)
    return newcomers


@pytest.mark.parametrize("says", [b"", UPGRADE[:20], UPGRADE], ids=["nothing", "half a request", "a request"])
@pytest.mark.parametrize("turns", range(9))
async def test_client_that_connects_during_close_is_closed_without_delay(turns: int, says: bytes) -> None:
    """A socket that is forgotten shows as a ``ResourceWarning``, which is an error here.

    ``turns``: how many turns of the loop lie between coming and closing.
    """
    listener = await listening()
    newcomers = await arrivals(listener, says, turns)
    async with asyncio.timeout(10):
        await listener.close()
    gc.collect()
    for newcomer in newcomers:
        newcomer.close()
    assert not listener._sockets


@pytest.mark.parametrize("says", [b"", UPGRADE], ids=["nothing", "a request"])
@pytest.mark.parametrize("turns", range(9))
async def test_client_that_connects_during_restart_is_cut_without_delay(turns: int, says: bytes) -> None:
    listener = await listening()
    newcomers = await arrivals(listener, says, turns)
    async with asyncio.timeout(10):
        await listener.restart()
    assert not listener._sockets
    await listener.close()
    gc.collect()
    for newcomer in newcomers:
        newcomer.close()


async def test_client_that_never_reads_does_not_delay_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_GRACE", 0)
    full = await listening()
    newcomers = await arrivals(full, UPGRADE)
    while len(full._sockets) < 3 or any(each.response is None for each in full._sockets):  # noqa: ASYNC110
        await asyncio.sleep(0)
    for each in full._sockets:
        each.transport.write(bytes(2**24))
        assert each.transport.get_write_buffer_size() > 0
    async with asyncio.timeout(10):
        await full.close()
    assert not full._sockets
    for newcomer in newcomers:
        newcomer.close()


async def test_concurrent_close_and_restart_end_closed() -> None:
    """In either order nobody listens afterwards, and the second closing does nothing."""
    for order in ("close", "restart"), ("restart", "close"):
        listener = await listening()
        newcomers = await arrivals(listener, UPGRADE)
        async with asyncio.timeout(10):
            await asyncio.gather(*(getattr(listener, each)() for each in order))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((listener.host, listener.port))
        await listener.close()
        for newcomer in newcomers:
            newcomer.close()
