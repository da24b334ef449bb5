"""Many mailboxes of one loop share one wake-up, and each reader is woken."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from lmstudio_integrations.client.transport.mailbox import AsyncMailbox


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is called on the loop as if from outside, from now on."""
    loop = asyncio.get_running_loop()
    call_soon: Any = loop.call_soon_threadsafe
    calls: list[Any] = []

    def count(callback: Any, *arguments: Any) -> Any:
        calls.append(callback)
        return call_soon(callback, *arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    return calls


async def _waiting(mailboxes: list[AsyncMailbox]) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(mailbox.get()) for mailbox in mailboxes]
    await asyncio.sleep(0)  # each task runs until it waits
    return tasks


async def test_loop_is_woken_once_for_all_mailboxes_filled_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mailboxes = [AsyncMailbox(asyncio.get_running_loop()) for _ in range(50)]
    tasks = await _waiting(mailboxes)
    calls = _counted(monkeypatch)
    for number, mailbox in enumerate(mailboxes):
        mailbox.put(number)
    assert len(calls) == 1
    assert await asyncio.gather(*tasks) == list(range(50))


async def test_reader_that_waits_again_is_woken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    mailboxes = [AsyncMailbox(asyncio.get_running_loop()) for _ in range(3)]
    calls = _counted(monkeypatch)
    for turn in range(4):
        tasks = await _waiting(mailboxes)
        for mailbox in mailboxes:
            mailbox.put(turn)
        assert await asyncio.gather(*tasks) == [turn] * 3
    assert len(calls) == 4


def test_unreferenced_loop_is_not_kept_alive() -> None:
    loop = asyncio.new_event_loop()
    mailbox = AsyncMailbox(loop)
    waiting = loop.create_task(mailbox.get())
    loop.run_until_complete(asyncio.sleep(0))
    mailbox.put(1)
    assert loop.run_until_complete(waiting) == 1
    loop.close()
    seen = weakref.ref(loop)
    del loop, mailbox, waiting
    gc.collect()
    assert seen() is None
