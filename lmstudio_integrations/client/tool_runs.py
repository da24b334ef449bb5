"""Runs the tools of one round of ``act``: some at once, within a time limit, until they end or are cancelled.

A tool that blocks runs on a daemon thread, with the caller's context variables. Threads cannot be stopped: after a
cancel or at the end of the time limit they run on, and what they return is discarded.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.aio_waiting import run as run_callback
from lmstudio_integrations.client.transport.daemon import run_in_daemon_thread, start_thread
from lmstudio_integrations.client.transport.loop_waker import running_loop
from lmstudio_integrations.errors import LMStudioCancelledError, LMStudioTimeoutError

if TYPE_CHECKING:
    from lmstudio_integrations.client.cancellation import CancelToken
    from lmstudio_integrations.client.tool_functions import ActTool, ToolOutput
    from lmstudio_integrations.protocol.history import ToolCallRequest

__all__ = ["ToolOutcome", "ToolRun", "run_tools", "run_tools_async"]


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A tool, the call that asks for it, and the call's parsed arguments."""

    tool: ActTool
    call: ToolCallRequest
    arguments: Any


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a tool returned, or the exception that it raised."""

    output: ToolOutput | None = None
    error: BaseException | None = None

    def checked(self) -> ToolOutcome:
        """The outcome itself. Raises what is no ``Exception``: ``SystemExit`` and the like are not for the model."""
        if self.error is not None and not isinstance(self.error, Exception):
            raise self.error
        return self


def _outcome(run: ToolRun) -> ToolOutcome:
    """Run a tool here."""
    try:
        assert run.tool.run is not None
        return ToolOutcome(run.tool.read(run.tool.run(run.call, run.arguments)))
    except BaseException as error:  # noqa: BLE001  # the model gets it, or the caller
        return ToolOutcome(error=error)


@dataclass(eq=False)
class _Cancel:
    """Lets a ``CancelToken`` end the wait for tools: it calls ``cancel``, on any thread."""

    cancel: Callable[[], object]


def run_tools(
    runs: Sequence[ToolRun],
    parallel: int,
    seconds: float | None,
    cancel: CancelToken | None,
    on_start: Callable[[ToolRun], object] | None = None,
) -> list[ToolOutcome]:
    """Run the tools on threads, at most ``parallel`` at once: their outcomes in the order of ``runs``.

    ``on_start`` is called here before each of them starts.

    Raises:
        LMStudioCancelledError: ``cancel`` was cancelled.
        LMStudioTimeoutError: The tools were not done within ``seconds``.
    """
    done: queue.SimpleQueue[tuple[int, ToolOutcome] | None] = queue.SimpleQueue()
    canceller = _Cancel(lambda: done.put(None))
    if cancel is not None:
        cancel.raise_if_cancelled()
        cancel.attach(canceller)
    deadline = None if seconds is None else time.monotonic() + seconds
    outcomes: dict[int, ToolOutcome] = {}
    started = 0

    def start(number: int) -> None:
        context = contextvars.copy_context()

        def work() -> None:
            done.put((number, context.run(_outcome, runs[number])))

        start_thread(work, f"lmstudio-tool-{runs[number].tool.name}")

    while len(outcomes) < len(runs):
        while started < len(runs) and started - len(outcomes) < parallel:
            if on_start is not None:
                on_start(runs[started])
            start(started)
            started += 1
        try:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            finished = done.get(timeout=left)
        except queue.Empty:
            raise _timeout(runs, outcomes, seconds) from None
        if finished is None:
            raise _cancelled(runs, outcomes)
        number, outcome = finished
        outcomes[number] = outcome.checked()
    return [outcomes[number] for number in range(len(runs))]


async def run_tools_async(
    runs: Sequence[ToolRun],
    parallel: int,
    seconds: float | None,
    cancel: CancelToken | None,
    on_start: Callable[[ToolRun], object] | None = None,
) -> list[ToolOutcome]:
    """The same in an event loop: coroutine functions run in it, the others on threads. Raises the same errors."""
    loop = running_loop()
    outcomes: dict[int, ToolOutcome] = {}
    slots = asyncio.Semaphore(parallel)
    cancelled = asyncio.Event()
    canceller = _Cancel(lambda: loop.call_soon_threadsafe(cancelled.set))
    if cancel is not None:
        cancel.raise_if_cancelled()
        cancel.attach(canceller)

    async def one(number: int) -> None:
        async with slots:
            if on_start is not None:
                await run_callback(on_start, runs[number])
            outcomes[number] = await _outcome_async(runs[number])

    work = [asyncio.ensure_future(one(number)) for number in range(len(runs))]
    stop = asyncio.ensure_future(cancelled.wait())
    waiting: set[asyncio.Future[Any]] = {*work}
    deadline = None if seconds is None else loop.time() + seconds
    try:
        while waiting:
            left = None if deadline is None else max(0.0, deadline - loop.time())
            done, _ = await asyncio.wait({*waiting, stop}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if stop in done:
                raise _cancelled(runs, outcomes)
            if not done:
                raise _timeout(runs, outcomes, seconds)
            for task in done:
                task.result()
            waiting -= done
    finally:
        for task in (*work, stop):
            task.cancel()
        await asyncio.gather(*work, stop, return_exceptions=True)
    return [outcomes[number].checked() for number in range(len(runs))]


async def _outcome_async(run: ToolRun) -> ToolOutcome:
    if run.tool.run_async is None:
        return await _on_thread(run)
    try:
        return ToolOutcome(run.tool.read(await run.tool.run_async(run.call, run.arguments)))
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001  # the model gets it
        return ToolOutcome(error=error)


async def _on_thread(run: ToolRun) -> ToolOutcome:
    """Not asyncio's executor: it has few threads, and Python joins them when it exits."""
    work = partial(contextvars.copy_context().run, _outcome, run)
    return await run_in_daemon_thread(work, f"lmstudio-tool-{run.tool.name}")


def _cancelled(runs: Sequence[ToolRun], outcomes: dict[int, ToolOutcome]) -> LMStudioCancelledError:
    return LMStudioCancelledError(f"act() was cancelled while it ran {_unfinished(runs, outcomes)}")


def _timeout(runs: Sequence[ToolRun], outcomes: dict[int, ToolOutcome], seconds: float | None) -> LMStudioTimeoutError:
    unfinished = _unfinished(runs, outcomes)
    return LMStudioTimeoutError(
        f"act() exceeded the time limit 'total' while it ran {unfinished}. A longer Timeout(total=…) allows more.",
        limit="total",
        seconds=seconds or 0.0,
        last_heard=f"{len(outcomes)} of {len(runs)} tools have finished",
    )


def _unfinished(runs: Sequence[ToolRun], outcomes: dict[int, ToolOutcome]) -> str:
    names = [repr(run.tool.name) for number, run in enumerate(runs) if number not in outcomes]
    return f"the tool{'s' if len(names) > 1 else ''} {', '.join(names)}"
