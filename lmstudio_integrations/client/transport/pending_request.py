"""One call under its time limits, from the frame that starts it to its end. Runs on the I/O thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.transport.bounds import size_error
from lmstudio_integrations.client.transport.multiplexer import Answer, Outcome, PendingCall
from lmstudio_integrations.client.transport.retry import NotSentError
from lmstudio_integrations.errors import LMStudioError, LMStudioTimeoutError, LMStudioValueError

if TYPE_CHECKING:
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.client.transport.connection import Connection

__all__ = ["Deliver", "PendingRequest", "call_rpc", "discard"]

Deliver = Callable[[Any], object]

# How long (seconds) a cancelled call may take to end before it is given up.
_AFTER_CANCEL = 10.0

# While packets come faster than a model makes them (seconds between two), the rest of the answer may be on its way. A
# cancel then waits until the channel is quiet, but not longer than the latest time. LM Studio warns of a cancel that
# comes after the end, and sends at most five warnings per socket, so that the socket would have to be replaced.
_BURST_INTERVAL = 0.005
_QUIET_BEFORE_CANCEL = 0.01
_LATEST_CANCEL = 0.05

# The server's WebSocket library closes the socket, with every other call on it, at a frame of more than 100 MiB.
_MAX_FRAME_BYTES = 100 * 2**20


def discard(packet: object) -> None:
    """A ``Deliver`` for packets that no consumer reads."""


class PendingRequest:
    """A request, its call and its time limits.

    ``loading``: the call loads a model, so the limit between packets is ``load`` instead of ``idle``. ``is_queued``
    asks the server whether the request waits behind others; if so, the limit for the first packet starts again.
    ``unread``: how many delivered packets the consumer has not taken yet.
    """

    def __init__(
        self,
        connection: Connection,
        endpoint: str,
        limits: Timeout,
        *,
        deliver: Deliver = discard,
        loading: bool = False,
        is_queued: Callable[[], Awaitable[bool]] | None = None,
        unread: Callable[[], int] = lambda: 0,
    ) -> None:
        self.connection = connection
        self.call: PendingCall = PendingCall(endpoint, deliver, self._finish)
        self.call.on_size = self._check_size
        self._unread = unread
        self._first = limits.first_packet
        self._between = ("load", limits.load) if loading else ("idle", limits.idle)
        self._is_queued = is_queued
        self._asking: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[Outcome] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._cancel_timer: asyncio.TimerHandle | None = None
        self._started = 0.0
        self._cancelled: float | None = None
        self._cancel_sent = False

    def _finish(self, outcome: Outcome) -> None:
        if not self._finished.done():
            self._finished.set_result(outcome)

    async def open_channel(self, creation: str) -> None:
        """Open a channel, ``creation`` being its parameter as JSON text, and wait for its orderly end."""
        await self._run(self.connection.multiplexer.channel_create(self.call, creation))

    async def send_rpc(self, parameter: str | None) -> Any:
        """Send an RPC, ``parameter`` as JSON text, and return its result."""
        outcome = await self._run(self.connection.multiplexer.rpc_call(self.call, parameter))
        assert isinstance(outcome, Answer)
        return outcome.result

    async def _run(self, frame: str) -> Outcome:
        """Send the frame that starts the call, and wait for its end.

        Raises:
            LMStudioError: The outcome, if it is an error; ``response_started`` tells whether a packet had arrived.
            NotSentError: The socket was closed before the frame was written.
        """
        sent = not self._finished.done() and self._send(frame)
        self._started = self.call.heard = time.monotonic()
        self._arm(self._started)
        try:
            outcome = await self._finished
        except asyncio.CancelledError:
            self._stop()
            raise
        finally:
            for timer in (self._timer, self._cancel_timer):
                if timer is not None:
                    timer.cancel()
            if self._asking is not None:
                self._asking.cancel()
        if isinstance(outcome, LMStudioError):
            outcome.response_started = self.call.last is not None
            if not sent:
                raise NotSentError from outcome
            raise outcome
        return outcome

    def _send(self, frame: str) -> bool:
        if len(frame) > _MAX_FRAME_BYTES // 4 and (size := len(frame.encode())) > _MAX_FRAME_BYTES:
            self.connection.forget(self.call)
            raise LMStudioValueError(
                f"the request to {self.call.endpoint!r} has {size} bytes; LM Studio accepts at most "
                f"{_MAX_FRAME_BYTES}: send less"
            )
        return self.connection.post(frame)

    def cancel(self, *, at_once: bool = False) -> None:
        """Ask the server to stop, unless the end arrives first. Its last packets are awaited for 10 s at most."""
        if self._cancelled is None and self.call.is_channel and not self.call.finished:
            self._cancelled = time.monotonic()
            if at_once:
                self._post_cancel()
            else:
                self._cancel_when_quiet()
            if self._timer is not None:
                self._timer.cancel()
            self._check()

    def _cancel_when_quiet(self) -> None:
        assert self._cancelled is not None
        due = min(self.call.received + _QUIET_BEFORE_CANCEL, self._cancelled + _LATEST_CANCEL)
        wait = due - time.monotonic()
        if wait <= 0 or self.call.interval > _BURST_INTERVAL:
            self._post_cancel()
        else:
            self._cancel_timer = self._loop.call_later(wait, self._cancel_when_quiet)

    def _post_cancel(self) -> None:
        frame = self.connection.multiplexer.channel_send(self.call, {"type": "cancel"})
        if frame is not None and not self._cancel_sent:
            self._cancel_sent = True
            self.connection.post(frame)

    def _stop(self) -> None:
        """Cancel at the server, and discard what still comes."""
        if not self.call.finished:
            self._post_cancel()
            self.connection.forget(self.call)

    def _due(self) -> tuple[float, str, float] | None:
        """When the next limit expires, its name, and its length."""
        due = []
        name, seconds = self._between
        if self.call.answered:
            if seconds is not None:
                due.append((self.call.heard + seconds, name, seconds))
        elif self._first is not None:
            due.append((self._started + self._first, "first_packet", self._first))
        if self._cancelled is not None:
            due.append((self._cancelled + _AFTER_CANCEL, "after cancel", _AFTER_CANCEL))
        return min(due) if due else None

    def _arm(self, now: float) -> None:
        due = self._due()
        waits = [] if due is None else [max(0.0, due[0] - now)]
        if self._between[1] is not None and not self.call.answered:
            waits.append(self._between[1])  # the first packet starts this limit, which may be the shorter one
        if waits:
            self._timer = self._loop.call_later(min(waits), self._check)

    def _check(self) -> None:
        """Packets only record their time, so the timer computes the next limit whenever it fires."""
        if self._finished.done():
            return
        now = time.monotonic()
        due = self._due()
        if due is None or due[0] > now:
            self._arm(now)
            return
        if due[1] == "first_packet" and self._is_queued is not None:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask_whether_queued())
            return
        self._expire(due)

    async def _ask_whether_queued(self) -> None:
        """Start the first packet's limit again if the request waits behind others at the server."""
        assert self._is_queued is not None
        try:
            queued = await self._is_queued()
        except (LMStudioError, NotSentError):
            queued = False
        self._asking = None
        if queued:
            self._started = time.monotonic()
        elif not self.call.answered and not self._finished.done() and (due := self._due()) is not None:
            self._expire(due)
            return
        self._check()

    def _check_size(self) -> bool:
        """End the call if it is too large, and say so."""
        error = size_error(self.call.endpoint, self.call.size, self.call.packets, self._unread())
        if error is not None:
            self._stop()
            self._finish(error)
        return error is not None

    def _expire(self, due: tuple[float, str, float]) -> None:
        _, limit, seconds = due
        error = self._timeout_error(limit, seconds)
        self._stop()
        self._finish(error)
        self.connection.verify()

    def _timeout_error(self, limit: str, seconds: float) -> LMStudioTimeoutError:
        endpoint = self.call.endpoint
        heard = self.last_heard()
        if limit == "after cancel":
            limit = "idle"
            problem = f"LM Studio did not end its answer to {endpoint!r} within {seconds:g} s of the cancel"
            advice = "No further packet was awaited."
        else:
            problem = f"LM Studio's answer to {endpoint!r} exceeded the time limit {limit!r} of {seconds:g} s"
            advice = f"The request was cancelled. A longer Timeout({limit}=…) allows more."
        return LMStudioTimeoutError(
            f"{problem}; last packet: {heard}. {advice}", limit=limit, seconds=seconds, last_heard=heard
        )

    def last_heard(self) -> str:
        """The last packet and its age as text."""
        last: Any = self.call.last
        if last is None:
            return "nothing"
        words = str(last.get("type", "a packet"))[:80]
        if "progress" in last:
            words += f" {str(last['progress'])[:20]}"
        return f"{words}, {time.monotonic() - self.call.received:.1f} s ago"


async def call_rpc(connection: Connection, endpoint: str, parameter: str | None, limits: Timeout) -> Any:
    """One RPC, ``parameter`` as JSON text: its result."""
    return await PendingRequest(connection, endpoint, limits).send_rpc(parameter)
