"""The log of frames, which tests read and wait for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lmstudio_integrations.errors import LMStudioValueError

Direction = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One frame, in ``server.requests`` or ``server.sent``.

    Example:
        ```python
        from lmstudio_integrations import Client
        from lmstudio_integrations.emulator import Emulator

        with Emulator() as server, Client(server.url) as client:
            result = client.llm.just_in_time("emulator/chat").respond("Hi")
            frame = server.requests[-1]
            print(frame.namespace, frame.message["type"], frame.message["endpoint"])
            #> llm channelCreate predict
        ```

    ``direction``: the sender, "client" or "server". ``connection``: the number of the socket, from 1. ``order``: the
    position among all frames of both directions. ``message``: the JSON document, or the text of a frame that is not
    JSON. The emulator shares it: do not change it. ``masked()`` is for logs; so is the repr.
    """

    namespace: str
    message: Any
    connection: int
    order: int
    direction: Direction

    def masked(self) -> Any:
        """The message without passkeys and without the contents of files."""
        return _masked(self.message)

    def __repr__(self) -> str:
        where = f"namespace={self.namespace!r}, connection={self.connection}, order={self.order}"
        return f"RecordedFrame({self.direction!r}, {where}, message={self.masked()!r})"


_PASSKEY = "clientPasskey"
_CONTENT = "contentBase64"


def _masked(value: Any) -> Any:
    if isinstance(value, list):
        return [_masked(each) for each in value]
    if isinstance(value, str) and value.startswith("base64:"):
        return f"base64:({len(value)} characters)"
    if isinstance(value, str) and (_PASSKEY in value or _CONTENT in value):  # a frame that is no JSON
        return f"({len(value)} characters)"
    if not isinstance(value, dict):
        return value
    made = {key: _masked(each) for key, each in value.items()}
    if _PASSKEY in made:
        made[_PASSKEY] = "***"
    if _CONTENT in made:
        made[_CONTENT] = f"({len(str(value[_CONTENT]))} characters)"
    return made


class FrameLog:
    """A bounded list of frames, which drops the oldest. Thread-safe."""

    def __init__(self, limit: int, *, enabled: bool) -> None:
        self._frames: deque[RecordedFrame] = deque(maxlen=limit)
        self._changed = threading.Condition()
        self._order = 0
        self.enabled = enabled

    def add(self, direction: Direction, namespace: str, connection: int, message: Any) -> None:
        """Record one frame and wake the waiting threads."""
        if not self.enabled:
            return
        with self._changed:
            self._order += 1
            self._frames.append(RecordedFrame(namespace, message, connection, self._order, direction))
            self._changed.notify_all()

    def wake(self) -> None:
        """Wake the waiting threads because something other than a frame has changed."""
        with self._changed:
            self._changed.notify_all()

    def frames(self, direction: Direction) -> list[RecordedFrame]:
        """A copy of the frames that one side has sent, in order."""
        with self._changed:
            return [frame for frame in self._frames if frame.direction == direction]

    def clear(self) -> None:
        """Remove the frames; ``order`` continues."""
        with self._changed:
            self._frames.clear()

    def wait_for(
        self, direction: Direction, predicate: Callable[[RecordedFrame], bool], timeout: float, after: int
    ) -> RecordedFrame:
        """The first frame with ``order`` beyond ``after`` that fits, now or within ``timeout`` seconds."""
        if not self.enabled:
            raise LMStudioValueError("expected an emulator that records frames, got Emulator(record=False)")
        seen = after
        found: RecordedFrame | None = None

        def look() -> bool:
            nonlocal seen, found
            for frame in self._frames:
                if frame.order > seen and frame.direction == direction and predicate(frame):
                    found = frame
                    return True
            seen = max(seen, self._order)
            return False

        with self._changed:
            self._changed.wait_for(look, timeout)
        if found is None:
            raise TimeoutError(f"no such {direction} frame within {timeout} s: {self._latest(direction)}")
        return found

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Return once ``condition()`` is true; it is evaluated after each frame and each change of connections."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(f"the condition did not come true within {timeout} s")

    def _latest(self, direction: Direction) -> str:
        frames = [frame for frame in self._frames if frame.direction == direction][-3:]
        return (
            "the last were " + ", ".join(f"{frame.masked()!r:.160}" for frame in frames) if frames else "there was none"
        )
