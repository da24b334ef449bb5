"""uvloop's event loop, with host names looked up by ``resolve``.

uvloop leaves them to threads of libuv's, which the process waits for when it exits, and does so out of reach of
``loop.getaddrinfo``.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import uvloop

from lmstudio_integrations.client.transport.resolver import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Loop"]


class Loop(uvloop.Loop):
    """Connects to each address of a name until one answers, as asyncio does."""

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: Any = None, port: Any = None, **options: Any
    ) -> tuple[Any, Any]:
        if host is None or _is_number(host):  # None: a socket is among the options
            return await super().create_connection(protocol_factory, host, port, **options)
        failures: list[OSError] = []
        for *_, address in await resolve(host, port, type=socket.SOCK_STREAM):
            try:
                return await super().create_connection(protocol_factory, _with_scope(address), address[1], **options)
            except OSError as failure:
                failures.append(failure)
        if len(failures) == 1:
            raise failures[0]
        raise OSError("; ".join(map(str, failures)) or f"the name {host!r} has no address")


def _with_scope(address: tuple[Any, ...]) -> str:
    """The host of a socket address. One of a network interface's own (``fe80::…``) needs that interface."""
    host: str = address[0]
    return f"{host}%{address[3]}" if len(address) == 4 and address[3] else host


def _is_number(host: str) -> bool:
    """Whether ``host`` is an address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
