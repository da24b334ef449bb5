"""Calls and channels of a client, and the endpoints that answer them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from lmstudio_integrations.emulator.faults import ChannelFaults, MessageSender
from lmstudio_integrations.emulator.models import Domain
from lmstudio_integrations.emulator.server_state import ServerState
from lmstudio_integrations.emulator.threadsafe_event import wait_until_set
from lmstudio_integrations.emulator.wire.request_schemas import CANCEL
from lmstudio_integrations.emulator.wire.validators import Shape


class CallConnection(MessageSender, Protocol):
    """What endpoints need of the connection of a call. ``client`` is the identifier of the client."""

    state: ServerState
    namespace: str
    client: str


class ChannelCancelled(Exception):  # noqa: N818 - not an error: the client requested it
    """The client has cancelled the channel."""


NOTHING: Any = object()
"""A void answer: the key ``result`` is left out. As a parameter: the key was absent."""


class EndpointCall:
    """One ``rpcCall``, or what a channel has in common with it. ``parameter`` has been checked."""

    def __init__(self, connection: CallConnection, parameter: Any) -> None:
        self.connection = connection
        self.state: ServerState = connection.state
        self.parameter = parameter
        self.domain: Domain = "embedding" if connection.namespace == "embedding" else "llm"
        """The kind of models that the namespace has."""


class ChannelCall(EndpointCall):
    """One open channel: ``send`` and ``receive`` packets. Ends with the endpoint's return (close) or error."""

    def __init__(
        self,
        connection: CallConnection,
        channel_id: int,
        parameter: Any,
        faults: ChannelFaults,
        endpoint: Endpoint,
    ) -> None:
        super().__init__(connection, parameter)
        self.id = channel_id
        self.cancelled: bool = False
        self._endpoint = endpoint
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._faults = faults
        self._interruptible = False
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what answers the channel in a new task."""
        self._task = asyncio.create_task(work)

    async def send(self, packet: dict[str, Any]) -> None:
        """Send one packet; faults may change or drop it."""
        message = {"type": "channelSend", "channelId": self.id, "message": packet}
        if self._faults.any:
            await self._faults.send(self.connection, message)
        else:
            await self.connection.send(message)

    async def send_progress(self, packet: Callable[[float], dict[str, Any]]) -> None:
        """Send a packet for each share of ``load_progress``, with the emulator's ``load_pace`` and ``load_hold``."""
        shares = self.state.load_progress
        for place, share in enumerate(shares):
            if self.state.load_hold is not None and place == len(shares) // 2:
                await wait_until_set(self.state.load_hold)
            await self.send(packet(share))
            await asyncio.sleep(self.state.load_pace)

    def take(self, packet: Any) -> str | None:
        """Accept a packet of the client; the problem with it as text, or ``None``."""
        problem = self._endpoint.stop(packet, "message")
        if problem is None:
            self._cancel()
        elif self._endpoint.input is not None and (problem := self._endpoint.input(packet, "message")) is None:
            self._received.put_nowait(packet)
        return problem

    async def receive(self) -> dict[str, Any]:
        """The next packet of the client that does not end the channel."""
        return await self._received.get()

    def _cancel(self) -> None:
        """Interrupt the endpoint within ``interruptible()``."""
        if not self.cancelled:
            self.cancelled = True
            if self._interruptible and self._task is not None:
                self._task.cancel()

    def abandon(self) -> None:
        """Cancel the endpoint because the socket is closed."""
        if self._task is not None:
            self._task.cancel()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A block in which a cancel of the client, also an earlier one, raises ``ChannelCancelled`` from any await."""
        if self.cancelled:
            raise ChannelCancelled
        self._interruptible = True
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.cancelled and task is not None and task.uncancel() == 0:
                raise ChannelCancelled from None
            raise
        finally:
            self._interruptible = False


RpcEndpoint = Callable[[EndpointCall], Awaitable[Any]]
ChannelEndpoint = Callable[[ChannelCall], Awaitable[None]]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: the shape of its parameter (``None``: it has none), and its function ``rpc`` or ``channel``.

    ``stop``: the packets of a client that end the channel. ``input``: its other packets, if it has any.
    ``optional``: the parameter may be absent.
    """

    shape: Shape | None
    rpc: RpcEndpoint | None = None
    channel: ChannelEndpoint | None = None
    stop: Shape = CANCEL
    input: Shape | None = None
    optional: bool = False

    def problem(self, parameter: Any) -> str | None:
        """The problem of the parameter as text, or ``None``."""
        if self.optional and parameter is NOTHING:
            return None
        if self.shape is None:
            return None if parameter is NOTHING else "parameter: there must be none, not even null"
        return "parameter: required, but absent" if parameter is NOTHING else self.shape(parameter, "parameter")


EndpointTable = Mapping[str, Endpoint]
