"""The consumer's hold on a running prediction."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.transport.pending_request import Deliver, discard
from lmstudio_integrations.errors import LMStudioCancelledError

if TYPE_CHECKING:
    from lmstudio_integrations.client.transport.pending_request import PendingRequest
    from lmstudio_integrations.client.transport.thread import IOThread

__all__ = ["StreamController"]


class StreamController:
    """``cancel`` and ``abandon`` may come from any thread, or from a finalizer; the rest is the engine loop's."""

    __slots__ = ("_engine", "_exchange", "_task", "cancelled", "deliver")

    def __init__(self, engine: IOThread, deliver: Deliver) -> None:
        self._engine = engine
        self._task: asyncio.Task[Any] | None = None
        self._exchange: PendingRequest | None = None
        self.deliver = deliver
        self.cancelled = False

    @property
    def orphaned(self) -> bool:
        """Whether nothing more will be delivered, because the engine is gone."""
        return self._engine.gone

    def cancel(self) -> None:
        """Ask the server to stop. What it had produced still arrives, with its statistics."""
        self._engine.post(self._cancel)

    def abandon(self) -> None:
        """Cancel, and throw away what still comes."""
        self._engine.post(self._abandon)

    def _cancel(self) -> None:
        if self.cancelled:
            return
        self.cancelled = True
        if self._exchange is not None:
            self._exchange.cancel()
        elif self._task is not None:
            self._task.cancel()

    def _abandon(self) -> None:
        # Somebody may still be waiting, on another thread than the one that gave it up.
        self.deliver(LMStudioCancelledError("the stream was closed before its end"))
        self.deliver = discard
        if self._exchange is not None:
            self._exchange.call.deliver = discard
        self._cancel()

    def tell(self, packet: object) -> None:
        """Leave a packet with the consumer, if there still is one."""
        self.deliver(packet)

    def begin(self) -> None:
        """The flow has started. A cancel that came before it ends it here."""
        self._task = asyncio.current_task()
        if self.cancelled:
            raise asyncio.CancelledError

    def hold(self, request: PendingRequest | None) -> None:
        """What a cancel is to be sent to; ``None`` while there is nothing at the server to cancel.

        After a cancel nothing may begin, as on a new socket when the first was lost.
        """
        if request is not None and self.cancelled:
            raise asyncio.CancelledError
        self._exchange = request
