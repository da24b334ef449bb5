"""Messages, answers and frames without an end: each has a limit, and a clear error."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from unittest import mock

from lmstudio_integrations import AsyncClient, Client, Timeout
from lmstudio_integrations.client.transport import bounds
from lmstudio_integrations.errors import LMStudioError, LMStudioLimitError, LMStudioTimeoutError

from .checks import Check
from .server import CHAT, FRAGMENTS, TEXT, Disturbance, FaultSite, Message, Plan, RawServer, frame_bytes
from .ways import WAYS, Seen, Way

__all__ = ["CHECKS"]

_SMALL = 200_000
_LIMITS = Timeout(connect=4, first_packet=1, idle=1, load=1)


@contextlib.contextmanager
def _server(moment: str, act: Disturbance | None = None) -> Iterator[RawServer]:
    with RawServer() as server:
        if act is not None:
            server.plan = Plan(moment, act)
        try:
            yield server
        finally:
            Client(server.url).close()


def _error(work: Callable[[], object]) -> LMStudioError:
    try:
        value = work()
    except LMStudioError as raised:
        error = raised
    else:
        raise AssertionError(f"no error, but {value!r:.100}")
    assert len(str(error)) < 1000, len(str(error))
    return error


async def _claims_a_terabyte(site: FaultSite) -> None:
    await site.peer.write(frame_bytes(b"x", length=2**40))


async def _never_ends_a_frame(site: FaultSite) -> None:
    await site.peer.write(frame_bytes(b'{"type": "channelSend", "text": "', length=100 * 2**20))
    with contextlib.suppress(ConnectionError):
        while True:
            await site.peer.write(b"x" * 100)
            await asyncio.sleep(0.01)


async def _never_ends_a_message(site: FaultSite) -> None:
    await site.peer.frame(b'"', 1, fin=False)
    with contextlib.suppress(ConnectionError):
        while True:
            await site.peer.frame(b"x" * 10_000, 0, fin=False)
            await asyncio.sleep(0)


def _too_large(act: Disturbance) -> LMStudioError:
    with mock.patch.object(bounds, "MAX_MESSAGE_BYTES", _SMALL), _server("fragments", act) as server:
        model = Client(server.url, timeout=_LIMITS).llm.just_in_time(CHAT)
        error = _error(lambda: model.respond("Hi"))
        assert error.partial.content in TEXT
        assert error.partial.content
        assert model.respond("Hi").content == TEXT
        assert server.counts["predict"] == 2, "what was too large was asked for again by itself"
    return error


def a_frame_that_claims_a_terabyte() -> None:
    """A frame whose head claims 1 TiB ends the socket at once: LMStudioLimitError."""
    started = time.monotonic()
    error = _too_large(_claims_a_terabyte)
    assert type(error) is LMStudioLimitError, repr(error)
    assert time.monotonic() - started < 1


def a_message_of_fragments_without_end() -> None:
    """A message in WebSocket fragments without an end: LMStudioLimitError."""
    error = _too_large(_never_ends_a_message)
    assert type(error) is LMStudioLimitError, repr(error)
    assert "MiB" in str(error)


def a_frame_that_never_ends() -> None:
    """A frame of 100 MiB that comes byte by byte is no sign of life: LMStudioTimeoutError after `idle`."""
    with _server("fragments", _never_ends_a_frame) as server:
        model = Client(server.url, timeout=_LIMITS).llm.just_in_time(CHAT)
        error = _error(lambda: model.respond("Hi"))
        assert isinstance(error, LMStudioTimeoutError), repr(error)
        assert error.limit == "idle"
        assert model.respond("Hi").content == TEXT


class _Endless:
    """Fragments for ever, in a server that does not heed a cancel at once."""

    def __call__(self, creation: Message) -> Iterator[str]:
        while True:
            yield "word " * 200


def _endless(way: Way) -> Check:
    def check() -> None:
        with mock.patch.object(bounds, "MAX_ANSWER_BYTES", 3 * 2**20), _server("") as server:
            server.fragments = _Endless()
            seen = Seen()
            error = _error(lambda: way.run(server.url, _LIMITS, seen))
            assert isinstance(error, LMStudioLimitError), repr(error)
            assert error.partial.content.startswith("word word")
            assert _wait(lambda: server.counts["channelSend"] > 0), "no cancel"
            server.fragments = lambda creation: FRAGMENTS
            again = Seen()
            way.run(server.url, _LIMITS, again)
            assert again.answer == way.expected

    check.__doc__ = f"An answer without an end, by {way.name}: LMStudioLimitError with what had come."
    return check


def an_answer_that_nobody_reads() -> None:
    """A stream that is not read, blocking: cancelled, what had come is read, then LMStudioLimitError."""
    with mock.patch.object(bounds, "MAX_UNREAD_BYTES", 2 * 2**20), _server("") as server:
        server.fragments = _Endless()
        stream = Client(server.url, timeout=_LIMITS).llm.just_in_time(CHAT).respond_stream("Hi")
        assert _wait(lambda: server.counts["channelSend"] > 0), "no cancel"
        read: list[str] = []

        def rest() -> None:
            for piece in stream:
                read.append(piece.content)  # noqa: PERF401  # what came before the error counts

        error = _error(rest)
        assert isinstance(error, LMStudioLimitError), repr(error)
        assert "not" in str(error)
        assert sum(map(len, read)) > 2**20


def an_answer_that_nobody_awaits() -> None:
    """A stream that is not read, awaiting: cancelled, then LMStudioLimitError."""

    async def run(url: str) -> LMStudioError:
        stream = await AsyncClient(url, timeout=_LIMITS).llm.just_in_time(CHAT).respond_stream("Hi")
        assert await asyncio.to_thread(_wait, lambda: server.counts["channelSend"] > 0), "no cancel"
        try:
            await stream.result()
        except LMStudioError as error:
            return error
        raise AssertionError("no error")

    with mock.patch.object(bounds, "MAX_UNREAD_BYTES", 2 * 2**20), _server("") as server:
        server.fragments = _Endless()
        error = asyncio.run(run(server.url))
        assert isinstance(error, LMStudioLimitError), repr(error)


def a_long_answer_that_is_read() -> None:
    """An answer of 8 MiB that is read as it comes meets no limit on what is unread."""
    with mock.patch.object(bounds, "MAX_UNREAD_BYTES", 4 * 2**20), _server("") as server:
        server.fragments = lambda creation: ("word " * 200,) * 8000
        result = Client(server.url, timeout=_LIMITS).llm.just_in_time(CHAT).respond("Hi")
        assert result.content == "word " * 200 * 8000


def _wait(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


CHECKS: tuple[Check, ...] = (
    a_frame_that_claims_a_terabyte,
    a_message_of_fragments_without_end,
    a_frame_that_never_ends,
    *(_endless(way) for way in WAYS if way.kind == "chat"),
    an_answer_that_nobody_reads,
    an_answer_that_nobody_awaits,
    a_long_answer_that_is_read,
)
