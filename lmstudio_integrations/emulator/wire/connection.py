"""One WebSocket of a client: authentication, envelopes, warnings, and its channels."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from lmstudio_integrations._surrogates import without_surrogates
from lmstudio_integrations.emulator.errors import EndpointError
from lmstudio_integrations.emulator.faults import ChannelFaults, Fault
from lmstudio_integrations.emulator.server_state import ServerState
from lmstudio_integrations.emulator.threadsafe_event import ThreadsafeEvent
from lmstudio_integrations.emulator.wire.calls import (
    NOTHING,
    ChannelCall,
    ChannelCancelled,
    ChannelEndpoint,
    EndpointCall,
    EndpointTable,
)
from lmstudio_integrations.emulator.wire.not_imitated import not_imitated
from lmstudio_integrations.protocol import envelope_models as envelopes
from lmstudio_integrations.protocol.auth import Authentication, AuthenticationReply
from lmstudio_integrations.protocol.json_text import decode, encode

MAX_WARNINGS = 5
_SIGNALS = {
    envelopes.SignalSubscribe: ("signalSubscribe", "signalEndpointUnknown"),
    envelopes.WritableSignalSubscribe: ("writableSignalSubscribe", "writableSignalEndpointUnknown"),
    envelopes.SignalUnsubscribe: ("signalUnsubscribe", "signalUnknown"),
    envelopes.WritableSignalUnsubscribe: ("writableSignalUnsubscribe", "writableSignalUnknown"),
    envelopes.WritableSignalUpdate: ("writableSignalUpdate", "writableSignalUnknown"),
}


class Connection:
    """One WebSocket. ``client`` is the client's identifier, empty until it has authenticated."""

    def __init__(
        self,
        state: ServerState,
        endpoints: Mapping[str, EndpointTable],
        socket: ServerConnection,
        namespace: str,
        number: int,
    ) -> None:
        self.state = state
        self.namespace = namespace
        self.number = number
        self.client: str = ""
        self._socket = socket
        self._endpoints = endpoints.get(namespace, {})
        self._channels: dict[int, ChannelCall] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._warnings = 0
        self._stalled: ThreadsafeEvent | None = None

    async def serve(self) -> None:
        """Authenticate the client and handle its frames until the socket is closed."""
        try:
            if await self._authenticate():
                async for frame in self._socket:
                    self._take(frame)
        except ConnectionClosed:
            pass
        finally:
            self.state.authenticator.leave(self)
            for channel in self._channels.values():
                channel.abandon()
            for task in self._tasks:
                task.cancel()

    # --- sending

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message; it is discarded if the socket is closed."""
        if self._stalled is not None:
            await self._stalled.wait()
        text = _encoded(message)
        self.state.frame_log.add("server", self.namespace, self.number, message)
        with suppress(ConnectionClosed):
            await self._socket.send(text)

    async def send_text(self, text: str) -> None:
        """Send a frame unchanged."""
        self.state.frame_log.add("server", self.namespace, self.number, text)
        with suppress(ConnectionClosed):
            await self._socket.send(text)

    def stall(self, until: ThreadsafeEvent) -> None:
        """Send nothing more until the event is set."""
        self._stalled = until

    def restart_server(self) -> None:
        """Restart the emulator, which cuts this socket."""
        self.state.restart_soon()

    def drop(self) -> None:
        """Cut the socket without a close frame."""
        self._socket.transport.abort()

    async def _warn(self, kind: str, warning: str) -> None:
        """Send a warning. LM Studio sends five per socket and then none."""
        warning = without_surrogates(warning)  # it repeats what was sent
        if self._warnings < MAX_WARNINGS:
            self._warnings += 1
            await self.send(envelopes.CommunicationWarning(warning=warning, kind=kind).to_wire())

    # --- authentication

    async def _authenticate(self) -> bool:
        try:
            async with asyncio.timeout(self.state.auth_timeout):
                while (request := await self._next_authentication()) is None:
                    pass
        except TimeoutError:
            return await self._refuse("Authentication timed out")
        faults = self.state.faults
        if faults.take_connection("never_auth", self.namespace):
            await wait_for_any(asyncio.get_running_loop().create_future(), self._socket.wait_closed())
        if slow := faults.take_connection("slow_auth", self.namespace):
            await wait_for_any(slow.released.wait(), self._socket.wait_closed())
        if refused := faults.take_connection("refuse_auth", self.namespace):
            return await self._refuse(refused.options.get("error", "Invalid LM Studio API token."))
        if problem := self.state.authenticator.enter(self, request):
            return await self._refuse(problem)
        self.client = request.client_identifier
        await self.send(AuthenticationReply(success=True).to_wire())
        return True

    async def _next_authentication(self) -> Authentication | None:
        frame = await self._socket.recv()
        try:
            message = decode(frame)
        except ValueError:
            message = frame
        self.state.frame_log.add("client", self.namespace, self.number, message)
        try:
            return Authentication.from_wire(message)
        except ValueError:
            return None  # a malformed one is ignored; a correct one may follow

    async def _refuse(self, error: str) -> bool:
        await self.send(AuthenticationReply(success=False, error=error).to_wire())
        close_nowait(self._socket)
        return False

    # --- receiving

    def _take(self, frame: str | bytes) -> None:
        try:
            raw = decode(frame)
        except ValueError:
            self.state.frame_log.add("client", self.namespace, self.number, frame)
            return
        self.state.frame_log.add("client", self.namespace, self.number, raw)
        try:
            message = envelopes.parse_client_message(raw)
        except ValueError:
            return  # LM Studio writes it to its log and sends nothing
        match message:
            case envelopes.ChannelSend():
                self._channel_send(message)
            case envelopes.ChannelCreate():
                self._create(message)
            case envelopes.RpcCall():
                self._spawn(self._call(message))
            case envelopes.KeepAlive():
                self._spawn(self.send(envelopes.KeepAliveAck().to_wire()))
            case envelopes.ChannelAck() if message.channel_id not in self._channels:
                self._spawn(self._unknown_channel("channelAck", message.channel_id))
            case envelopes.CommunicationWarning() | envelopes.ChannelAck():
                pass
            case _:
                what, kind = _SIGNALS[type(message)]
                where = getattr(message, "endpoint", None) or message.subscribe_id
                self._spawn(
                    self._warn(kind, f"Received {what} for unknown endpoint or subscription, endpoint = {where}")
                )

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _channel_send(self, message: envelopes.ChannelSend) -> None:
        channel = self._channels.get(message.channel_id)
        if channel is None:
            self._spawn(self._unknown_channel("channelSend", message.channel_id))
        elif problem := channel.take(message.message):
            text = f"Received invalid message for channel, channelId = {message.channel_id}, {problem}"
            self._spawn(self._warn("channelMessageTypeError", text))

    async def _unknown_channel(self, what: str, channel_id: int) -> None:
        await self._warn("channelUnknown", f"Received {what} for unknown channel, channelId = {channel_id}")

    async def _call(self, message: envelopes.RpcCall) -> None:
        name, call_id = message.endpoint, message.call_id
        endpoint = self._endpoints.get(name)
        if endpoint is None or endpoint.rpc is None:
            if (missing := not_imitated(self.namespace, name)) is not None:
                await self.send(envelopes.RpcError(call_id=call_id, error=missing.error).to_wire())
                return
            await self._warn("rpcEndpointUnknown", f"Received rpcCall for unknown endpoint, endpoint = {name}")
            return
        parameter = message.parameter if message.has_parameter else NOTHING
        if problem := endpoint.problem(parameter):
            text = f"Received invalid parameter for rpcCall, endpointName = {name}, {problem}"
            await self._warn("rpcParameterTypeError", text)
            return
        if fault := self.state.faults.take_answer(self.namespace, name):
            await self._instead(fault, name, {"type": "rpcResult", "callId": call_id})
            return
        faults = self.state.faults.take_call(self.namespace, name)
        answer: dict[str, Any] = {"type": "rpcResult", "callId": call_id}
        try:
            self.state.models.unload_expired()
            result = await endpoint.rpc(EndpointCall(self, parameter))
            if result is not NOTHING:
                answer["result"] = result
        except Exception as error:  # noqa: BLE001 - LM Studio answers with an error, too, if an endpoint throws
            answer = envelopes.RpcError(call_id=call_id, error=_failure(error)).to_wire()
        await faults.send(self, answer)

    def _create(self, message: envelopes.ChannelCreate) -> None:
        name, channel_id = message.endpoint, message.channel_id
        endpoint = self._endpoints.get(name)
        parameter = message.creation_parameter if message.has_creation_parameter else NOTHING
        if endpoint is None or endpoint.channel is None:
            text = f"Received channelCreate for unknown endpoint, endpoint = {name}"
            if (missing := not_imitated(self.namespace, name)) is not None:
                refusal = envelopes.ChannelError(channel_id=channel_id, error=missing.error)
                self._spawn(self.send(refusal.to_wire()))
            else:
                self._spawn(self._warn("channelEndpointUnknown", text))
        elif channel_id in self._channels:
            text = f"Received channelCreate for already open channel, channelId = {channel_id}"
            self._spawn(self._warn("channelAlreadyOpen", text))
        elif problem := endpoint.problem(parameter):
            text = f"Received invalid creation parameter for channel, endpointName = {name}, {problem}"
            self._spawn(self._warn("channelCreationParameterTypeError", text))
        elif fault := self.state.faults.take_answer(self.namespace, name):
            self._spawn(self._instead(fault, name, envelopes.ChannelClose(channel_id=channel_id).to_wire()))
        else:
            faults = self.state.faults.take_call(self.namespace, name)
            # Registered at once: a cancel may be in the very next frame.
            channel = self._channels[channel_id] = ChannelCall(self, channel_id, parameter, faults, endpoint)
            channel.start(self._run_channel(channel, endpoint.channel, faults))

    async def _instead(self, fault: Fault, endpoint: str, void: dict[str, Any]) -> None:
        """Do what the fault replaces the answer with."""
        if fault.name == "void":
            await self.send(void)
        elif fault.name == "warning_instead":
            rpc = "callId" in void
            kind = "rpcParameterTypeError" if rpc else "channelCreationParameterTypeError"
            what = "parameter for rpcCall" if rpc else "creation parameter for channel"
            text = f"Received invalid {what}, endpointName = {endpoint}, as the emulator was asked to say"
            await self._warn(fault.options.get("kind", kind), fault.options.get("warning", text))

    async def _run_channel(self, call: ChannelCall, endpoint: ChannelEndpoint, faults: ChannelFaults) -> None:
        """Run a channel's endpoint, and send the close or the error that ends the channel."""
        ending = envelopes.ChannelClose(channel_id=call.id).to_wire()
        try:
            self.state.models.unload_expired()
            await endpoint(call)
        except ChannelCancelled:
            # Guess: the wording. A prediction does not end so, but with a success packet (userStopped).
            cancelled = EndpointError("The operation was cancelled")
            ending = envelopes.ChannelError(channel_id=call.id, error=cancelled.error).to_wire()
        except Exception as error:  # noqa: BLE001 - as above
            ending = envelopes.ChannelError(channel_id=call.id, error=_failure(error)).to_wire()
        # Removed before the close is sent, so that a client may reuse the id at once.
        self._channels.pop(call.id, None)
        await faults.send(self, ending)


def _encoded(message: dict[str, Any]) -> str:
    """The message as JavaScript writes it as JSON: half a surrogate pair becomes an escape, an infinite number null."""
    try:
        return encode(message)
    except ValueError:
        return json.dumps(_finite(message), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


async def wait_for_any(*awaited: Awaitable[object]) -> None:
    """Return as soon as one of them is done, and cancel the others."""
    waiting = [asyncio.ensure_future(each) for each in awaited]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


def close_nowait(socket: ServerConnection, code: int | None = None) -> None:
    """Send a close frame and close the transport without waiting for the other side."""
    if socket.protocol.state is State.OPEN:
        socket.protocol.send_close(code)
        socket.transport.write(b"".join(socket.protocol.data_to_send()))
    socket.transport.close()


def _failure(error: Exception) -> dict[str, Any]:
    if isinstance(error, EndpointError):
        return error.error
    return EndpointError(f"The emulator failed: {type(error).__name__}: {error}").error
