"""The protocol of one socket, without I/O: many calls share the socket and are distinguished by their ids.

Received frames go into ``receive``; frames to send are return values. Nothing here waits or locks.

A request is a ``PendingCall``. The multiplexer calls

* ``deliver(packet)`` for every packet of its channel, as the decoded JSON object;
* ``finish(outcome)`` exactly once: an ``Answer`` (an RPC's result), ``CLOSED`` (the channel's orderly end: its final
  packet, or its close) or an ``LMStudioError``. Neither is called after that.

Source: lmstudio-js, ``lms-communication`` (Transport, ClientPort, ServerPort).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from lmstudio_integrations.client.transport.bounds import CHECK_BYTES
from lmstudio_integrations.client.transport.server_warning import is_late_cancel, parse_warning, shorten
from lmstudio_integrations.errors import (
    LMStudioAuthenticationError,
    LMStudioError,
    LMStudioProtocolError,
    LMStudioRequestRejectedError,
    server_error,
)
from lmstudio_integrations.protocol.auth import AuthenticationReply
from lmstudio_integrations.protocol.envelopes import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmstudio_integrations.protocol.auth import Authentication

__all__ = ["CLOSED", "Answer", "Closed", "Multiplexer", "PendingCall", "read_authentication"]

logger: logging.Logger = logging.getLogger("lmstudio_integrations")


class Closed:
    """The orderly end of a channel."""

    def __repr__(self) -> str:
        return "CLOSED"


CLOSED: Final = Closed()


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of an RPC; ``None`` for a void one and for "not found"."""

    result: Any


class PendingCall:
    """One request and its answer: an RPC or a channel.

    ``answered`` is set by the first frame that has its id; ``last`` is the latest packet, ``received`` when it came
    (``time.monotonic`` seconds) and ``interval`` how long after the one before. ``heard`` is when the latest sign of
    life came: any fragment or tool-call packet, but of loading and prompt processing only what is new. Packets of
    unknown types are no sign of life. ``size`` is what has arrived, in bytes, and ``packets`` how many packets;
    ``on_size()`` is called each time it has grown by a mebibyte, and says whether it has ended the call.
    """

    __slots__ = (
        "_progress",
        "answered",
        "deliver",
        "endpoint",
        "finish",
        "finished",
        "heard",
        "id",
        "interval",
        "is_channel",
        "last",
        "next_check",
        "on_size",
        "packets",
        "received",
        "size",
    )

    def __init__(
        self, endpoint: str, deliver: Callable[[dict[str, Any]], object], finish: Callable[[Outcome], object]
    ) -> None:
        self.endpoint: str = endpoint
        self.deliver: Callable[[dict[str, Any]], object] = deliver
        self.finish: Callable[[Outcome], object] = finish
        self.id: int = -1
        self.is_channel: bool = False
        self.answered: bool = False
        self.finished: bool = False
        self.heard: float = 0.0
        self.received: float = 0.0
        self.interval: float = 0.0
        self.last: dict[str, Any] | None = None
        self.size: int = 0
        self.packets: int = 0
        self.next_check: int = CHECK_BYTES
        self.on_size: Callable[[], bool] | None = None
        self._progress: dict[str, float] = {}

    def is_sign_of_life(self, packet: dict[str, Any]) -> bool:
        """Whether ``packet``, which is no fragment, shows that the server got further."""
        kind = packet.get("type")
        if not isinstance(kind, str) or kind not in _KNOWN_PACKETS:
            return False
        if kind.startswith("toolCall"):
            return True
        progress = _progress_of(packet)
        if kind in self._progress and not progress > self._progress[kind]:
            return False
        self._progress[kind] = progress
        return True


_KNOWN_PACKETS = frozenset(
    {
        "promptProcessingProgress",
        "toolCallGenerationStart",
        "toolCallGenerationNameReceived",
        "toolCallGenerationArgumentFragmentGenerated",
        "toolCallGenerationEnd",
        "toolCallGenerationFailed",
        "success",
        "error",
        "resolved",
        "progress",
        "alreadyLoaded",
        "unloadingOtherJITModel",
        "startLoading",
        "loadProgress",
        "loadSuccess",
        "downloadProgress",
        "startFinalizing",
    }
)


def _progress_of(packet: dict[str, Any]) -> float:
    """How far a packet reports: the processed tokens, the downloaded bytes or the progress, -1 without any."""
    details, update = packet.get("details"), packet.get("update")
    processed = details.get("processedPromptTokenCount") if isinstance(details, dict) else None
    downloaded = update.get("downloadedBytes") if isinstance(update, dict) else None
    for value in (processed, downloaded, packet.get("progress")):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                continue
    return -1.0


# After these LM Studio only closes the channel (PROTOCOL: "Nothing follows but close").
_FINAL_PACKETS: dict[str, tuple[str, ...]] = {
    "predict": ("success",),
    "completeRawText": ("success",),
    "loadModel": ("success",),
    "getOrLoad": ("alreadyLoaded", "loadSuccess"),
}

Outcome = Answer | Closed | LMStudioError

# How many kinds of unreadable frames are logged for one socket, and how many characters of an unknown type.
_MOST_NOTES = 20
_SHOWN_TYPE = 80
_SHOWN_REASON = 500
_MAX_LATE_CANCELS = 4


class Multiplexer:
    """Ids, routing and the life of every call on one socket."""

    def __init__(self) -> None:
        self._channels: dict[int, PendingCall] = {}
        self._calls: dict[int, PendingCall] = {}
        self._next_id = 0
        self._strange: set[str] = set()
        self._late_cancels = 0
        self.lost: Callable[[], LMStudioError] | None = None
        """Makes the error of each call, once the socket is lost."""
        self.warned: bool = False
        """The server has warned. It sends at most five warnings per socket, so new requests need a fresh one."""

    @property
    def open_calls(self) -> int:
        """How many requests have not had their end."""
        return len(self._channels) + len(self._calls)

    # Out: each returns the frame to send.

    def call(self, call: PendingCall, parameter: str | None = None) -> str:
        """The frame of an RPC, ``parameter`` as JSON text. ``None`` omits it, as endpoints without one require."""
        head = encode({"type": "rpcCall", "endpoint": call.endpoint, "callId": self._next_id})
        text = head if parameter is None else f'{head[:-1]},"parameter":{parameter}}}'
        self._admit(call, self._calls)
        return text

    def open(self, call: PendingCall, creation: str) -> str:
        """The frame that opens a channel. ``creation``: its parameter as JSON text, which may be long."""
        head = encode({"type": "channelCreate", "endpoint": call.endpoint, "channelId": self._next_id})
        text = f'{head[:-1]},"creationParameter":{creation}}}'
        call.is_channel = True
        self._admit(call, self._channels)
        return text

    def _admit(self, call: PendingCall, table: dict[int, PendingCall]) -> None:
        call.id = self._next_id
        self._next_id += 1
        table[call.id] = call
        # Registered before the check: a socket that is lost in between must not leave a call without its end.
        if self.lost is not None:
            self._finish(call, self.lost())

    def send(self, call: PendingCall, message: Mapping[str, Any]) -> str | None:
        """The frame of a message on an open channel; ``None`` once it has ended (LM Studio would only warn)."""
        if call.finished or not call.is_channel:
            return None
        return encode({"type": "channelSend", "channelId": call.id, "message": message})

    # In.

    def receive(self, data: str | bytes | bytearray) -> None:
        """Route one frame to its call. Never raises: a frame that cannot be read is logged once and ignored."""
        try:
            try:
                frame = from_json(data)
            except ValueError:
                frame = _parse_odd(data)
            if frame["type"] == "channelSend":
                channel_id = frame["channelId"]
                call = self._channels.get(channel_id) if type(channel_id) is int else self._odd_id(channel_id)
                packet = frame["message"]
            else:
                call = packet = None
        except (ValueError, KeyError, TypeError) as error:
            self._note(f"garbage:{type(error).__name__}", f"ignored a frame that is not one of LM Studio's: {error}")
            return
        if call is None:
            if frame["type"] != "channelSend":
                self._receive_rare(frame)
            return
        call.answered = True
        call.packets += 1
        call.size += len(data)
        if call.size >= call.next_check:
            call.next_check = call.size + CHECK_BYTES
            if call.on_size is not None and call.on_size():
                return
        if type(packet) is dict:
            call.last = packet
            now = time.monotonic()
            call.interval = now - call.received
            call.received = now
            kind = packet.get("type")
            if kind == "fragment":
                call.heard = now
                call.deliver(packet)
                return
            if call.is_sign_of_life(packet):
                call.heard = now
            call.deliver(packet)
            if kind in _FINAL_PACKETS.get(call.endpoint, ()) and not call.finished:
                # Not only at the channel's close: a server that keeps sending would hold the socket open.
                self._finish(call, CLOSED)
        else:
            self._note("packet", f"ignored a packet that is not a JSON object but {type(packet).__name__}")

    def _odd_id(self, key: object) -> PendingCall | None:
        """JSON has one kind of number: 1.0 is the id 1, but true is not."""
        return self._channels.get(int(key)) if isinstance(key, float) and key.is_integer() else None

    def _receive_rare(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "rpcResult":
            self._end(self._calls, frame.get("callId"), lambda: Answer(frame.get("result")))
        elif kind == "rpcError":
            self._end(self._calls, frame.get("callId"), lambda: server_error(frame.get("error")))
        elif kind == "channelClose":
            self._end(self._channels, frame.get("channelId"), lambda: CLOSED)
        elif kind == "channelError":
            self._end(self._channels, frame.get("channelId"), lambda: server_error(frame.get("error")))
        elif kind == "communicationWarning":
            self._warned(str(frame.get("warning", "")), str(frame.get("kind") or ""))
        elif kind not in ("channelAck", "keepAliveAck"):
            shown = repr(kind)[:_SHOWN_TYPE]
            self._note(f"type:{shown}", f"ignored a message of the unknown type {shown}")

    def _end(self, table: dict[int, PendingCall], key: object, outcome: Callable[[], Outcome]) -> None:
        # JSON has one kind of number: 1.0 is the id 1, but true is none.
        call = table.get(key) if isinstance(key, int | float) and not isinstance(key, bool) else None  # type: ignore[arg-type]
        if call is not None:
            call.answered = True
            self._finish(call, outcome())

    def _finish(self, call: PendingCall, outcome: Outcome) -> None:
        call.finished = True
        (self._channels if call.is_channel else self._calls).pop(call.id, None)
        call.finish(outcome)

    def _warned(self, warning: str, kind: str) -> None:
        """End the unanswered requests that a warning can mean: it has no id (PROTOCOL, the hang table).

        If it names an endpoint, those are the requests to it, else all of its kind: an error is better than a hang. A
        warning about an endpoint without unanswered requests came too late and ends none.
        """
        if is_late_cancel(warning, kind):
            # A cancel that crossed the end of its channel. The server sends five warnings per socket at most, so the
            # socket is replaced before they are used up.
            self._late_cancels += 1
            self.warned = self.warned or self._late_cancels >= _MAX_LATE_CANCELS
            logger.debug("LM Studio warns: %s", shorten(warning))
            return
        self.warned = True
        logger.warning("LM Studio warns: %s", shorten(warning))
        meaning = parse_warning(warning, kind)
        if meaning is None:
            return
        unanswered = [
            call
            for call in (*self._calls.values(), *self._channels.values())
            if not call.answered and meaning.fits(call.endpoint, is_channel=call.is_channel)
        ]
        for call in [c for c in unanswered if meaning.names(c.endpoint)] or unanswered:
            self._finish(
                call,
                LMStudioRequestRejectedError(
                    f"LM Studio did not accept a request to {call.endpoint!r}: {shorten(warning)}\n"
                    "This LM Studio may be older or newer than this package knows; updating it or the package would do."
                ),
            )

    def forget(self, call: PendingCall) -> None:
        """Discard what still comes for a call."""
        call.finished = True
        (self._channels if call.is_channel else self._calls).pop(call.id, None)

    def connection_lost(self, make_error: Callable[[], LMStudioError]) -> None:
        """End every open call, each with an error of its own."""
        self.lost = make_error
        for call in (*self._calls.values(), *self._channels.values()):
            if not call.finished:
                self._finish(call, make_error())

    def _note(self, key: str, message: str) -> None:
        """Log each kind of unreadable frame once per socket, so that a newer server does not flood the log."""
        if key not in self._strange and len(self._strange) < _MOST_NOTES:
            self._strange.add(key)
            logger.warning("%s", message)


def _parse_odd(data: str | bytes | bytearray) -> Any:
    """Half a surrogate pair, escaped, is JSON all the same."""
    return decode(data if isinstance(data, str) else bytes(data))


def read_authentication(data: str | bytes, authentication: Authentication) -> None:
    """Check the first frame from the server, and raise unless it accepts the authentication.

    Raises ``LMStudioAuthenticationError`` with the server's words, ``LMStudioProtocolError`` for anything else.
    """
    error = _authentication_error(data, authentication)
    del data  # it may repeat what was sent, and error trackers record the local variables of a traceback
    if error is not None:
        raise error


def _authentication_error(data: str | bytes, authentication: Authentication) -> LMStudioError | None:
    try:
        reply = AuthenticationReply.model_validate(from_json(data))
    except ValueError:
        return LMStudioProtocolError(
            "what answered does not speak LM Studio's protocol: no reply to the authentication"
        )
    if reply.success:
        return None
    # The reason may repeat what was sent.
    words = authentication.remove_from(reply.error or "no reason given")[:_SHOWN_REASON]
    kind = "guest" if authentication.client_identifier.startswith("guest:") else "API token"
    return LMStudioAuthenticationError(
        f"LM Studio refused the {kind}: {words}\n"
        "Pass a token of this LM Studio as api_token, or set LMSTUDIO_API_TOKEN (in LM Studio under Developer)."
    )
