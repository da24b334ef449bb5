"""``AsyncPredictionStream``: a prediction under way, read in an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Generator
from typing import TYPE_CHECKING, Any, Generic, Self, cast

from lmstudio_integrations.client._base import BasePredictionStream
from lmstudio_integrations.client.aio_waiting import run
from lmstudio_integrations.client.events import Event, Fragment
from lmstudio_integrations.client.result import Parsed_co, PredictionResult
from lmstudio_integrations.client.transport.loop_waker import running_loop
from lmstudio_integrations.client.transport.mailbox import AsyncMailbox
from lmstudio_integrations.client.transport.multiplexer import CLOSED

if TYPE_CHECKING:
    from lmstudio_integrations.client.callbacks import Callbacks
    from lmstudio_integrations.client.prediction import PredictionReader

__all__ = ["AsyncPredictionStream"]


class _Done:
    """An awaitable that is done, and that need not be awaited."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_DONE = _Done()


class AsyncPredictionStream(BasePredictionStream, Generic[Parsed_co]):
    """A prediction under way: ``PredictionStream`` for coroutines.

    ``AsyncPredictionStream[X]`` has a result whose ``parsed`` is an ``X``.

    Example:
        ```python
        from lmstudio_integrations import AsyncClient

        model = AsyncClient().llm.just_in_time("qwen/qwen3-4b")
        async with await model.respond_stream("Why is the sky blue?") as stream:
            async for fragment in stream:
                print(fragment, end="|")
        #> Air| scatters| blue| light| more| than| red|.|
        print()
        result = await stream.result()
        print(result.stats.stop_reason)
        #> eosFound
        ```

    Cancelling the task and ``aclose()`` reach the server as a cancel, too. Callbacks may be plain functions or
    coroutine functions. It is read in the event loop in which it was made.
    """

    def __init__(self, reader: PredictionReader, callbacks: Callbacks) -> None:
        self._mailbox = AsyncMailbox(running_loop())
        super().__init__(reader, callbacks, self._mailbox.put, self._mailbox.items.__len__)

    async def _read(self, only_fragments: bool) -> AsyncIterator[Any]:
        reader, callbacks, items = self._reader, self._callbacks, self._mailbox.items
        take, get, read, needs_fragments = items.popleft, self._mailbox.get, reader.read, callbacks.needs_fragments
        self._check_source()
        if not reader.ended:
            self._mailbox.check_loop()
        try:
            while reader.result is None and reader.error is None:  # `ended`, without a call for each token
                event = read(take() if items else await get())
                if event is None:
                    continue
                if type(event) is Fragment and not needs_fragments:
                    yield event
                    continue
                for one in event if isinstance(event, tuple) else (event,):
                    for callback, arguments in callbacks.take_calls(one):
                        await run(callback, *arguments)
                    if not only_fragments or type(one) is Fragment:
                        yield one
            self._finished()  # raises the error, which another reader may have got before
            for callback, arguments in callbacks.take_message_call(self._message):
                await run(callback, *arguments)
        finally:
            if reader.ended:
                self._mailbox.put(CLOSED)  # for another task that may be waiting here, too
            self._cancel()

    def __aiter__(self) -> AsyncIterator[Fragment]:
        """The fragments, as they come. Leaving the loop early cancels the prediction."""
        return self._read(True)

    def events(self) -> AsyncIterator[Event]:
        """Everything that happens: fragments, progress, tool calls. Use it in place of iterating the stream."""
        return self._read(False)

    def result(self) -> PredictionResult[Parsed_co]:
        """The complete result: awaitable at any time, and there at once when the stream has been read to its end.

        ``await stream.result()`` waits for the end if need be; after the last fragment ``stream.result()`` does, too,
        as in the official SDK. Raises what ended the prediction instead.
        """
        if self._reader.error is not None or self._reader.result is not None:
            return self._finished()
        return cast("PredictionResult[Parsed_co]", self.wait_for_result())

    async def wait_for_result(self) -> PredictionResult[Parsed_co]:
        """The complete result, waiting for the end if need be. Raises what ended the prediction instead."""
        async for _ in self._read(False):
            pass
        return self._finished()

    async def start(self) -> None:
        """Do nothing: a prediction is under way once its stream is made (the official SDK's waits for a start)."""

    def cancel(self) -> Awaitable[None]:
        """Ask LM Studio to stop; from any thread or task, and never waits.

        ``await stream.cancel()``, as in the official SDK, and ``stream.cancel()`` do the same.

        What had arrived by then is still read, and ``result()`` has ``stats.stop_reason == "userStopped"``. A
        prediction that had not started (still connecting or loading) raises ``LMStudioCancelledError`` in ``result()``.
        """
        self._cancel()
        return _DONE

    async def aclose(self) -> None:
        """``close()``, under the name that ``contextlib.aclosing`` looks for."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()
