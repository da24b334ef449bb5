"""``PredictionStream``: a prediction under way, read by blocking code."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, Self

from lmstudio_integrations.client._base import BasePredictionStream
from lmstudio_integrations.client.events import Event, Fragment
from lmstudio_integrations.client.result import Parsed_co, PredictionResult

if TYPE_CHECKING:
    from lmstudio_integrations.client.callbacks import Callbacks
    from lmstudio_integrations.client.prediction import PredictionReader

__all__ = ["PredictionStream"]


class PredictionStream(BasePredictionStream, Generic[Parsed_co]):
    """A prediction under way. Iterate for its ``Fragment``s, then ask for ``result()``.

    ``PredictionStream[X]`` has a result whose ``parsed`` is an ``X``.

    Example: Stream
        ```python
        from lmstudio_integrations import Client

        model = Client().llm.just_in_time("qwen/qwen3-4b")
        stream = model.respond_stream("Why is the sky blue?")
        for fragment in stream:
            print(fragment, end="|")
        #> Air| scatters| blue| light| more| than| red|.|
        print()
        print(stream.result().stats.stop_reason)
        #> eosFound
        ```

    Example: Stop early
        ```python
        with model.respond_stream("Why is the sky blue?") as stream:
            for fragment in stream:
                if len(stream.content) > 10:
                    break
        print(stream.content)
        #> Air scatters
        ```

    Example: Everything that happens
        ```python
        for event in model.respond_stream("Why is the sky blue?").events():
            print(type(event).__name__)
        #> PromptProgress
        #> ...
        #> Fragment
        #> ...
        ```

    ``break``, ``cancel()``, ``close()``, leaving a ``with`` block, Ctrl-C and garbage collection all reach the server
    as a cancel.

    Raises:
        LMStudioError: While it is read, the errors of ``lmstudio_integrations.errors``; one that ends an answer has
            what had come before in ``error.partial``.
    """

    def __init__(self, reader: PredictionReader, callbacks: Callbacks) -> None:
        callbacks.check_blocking()
        self._mailbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        # Another thread may wait for the result meanwhile: what one takes out, it must have read before the other does.
        self._one_at_a_time = threading.Lock()
        super().__init__(reader, callbacks, self._mailbox.put, self._mailbox.qsize)

    def _read(self, only_fragments: bool) -> Iterator[Any]:
        reader, callbacks = self._reader, self._callbacks
        get, read, needs_fragments = self._mailbox.get, reader.read, callbacks.needs_fragments
        one_at_a_time = self._one_at_a_time
        self._check_source()
        try:
            while True:
                with one_at_a_time:
                    if reader.result is not None or reader.error is not None:  # `ended`, without a call for each token
                        break
                    event = read(get())
                if event is None:
                    continue
                if type(event) is Fragment and not needs_fragments:
                    yield event
                    continue
                for one in event if isinstance(event, tuple) else (event,):
                    for callback, arguments in callbacks.take_calls(one):
                        callback(*arguments)
                    if not only_fragments or type(one) is Fragment:
                        yield one
            self._finished()  # raises the error, which another reader may have got before
            for callback, arguments in callbacks.take_message_call(self._message):
                callback(*arguments)
        finally:
            self._cancel()

    def __iter__(self) -> Iterator[Fragment]:
        """The fragments, as they come. Leaving the loop early cancels the prediction."""
        return self._read(True)

    def events(self) -> Iterator[Event]:
        """Everything that happens: fragments, progress, tool calls. Use it in place of iterating the stream."""
        return self._read(False)

    def result(self) -> PredictionResult[Parsed_co]:
        """The complete result, waiting for the end if need be. Raises what ended the prediction instead."""
        for _ in self._read(False):
            pass
        return self._finished()

    wait_for_result = result

    def start(self) -> None:
        """Do nothing: a prediction is under way once its stream is made (the official SDK's waits for a start)."""

    def cancel(self) -> None:
        """Ask LM Studio to stop; from any thread or task, and never waits.

        What had arrived by then is still read, and ``result()`` has ``stats.stop_reason == "userStopped"``. A
        prediction that had not started (still connecting or loading) raises ``LMStudioCancelledError`` in ``result()``.
        """
        self._cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
