"""What can go wrong on the server's side, by name, with its ``Effect`` on a request."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from .server import Disturbance, FaultSite, RawServer, Stop, fragment, frame_bytes, success

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


async def _never(site: FaultSite) -> None:
    """Say nothing until the client goes."""
    if site.id is None or site.endpoint == "embedString":  # this task is the one that reads the socket
        while await site.peer.reader.read(65536):
            pass
        raise Stop
    await asyncio.Event().wait()


def _closing(code: int | None) -> Disturbance:
    async def act(site: FaultSite) -> None:
        await site.peer.frame(b"" if code is None else code.to_bytes(2, "big") + b"bye", 8)
        raise Stop

    return act


async def _end_of_stream(site: FaultSite) -> None:
    site.peer.writer.close()
    raise Stop


# A reset discards what the other side has received and not read yet, so what was sent before it gets time to be read.
_BEFORE_RESET = 0.05


async def _reset(site: FaultSite) -> None:
    await asyncio.sleep(_BEFORE_RESET)
    site.peer.reset()
    raise Stop


async def _half_open(site: FaultSite) -> None:
    """Nothing more is written, not even pongs, but the socket stays."""
    site.peer.silent = True
    site.peer.writer.write = lambda data: None  # type: ignore[method-assign]
    await _never(site)


async def _stop(site: FaultSite) -> None:
    site.server.stopping += 1
    site.server.spawn(_stop_and_return(site.server))
    raise Stop


async def _stop_and_return(server: RawServer) -> None:
    await asyncio.sleep(_BEFORE_RESET)
    await server.stop_listening()
    await server.restart_after(RESTART_SECONDS)
    server.stopping -= 1


def _saying(*messages: Any, opcode: int = 1) -> Disturbance:
    """Frames between those of the answer: documents, text that is none, or bytes."""

    async def act(site: FaultSite) -> None:
        for message in messages:
            made = message(site) if callable(message) else message
            payload = (
                made if isinstance(made, bytes) else (made if isinstance(made, str) else json.dumps(made)).encode()
            )
            await site.peer.frame(payload, opcode)

    return act


def _raw(data: bytes, *, ends: bool = False) -> Disturbance:
    async def act(site: FaultSite) -> None:
        await site.peer.write(data)
        if ends:
            await _never(site)

    return act


def _then(*actions: Callable[[FaultSite], Coroutine[Any, Any, Any]]) -> Disturbance:
    async def act(site: FaultSite) -> None:
        for action in actions:
            await action(site)

    return act


def _send(packet: Any) -> Callable[[FaultSite], Coroutine[Any, Any, None]]:
    return lambda site: site.send(packet)


def _without_answer(act: Disturbance) -> Disturbance:
    async def run(site: FaultSite) -> None:
        await act(site)
        raise Stop

    return run


async def _close(site: FaultSite) -> None:
    await site.close()


def _fail(error: Any) -> Disturbance:
    async def act(site: FaultSite) -> None:
        await site.fail(error)
        raise Stop

    return act


def _for_ever(make: Callable[[FaultSite], Any], opcode: int = 1) -> Disturbance:
    """Junk without an end, a thousand frames a second, and never a packet that shows progress."""

    async def flood(site: FaultSite) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            while True:
                for _ in range(10):
                    made = make(site)
                    await site.peer.frame(made if isinstance(made, bytes) else json.dumps(made).encode(), opcode)
                await asyncio.sleep(0.01)

    async def act(site: FaultSite) -> None:
        site.server.spawn(flood(site))
        raise Stop

    return act


async def _byte_by_byte(site: FaultSite) -> None:
    site.peer.byte_by_byte = True


async def _late(site: FaultSite) -> None:
    await asyncio.sleep(0.15)


async def _in_pieces(site: FaultSite) -> None:
    """A harmless message in three WebSocket fragments, with a ping between."""
    text = json.dumps({"type": "someNewMessage", "text": "日本" * 50}).encode()
    await site.peer.frame(text[:20], 1, fin=False)
    await site.peer.frame(b"ping", 9)
    await site.peer.frame(text[20:61], 0, fin=False)
    await site.peer.frame(text[61:], 0)


def _http(status: str, headers: str = "") -> Disturbance:
    async def act(site: FaultSite) -> None:
        await site.peer.write(
            f"HTTP/1.1 {status}\r\n{headers}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode()
        )
        site.peer.writer.close()
        raise Stop

    return act


def _unauthenticated(*messages: Any, opcode: int = 1) -> Disturbance:
    """In place of the reply to the authentication."""

    async def act(site: FaultSite) -> None:
        await _saying(*messages, opcode=opcode)(site)
        await _never(site)

    return act


async def _refuse(site: FaultSite) -> None:
    await site.peer.send({"success": False, "error": "Invalid passkey"})
    await site.peer.frame(b"", 8)
    raise Stop


def _warning(kind: str | None, text: Callable[[FaultSite], str]) -> Callable[[FaultSite], Any]:
    return lambda site: (
        {"type": "communicationWarning", "warning": text(site)} | ({} if kind is None else {"kind": kind})
    )


def _rejection(site: FaultSite) -> str:
    return (
        f"Received invalid parameter for {'rpcCall' if site.is_rpc else 'channel'}, endpointName = {site.endpoint}, …"
    )


def _late_cancel(site: FaultSite) -> str:
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


def _id_of(value: Any) -> Callable[[FaultSite], Any]:
    return lambda site: {"type": "channelSend", "channelId": value, "message": fragment("FOREIGN")}


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
    Fault("error after the end", Effect.HARMLESS, _then(lambda site: site.fail(_ERROR)), _AFTER),
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
        _for_ever(lambda site: site.wrapped({"type": "someNewPacket"})),
        CHANNEL,
    ),
    Fault("unknown messages for ever", Effect.SILENT, _for_ever(lambda _: {"type": "someNewMessage"})),
    Fault(
        "progress for ever that is none",
        Effect.SILENT,
        _for_ever(lambda site: site.wrapped(site.sample())),
        ("load", "load_mid", "before_first", "prompt"),
    ),
    Fault("pings for ever", Effect.SILENT, _for_ever(lambda _: b"ping", 9)),
)
