"""Looking up host names on a thread that nobody has to wait for.

asyncio does it in a ``ThreadPoolExecutor``, whose threads Python joins when it exits: a name server that does not
answer would hold up the end of the program for as long as the system asks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

__all__ = ["resolve"]


async def resolve(
    host: bytes | str | None,
    port: bytes | str | int | None,
    *,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[Any]:
    """``loop.getaddrinfo``, on a daemon thread of its own. Raises ``OSError`` as ``socket.getaddrinfo`` does."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Any]] = loop.create_future()

    def tell(addresses: list[Any] | None, error: Exception | None) -> None:
        if found.done():
            return
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(addresses or [])

    def look_up() -> None:
        addresses, failure = None, None
        try:
            addresses = socket.getaddrinfo(host, port, family, type, proto, flags)
        except (OSError, UnicodeError) as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: Python is exiting
            loop.call_soon_threadsafe(tell, addresses, failure)

    threading.Thread(target=look_up, name="lmstudio-names", daemon=True).start()
    return await found
