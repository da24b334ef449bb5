"""From bytes to messages: the short way for what nearly every frame is, and websockets' own way for all others.

A streamed answer is thousands of small text frames, each whole and unmasked. websockets reads any frame that the
standard knows through nested generators, which costs more than everything else that this client does with a token. So
frames are cut here, whole text frames are handed on at once, and each other frame (pings, the close, fragments, binary,
whatever breaks the standard) goes to websockets, whole and in its place.

Source: RFC 6455, section 5.2. ``data_received`` is asyncio's, ``process_event`` websockets' hook for subclasses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

__all__ = ["Bytes", "FrameCutter", "MessageSocket"]

Bytes = bytes | bytearray | memoryview

_WHOLE_TEXT = 0x81  # FIN, no reserved bit, opcode 1


class FrameCutter:
    """Cuts a server's bytes into frames, however the network has parted them.

    ``text`` hears the payload of each whole text frame, while it is set; ``other`` hears every other frame as it came,
    header included. From a masked frame on, which no server may send, ``other`` hears everything uncut.
    """

    __slots__ = ("_astray", "_needed", "_other", "_rest", "text")

    def __init__(self, other: Callable[[bytes], object]) -> None:
        self._other = other
        self._rest = bytearray()
        self._needed = 0
        self._astray = False
        self.text: Callable[[Bytes], object] | None = None

    def feed(self, data: bytes | bytearray) -> None:
        """Take what has come from the network."""
        if self._astray:
            self._other(bytes(data))
            return
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = self._rest
        at, end = 0, len(data)
        self._needed = 2
        while end - at >= 2:
            length, begin = data[at + 1], at + 2
            if length >= 126:
                if length > 127:
                    self._astray = True
                    self._other(bytes(data[at:]))
                    at = end
                    break
                begin += 2 if length == 126 else 8
                length = int.from_bytes(data[at + 2 : begin], "big")
            stop = begin + length
            if stop > end:
                self._needed = stop - at  # too little while the header is not all there, never too much
                break
            if data[at] == _WHOLE_TEXT and self.text is not None:
                self.text(data[begin:stop])
            else:
                self._other(bytes(data[at:stop]))
            at = stop
        self._rest = bytearray(data[at:])


class MessageSocket(ClientConnection):
    """A WebSocket that hands each message on as it comes, without a queue and a task between.

    Until ``listen`` is called, messages go to ``recv()`` as usual.
    """

    on_message: Callable[[Bytes], None] | None = None
    _cutter: FrameCutter | None = None
    _head: bytes | None = b""
    _pieces: list[Bytes] | None = None

    def listen(self, on_message: Callable[[Bytes], None]) -> None:
        """From now on, every message goes to ``on_message``, on the loop."""
        self.on_message = on_message
        if self._cutter is not None:
            self._cutter.text = on_message

    def data_received(self, data: bytes) -> None:
        if self._cutter is not None:
            self._cutter.feed(data)
        elif self._head is None:
            super().data_received(data)
        else:
            self._shake_hands(self._head + data, len(data))

    def _shake_hands(self, head: bytes, fresh: int) -> None:
        """The handshake's answer ends with an empty line. What follows it is frames, if the answer was yes."""
        end = head.find(b"\r\n\r\n") + 4
        if end < 4:
            self._head = head
            super().data_received(head[-fresh:])
            return
        self._head = None
        super().data_received(head[-fresh:end])
        if self.state is State.OPEN:
            self._cutter = FrameCutter(self._pass_on)
        if end < len(head):
            self.data_received(head[end:])

    def _pass_on(self, frame: bytes) -> None:
        super().data_received(frame)
        assert self._cutter is not None
        # A message in fragments is put together below, and what comes after a close or an error is websockets' affair.
        plain = self._pieces is None and self.state is State.OPEN
        self._cutter.text = self.on_message if plain else None

    def process_event(self, event: Any) -> None:
        on_message = self.on_message
        if on_message is None or type(event) is not Frame:
            super().process_event(event)
        elif event.opcode is Opcode.TEXT or event.opcode is Opcode.BINARY:
            if event.fin:
                on_message(event.data)
            else:
                self._pieces = [event.data]
        elif event.opcode is Opcode.CONT:
            pieces = self._pieces if self._pieces is not None else []
            pieces.append(event.data)
            if event.fin:
                self._pieces = None
                on_message(b"".join(pieces))
        else:
            super().process_event(event)
