"""Faults of the server, requested by name; each happens at a fixed place.

======================  ========================================================================================
name                    what happens (``after`` counts the fragments, or load progress packets, that still arrive)
======================  ========================================================================================
``no_upgrade``          the WebSocket upgrade is not answered (until released)
``slow_auth``           authentication is answered only once released
``never_auth``          authentication is never answered
``refuse_auth``         authentication is refused; option ``error``
``silent``              no answer and no warning
``warning_instead``     only a ``communicationWarning``; options ``kind``, ``warning``
``void``                an ``rpcResult`` without ``result``; a channel closes without a packet
``drop``                the socket is cut
``restart``             the server restarts: all sockets are cut, models loaded since the start are gone
``stall``               nothing more on this channel (``connection=True``: on this socket) until released
``garbage``             a frame that is not JSON comes in between; option ``text``
``unknown_packet``      a packet of unknown type comes in between; option ``packet``; ``top_level=True``: a message
``big_frame``           a fragment of ``size`` characters (1.5 million) comes in between; ``top_level=True``: a message
``error_mid_stream``    ``channelError``; option ``error`` (title or error object)
``unloaded``            ``channelError`` with ``generic.specificModelUnloaded``
``no_success``          the channel closes without its final packet
``late_close``          the final packet comes, the close only once released
``unknown_enum``        unknown enum members: ``stopReason``, ``format`` (``reasoning=True``: ``reasoningType``, too)
``extra_fields``        every object has a field more
``missing_new_fields``  an older LM Studio: what was added since October 2025 is missing
======================  ========================================================================================

Faults of a call apply to predictions unless ``endpoint`` names another one (``"*"``: any). With ``times=1`` a fault
applies to the next matching event only, with ``times=None`` to all.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from lmstudio_integrations.emulator import mutations
from lmstudio_integrations.emulator.argument_checks import (
    Check,
    check_all,
    check_name,
    choice,
    error_description,
    flag,
    json_value,
    number,
    optional,
    text,
)
from lmstudio_integrations.emulator.backends.reply_events import Text
from lmstudio_integrations.emulator.errors import error_object, model_unloaded
from lmstudio_integrations.emulator.threadsafe_event import ThreadsafeEvent
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.envelope_models import ChannelError, RpcError

PREDICTIONS = ("predict", "completeRawText")
_CONNECTION = ("no_upgrade", "slow_auth", "never_auth", "refuse_auth")
_ANSWER = ("silent", "warning_instead", "void")
_PLACED = ("drop", "restart", "stall", "garbage", "unknown_packet", "big_frame", "error_mid_stream", "unloaded")
_WHOLE = ("no_success", "late_close", "unknown_enum", "extra_fields", "missing_new_fields")
NAMES = (*_CONNECTION, *_ANSWER, *_PLACED, *_WHOLE)

_COUNTED = ("fragment", "toolCallGenerationArgumentFragmentGenerated", "progress", "loadProgress")
_FINAL = ("success", "loadSuccess", "alreadyLoaded")
_BIG = 1_500_000


WARNING_KINDS = (
    "channelAlreadyOpen",
    "channelCreationParameterTypeError",
    "channelEndpointUnknown",
    "channelMessageTypeError",
    "channelUnknown",
    "rpcEndpointUnknown",
    "rpcParameterTypeError",
    "rpcResultTypeError",
    "rpcUnknown",
    "signalEndpointUnknown",
    "signalUnknown",
    "writableSignalEndpointUnknown",
    "writableSignalUnknown",
)

OPTIONS: dict[str, dict[str, Check]] = {
    "refuse_auth": {"error": text},
    "warning_instead": {"kind": choice(*WARNING_KINDS), "warning": text},
    "stall": {"connection": flag},
    "garbage": {"text": text},
    "unknown_packet": {"packet": json_value, "top_level": flag},
    "big_frame": {"size": number(1, whole=True), "top_level": flag},
    "error_mid_stream": {"error": error_description},
    "unknown_enum": {"reasoning": flag},
}
_PLACE: dict[str, Check] = {"after": number(whole=True), "times": optional(number(1, whole=True))}
_CHANNELS_ONLY = ("no_success", "late_close")


class MessageSender(Protocol):
    """What faults need of a connection."""

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message."""

    async def send_text(self, text: str) -> None:
        """Send a frame unchanged."""

    def stall(self, until: ThreadsafeEvent) -> None:
        """Send nothing more until the event is set."""

    def drop(self) -> None:
        """Cut the socket without a close frame."""

    def restart_server(self) -> None:
        """Restart the emulator."""


class Fault:
    """One requested fault: ``server.faults.add(name, …)`` returns it.

    Example:
        ```python
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Emulator

        with Emulator() as server, Client(server.url) as client:
            fault = server.faults.add("unknown_packet", after=2)  # between two fragments
            result = client.llm.just_in_time("emulator/chat").respond("Hi")
            print(fault.hits)
            #> 1
        ```
    """

    def __init__(
        self,
        name: str,
        namespace: str | None,
        endpoint: str | None,
        after: int,
        times: int | None,
        options: dict[str, Any],
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.endpoint = endpoint
        self.after = after
        self.times = times
        self.options = options
        self.released: ThreadsafeEvent = ThreadsafeEvent()
        self.hits = 0
        self._hit = threading.Event()

    def release(self) -> None:
        """Continue what this fault holds back; later events are not held back either."""
        self.released.set()

    def wait_hit(self, timeout: float = 5.0) -> None:
        """Wait until the fault has happened for the first time.

        Raises:
            LMStudioValueError: The timeout is not a number from 0.
            TimeoutError: It has not happened within ``timeout`` seconds.
        """
        number()("wait_hit(timeout=…)", timeout)
        if not self._hit.wait(timeout):
            raise TimeoutError(f"the fault {self.name!r} was not triggered within {timeout} s")

    def trigger(self) -> None:
        """Mark the fault as having happened."""
        self._hit.set()

    def fits(self, namespace: str, endpoint: str) -> bool:
        """Whether the fault applies to this event."""
        if self.times is not None and self.hits >= self.times:
            return False
        if self.namespace not in (None, namespace):
            return False
        if self.name in _CONNECTION or self.endpoint == "*":
            return True
        return endpoint == self.endpoint if self.endpoint is not None else endpoint in PREDICTIONS


class Faults:
    """The requested faults. Thread-safe.

    Example:
        ```python
        from lmstudio_integrations.emulator import Emulator

        with Emulator() as server:
            server.faults.add("drop", after=2, times=None)  # in every prediction, after two packets
            server.faults.clear()
        ```
    """

    def __init__(self, endpoints: Mapping[str, Collection[str]], channels: Collection[str] = PREDICTIONS) -> None:
        """``endpoints``: the emulator's, by namespace; ``channels``: those of them that are channels."""
        self._endpoints = endpoints
        self._channels = channels
        self._lock = threading.Lock()
        self._all: list[Fault] = []

    def add(
        self,
        name: str,
        *,
        namespace: str | None = None,
        endpoint: str | None = None,
        after: int = 0,
        times: int | None = 1,
        **options: Any,
    ) -> Fault:
        """Ask for a fault (see the module's table for the names and options).

        Raises:
            LMStudioValueError: There is no fault, endpoint, namespace or option of this name, a value has the wrong
                type, or the fault could never happen there.
        """
        check_name("fault", name, NAMES)
        if endpoint is not None:
            check_name("endpoint", endpoint, ("*", *chain.from_iterable(self._endpoints.values())))
        if namespace is not None:
            check_name("namespace", namespace, tuple(self._endpoints))
        for option in options:
            check_name(f"option of the fault {name!r}", option, tuple(OPTIONS.get(name, ())))
        check_all("faults.add", _PLACE, {"after": after, "times": times})
        check_all("faults.add", OPTIONS.get(name, {}), options)
        if problem := self._never(name, namespace, endpoint, after):
            raise LMStudioValueError(f"faults.add({name!r}): {problem}")
        fault = Fault(name, namespace, endpoint, after, times, options)
        with self._lock:
            self._all.append(fault)
        return fault

    def _never(self, name: str, namespace: str | None, endpoint: str | None, after: int) -> str | None:
        """The reason why a fault could never happen as requested, or ``None``."""
        if name in _CONNECTION and endpoint is not None:
            return f"expected no endpoint, got {endpoint!r}: this fault happens when a connection is opened"
        if after and name in (*_CONNECTION, *_ANSWER):
            return f"expected after=0, got {after}: this fault does not come after a number of fragments"
        if name in _CONNECTION or endpoint == "*":
            return None
        wanted = PREDICTIONS if endpoint is None else (endpoint,)
        if namespace is not None and not any(one in self._endpoints[namespace] for one in wanted):
            there = ", ".join(self._endpoints[namespace]) or "none"
            return (
                f"expected an endpoint of the namespace {namespace!r}, got {endpoint!r}"
                f"{' (predictions)' if endpoint is None else ''}: its endpoints are {there}"
            )
        if name in _CHANNELS_ONLY and not any(one in self._channels for one in wanted):
            return f"expected a channel as endpoint, got {endpoint!r}: channels are {', '.join(self._channels)}"
        return None

    def clear(self) -> None:
        """Remove all faults and continue what they hold back."""
        with self._lock:
            faults, self._all = self._all, []
        for fault in faults:
            fault.release()

    def unused(self) -> list[str]:
        """The names of the faults that have not happened."""
        with self._lock:
            return [fault.name for fault in self._all if not fault.hits]

    def take(self, names: Sequence[str], namespace: str, endpoint: str = "") -> Fault | None:
        """The first fault of these names that applies; its ``hits`` increase."""
        with self._lock:
            for fault in self._all:
                if fault.name in names and fault.fits(namespace, endpoint):
                    fault.hits += 1
                    return fault
        return None

    def take_connection(self, name: str, namespace: str) -> Fault | None:
        """A fault of the connection's beginning. It happens now."""
        return self._take_now((name,), namespace)

    def take_answer(self, namespace: str, endpoint: str) -> Fault | None:
        """A fault that replaces the answer. It happens now."""
        return self._take_now(_ANSWER, namespace, endpoint)

    def _take_now(self, names: Sequence[str], namespace: str, endpoint: str = "") -> Fault | None:
        if (fault := self.take(names, namespace, endpoint)) is not None:
            fault.trigger()
        return fault

    def take_call(self, namespace: str, endpoint: str) -> ChannelFaults:
        """The faults of a call's or channel's course, at most one of each name."""
        if not self._all:
            return _NONE
        found = [self.take((name,), namespace, endpoint) for name in (*_PLACED, *_WHOLE)]
        return ChannelFaults([fault for fault in found if fault is not None])


class ChannelFaults:
    """The faults of one channel (or call), applied between its endpoint and the socket."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.any: bool = bool(faults)
        self._placed = [fault for fault in faults if fault.name in _PLACED]
        self._whole = {fault.name: fault for fault in faults if fault.name in _WHOLE}
        self._sent = 0
        self._over = False

    async def send(self, connection: MessageSender, message: dict[str, Any]) -> None:
        """One message of the channel: packet, close, error or result."""
        packet = message.get("message") or {}
        if packet.get("type") != "promptProcessingProgress":
            for fault in [fault for fault in self._placed if self._sent >= fault.after or self._is_last(message)]:
                if fault.name != "stall":
                    self._placed.remove(fault)
                fault.trigger()
                await self._place(fault, connection, message)
        if self._over:
            return
        if "no_success" in self._whole and packet.get("type") in _FINAL:
            self._whole["no_success"].trigger()
            return
        if "late_close" in self._whole and message["type"] == "channelClose":
            self._whole["late_close"].trigger()
            await self._whole["late_close"].released.wait()
        for name in ("unknown_enum", "extra_fields", "missing_new_fields"):
            if name in self._whole:
                self._whole[name].trigger()
                message = mutations.BY_NAME[name](message, self._whole[name].options)
        await connection.send(message)
        if packet.get("type") in _COUNTED:
            self._sent += 1

    @staticmethod
    def _is_last(message: dict[str, Any]) -> bool:
        return "message" not in message or message["message"].get("type") in _FINAL

    async def _place(self, fault: Fault, connection: MessageSender, message: dict[str, Any]) -> None:
        options = fault.options
        match fault.name:
            case "drop":
                self._over = True
                connection.drop()
            case "restart":
                self._over = True
                connection.restart_server()
            case "stall":
                if options.get("connection"):
                    connection.stall(fault.released)
                await fault.released.wait()
                self._placed.remove(fault)
            case "garbage":
                await connection.send_text(options.get("text", '{"type": "channelSend", "channelId": NaN, garbage'))
            case "error_mid_stream":
                error = error_object(options.get("error", "The emulator was asked to fail here"))
                await self._fail(connection, message, error)
            case "unloaded":
                await self._fail(connection, message, model_unloaded().error)
            case _:
                await connection.send(_inserted(fault, message))

    async def _fail(self, connection: MessageSender, message: dict[str, Any], error: dict[str, Any]) -> None:
        self._over = True
        if "callId" in message:
            await connection.send(RpcError(call_id=message["callId"], error=error).to_wire())
        else:
            await connection.send(ChannelError(channel_id=message["channelId"], error=error).to_wire())


def _inserted(fault: Fault, message: dict[str, Any]) -> dict[str, Any]:
    """The additional message: with a packet of the channel, or one of its own (``top_level``, and beside a result)."""
    options = fault.options
    padding = "x" * options.get("size", _BIG) if fault.name == "big_frame" else ""
    if options.get("top_level") or "channelId" not in message:
        made: dict[str, Any] = options.get("packet", {"type": "emulatedUnknownMessage", "padding": padding})
        return made
    unknown = options.get("packet", {"type": "emulatedUnknownPacket", "value": 1})
    packet = Text(padding, 1).packet() if padding else unknown
    return {"type": "channelSend", "channelId": message["channelId"], "message": packet}


_NONE = ChannelFaults(())
