"""From frames to messages, without websockets' queue and a task between.

websockets parses the frames, answers pings and follows the standard. Messages are passed on here instead of being put
into its queue for ``recv()``: that saves about a third of the cost per message, and no task has to wake up for each.
websockets documents ``create_connection`` for subclasses; ``process_event`` is its hook for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from lmstudio_integrations.client.transport.loop_waker import coalesce_wakeups

__all__ = ["Message", "MessageConnection"]

# Every message passes here, and asking an enumeration for a member takes as long as the rest of the question.
_TEXT, _BINARY, _CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT

Bytes = bytes | bytearray | memoryview
Message = bytes | bytearray


class MessageConnection(ClientConnection):
    """A WebSocket that hands each message to a listener as it comes.

    Until ``listen`` is called, messages go to ``recv()`` as usual.
    """

    on_message: Callable[[Message], None] | None = None
    _after_read: Callable[[], None] | None = None
    _pieces: list[Bytes] | None = None

    def listen(self, on_message: Callable[[Message], None], after_read: Callable[[], None]) -> None:
        """From now on, every message goes to ``on_message``, on the loop; ``after_read`` follows each read's last."""
        self.on_message = on_message
        self._after_read = after_read

    def data_received(self, data: bytes) -> None:
        with coalesce_wakeups:  # consumers are woken once, after the last message of this read
            super().data_received(data)
            if self._after_read is not None:
                self._after_read()

    def process_event(self, event: Any) -> None:
        on_message = self.on_message
        if on_message is None or type(event) is not Frame:
            super().process_event(event)
        elif event.opcode is _TEXT or event.opcode is _BINARY:
            if event.fin:
                data = event.data
                on_message(bytes(data) if type(data) is memoryview else data)
            else:
                self._pieces = [event.data]
        elif event.opcode is _CONT:
            pieces = self._pieces if self._pieces is not None else []
            pieces.append(event.data)
            if event.fin:
                self._pieces = None
                on_message(b"".join(pieces))
        else:
            super().process_event(event)
