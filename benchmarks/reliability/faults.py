"""What can go wrong on the server's side, by name, with its ``Effect`` on a request."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from .server import Disturbance, Place, RawServer, Stop, fragment, frame_bytes, success

__all__ = ["CHANNEL", "FAULTS", "Effect", "Fault"]

RESTART_SECONDS = 0.3
_HUGE = 3_000_000


class Effect(enum.Enum):
    """What a fault means for the request that it meets."""

    HARMLESS = "the answer is complete and exact"
    LOST = "the socket is lost"
    STOPPED = "the server is gone for a while"
    REFUSED = "the handshake is refused by HTTP"
    NOT_LM_STUDIO = "what answers is not LM Studio"
    DENIED = "the authentication is refused, by LM Studio or by a reverse proxy"
    SILENT = "nothing comes that shows progress"
    NO_FINAL = "the channel ends without its final packet"
    ERROR = "the server reports an error"
    UNLOADED = "the server reports that the model was unloaded"
    REJECTED = "the server warns that it did not accept a request"
    TOO_LARGE = "a message exceeds the client's limit"


@dataclass(frozen=True)
class Fault:
    """A fault: what the server does, and where it makes sense.

    ``moments``: those of its own, or all of a request on an authenticated socket. ``once``: a second attempt is not
    disturbed.
    """

    name: str
    effect: Effect
    act: Disturbance
    moments: tuple[str, ...] | None = None
    once: bool = True


async def _never(place: Place) -> None:
    """Say nothing until the client goes."""
    if place.id is None or place.endpoint == "embedString":  # this task is the one that reads the socket
        while await place.peer.reader.read(65536):
            pass
        raise Stop
    await asyncio.Event().wait()


def _closing(code: int | None) -> Disturbance:
    async def act(place: Place) -> None:
        await place.peer.frame(b"" if code is None else code.to_bytes(2, "big") + b"bye", 8)
        raise Stop

    return act


async def _end_of_stream(place: Place) -> None:
    place.peer.writer.close()
    raise Stop


# A reset discards what the other side has received and not read yet, so what was sent before it gets time to be read.
_BEFORE_RESET = 0.05


async def _reset(place: Place) -> None:
    await asyncio.sleep(_BEFORE_RESET)
    place.peer.reset()
    raise Stop


async def _half_open(place: Place) -> None:
    """Nothing more is written, not even pongs, but the socket stays."""
    place.peer.silent = True
    place.peer.writer.write = lambda data: None  # type: ignore[method-assign]
    await _never(place)


async def _stop(place: Place) -> None:
    place.server.stopping += 1
    place.server.spawn(_stop_and_return(place.server))
    raise Stop


async def _stop_and_return(server: RawServer) -> None:
    await asyncio.sleep(_BEFORE_RESET)
    await server.stop_listening()
    await server.restart_after(RESTART_SECONDS)
    server.stopping -= 1


def _saying(*messages: Any, opcode: int = 1) -> Disturbance:
    """Frames between those of the answer: documents, text that is none, or bytes."""

    async def act(place: Place) -> None:
        for message in messages:
            made = message(place) if callable(message) else message
            payload = (
                made if isinstance(made, bytes) else (made if isinstance(made, str) else json.dumps(made)).encode()
            )
            await place.peer.frame(payload, opcode)

    return act


def _raw(data: bytes, *, ends: bool = False) -> Disturbance:
    async def act(place: Place) -> None:
        await place.peer.write(data)
        if ends:
            await _never(place)

    return act


def _then(*actions: Callable[[Place], Coroutine[Any, Any, Any]]) -> Disturbance:
    async def act(place: Place) -> None:
        for action in actions:
            await action(place)

    return act


def _send(packet: Any) -> Callable[[Place], Coroutine[Any, Any, None]]:
    return lambda place: place.send(packet)


def _without_answer(act: Disturbance) -> Disturbance:
    async def run(place: Place) -> None:
        await act(place)
        raise Stop

    return run


async def _close(place: Place) -> None:
    await place.close()


def _fail(error: Any) -> Disturbance:
    async def act(place: Place) -> None:
        await place.fail(error)
        raise Stop

    return act


def _for_ever(make: Callable[[Place], Any], opcode: int = 1) -> Disturbance:
    """Junk without an end, a thousand frames a second, and never a packet that shows progress."""

    async def flood(place: Place) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            while True:
                for _ in range(10):
                    made = make(place)
                    await place.peer.frame(made if isinstance(made, bytes) else json.dumps(made).encode(), opcode)
                await asyncio.sleep(0.01)

    async def act(place: Place) -> None:
        place.server.spawn(flood(place))
        raise Stop

    return act


async def _byte_by_byte(place: Place) -> None:
    place.peer.byte_by_byte = True


async def _late(place: Place) -> None:
    await asyncio.sleep(0.15)


async def _in_pieces(place: Place) -> None:
    """A harmless message in three WebSocket fragments, with a ping between."""
    text = json.dumps({"type": "someNewMessage", "text": "日本" * 50}).encode()
    await place.peer.frame(text[:20], 1, fin=False)
    await place.peer.frame(b"ping", 9)
    await place.peer.frame(text[20:61], 0, fin=False)
    await place.peer.frame(text[61:], 0)


def _http(status: str, headers: str = "") -> Disturbance:
    async def act(place: Place) -> None:
        await place.peer.write(
            f"HTTP/1.1 {status}\r\n{headers}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode()
        )
        place.peer.writer.close()
        raise Stop

    return act


def _unauthenticated(*messages: Any, opcode: int = 1) -> Disturbance:
    """In place of the reply to the authentication."""

    async def act(place: Place) -> None:
        await _saying(*messages, opcode=opcode)(place)
        await _never(place)

    return act


async def _refuse(place: Place) -> None:
    await place.peer.send({"success": False, "error": "Invalid passkey"})
    await place.peer.frame(b"", 8)
    raise Stop


def _warning(kind: str | None, text: Callable[[Place], str]) -> Callable[[Place], Any]:
    return lambda place: (
        {"type": "communicationWarning", "warning": text(place)} | ({} if kind is None else {"kind": kind})
    )


def _rejection(place: Place) -> str:
    return (
        f"Received invalid parameter for {'rpcCall' if place.is_rpc else 'channel'}, endpointName = {place.endpoint}, …"
    )


def _late_cancel(place: Place) -> str:
    return "Received channelSend for unknown channel, channelId = 77"


_DEEP = "[" * 5000
_CODES = (1000, 1001, 1008, 1009, 1011, 1013)
_ERROR = {"title": "Engine failed", "cause": "out of memory", "stack": "at /home/user/secret.js:1"}
_ODD_ERROR = {"title": 7, "cause": ["x"], "displayData": {"code": 5}, "suggestion": None}
_UNLOADED = {"title": "Model unloaded", "displayData": {"code": "generic.specificModelUnloaded"}}
_CONNECTING = ("upgrade", "auth")
# Each answer of an RPC is its end, so what happens within and after an answer concerns channels.
CHANNEL = ("load", "load_mid", "before_first", "prompt", "fragments", "tool", "before_final")
_AFTER = ("after_final", "after_close")
_FINAL = ("before_final",)


def _id_of(value: Any) -> Callable[[Place], Any]:
    return lambda place: {"type": "channelSend", "channelId": value, "message": fragment("FOREIGN")}


FAULTS: tuple[Fault, ...] = (
    # Connecting
    Fault("upgrade never answered", Effect.SILENT, _never, ("upgrade",), once=False),
    Fault("upgrade refused with 403", Effect.DENIED, _http("403 Forbidden"), ("upgrade",), once=False),
    Fault("upgrade refused with 500", Effect.REFUSED, _http("500 Internal Server Error"), ("upgrade",), once=False),
    Fault(
        "upgrade redirected",
        Effect.REFUSED,
        _http("302 Found", "Location: ws://127.0.0.1:9/llm\r\n"),
        ("upgrade",),
        once=False,
    ),
    Fault("upgrade answered with 200", Effect.REFUSED, _http("200 OK"), ("upgrade",), once=False),
    Fault(
        "upgrade answered with bytes",
        Effect.NOT_LM_STUDIO,
        _raw(b"\x00\xffSSH-2.0\r\n\r\n", ends=True),
        ("upgrade",),
        once=False,
    ),
    Fault("authentication never answered", Effect.SILENT, _never, ("auth",), once=False),
    Fault("authentication late", Effect.HARMLESS, _late, ("auth",)),
    Fault("authentication refused", Effect.DENIED, _refuse, ("auth",), once=False),
    Fault("guest refused once", Effect.HARMLESS, _refuse, ("auth",)),
    Fault("authentication: no JSON", Effect.NOT_LM_STUDIO, _unauthenticated("hello"), ("auth",), once=False),
    Fault("authentication: a list", Effect.NOT_LM_STUDIO, _unauthenticated("[true]"), ("auth",), once=False),
    Fault(
        "authentication: success is text", Effect.DENIED, _unauthenticated({"success": "true"}), ("auth",), once=False
    ),
    Fault(
        "authentication: bytes", Effect.NOT_LM_STUDIO, _unauthenticated(b"\xff\xfe", opcode=2), ("auth",), once=False
    ),
    Fault("authentication: empty", Effect.NOT_LM_STUDIO, _unauthenticated(""), ("auth",), once=False),
    Fault(
        "authentication: only a warning",
        Effect.NOT_LM_STUDIO,
        _unauthenticated(_warning(None, _late_cancel)),
        ("auth",),
        once=False,
    ),
    # The socket ends
    *(Fault(f"close code {code}", Effect.LOST, _closing(code)) for code in _CODES),
    Fault("close without a code", Effect.LOST, _closing(None)),
    Fault("end of stream", Effect.LOST, _end_of_stream),
    Fault("reset", Effect.LOST, _reset),
    Fault("server stopped, back later", Effect.STOPPED, _stop),
    Fault("half-open socket", Effect.SILENT, _half_open),
    # Below WebSocket's standard
    Fault("reserved bit", Effect.LOST, _raw(frame_bytes(b"{}", reserved=4))),
    Fault("reserved opcode", Effect.LOST, _raw(frame_bytes(b"{}", 3))),
    Fault("masked frame", Effect.LOST, _raw(b"\x81\x82\x00\x00\x00\x00{}")),
    Fault("truncated UTF-8", Effect.HARMLESS, _raw(frame_bytes("日".encode()[:2]))),
    Fault("close frame with half a code", Effect.LOST, _raw(frame_bytes(b"\x03", 8))),
    Fault("ping of 200 bytes", Effect.LOST, _raw(frame_bytes(b"p" * 200, 9))),
    Fault("continuation of nothing", Effect.LOST, _raw(frame_bytes(b"{}", 0))),
    # Within it
    Fault("byte by byte", Effect.HARMLESS, _byte_by_byte),
    Fault("a message in pieces", Effect.HARMLESS, _in_pieces),
    Fault("pings and pongs", Effect.HARMLESS, _raw(frame_bytes(b"a", 9) + frame_bytes(b"b", 10))),
    Fault("a huge message", Effect.HARMLESS, _saying({"type": "someNewMessage", "text": "x" * _HUGE})),
    Fault("silence on the channel", Effect.SILENT, _without_answer(_saying())),
    # Frames that are none of LM Studio's
    Fault("text that is no JSON", Effect.HARMLESS, _saying('{"type": "channelSend", "channelId": NaN, garb')),
    Fault("empty frame", Effect.HARMLESS, _saying("")),
    Fault("binary junk", Effect.HARMLESS, _saying(b"\x00\xff\xfe\x80" * 100, opcode=2)),
    Fault("JSON without an object", Effect.HARMLESS, _saying("null", "1", '"channelSend"', "[]", "true")),
    Fault("JSON a thousand levels deep", Effect.HARMLESS, _saying(_DEEP)),
    Fault(
        "a number of a thousand digits",
        Effect.HARMLESS,
        _saying('{"type": "channelSend", "channelId": ' + "9" * 1000 + ', "message": {}}'),
    ),
    Fault(
        "unknown types",
        Effect.HARMLESS,
        _saying({"type": "someNewMessage"}, {"type": 5}, {"type": None}, {"type": ["x"]}, {}),
    ),
    Fault(
        "unknown ids",
        Effect.HARMLESS,
        _saying(
            _id_of(9999),
            {"type": "rpcResult", "callId": 9999, "result": 1},
            {"type": "channelClose", "channelId": 9999},
            {"type": "rpcError", "callId": 9999, "error": {}},
        ),
    ),
    Fault(
        "ids of another type",
        Effect.HARMLESS,
        _saying(
            *map(_id_of, (True, False, "0", None, 0.5, [], {}, -1)),
            {"type": "channelClose", "channelId": False},
            {"type": "rpcResult", "callId": True},
        ),
    ),
    Fault(
        "members missing",
        Effect.HARMLESS,
        _saying(
            {"type": "channelSend"},
            {"type": "channelSend", "channelId": 0},
            {"type": "channelClose"},
            {"type": "rpcResult"},
            {"type": "rpcError"},
            {"type": "channelError"},
            {"type": "communicationWarning", "kind": "channelUnknown"},
        ),
    ),
    Fault(
        "keepAliveAck and channelAck",
        Effect.HARMLESS,
        _saying({"type": "keepAliveAck"}, {"type": "channelAck", "channelId": 0, "ackId": 1}),
    ),
    # Packets of the channel
    Fault("unknown packet", Effect.HARMLESS, _then(_send({"type": "someNewPacket", "value": 1})), CHANNEL),
    Fault("packets that are no objects", Effect.HARMLESS, _then(*map(_send, (None, 5, "text", [1], True))), CHANNEL),
    Fault(
        "packets with odd members",
        Effect.HARMLESS,
        _then(
            *map(
                _send,
                (
                    {"type": "promptProcessingProgress"},
                    {"type": "promptProcessingProgress", "progress": "x"},
                    {"type": "loadProgress", "progress": None},
                    {"type": 3},
                    {"type": {}},
                ),
            )
        ),
        CHANNEL,
    ),
    Fault(
        "progress that repeats and goes back",
        Effect.HARMLESS,
        _then(
            _send({"type": "promptProcessingProgress", "progress": 0.1}),
            _send({"type": "promptProcessingProgress", "progress": 0}),
        ),
        CHANNEL,
    ),
    Fault("channel closed without its final packet", Effect.NO_FINAL, _without_answer(_then(_close)), CHANNEL),
    Fault("error", Effect.ERROR, _fail(_ERROR)),
    Fault("error with odd members", Effect.ERROR, _fail(_ODD_ERROR)),
    Fault("error that is none", Effect.ERROR, _fail("failed")),
    Fault("model unloaded", Effect.UNLOADED, _fail(_UNLOADED)),
    # After the end
    Fault(
        "duplicate final packet",
        Effect.HARMLESS,
        _then(_send(success("failed")), _send(success())),
        ("after_final", "after_close"),
    ),
    Fault(
        "packets after the end",
        Effect.HARMLESS,
        _then(_send(fragment("LATE")), _send({"type": "error", "error": _ERROR})),
        _AFTER,
    ),
    Fault("duplicate close", Effect.HARMLESS, _then(_close, _close), _AFTER),
    Fault("error after the end", Effect.HARMLESS, _then(lambda place: place.fail(_ERROR)), _AFTER),
    # Warnings
    Fault("rejected by a warning", Effect.REJECTED, _without_answer(_saying(_warning(None, _rejection)))),
    Fault("warning of a late cancel", Effect.HARMLESS, _saying(_warning("channelUnknown", _late_cancel))),
    Fault(
        "warning about another endpoint",
        Effect.HARMLESS,
        _saying(
            _warning("rpcEndpointUnknown", lambda _: "Received rpcCall for unknown endpoint, endpoint = someOther")
        ),
    ),
    # Without an end
    Fault(
        "unknown packets for ever",
        Effect.SILENT,
        _for_ever(lambda place: place.wrapped({"type": "someNewPacket"})),
        CHANNEL,
    ),
    Fault("unknown messages for ever", Effect.SILENT, _for_ever(lambda _: {"type": "someNewMessage"})),
    Fault(
        "progress for ever that is none",
        Effect.SILENT,
        _for_ever(lambda place: place.wrapped(place.sample())),
        ("load", "load_mid", "before_first", "prompt"),
    ),
    Fault("pings for ever", Effect.SILENT, _for_ever(lambda _: b"ping", 9)),
)
