"""Many RPCs of one kind at once, their results in the order of the parameters. Runs on the I/O thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.transport.multiplexer import Answer, Outcome, PendingCall
from lmstudio_integrations.client.transport.pending_request import discard
from lmstudio_integrations.client.transport.retry import NotSentError
from lmstudio_integrations.errors import (
    LMStudioError,
    LMStudioModelLoadError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
    LMStudioServerError,
    LMStudioTimeoutError,
)

if TYPE_CHECKING:
    from collections import Counter

    from lmstudio_integrations.client.requests import Parameter
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.client.transport.connection import Connection

__all__ = ["BatchRpc", "Slots"]

_MAX_PER_BATCH = 64
_ABOUT_THE_MODEL = (LMStudioModelLoadError, LMStudioModelNotFoundError, LMStudioModelUnloadedError)


class Slots:
    """How many requests of all batches may be unanswered at one server. Batches wait for free slots in their order."""

    def __init__(self, size: int = 128) -> None:
        self._free = size
        self._waiting: list[asyncio.Future[None]] = []

    def take(self, wanted: int) -> int:
        """Take up to ``wanted`` slots; returns how many."""
        taken = min(wanted, self._free)
        self._free -= taken
        return taken

    def give_back(self, count: int) -> None:
        """Return slots."""
        self._free += count
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def wait(self) -> None:
        """Wait until another batch returns slots."""
        if self._free:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter


class BatchRpc:
    """The requests of one batch. ``run`` may be called again on another socket: it sends what has no result yet.

    One coroutine sends every request that is due, one wake-up serves all answers of one network read, and one timer
    serves all requests: ``first_packet`` runs from the latest answer.

    Args:
        endpoint: The endpoint of all of them.
        parameters: Their parameters.
        numbers: Which text each request is about.
        limits: The time limits.
        slots: Those of the server.
        retries: For each text, how often a request about it was sent again in earlier batches; this one adds its own.
        device: The device of LM Link.
    """

    def __init__(
        self,
        endpoint: str,
        parameters: Sequence[Parameter],
        numbers: Sequence[int],
        limits: Timeout,
        slots: Slots,
        retries: Counter[int],
        device: str | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._device = device
        self._parameters = parameters
        self._numbers = numbers
        self._limit = limits.first_packet
        self._slots = slots
        self._unsent = list(range(len(parameters)))[::-1]
        self._sends = [0] * len(parameters)
        self._retries = retries
        self._open: dict[int, PendingCall] = {}
        self._error: LMStudioError | None = None
        self._changed = asyncio.Event()
        self.results: list[Any] = [None] * len(parameters)

    @property
    def sends(self) -> int:
        """How often a request that has no result yet was sent at most, with its text's retries in earlier batches."""
        return max((self._retries[self._numbers[index]] + self._sends[index] for index in self._unsent), default=0)

    async def run(self, connection: Connection, identifier: str | None) -> list[Any]:
        """The results, in the order of the parameters.

        Raises:
            LMStudioError: The first failure. Results that have come are kept, other answers are discarded.
            NotSentError: The socket was closed before anything was written to it.
        """
        self._error = None
        written = True
        try:
            while (self._unsent or self._open) and self._error is None:
                written = self._send(connection, identifier) and written
                if not self._open and self._unsent and self._error is None:
                    await self._slots.wait()  # the time in this queue counts for no limit
                    continue
                if self._error is None:
                    await self._wait_for_answers(connection)
        finally:
            for call in self._open.values():
                connection.forget(call)
            self._slots.give_back(len(self._open))
            self._unsent += sorted(self._open, reverse=True)
            self._open.clear()
        if self._error is not None:
            if not written and all(not self._sends[index] for index in self._unsent):
                raise NotSentError from self._error
            raise self._error
        retried: dict[int, int] = {}
        for number, sends in zip(self._numbers, self._sends, strict=True):
            if sends > 1:  # of several parts of a text the most counts
                retried[number] = max(retried.get(number, 0), sends - 1)
        self._retries.update(retried)
        return self.results

    def _send(self, connection: Connection, identifier: str | None) -> bool:
        """Send as many requests as there are slots for."""
        count = self._slots.take(min(_MAX_PER_BATCH - len(self._open), len(self._unsent)))
        frames: list[str] = []
        indexes: list[int] = []
        for _ in range(count):
            index = self._unsent.pop()
            call = PendingCall(self._endpoint, discard, lambda outcome, index=index: self._finish(index, outcome))  # type: ignore[misc]
            self._open[index] = call
            frame = connection.multiplexer.rpc_call(call, self._parameters[index].text(identifier, device=self._device))
            if not call.finished:
                frames.append(frame)
                indexes.append(index)
        written = connection.post(*frames) if frames else True
        if written:
            for index in indexes:
                self._sends[index] += 1
        return written

    def _finish(self, index: int, outcome: Outcome) -> None:
        self._open.pop(index, None)
        self._slots.give_back(1)
        if isinstance(outcome, Answer):
            self.results[index] = outcome.result
        else:
            self._unsent.append(index)
            if isinstance(outcome, LMStudioError) and self._error is None:
                if type(outcome) not in _ABOUT_THE_MODEL and isinstance(outcome, LMStudioServerError):
                    outcome.text_number = self._numbers[index]
                self._error = outcome
        self._changed.set()

    async def _wait_for_answers(self, connection: Connection) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._limit):
                await self._changed.wait()
        except TimeoutError:
            assert self._limit is not None
            heard = "nothing" if not any(result is not None for result in self.results) else "other answers"
            self._error = LMStudioTimeoutError(
                f"LM Studio's answer to {self._endpoint!r} exceeded the limit 'first_packet' of {self._limit:g} s; "
                f"{len(self._open)} of {len(self._parameters)} requests are unanswered for "
                f"{time.monotonic() - started:.1f} s. A longer Timeout(first_packet=…) allows more.",
                limit="first_packet",
                seconds=self._limit,
                last_heard=heard,
            )
            connection.verify()
        self._changed.clear()
