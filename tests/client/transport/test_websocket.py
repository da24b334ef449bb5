"""Messages reach the listener whole and in order; everything else about frames stays websockets' affair."""

from __future__ import annotations

import asyncio

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from lmstudio_integrations.client.transport.loop_waker import waker_of
from lmstudio_integrations.client.transport.websocket import Message, MessageConnection


def _wire(frame: Frame) -> bytes:
    return frame.serialize(mask=False)


def _text(payload: bytes, *, fin: bool = True) -> Frame:
    return Frame(Opcode.TEXT, payload, fin)


class _Pipe(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.started = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)
        self.started.set()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


class _Pair:
    """A socket of ours and the far end's protocol, without a network."""

    def __init__(self) -> None:
        self.pipe = _Pipe()
        self.socket = MessageConnection(
            ClientProtocol(parse_uri("ws://localhost/llm"), max_size=None), ping_interval=None
        )
        self.socket.connection_made(self.pipe)
        self.server = ServerProtocol()
        self.heard: list[bytes] = []

    async def answer(self, *, refuse: bool = False) -> bytes:
        """The bytes of the server's answer to the handshake."""
        self.shaking = asyncio.ensure_future(self.socket.handshake())
        await self.pipe.started.wait()
        self.server.receive_data(self.pipe.written)
        (request,) = self.server.events_received()
        assert isinstance(request, Request)
        response = self.server.reject(503, "no") if refuse else self.server.accept(request)
        self.server.send_response(response)
        return b"".join(self.server.data_to_send())

    async def open(self) -> None:
        """Shake hands, then listen."""
        self.socket.data_received(await self.answer())
        await self.shaking
        self.socket.listen(lambda data: self.heard.append(bytes(data)), lambda: None)

    def send(self, *frames: Frame) -> None:
        """Frames from the server, in one piece."""
        self.socket.data_received(b"".join(map(_wire, frames)))


@pytest.mark.parametrize("at", [1, 20, 60, -3, -1, None])
async def test_frame_sent_together_with_the_handshake_is_received(at: int | None) -> None:
    pair = _Pair()
    data = await pair.answer() + _wire(_text(b"hello"))
    for piece in (data,) if at is None else (data[:at], data[at:]):
        pair.socket.data_received(piece)
    await pair.shaking
    assert await pair.socket.recv(decode=False) == b"hello"


async def test_refused_handshake_raises_with_its_status() -> None:
    pair = _Pair()
    pair.socket.data_received(await pair.answer(refuse=True))
    pair.socket.eof_received()
    with pytest.raises(InvalidStatus) as raised:
        await pair.shaking
    assert raised.value.response.status_code == 503
    assert raised.value.response.body == b"no"


async def test_readers_are_woken_after_the_last_message_of_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not after each: the interpreter is not free before."""
    pair = _Pair()
    await pair.open()
    other, happened = asyncio.new_event_loop(), list[str]()

    def hear(data: Message) -> None:
        happened.append(bytes(data).decode())
        waker_of(other).schedule(other, lambda: None)

    pair.socket.listen(hear, lambda: happened.append("read"))
    monkeypatch.setattr(other, "call_soon_threadsafe", lambda *_: happened.append("woken"))
    pair.send(*(_text(word) for word in (b"one", b"two", b"three")))
    other.close()
    assert happened == ["one", "two", "three", "read", "woken"]


async def test_messages_reach_the_listener_in_order_with_fragments_joined() -> None:
    pair = _Pair()
    await pair.open()
    pair.send(
        _text(b"1"),
        _text(b"2a", fin=False),
        Frame(Opcode.PING, b"there?"),
        Frame(Opcode.CONT, b"2b", fin=False),
        Frame(Opcode.CONT, b"2c"),
        Frame(Opcode.BINARY, b"3"),
        _text(b"4"),
    )
    assert pair.heard == [b"1", b"2a2b2c", b"3", b"4"]


async def test_ping_between_messages_is_answered() -> None:
    pair = _Pair()
    await pair.open()
    pair.send(_text(b"1"), Frame(Opcode.PING, b"there?"), _text(b"2"))
    pair.server.receive_data(pair.pipe.written[pair.pipe.written.index(b"\r\n\r\n") + 4 :])
    assert [(frame.opcode, bytes(frame.data)) for frame in pair.server.events_received()] == [(Opcode.PONG, b"there?")]  # type: ignore[union-attr]  # after the handshake all events are frames


async def test_nothing_is_received_after_a_close() -> None:
    pair = _Pair()
    await pair.open()
    pair.send(_text(b"1"), Frame(Opcode.CLOSE, Close(CloseCode.GOING_AWAY, "bye").serialize()), _text(b"2"))
    pair.socket.connection_lost(None)
    assert pair.heard == [b"1"]
    assert pair.socket.close_code == CloseCode.GOING_AWAY


@pytest.mark.parametrize(
    "wrong",
    [
        _text(b"x").serialize(mask=True),
        b"\xf1\x00",
        b"\x83\x00",
        _wire(Frame(Opcode.CONT, b"of nothing")),
        _wire(_text(b"started", fin=False)) + _wire(_text(b"another")),
    ],
    ids=["masked", "reserved bits", "reserved opcode", "continuation of nothing", "a text within a text"],
)
async def test_invalid_frame_closes_the_connection_as_websockets_does(wrong: bytes) -> None:
    pair = _Pair()
    await pair.open()
    pair.socket.data_received(_wire(_text(b"1")) + wrong + _wire(_text(b"2")))
    pair.socket.connection_lost(None)
    assert pair.heard == [b"1"]
    assert pair.socket.state is State.CLOSED
    with pytest.raises(ConnectionClosedError) as raised:
        await pair.socket.recv()
    assert raised.value.sent is not None
    assert raised.value.sent.code == CloseCode.PROTOCOL_ERROR
