"""A prediction under way: the one blocking loop and its awaiting twin. What they hand out is decided by the reader."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from lmstudio_integrations.client.whole import whole
from lmstudio_integrations.errors import LMStudioConnectionError, LMStudioServerError, LMStudioServerNotFoundError
from lmstudio_integrations.langchain.errors import LangChainErrors
from lmstudio_integrations.langchain.preflight import acheck_fits, check_fits
from lmstudio_integrations.langchain.progress import PROGRESS_EVENTS, Announcer
from lmstudio_integrations.langchain.request import Request
from lmstudio_integrations.langchain.settings import GenerationSettings
from lmstudio_integrations.langchain.uploads import Uploads

__all__ = ["Reader", "arun", "run"]

T_co = TypeVar("T_co", covariant=True)


class Reader(Protocol[T_co]):
    """Makes of a prediction's events what LangChain wants; pure."""

    def begin(self) -> Iterable[T_co]:
        """What comes before the first event."""
        ...

    def read(self, event: Any) -> Iterable[T_co]:
        """What one event gives, and at the end the ``PredictionResult``."""
        ...


def run(settings: GenerationSettings, request: Request, reader: Reader[T_co]) -> Iterator[T_co]:
    """Everything that ``reader`` makes of the prediction. Closing the iterator cancels it at the server."""
    announcer: Announcer | None = None
    again = _Again(settings.max_retries)
    uploads = Uploads(request.pictures, server=settings.base_url, fetch=request.fetch_images)
    with LangChainErrors():
        client = settings._client()
        uploads.place(client)
        llm = client.llm.just_in_time(request.model, **request.load)
        if request.check_context:
            check_fits(llm, request)
        yield from reader.begin()
        while True:
            try:
                with request.start(llm) as stream, request.cancel.covering(stream.cancel):
                    announcer = announcer or Announcer()  # while LM Studio works
                    for event in stream.events():
                        if type(event) in PROGRESS_EVENTS:
                            announcer.tell(event)
                        yield from reader.read(event)
                    result = whole(stream.result())
                    settings._learn(request.model, result.model_info)
                    yield from reader.read(result)
                return
            except LMStudioConnectionError as error:
                again.or_raise(error)
            except LMStudioServerError:
                uploads.forget()
                raise


async def arun(settings: GenerationSettings, request: Request, reader: Reader[T_co]) -> AsyncIterator[T_co]:
    """The same for coroutines, line by line."""
    announcer: Announcer | None = None
    again = _Again(settings.max_retries)
    uploads = Uploads(request.pictures, server=settings.base_url, fetch=request.fetch_images)
    with LangChainErrors():
        client = settings._aclient()
        await uploads.aplace(client)
        llm = client.llm.just_in_time(request.model, **request.load)
        if request.check_context:
            await acheck_fits(llm, request)
        for made in reader.begin():
            yield made
        while True:
            try:
                async with await request.astart(llm) as stream:
                    with request.cancel.covering(stream.cancel):
                        announcer = announcer or Announcer()
                        async for event in stream.events():
                            if type(event) in PROGRESS_EVENTS:
                                await announcer.atell(event)
                            for made in reader.read(event):
                                yield made
                        result = whole(await stream.result())
                        settings._learn(request.model, result.model_info)
                        for made in reader.read(result):
                            yield made
                return
            except LMStudioConnectionError as error:
                again.or_raise(error)
            except LMStudioServerError:
                uploads.forget()
                raise


class _Again:
    """Counts the attempts at one prediction."""

    def __init__(self, retries: int) -> None:
        self._left = retries

    def or_raise(self, error: LMStudioConnectionError) -> None:
        """Nothing, if the request may go out once more; else ``error`` itself.

        A prediction that has begun is never asked for twice; and where nobody listens, there is no use in it.
        """
        if (
            self._left == 0
            or getattr(error, "response_started", True)
            or isinstance(error, LMStudioServerNotFoundError)
        ):
            raise error
        self._left -= 1
