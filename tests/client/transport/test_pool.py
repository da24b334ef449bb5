"""What a pool keeps for its server: its address, its identity, uploads, and slots for batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lmstudio_integrations.client.settings import Timeout
from lmstudio_integrations.client.transport import pool as pool_module
from lmstudio_integrations.client.transport.batch_rpc import Slots
from lmstudio_integrations.client.transport.connection import Connection
from lmstudio_integrations.client.transport.pool import ConnectionPool, UploadCache
from lmstudio_integrations.errors import (
    LMStudioAuthenticationError,
    LMStudioConnectionError,
    LMStudioDisconnectedError,
    LMStudioProtocolError,
    LMStudioServerNotFoundError,
)

LIMITS = Timeout(reconnect=0)


class _Opened:
    """In place of a connection."""

    def __init__(self) -> None:
        self.is_alive = True

    async def alive(self) -> bool:
        return self.is_alive

    def retire(self) -> None:
        self.is_alive = False


def _open(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Awaitable[Any]]) -> None:
    monkeypatch.setattr(Connection, "open", staticmethod(answer))


async def test_guest_refused_for_two_namespaces_at_once_gets_one_new_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[str, str]] = []
    both = asyncio.Event()

    async def answer(base: str, namespace: str, authentication: Any, *others: Any) -> _Opened:
        used.append((namespace, authentication.client_identifier))
        if len(used) > 2:
            return _Opened()
        if len(used) == 2:
            both.set()
        await both.wait()
        raise LMStudioAuthenticationError("no")

    _open(monkeypatch, answer)
    pool = ConnectionPool("ws://server", None)
    await asyncio.gather(pool.connection("llm", LIMITS), pool.connection("system", LIMITS))
    assert {namespace for namespace, _ in used[2:]} == {"llm", "system"}
    first, second = {identity for _, identity in used[:2]}, {identity for _, identity in used[2:]}
    assert (len(first), len(second)) == (1, 1)
    assert first != second


async def test_guest_refused_under_its_second_identity_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    async def answer(base: str, namespace: str, authentication: Any, *others: Any) -> _Opened:
        used.append(authentication.client_identifier)
        raise LMStudioAuthenticationError("no")

    _open(monkeypatch, answer)
    pool = ConnectionPool("ws://server", None)
    for _ in range(2):
        with pytest.raises(LMStudioAuthenticationError):
            await pool.connection("llm", LIMITS)
    assert len(used) == 3
    assert len(set(used)) == 2


@pytest.mark.parametrize(
    "error",
    [
        LMStudioServerNotFoundError("nothing listens"),
        LMStudioConnectionError("does not speak WebSocket"),
        LMStudioProtocolError("no reply to the authentication"),
        LMStudioDisconnectedError("closed"),
    ],
)
async def test_port_that_another_program_has_taken_is_searched_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    found = iter(("ws://127.0.0.1:1", "ws://127.0.0.1:2"))

    async def discover() -> str:
        return next(found)

    taken = False
    used: list[str] = []

    async def answer(base: str, *others: Any) -> _Opened:
        used.append(base)
        if taken and base.endswith(":1"):
            raise error
        return _Opened()

    monkeypatch.setattr(pool_module, "discover", discover)
    _open(monkeypatch, answer)
    pool = ConnectionPool(None, None)
    first: Any = await pool.connection("llm", LIMITS)
    first.is_alive = False
    taken = True
    await pool.connection("llm", LIMITS)
    assert (used[0], used[-1]) == ("ws://127.0.0.1:1", "ws://127.0.0.1:2")


async def test_ca_certificates_are_not_read_for_an_address_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(*given: Any) -> _Opened:
        return _Opened()

    _open(monkeypatch, answer)
    pool = ConnectionPool("ws://server", None, "/nowhere/ca.pem")
    opened: Any = await pool.connection("llm", LIMITS)
    assert isinstance(opened, _Opened)


def test_upload_cache_put_again_is_recently_used() -> None:
    cache = UploadCache(size=2)
    for digest in "abac":
        cache.put(digest, digest)
    assert [cache.get(digest) for digest in "abc"] == ["a", None, "c"]


def test_upload_cache_drops_the_least_recently_used() -> None:
    cache = UploadCache(size=2)
    cache.put("a", "1")
    cache.put("b", "2")
    assert cache.get("a") == "1"
    cache.put("c", "3")
    assert [cache.get(digest) for digest in "abc"] == ["1", None, "3"]


def test_upload_cache_after_clear_is_empty() -> None:
    cache = UploadCache()
    cache.put("a", "1")
    cache.clear()
    assert cache.get("a") is None


def test_slots_take_gives_no_more_than_are_free() -> None:
    slots = Slots(3)
    assert [slots.take(2), slots.take(2), slots.take(2)] == [2, 1, 0]
    slots.give_back(2)
    assert slots.take(5) == 2


async def test_slots_wait_ends_when_another_batch_returns_one() -> None:
    slots = Slots(1)
    slots.take(1)
    waiting = asyncio.create_task(slots.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.give_back(1)
    await waiting
