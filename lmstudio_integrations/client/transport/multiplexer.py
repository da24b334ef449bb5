"""The protocol of one socket, without I/O: many calls share the socket and are distinguished by their ids.

Received frames go into ``receive``; frames to send are return values. Nothing here waits or locks.

A call is one RPC or one channel of LM Studio's protocol, with its answer: a ``PendingCall``. The multiplexer invokes

* its ``deliver(packet)`` for every packet of its channel, with the decoded JSON object;
* its ``finish(outcome)`` once, at its end: an ``Answer`` (an RPC's result), ``CLOSED`` (the channel ended as it should:
  with its final packet, or its close) or an ``LMStudioError``.

It invokes neither of them after the end, nor after ``forget``.

Source: lmstudio-js, ``lms-communication`` (Transport, ClientPort, ServerPort).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from lmstudio_integrations._surrogates import json_without_surrogates
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
from lmstudio_integrations.protocol.json_text import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmstudio_integrations.protocol.auth import Authentication

__all__ = ["CLOSED", "Answer", "Closed", "Multiplexer", "PendingCall", "read_authentication"]

logger: logging.Logger = logging.getLogger("lmstudio_integrations")


class Closed:
    """The outcome of a channel that ended as it should."""

    def __repr__(self) -> str:
        return "CLOSED"


CLOSED: Final = Closed()


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of an RPC; ``None`` for a void one and for "not found"."""

    result: Any


class PendingCall:
    """One RPC or channel and its answer. Times are seconds of ``time.monotonic``.

    ``answered``: a frame with its id has come. ``last``: the latest packet; ``received``: when it came; ``interval``:
    the time between it and the packet before it. ``heard``: when the latest sign of life came, which is any fragment
    or tool-call packet, but a packet of loading or prompt processing only if it reports more than the ones before.
    Packets of unknown types are no sign of life. ``size``: the bytes that have arrived; ``packets``: their number.
    ``on_size()`` is called each time ``size`` has grown by a mebibyte; it returns whether it has ended the call.
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
        """Whether ``packet``, which is not a fragment, shows that the server has made progress."""
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


_STREAMED_TEXT = ("fragment", "toolCallGenerationArgumentFragmentGenerated")

# After these LM Studio only closes the channel (PROTOCOL: "Nothing follows but close").
_FINAL_PACKETS: dict[str, tuple[str, ...]] = {
    "predict": ("success",),
    "completeRawText": ("success",),
    "loadModel": ("success",),
    "getOrLoad": ("alreadyLoaded", "loadSuccess"),
}

Outcome = Answer | Closed | LMStudioError

# How many kinds of unreadable frames are logged for one socket, and how many characters of what the server sent are
# repeated.
_MAX_LOGGED_KINDS = 20
_MAX_TYPE_LENGTH = 80
_MAX_REASON_LENGTH = 500
# After so many warnings about late cancels the socket is replaced: the server sends at most five warnings per socket.
_MAX_LATE_CANCELS = 4


class Multiplexer:
    """All calls of one socket: gives them ids, routes received frames to them, and ends them."""

    def __init__(self) -> None:
        self._channels: dict[int, PendingCall] = {}
        self._rpcs: dict[int, PendingCall] = {}
        self._next_id = 0
        self._logged_kinds: set[str] = set()
        self._late_cancels = 0
        self.make_lost_error: Callable[[], LMStudioError] | None = None
        """Makes the error of a call once the socket is lost; ``None`` while it is not."""
        self.has_warned: bool = False
        """Whether the server has sent a warning that concerns new calls. It sends at most five per socket, and without
        warnings a rejected call would wait for ever: new calls need another socket."""

    @property
    def open_calls(self) -> int:
        """How many calls have not ended."""
        return len(self._channels) + len(self._rpcs)

    # To the server: each returns the frame to send.

    def rpc_call(self, call: PendingCall, parameter: str | None = None) -> str:
        """The frame that makes an RPC. ``parameter``: JSON text, or ``None`` for an endpoint without a parameter."""
        head = encode({"type": "rpcCall", "endpoint": call.endpoint, "callId": self._next_id})
        text = head if parameter is None else f'{head[:-1]},"parameter":{parameter}}}'
        self._admit(call, self._rpcs)
        return text

    def channel_create(self, call: PendingCall, creation: str) -> str:
        """The frame that opens a channel. ``creation``: its creation parameter as JSON text."""
        head = encode({"type": "channelCreate", "endpoint": call.endpoint, "channelId": self._next_id})
        text = f'{head[:-1]},"creationParameter":{creation}}}'
        call.is_channel = True
        self._admit(call, self._channels)
        return text

    def _admit(self, call: PendingCall, table: dict[int, PendingCall]) -> None:
        call.id = self._next_id
        self._next_id += 1
        table[call.id] = call
        # Registered first, as `_finish` removes it again.
        if self.make_lost_error is not None:
            self._finish(call, self.make_lost_error())

    def channel_send(self, call: PendingCall, message: Mapping[str, Any]) -> str | None:
        """The frame of a message on a channel, or ``None`` if the channel has ended: LM Studio would only warn."""
        if call.finished or not call.is_channel:
            return None
        return encode({"type": "channelSend", "channelId": call.id, "message": message})

    # From the server.

    def receive(self, data: str | bytes | bytearray) -> None:
        """Route one frame to its call. Never raises: an unreadable frame is ignored, and its kind logged once."""
        try:
            try:
                frame = from_json(data)
            except ValueError:
                frame = _decode_with_lone_surrogates(data)
            if frame["type"] == "channelSend":
                channel_id = frame["channelId"]
                call = self._channels.get(channel_id) if type(channel_id) is int else _find(self._channels, channel_id)
                packet = frame["message"]
            else:
                call = packet = None
        except (ValueError, KeyError, TypeError) as error:
            self._log_once(
                f"garbage:{type(error).__name__}", f"ignored a frame that is not one of LM Studio's: {error}"
            )
            return
        if call is None:
            if frame["type"] != "channelSend":
                self._receive_other(frame)
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
            self._log_once("packet", f"ignored a packet that is not a JSON object but {type(packet).__name__}")

    def _receive_other(self, frame: dict[str, Any]) -> None:
        """A frame that is not ``channelSend``."""
        kind = frame["type"]
        if kind == "rpcResult":
            self._end(self._rpcs, frame.get("callId"), lambda: Answer(frame.get("result")))
        elif kind == "rpcError":
            self._end(self._rpcs, frame.get("callId"), lambda: server_error(frame.get("error")))
        elif kind == "channelClose":
            self._end(self._channels, frame.get("channelId"), lambda: CLOSED)
        elif kind == "channelError":
            self._end(self._channels, frame.get("channelId"), lambda: server_error(frame.get("error")))
        elif kind == "communicationWarning":
            self._receive_warning(str(frame.get("warning", "")), str(frame.get("kind") or ""))
        elif kind not in ("channelAck", "keepAliveAck"):
            shown = repr(kind)[:_MAX_TYPE_LENGTH]
            self._log_once(f"type:{shown}", f"ignored a message of the unknown type {shown}")

    def _end(self, table: dict[int, PendingCall], key: object, outcome: Callable[[], Outcome]) -> None:
        call = _find(table, key)
        if call is not None:
            call.answered = True
            self._finish(call, outcome())

    def _finish(self, call: PendingCall, outcome: Outcome) -> None:
        call.finished = True
        (self._channels if call.is_channel else self._rpcs).pop(call.id, None)
        call.finish(outcome)

    def _receive_warning(self, warning: str, kind: str) -> None:
        """End the unanswered calls that a warning can mean: it has no id (PROTOCOL: "What happens on bad input").

        If it names an endpoint, these are the calls to it, else all RPCs or all channels: an error is better than
        waiting for ever. A warning about an endpoint without unanswered calls came too late and ends none.
        """
        if is_late_cancel(warning, kind):
            # The cancel was sent before the end of its channel arrived here.
            self._late_cancels += 1
            self.has_warned = self.has_warned or self._late_cancels >= _MAX_LATE_CANCELS
            logger.debug("LM Studio warns: %s", shorten(warning))
            return
        self.has_warned = True
        logger.warning("LM Studio warns: %s", shorten(warning))
        meaning = parse_warning(warning, kind)
        if meaning is None:
            return
        unanswered = [
            call
            for call in (*self._rpcs.values(), *self._channels.values())
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
        """Discard what still comes for a call. Neither ``deliver`` nor ``finish`` is invoked any more."""
        call.finished = True
        (self._channels if call.is_channel else self._rpcs).pop(call.id, None)

    def connection_lost(self, make_error: Callable[[], LMStudioError]) -> None:
        """End every open call, each with an error of its own."""
        self.make_lost_error = make_error
        for call in (*self._rpcs.values(), *self._channels.values()):
            if not call.finished:
                self._finish(call, make_error())

    def _log_once(self, kind: str, message: str) -> None:
        """Log each kind of unreadable frame once per socket, so that a newer server does not flood the log."""
        if kind not in self._logged_kinds and len(self._logged_kinds) < _MAX_LOGGED_KINDS:
            self._logged_kinds.add(kind)
            logger.warning("%s", message)


def _find(table: Mapping[int, PendingCall], key: object) -> PendingCall | None:
    """The call with the id ``key``. JSON has one kind of number: 1.0 is the id 1, but true is no id."""
    return table.get(key) if isinstance(key, int | float) and not isinstance(key, bool) else None  # type: ignore[arg-type]


def _decode_with_lone_surrogates(data: str | bytes | bytearray) -> Any:
    """A frame in which half of a surrogate pair is escaped, which pydantic's parser refuses.

    Half a character stays as it is in streamed text, where the next packet may have the other half. Elsewhere it is
    replaced: it could be neither printed nor sent back to the server.
    """
    frame = decode(data if isinstance(data, str) else bytes(data))
    packet = frame.get("message") if isinstance(frame, dict) else None
    is_streamed = isinstance(packet, dict) and packet.get("type") in _STREAMED_TEXT
    return frame if is_streamed else json_without_surrogates(frame)


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
    words = authentication.remove_from(reply.error or "no reason given")[:_MAX_REASON_LENGTH]
    kind = "guest" if authentication.client_identifier.startswith("guest:") else "API token"
    return LMStudioAuthenticationError(
        f"LM Studio refused the {kind}: {words}\n"
        "Pass a token of this LM Studio as api_token, or set LMSTUDIO_API_TOKEN (in LM Studio under Developer)."
    )
