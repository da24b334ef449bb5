"""One socket's worth of LM Studio's protocol, without the socket.

Frames go in through ``receive`` and come out as return values; answers are handed to the callables that each request
brought along (``list.append`` will do in a test). Nothing here waits, locks or knows the time.

A request is a ``PendingCall``. It hears

* ``deliver(packet)`` for every packet of its channel, as the decoded JSON object;
* ``finish(outcome)`` exactly once: an ``Answer`` (an RPC's result), ``CLOSED`` (the channel's orderly end) or an
  ``LMStudioError``. After that it hears nothing more.

Source: lmstudio-js, ``lms-communication`` (Transport, ClientPort, ServerPort).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from lmstudio_integrations.client.transport.server_warning import parse_warning, shorten
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

logger = logging.getLogger("lmstudio_integrations")


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

    ``answered`` turns true with the first frame that bears its id; ``heard`` is when that last happened
    (``time.monotonic`` seconds) and ``last`` the packet, for time limits and their messages.
    """

    __slots__ = ("answered", "deliver", "endpoint", "finish", "finished", "heard", "id", "is_channel", "last")

    def __init__(
        self, endpoint: str, deliver: Callable[[dict[str, Any]], object], finish: Callable[[Outcome], object]
    ) -> None:
        self.endpoint = endpoint
        self.deliver = deliver
        self.finish = finish
        self.id = -1
        self.is_channel = False
        self.answered = False
        self.finished = False
        self.heard = 0.0
        self.last: dict[str, Any] | None = None


Outcome = Answer | Closed | LMStudioError

# So many kinds of strangeness are logged for one socket; a server that makes up ever new ones is not worth more.
_MOST_NOTES = 20


class Multiplexer:
    """Ids, routing and the life of every call on one socket."""

    def __init__(self) -> None:
        self._channels: dict[int, PendingCall] = {}
        self._calls: dict[int, PendingCall] = {}
        self._next_id = 0
        self._strange: set[str] = set()
        self.lost: Callable[[], LMStudioError] | None = None
        """Makes the error that each call is told, once the socket is gone."""
        self.warned = False
        """The server has warned: it does so five times per socket at most, so new requests belong on a fresh one."""

    @property
    def open_calls(self) -> int:
        """How many requests have not had their end."""
        return len(self._channels) + len(self._calls)

    # Out: each returns the frame to send.

    def call(self, call: PendingCall, parameter: Mapping[str, Any] | None = None) -> str:
        """The frame of an RPC. ``None`` leaves the parameter out, as endpoints without one demand."""
        frame: dict[str, Any] = {"type": "rpcCall", "endpoint": call.endpoint, "callId": self._next_id}
        if parameter is not None:
            frame["parameter"] = parameter
        text = encode(frame)
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
        # Registered first, asked second: a socket lost in between must not leave anybody waiting.
        if self.lost is not None:
            self._finish(call, self.lost())

    def send(self, call: PendingCall, message: Mapping[str, Any]) -> str | None:
        """The frame of a message on an open channel; ``None`` once it has ended (LM Studio would only warn)."""
        if call.finished or not call.is_channel:
            return None
        return encode({"type": "channelSend", "channelId": call.id, "message": message})

    # In.

    def receive(self, data: str | bytes | bytearray) -> None:
        """Hand one frame to whom it concerns. Never raises: what cannot be understood is logged and passed over."""
        try:
            try:
                frame = from_json(data)
            except ValueError:
                frame = _parse_odd(data)
            if frame["type"] == "channelSend":
                call, packet = self._channels.get(frame["channelId"]), frame["message"]
            else:
                call = packet = None
        except (ValueError, KeyError, TypeError) as error:
            self._note(
                f"garbage:{type(error).__name__}", f"a frame that is none of LM Studio's was passed over: {error}"
            )
            return
        if call is None:
            if frame["type"] != "channelSend":
                self._receive_rare(frame)
            return
        call.answered = True
        call.heard = time.monotonic()
        if type(packet) is dict:
            call.last = packet
            call.deliver(packet)
        else:
            self._note("packet", f"a packet that is no object ({type(packet).__name__}) was passed over")

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
            self._note(f"type:{kind}", f"a message of the unknown type {kind!r} was passed over")

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
        """A warning bears no id: it ends the unanswered requests that it can mean (PROTOCOL, the hang table).

        If it names an endpoint, those are the requests to it, else all of its kind: better an error than a hang. One
        that names an endpoint for which nobody waits came too late for the request that it means.
        """
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
        """Forget a call whose owner no longer waits; it hears nothing more."""
        call.finished = True
        (self._channels if call.is_channel else self._calls).pop(call.id, None)

    def connection_lost(self, make_error: Callable[[], LMStudioError]) -> None:
        """The socket is gone: every open call is told, each with an error of its own."""
        self.lost = make_error
        for call in (*self._calls.values(), *self._channels.values()):
            if not call.finished:
                self._finish(call, make_error())

    def _note(self, key: str, message: str) -> None:
        """Log what is strange once per socket, so that a newer server does not flood the log."""
        if key not in self._strange and len(self._strange) < _MOST_NOTES:
            self._strange.add(key)
            logger.warning("%s", message)


def _parse_odd(data: str | bytes | bytearray) -> Any:
    """Half a surrogate pair, escaped, is JSON all the same."""
    return decode(data if isinstance(data, str) else bytes(data))


def read_authentication(data: str | bytes, authentication: Authentication) -> None:
    """Check the first frame from the server: return if it lets us in, else raise.

    Raises ``LMStudioAuthenticationError`` with the server's words, ``LMStudioProtocolError`` for anything else.
    """
    try:
        reply = AuthenticationReply.model_validate(from_json(data))
    except ValueError:
        raise LMStudioProtocolError(
            "what answered does not speak LM Studio's protocol: no reply to the authentication"
        ) from None
    if not reply.success:
        # In case that the reason repeats what was sent.
        words = (reply.error or "no reason given").replace(authentication.client_passkey, "…")
        kind = "guest" if authentication.client_identifier.startswith("guest:") else "API token"
        raise LMStudioAuthenticationError(
            f"LM Studio refused the {kind}: {words}\n"
            "Pass a token of this LM Studio as api_token, or set LMSTUDIO_API_TOKEN (in LM Studio under Developer)."
        )
