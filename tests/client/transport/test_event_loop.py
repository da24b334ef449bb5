"""The event loop of the I/O thread, whichever it is."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from lmstudio_integrations.client.transport import event_loop as loops
from lmstudio_integrations.client.transport.resolver import resolve

HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None
KINDS = [
    pytest.param("uvloop", marks=pytest.mark.skipif(not HAS_UVLOOP, reason="without the extra `speed`")),
    "asyncio",
]


def without_uvloop(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "uvloop", None)
    patch.delitem(sys.modules, "lmstudio_integrations.client.transport.uvloop_event_loop", raising=False)


@pytest.fixture(params=KINDS)
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    if request.param == "asyncio":
        without_uvloop(monkeypatch)
    made = loops.new_loop()
    assert type(made).__module__.startswith("asyncio") == (request.param == "asyncio")
    yield made
    made.close()


def answer_with(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]
) -> list[Any]:
    """Every name has these addresses from now on; who asked for which is in the list."""
    asked: list[Any] = []

    async def looked_up(host: Any, port: Any, **options: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    if type(loop).__module__.startswith("asyncio"):
        assert loop.getaddrinfo is resolve
        monkeypatch.setattr(loop, "getaddrinfo", looked_up)
    else:
        monkeypatch.setattr("lmstudio_integrations.client.transport.uvloop_event_loop.resolve", looked_up)
    return asked


def connecting(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Callable[[], Awaitable[Any]]:
    async def connect() -> Any:
        transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
        peer = transport.get_extra_info("peername")
        transport.abort()
        await asyncio.sleep(0)
        return peer

    return connect


@pytest.fixture
def listening() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


@pytest.fixture
def refusing() -> Iterator[tuple[str, int]]:
    with socket.socket() as bound:  # bound, so that no other program gets the port, but not listening
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()


def test_host_name_is_resolved_by_our_resolver(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, listening: tuple[str, int]
) -> None:
    asked = answer_with(loop, monkeypatch, listening)
    assert loop.run_until_complete(connecting(loop, "lm-studio.example", 1)()) == listening
    assert asked == ["lm-studio.example"]


def test_address_is_not_resolved(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, listening: tuple[str, int]
) -> None:
    asked = answer_with(loop, monkeypatch)
    assert loop.run_until_complete(connecting(loop, *listening)()) == listening
    assert asked == []


def test_second_address_of_a_name_is_tried_if_the_first_refuses(
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
    refusing: tuple[str, int],
    listening: tuple[str, int],
) -> None:
    answer_with(loop, monkeypatch, refusing, listening)
    assert loop.run_until_complete(connecting(loop, "localhost", 1)()) == listening


@pytest.mark.skipif(not HAS_UVLOOP, reason="without the extra `speed`")
@pytest.mark.parametrize(
    ("address", "host"),
    [
        (("127.0.0.1", 1234), "127.0.0.1"),
        (("2001:db8::1", 1234, 0, 0), "2001:db8::1"),
        (("fe80::1", 1234, 0, 4), "fe80::1%4"),
    ],
)
def test_scoped_address_uses_its_network_interface(address: tuple[Any, ...], host: str) -> None:
    """As ``mac-studio.local`` has one."""
    from lmstudio_integrations.client.transport.uvloop_event_loop import _with_scope

    assert _with_scope(address) == host


@pytest.mark.parametrize("times", [0, 1, 2])
def test_unreachable_name_raises_os_error(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, refusing: tuple[str, int], times: int
) -> None:
    answer_with(loop, monkeypatch, *[refusing] * times)
    with pytest.raises(OSError, match=r".") as raised:
        loop.run_until_complete(connecting(loop, "localhost", 1)())
    assert times != 1 or isinstance(raised.value, ConnectionRefusedError)


def test_io_thread_started_while_python_exits_uses_asyncios_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then uvloop cannot be imported, because part of the standard library cannot."""

    class Late:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "lmstudio_integrations.client.transport.uvloop_event_loop":
                raise RuntimeError("can't register atexit after shutdown")

    monkeypatch.delitem(sys.modules, "lmstudio_integrations.client.transport.uvloop_event_loop", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Late(), *sys.meta_path])
    made = loops.new_loop()
    assert type(made).__module__.startswith("asyncio")
    made.close()
