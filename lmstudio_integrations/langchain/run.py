"""The one loop over a prediction, blocking and awaiting. The reader decides what is handed out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from lmstudio_integrations.langchain.errors import LangChainErrors
from lmstudio_integrations.langchain.progress import PROGRESS_EVENTS, ProgressDispatcher
from lmstudio_integrations.langchain.request import Request
from lmstudio_integrations.langchain.settings import GenerationSettings

__all__ = ["Reader", "arun", "run"]

T_co = TypeVar("T_co", covariant=True)


class Reader(Protocol[T_co]):
    """Converts a prediction's events to LangChain's objects; pure."""

    def begin(self) -> Iterable[T_co]:
        """What comes before the first event."""
        ...

    def read(self, event: Any) -> Iterable[T_co]:
        """What one event gives, and at the end the ``PredictionResult``."""
        ...


def run(settings: GenerationSettings, request: Request, reader: Reader[T_co]) -> Iterator[T_co]:
    """Everything that ``reader`` makes of the prediction. Closing the iterator cancels it at the server."""
    with LangChainErrors():
        yield from reader.begin()
        with request.start(settings._client()) as stream:
            progress = ProgressDispatcher()  # made while LM Studio works
            for event in stream.events():
                if type(event) in PROGRESS_EVENTS:
                    progress.dispatch(event)
                yield from reader.read(event)
            result = stream.result().raise_for_stop_reason()
            settings._learn(request.model, result.model_info)
            yield from reader.read(result)


async def arun(settings: GenerationSettings, request: Request, reader: Reader[T_co]) -> AsyncIterator[T_co]:
    """The same for coroutines."""
    with LangChainErrors():
        for made in reader.begin():
            yield made
        async with await request.astart(settings._aclient()) as stream:
            progress = ProgressDispatcher()
            async for event in stream.events():
                if type(event) in PROGRESS_EVENTS:
                    await progress.adispatch(event)
                for made in reader.read(event):
                    yield made
            result = (await stream.result()).raise_for_stop_reason()
            settings._learn(request.model, result.model_info)
            for made in reader.read(result):
                yield made
