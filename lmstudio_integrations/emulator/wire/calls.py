"""Calls and channels of a client, and the endpoints that answer them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from lmstudio_integrations.emulator.faults import ChannelFaults, MessageSender
from lmstudio_integrations.emulator.models import Domain
from lmstudio_integrations.emulator.server_state import ServerState
from lmstudio_integrations.emulator.wire.request_schemas import CANCEL
from lmstudio_integrations.emulator.wire.validators import Shape


class CallConnection(MessageSender, Protocol):
    """What endpoints need of the connection of a call. ``client`` is the identifier of the client."""

    state: ServerState
    namespace: str
    client: str

    async def run_channel(self, call: ChannelCall, endpoint: ChannelEndpoint, faults: ChannelFaults) -> None:
        """Run an endpoint from the channel's creation to its close."""


class ChannelCancelled(Exception):  # noqa: N818 - not an error: the client requested it
    """The client has cancelled the channel."""


NOTHING: Any = object()
"""A void answer: the key ``result`` is left out. As a parameter: the key was absent."""


@dataclass
class RpcCallContext:
    """One ``rpcCall``. ``parameter`` has been checked."""

    state: ServerState
    connection: CallConnection
    namespace: str
    parameter: Any

    @property
    def domain(self) -> Domain:
        """The kind of models that the namespace has."""
        return "embedding" if self.namespace == "embedding" else "llm"


class ChannelCall:
    """One open channel: ``send`` and ``receive`` packets. Ends with the endpoint's return (close) or error."""

    def __init__(
        self,
        connection: CallConnection,
        channel_id: int,
        parameter: Any,
        faults: ChannelFaults,
        endpoint: Endpoint,
    ) -> None:
        self.connection = connection
        self.state: ServerState = connection.state
        self.namespace: str = connection.namespace
        self.id = channel_id
        self.parameter = parameter
        self.cancelled: bool = False
        self._endpoint = endpoint
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._faults = faults
        self._interruptible = False
        self._task: asyncio.Task[None] | None = None

    @property
    def domain(self) -> Domain:
        """The kind of models that the namespace has."""
        return "embedding" if self.namespace == "embedding" else "llm"

    def start(self, endpoint: ChannelEndpoint) -> None:
        """Run the endpoint in a new task."""
        self._task = asyncio.create_task(self.connection.run_channel(self, endpoint, self._faults))

    async def send(self, packet: dict[str, Any]) -> None:
        """Send one packet; faults may change or drop it."""
        message = {"type": "channelSend", "channelId": self.id, "message": packet}
        if self._faults.any:
            await self._faults.send(self.connection, message)
        else:
            await self.connection.send(message)

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


RpcEndpoint = Callable[[RpcCallContext], Awaitable[Any]]
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
