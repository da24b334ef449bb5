"""What a pool keeps for its server: uploads, and slots for batches."""

from __future__ import annotations

import asyncio

from lmstudio_integrations.client.transport.batch_rpc import Slots
from lmstudio_integrations.client.transport.pool import UploadCache


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
