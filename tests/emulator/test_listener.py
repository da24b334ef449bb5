"""Whoever is let in is also seen out."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest

from lmstudio_integrations.emulator import Emulator


@pytest.mark.parametrize("turns", range(6))
async def test_who_comes_just_when_it_closes_is_not_left_with_an_open_socket(turns: int) -> None:
    """A socket that is forgotten shows as a ``ResourceWarning``, which is an error here.

    ``turns``: how many turns of the loop lie between coming and closing.
    """
    listener = Emulator()._listener
    await listener.open(0)
    newcomers = [socket.create_connection((listener.host, listener.port)) for _ in range(3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    await listener.close()
    gc.collect()
    for newcomer in newcomers:
        newcomer.close()
    assert not listener._sockets
