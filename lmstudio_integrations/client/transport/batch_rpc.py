"""Many RPCs of one kind at once, their answers in the order of the questions. Runs on the engine's loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.transport.multiplexer import Answer, Outcome, PendingCall
from lmstudio_integrations.client.transport.pending_request import discard
from lmstudio_integrations.errors import LMStudioError, LMStudioTimeoutError

if TYPE_CHECKING:
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.client.transport.connection import Connection

__all__ = ["BatchRpc"]

_AT_ONCE = 64


class BatchRpc:
    """A bounded number of requests is unanswered at any time.

    One coroutine sends every request that is due, one wake-up serves all answers of one network read, and one timer
    serves all requests: ``first_packet`` runs from the latest answer, ``total`` over the batch.
    """

    def __init__(
        self, connection: Connection, endpoint: str, parameters: Sequence[Mapping[str, Any]], limits: Timeout
    ) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._parameters = parameters
        self._limits = limits
        self._results: list[Any] = [None] * len(parameters)
        self._open: dict[int, PendingCall] = {}
        self._error: LMStudioError | None = None
        self._woken = asyncio.Event()
        self._started = time.monotonic()

    async def run(self) -> list[Any]:
        """The results, in the order of the parameters. Raises the first error; the other answers are dropped then."""
        sent, total = 0, len(self._parameters)
        try:
            while (sent < total or self._open) and self._error is None:
                frames: list[str] = []
                while sent < total and len(self._open) < _AT_ONCE and self._error is None:
                    frames += self._ask(sent)
                    sent += 1
                if frames:
                    self._connection.post(*frames)
                await self._wait()
        finally:
            for call in self._open.values():
                self._connection.forget(call)
        if self._error is not None:
            raise self._error
        return self._results

    def _ask(self, index: int) -> tuple[str, ...]:
        """The frame of a request, if the socket still takes one."""
        call = PendingCall(self._endpoint, discard, lambda outcome: self._finish(index, outcome))
        self._open[index] = call
        frame = self._connection.multiplexer.call(call, self._parameters[index])
        return () if call.finished else (frame,)

    def _finish(self, index: int, outcome: Outcome) -> None:
        self._open.pop(index, None)
        if isinstance(outcome, Answer):
            self._results[index] = outcome.result
        elif isinstance(outcome, LMStudioError):
            self._error = self._error or outcome
        self._woken.set()

    def _limit(self) -> tuple[float, str, float] | None:
        """How long to wait for the next answer, by which limit, and that limit's length."""
        limits = []
        if self._limits.first_packet is not None:
            limits.append((self._limits.first_packet, "first_packet", self._limits.first_packet))
        if self._limits.total is not None:
            left = self._started + self._limits.total - time.monotonic()
            limits.append((max(0.0, left), "total", self._limits.total))
        return min(limits) if limits else None

    async def _wait(self) -> None:
        limit = self._limit()
        try:
            async with asyncio.timeout(None if limit is None else limit[0]):
                await self._woken.wait()
        except TimeoutError:
            assert limit is not None
            _, name, seconds = limit
            self._error = LMStudioTimeoutError(
                f"LM Studio's answer to {self._endpoint!r} broke the time limit {name!r} of {seconds:g} s with "
                f"{len(self._open)} of {len(self._parameters)} requests unanswered. "
                f"A longer Timeout({name}=…) would wait on.",
                limit=name,
                seconds=seconds,
                last_heard="nothing" if len(self._open) == len(self._parameters) else "the answers before",
            )
        self._woken.clear()
