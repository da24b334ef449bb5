"""One call under its time limits, from the frame that opens it to its end. Runs on the engine's loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from lmstudio_integrations.client.transport.multiplexer import Answer, Outcome, PendingCall
from lmstudio_integrations.errors import LMStudioError, LMStudioTimeoutError

if TYPE_CHECKING:
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.client.transport.connection import Connection

__all__ = ["Deliver", "Holder", "PendingRequest", "call_rpc", "discard", "run_channel"]

Deliver = Callable[[Any], object]

# How long (seconds) a cancelled answer may take to end before it is given up.
_AFTER_CANCEL = 10.0


def discard(packet: object) -> None:
    """Nobody listens any more."""


class Holder(Protocol):
    """Who may want to cancel a request while it lasts."""

    cancelled: bool

    def hold(self, request: PendingRequest | None) -> None:
        """Take it; ``None`` when it is over. Raises ``asyncio.CancelledError`` if it should not begin at all."""


class PendingRequest:
    """A request, its call and its clock.

    ``loading``: a model is loaded, where only the limit ``load`` runs between packets and ``total`` does not count.
    """

    def __init__(
        self, connection: Connection, endpoint: str, deliver: Deliver, limits: Timeout, *, loading: bool = False
    ) -> None:
        self.connection = connection
        self.call = PendingCall(endpoint, deliver, self._finish)
        self._first = limits.first_packet
        self._between = ("load", limits.load) if loading else ("idle", limits.idle)
        self._total = None if loading else limits.total
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[Outcome] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._started = 0.0
        self._cancelled: float | None = None

    def _finish(self, outcome: Outcome) -> None:
        if not self._finished.done():
            self._finished.set_result(outcome)

    async def run(self, frame: str) -> Outcome:
        """Send the opening frame and wait for the end. Raises the outcome if it is an error."""
        self._started = time.monotonic()
        if not self._finished.done():
            self.connection.post(frame)
        self._arm(self._started)
        try:
            outcome = await self._finished
        except asyncio.CancelledError:
            self._stop()
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
        if isinstance(outcome, LMStudioError):
            outcome.response_started = self.call.last is not None
            raise outcome
        return outcome

    def cancel(self) -> None:
        """Ask the server to stop; its last packets are awaited, but not for long."""
        if self._cancelled is None and self._post_cancel():
            self._cancelled = time.monotonic()
            if self._timer is not None:
                self._timer.cancel()
            self._check()

    def _post_cancel(self) -> bool:
        frame = self.connection.multiplexer.send(self.call, {"type": "cancel"})
        if frame is not None:
            self.connection.post(frame)
        return frame is not None

    def _stop(self) -> None:
        """Nobody waits any longer: tell the server, and forget it."""
        if not self.call.finished:
            if self._cancelled is None:
                self._post_cancel()
            self.connection.forget(self.call)

    def _due(self) -> tuple[float, str, float] | None:
        """When the next limit runs out, which it is, and its length."""
        due = []
        name, seconds = self._between
        if self.call.answered:
            if seconds is not None:
                due.append((self.call.heard + seconds, name, seconds))
        elif self._first is not None:
            due.append((self._started + self._first, "first_packet", self._first))
        if self._total is not None:
            due.append((self._started + self._total, "total", self._total))
        if self._cancelled is not None:
            due.append((self._cancelled + _AFTER_CANCEL, "after cancel", _AFTER_CANCEL))
        return min(due) if due else None

    def _arm(self, now: float) -> None:
        due = self._due()
        waits = [] if due is None else [max(0.0, due[0] - now)]
        if self._between[1] is not None and not self.call.answered:
            waits.append(self._between[1])  # the first packet will start this limit, and it may be the shorter one
        if waits:
            self._timer = self._loop.call_later(min(waits), self._check)

    def _check(self) -> None:
        """Packets do not touch the timer, they only leave their time; so it looks again when it fires."""
        if self._finished.done():
            return
        now = time.monotonic()
        due = self._due()
        if due is None or due[0] > now:
            self._arm(now)
            return
        _, limit, seconds = due
        heard = self._last_heard(now)
        self._stop()
        self._finish(self._overdue(limit, seconds, heard))

    def _overdue(self, limit: str, seconds: float, heard: str) -> LMStudioTimeoutError:
        endpoint = self.call.endpoint
        if limit == "after cancel":
            limit = "idle"
            words = f"LM Studio did not end its answer to {endpoint!r} within {seconds:g} s of the cancel"
            advice = "It was given up."
        else:
            words = f"LM Studio's answer to {endpoint!r} broke the time limit {limit!r} of {seconds:g} s"
            advice = f"The request was cancelled. A longer Timeout({limit}=…) would wait on."
        return LMStudioTimeoutError(
            f"{words}; last heard: {heard}. {advice}", limit=limit, seconds=seconds, last_heard=heard
        )

    def _last_heard(self, now: float) -> str:
        last: Any = self.call.last
        if last is None:
            return "nothing"
        words = str(last.get("type", "a packet")) if isinstance(last, dict) else "a packet"
        if isinstance(last, dict) and "progress" in last:
            words += f" {last['progress']}"
        return f"{words}, {now - self.call.heard:.1f} s ago"


async def call_rpc(connection: Connection, endpoint: str, parameter: Mapping[str, Any] | None, limits: Timeout) -> Any:
    """One RPC: its result."""
    request = PendingRequest(connection, endpoint, discard, limits)
    outcome = await request.run(connection.multiplexer.call(request.call, parameter))
    assert isinstance(outcome, Answer)
    return outcome.result


async def run_channel(
    connection: Connection,
    endpoint: str,
    creation: str,
    limits: Timeout,
    deliver: Deliver,
    holder: Holder | None = None,
    *,
    loading: bool = False,
) -> None:
    """One channel, to its orderly end. ``creation``: its parameter as JSON text.

    Raises ``asyncio.CancelledError`` if it was cancelled before it had begun.
    """
    request = PendingRequest(connection, endpoint, deliver, limits, loading=loading)
    if holder is not None:
        holder.hold(request)
    try:
        await request.run(connection.multiplexer.open(request.call, creation))
    except LMStudioError as error:
        if holder is not None and holder.cancelled and not error.response_started:
            raise asyncio.CancelledError from error  # so that nobody asks again
        raise
    finally:
        if holder is not None:
            holder.hold(None)
