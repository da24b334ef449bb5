"""What is open on each socket while a conversation is read, so that every frame can be matched with its endpoint.

The rules of the envelope are written down here a second time, from the protocol notes and not from the code under test.
Two witnesses look at the contents: LM Studio's schema and the official SDK's message models.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeGuard

Direction = Literal["c2s", "s2c"]
Part = Literal["parameter", "returns", "creationParameter", "toClientPacket", "toServerPacket"]
ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "(absent)"})()

_CLIENT_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "rpcCall": ({"endpoint", "callId"}, {"parameter"}),
    "channelCreate": ({"endpoint", "channelId"}, {"creationParameter"}),
    "channelSend": ({"channelId", "message"}, {"ackId"}),
    "channelAck": ({"channelId", "ackId"}, set()),
    "keepAlive": (set(), set()),
    "communicationWarning": ({"warning"}, {"kind"}),
}
_SERVER_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "rpcResult": ({"callId"}, {"result"}),
    "rpcError": ({"callId", "error"}, set()),
    "channelSend": ({"channelId", "message"}, {"ackId"}),
    "channelAck": ({"channelId", "ackId"}, set()),
    "channelClose": ({"channelId"}, set()),
    "channelError": ({"channelId", "error"}, set()),
    "keepAliveAck": (set(), set()),
    "communicationWarning": ({"warning"}, {"kind"}),
}


class Witness(Protocol):
    """Somebody who knows what the parts of an endpoint look like."""

    def complain(self, namespace: str, kind: Literal["rpc", "channel"], endpoint: str, part: Part, value: Any) -> None:
        """Raise ``AssertionError`` unless ``value`` (maybe ``ABSENT``) will do for that part."""

    def complain_of_error(self, error: Any) -> None:
        """Raise ``AssertionError`` unless it is an error object."""


@dataclass
class Socket:
    """One connection so far. If its beginning was not recorded (not ``whole``), unknown ids are no error."""

    whole: bool = True
    offered: bool = False
    admitted: bool = False
    calls: dict[int, str] = field(default_factory=dict)
    channels: dict[int, str] = field(default_factory=dict)
    closed: dict[int, str] = field(default_factory=dict)
    keep_alives: int = 0


def check_client_frame(witness: Witness, namespace: str, frame: Any, socket: Socket) -> None:
    """One frame that a client sent. Raises ``AssertionError`` with the reason; notes what it opens in any case."""
    if isinstance(frame, dict) and "authVersion" in frame:
        socket.offered = True
        _check_authentication(frame)
        return
    open_already = _note_request(frame, socket)
    _require(socket.admitted or not socket.offered, 'sent before {"success": true}, so it would be swallowed')
    kind = _envelope(frame, _CLIENT_KEYS)
    if kind == "rpcCall":
        witness.complain(namespace, "rpc", frame["endpoint"], "parameter", frame.get("parameter", ABSENT))
    elif kind == "channelCreate":
        _require(not open_already, f"channel {frame['channelId']} is open already")
        creation = frame.get("creationParameter", ABSENT)
        witness.complain(namespace, "channel", frame["endpoint"], "creationParameter", creation)
    elif kind == "channelSend":
        # A cancel may cross the server's close on the way, which is no error.
        endpoint = socket.channels.get(frame["channelId"]) or socket.closed.get(frame["channelId"])
        _require(endpoint is not None or not socket.whole, f"channel {frame['channelId']} was never open")
        if endpoint is not None:
            witness.complain(namespace, "channel", endpoint, "toServerPacket", frame["message"])


def _note_request(frame: Any, socket: Socket) -> bool:
    """Remember what a frame opens, also if something else in it is wrong; whether its channel was open before."""
    if not isinstance(frame, dict):
        return False
    kind, endpoint = frame.get("type"), frame.get("endpoint")
    number = frame.get("callId", frame.get("channelId"))
    if kind == "keepAlive":
        socket.keep_alives += 1
    elif not _is_whole(number) or not isinstance(endpoint, str):
        return False
    elif kind == "rpcCall":
        socket.calls[number] = endpoint
    elif kind == "channelCreate":
        if number in socket.channels:
            return True
        socket.channels[number] = endpoint
        socket.closed.pop(number, None)
    return False


def check_server_frame(witness: Witness, namespace: str, frame: Any, socket: Socket) -> None:
    """One frame that a server sent. Raises ``AssertionError`` with the reason; notes what it ends in any case."""
    if isinstance(frame, dict) and "success" in frame and "type" not in frame:
        socket.admitted = bool(frame["success"])
        _check_admission(frame)
        return
    endpoint = _note_answer(frame, socket)
    kind = _envelope(frame, _SERVER_KEYS)
    if kind in ("rpcResult", "rpcError"):
        _require(endpoint is not None or not socket.whole, f"nobody waits for call {frame['callId']}")
    elif kind.startswith("channel"):
        _require(endpoint is not None or not socket.whole, f"channel {frame['channelId']} is not open")
    elif kind == "keepAliveAck":
        _require(socket.keep_alives >= 0 or not socket.whole, "a keepAliveAck that nobody asked for")
    if kind in ("rpcError", "channelError"):
        witness.complain_of_error(frame["error"])
    elif kind == "rpcResult" and endpoint is not None:
        witness.complain(namespace, "rpc", endpoint, "returns", frame.get("result", ABSENT))
    elif kind == "channelSend" and endpoint is not None:
        witness.complain(namespace, "channel", endpoint, "toClientPacket", frame["message"])


def _note_answer(frame: Any, socket: Socket) -> str | None:
    """Remember what a frame ends, also if something else in it is wrong; the endpoint that it belongs to."""
    if not isinstance(frame, dict):
        return None
    kind, number = frame.get("type"), frame.get("callId", frame.get("channelId"))
    if kind == "keepAliveAck":
        socket.keep_alives -= 1
    if not _is_whole(number):
        return None
    if kind in ("rpcResult", "rpcError"):
        return socket.calls.pop(number, None)
    if kind in ("channelClose", "channelError") and number in socket.channels:
        socket.closed[number] = socket.channels.pop(number)
        return socket.closed[number]
    return socket.channels.get(number)


class Conversation:
    """Reads frame after frame and complains of the first bad one.

    ``whole`` is false if the first frames are missing.
    """

    def __init__(self, witness: Witness, *, whole: bool = True) -> None:
        self._witness = witness
        self._whole = whole
        self._sockets: dict[int, Socket] = {}
        self.seen = 0

    def read(self, direction: Direction, namespace: str, connection: int, frame: Any, *, counts: bool = True) -> None:
        """The next frame; unless it ``counts``, what is wrong with it is forgiven.

        Raises:
            AssertionError: names the frame and the reason.
        """
        socket = self._sockets.setdefault(connection, Socket(whole=self._whole))
        check = check_client_frame if direction == "c2s" else check_server_frame
        self.seen += 1
        try:
            check(self._witness, namespace.strip("/"), frame, socket)
        except AssertionError as reason:
            if counts:
                who = "client" if direction == "c2s" else "server"
                raise AssertionError(
                    f"frame {self.seen}, from the {who} on /{namespace.strip('/')}: {reason}\n  {frame!r:.600}"
                ) from None


def check_conversation(
    witness: Witness,
    frames: Iterable[tuple[Direction, str, int, Any]],
    *,
    whole: bool = True,
    client: bool = True,
    server: bool = True,
) -> int:
    """All frames ``(direction, namespace, connection, frame)`` in order; the number of frames that were looked at.

    ``client`` and ``server`` say whose offences count. ``whole`` is false if the first frames are missing.

    Raises:
        AssertionError: names the first bad frame and the reason.
    """
    conversation = Conversation(witness, whole=whole)
    for direction, namespace, connection, frame in frames:
        counts = client if direction == "c2s" else server
        conversation.read(direction, namespace, connection, frame, counts=counts)
    return conversation.seen


def _envelope(frame: Any, kinds: dict[str, tuple[set[str], set[str]]]) -> str:
    _require(isinstance(frame, dict), "no JSON object")
    kind = frame.get("type")
    _require(isinstance(kind, str) and kind in kinds, f"unknown type {kind!r}")
    needed, optional = kinds[kind]
    present = set(frame) - {"type"}
    _require(needed <= present, f"{sorted(needed - present)} missing")
    _require(present <= needed | optional, f"unknown keys {sorted(present - needed - optional)}")
    for name in ("callId", "channelId", "ackId"):
        if name in frame:
            _require(_is_whole(frame[name]), f"{name} {frame[name]!r} is no integer")
    for name in ("endpoint", "warning", "kind"):
        if name in frame:
            _require(isinstance(frame[name], str), f"{name} {frame[name]!r} is no text")
    assert isinstance(kind, str)
    return kind


def _check_authentication(frame: dict[str, Any]) -> None:
    _require(set(frame) == {"authVersion", "clientIdentifier", "clientPasskey"}, "keys of the authentication")
    _require(frame["authVersion"] == 1, "authVersion is not 1")
    for name in ("clientIdentifier", "clientPasskey"):
        fits = isinstance(frame[name], str) and len(frame[name]) <= 256
        _require(fits, f"{name} is no text of at most 256 characters")


def _check_admission(frame: dict[str, Any]) -> None:
    _require(type(frame["success"]) is bool, "success is neither true nor false")
    if frame["success"]:
        _require(set(frame) == {"success"}, "keys beside success")
    else:
        _require(isinstance(frame.get("error"), str), "a refusal without a reason")


def _is_whole(value: Any) -> TypeGuard[int]:
    """An integer as JSON has it, written ``1`` or ``1.0``; ``true`` is none."""
    return type(value) is int or (type(value) is float and value.is_integer())


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise AssertionError(reason)
