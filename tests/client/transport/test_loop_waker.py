"""One wake-up of a loop for all calls that are due; each is made once, in order, whatever another one does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from lmstudio_integrations.client.transport.loop_waker import LoopWaker, coalesce_wakeups, waker_of
from lmstudio_integrations.client.transport.thread import io_thread


async def test_scheduled_calls_run_in_order_after_one_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    call_soon: Any = loop.call_soon_threadsafe
    wake_ups: list[Any] = []

    def count(*arguments: Any) -> Any:
        wake_ups.append(arguments)
        return call_soon(*arguments)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    waker, made, done = LoopWaker(), list[int](), asyncio.Event()
    for number in range(5):
        waker.schedule(loop, partial(made.append, number))
    waker.schedule(loop, done.set)
    await done.wait()
    assert (made, len(wake_ups)) == ([0, 1, 2, 3, 4], 1)


async def test_call_scheduled_by_a_call_runs() -> None:
    loop, waker, done = asyncio.get_running_loop(), LoopWaker(), asyncio.Event()
    waker.schedule(loop, lambda: waker.schedule(loop, lambda: waker.schedule(loop, done.set)))
    await done.wait()


async def test_failing_call_is_reported_and_the_others_run() -> None:
    loop, waker, done = asyncio.get_running_loop(), LoopWaker(), asyncio.Event()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))

    def fail() -> None:
        raise RuntimeError("on purpose")

    waker.schedule(loop, fail)
    waker.schedule(loop, done.set)
    await done.wait()
    assert [str(context["exception"]) for context in reported] == ["on purpose"]


def test_closed_loop_is_not_woken() -> None:
    loop, waker = asyncio.new_event_loop(), LoopWaker()
    loop.close()
    for _ in range(2):
        waker.schedule(loop, lambda: pytest.fail("a closed loop makes no call"))
    assert not waker._due


async def test_loop_has_one_waker() -> None:
    assert waker_of(asyncio.get_running_loop()) is waker_of(asyncio.get_running_loop())


async def test_no_call_scheduled_by_many_threads_is_lost() -> None:
    loop, waker, done = asyncio.get_running_loop(), LoopWaker(), asyncio.Event()
    made: list[int] = []

    def count(number: int) -> None:
        made.append(number)
        if len(made) == 8000:
            done.set()

    def schedule(first: int) -> None:
        for number in range(first, first + 1000):
            waker.schedule(loop, partial(count, number))

    threads = [threading.Thread(target=schedule, args=(first,)) for first in range(0, 8000, 1000)]
    for thread in threads:
        thread.start()
    await done.wait()
    for thread in threads:
        thread.join()
    assert len(made) == 8000


def _woken(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, wake_ups: list[Any]) -> None:
    """From now on, waking the loop only appends it to ``wake_ups``."""
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *_: wake_ups.append(loop))


@pytest.fixture
def loops() -> Iterator[list[asyncio.AbstractEventLoop]]:
    made = [asyncio.new_event_loop() for _ in range(2)]
    yield made
    for loop in made:
        loop.close()


@pytest.mark.parametrize("fails", [False, True])
def test_coalesce_wakeups_wakes_loops_at_the_end_of_the_block(
    loops: list[asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    wake_ups: list[Any] = []
    for loop in loops:
        _woken(loop, monkeypatch, wake_ups)
    with contextlib.suppress(ZeroDivisionError), coalesce_wakeups:
        for loop in [*loops, *loops]:
            waker_of(loop).schedule(loop, lambda: None)
        assert wake_ups == []
        1 // (0 if fails else 1)
    assert wake_ups == loops
    waker_of(loops[0]).schedule(loops[0], lambda: None)
    assert wake_ups == loops, "it has been woken already, and has not made its calls yet"


def test_coalesce_wakeups_does_not_delay_other_threads(
    loops: list[asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    wake_ups: list[Any] = []
    for loop in loops:
        _woken(loop, monkeypatch, wake_ups)
    with coalesce_wakeups:
        waker_of(loops[0]).schedule(loops[0], lambda: None)
        thread = threading.Thread(target=lambda: waker_of(loops[1]).schedule(loops[1], lambda: None))
        thread.start()
        thread.join()
        assert wake_ups == [loops[1]]
    assert wake_ups == [loops[1], loops[0]]


def test_many_requests_at_once_wake_the_io_thread_once(monkeypatch: pytest.MonkeyPatch) -> None:
    current, held, free = io_thread(), threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        free.wait()

    call_soon: Any = current._loop.call_soon_threadsafe
    wake_ups: list[Any] = []

    def count(*arguments: Any) -> Any:
        wake_ups.append(arguments)
        return call_soon(*arguments)

    async def nothing() -> None:
        pass

    current.post(hold)
    held.wait()
    monkeypatch.setattr(current._loop, "call_soon_threadsafe", count)
    futures = [current.submit(nothing()) for _ in range(20)]
    free.set()
    for future in futures:
        future.result()
    assert len(wake_ups) == 1
