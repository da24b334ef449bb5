"""What the tests look for on the wire and on the I/O thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lmstudio_integrations.client.transport.connection import Connection
from lmstudio_integrations.client.transport.thread import io_thread
from lmstudio_integrations.emulator import Emulator, RecordedFrame

CHAT = "emulator/chat"
UNLOADED = "emulator/chat-2"


def opens(endpoint: str) -> Callable[[RecordedFrame], bool]:
    """A frame that asks for ``endpoint``."""
    return lambda frame: isinstance(frame.message, dict) and frame.message.get("endpoint") == endpoint


def is_cancel(frame: RecordedFrame) -> bool:
    """A cancel of a channel."""
    message = frame.message
    return bool(message.get("type") == "channelSend" and message["message"].get("type") == "cancel")


def requests(server: Emulator, endpoint: str) -> list[RecordedFrame]:
    """All the frames that asked for ``endpoint``."""
    return [frame for frame in server.requests if opens(endpoint)(frame)]


def cancels(server: Emulator) -> list[RecordedFrame]:
    """All cancels so far."""
    return [frame for frame in server.requests if is_cancel(frame)]


def cancelled(server: Emulator, opening: RecordedFrame | None = None) -> RecordedFrame:
    """Wait for the cancel of the channel that ``opening`` opened; the first prediction if it is not given."""
    first = opening or server.wait_for(opens("predict"))
    return server.wait_for(
        lambda frame: (
            is_cancel(frame)
            and frame.connection == first.connection
            and frame.message["channelId"] == first.message["channelId"]
        )
    )


def wait_for_predictions(server: Emulator, count: int = 1) -> None:
    """Wait until ``count`` predictions have been requested."""
    server.wait_until(lambda: len(requests(server, "predict")) >= count)


def fragments_sent(server: Emulator, count: int) -> None:
    """Wait until the emulator has sent ``count`` fragments."""
    server.wait_until(
        lambda: sum(frame.message.get("message", {}).get("type") == "fragment" for frame in server.sent) >= count
    )


def connections(url: str) -> dict[str, Connection]:
    """The I/O thread's live connections to ``url``, by namespace."""

    async def look() -> dict[str, Connection]:
        found = {}
        for (base, *_), link in io_thread()._pools.items():
            if base == url:
                found.update(link._connections)
        return found

    return io_thread().submit(look()).result(5)


def unfinished_tasks(seconds: float = 10.0) -> list[str]:
    """The tasks on the I/O thread's loop that do not end within ``seconds``."""

    async def settle() -> list[str]:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if not others:
            return []
        _, pending = await asyncio.wait(others, timeout=seconds)
        return [repr(task) for task in pending]

    return io_thread().submit(settle()).result(seconds + 5)


def caught(errors: list[Any], work: Callable[[], Any]) -> Callable[[], None]:
    """``work`` for a thread: what it raises goes to ``errors``."""

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            errors.append(error)

    return run
