"""The one flow that carries out a request: connect, load the model, upload images, check the context, send, retry.

Both kinds of client and both adapters use it. Runs on the I/O thread and does no heavy work there: requests are encoded
on the caller's thread, files are read and addresses fetched in worker threads.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from lmstudio_integrations.client import requests
from lmstudio_integrations.client.events import QueueProgress
from lmstudio_integrations.client.long_texts import may_exceed
from lmstudio_integrations.client.transport.batch_rpc import BatchRpc
from lmstudio_integrations.client.transport.daemon import run_in_daemon_thread
from lmstudio_integrations.client.transport.loading import download_model, ensure_loaded, load_model
from lmstudio_integrations.client.transport.multiplexer import CLOSED
from lmstudio_integrations.client.transport.pending_request import Deliver, PendingRequest, call_rpc, discard
from lmstudio_integrations.client.transport.retry import NotSentError, RetryBudget
from lmstudio_integrations.errors import (
    LMStudioCancelledError,
    LMStudioConnectionError,
    LMStudioContextOverflowError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
    LMStudioRequestRejectedError,
    LMStudioResourcesError,
    LMStudioServerError,
    LMStudioTimeoutError,
    LMStudioValueError,
)
from lmstudio_integrations.protocol.json_text import encode

if TYPE_CHECKING:
    from lmstudio_integrations.client.images import ImageFile, ImagePart
    from lmstudio_integrations.client.long_texts import SplitText
    from lmstudio_integrations.client.requests import Call, ModelReference, Parameter, Prediction
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.client.transport.connection import Connection
    from lmstudio_integrations.client.transport.pool import ConnectionPool
    from lmstudio_integrations.client.transport.stream_controller import StreamController

__all__ = ["Executor", "RequestLimits"]

T = TypeVar("T")

# Seconds to wait for the answer whether a request is queued.
_PROCESSING_STATE_SECONDS = 1.0
# Seconds for an image from the network in all; its socket has a shorter limit for each packet.
_FETCH_SECONDS = 300.0
# Seconds until a listener's waiting request is looked at first, and the most between two looks.
_FIRST_QUEUE_DELAY = 0.25
_MAX_QUEUE_DELAY = 2.0


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one call of the user may cost: time limits, and how often it is sent again."""

    timeout: Timeout
    max_retries: int


class Executor:
    """Carries out one request. ``deliver`` gets the packets of loads; ``model`` is loaded first, if it has to be."""

    def __init__(
        self, pool: ConnectionPool, model: ModelReference, limits: RequestLimits, deliver: Deliver = discard
    ) -> None:
        self._pool = pool
        self._model = model
        self._limits = limits.timeout
        self._budget = RetryBudget(limits.max_retries)
        self._deliver = deliver
        self._request: PendingRequest | None = None
        self._uploaded_before = False
        self._text_retries: Counter[int] = Counter()
        """How often requests about each text to embed were sent again."""

    # The requests

    async def call(self, call: Call[T]) -> T:
        """An RPC: what its reader makes of the result."""
        return await self._within_total(self._call(call))

    async def _call(self, call: Call[T]) -> T:
        async def send(connection: Connection, identifier: str | None) -> T:
            return call.answer(await self._start(connection, call.endpoint).send_rpc(self._text(call, identifier)))

        return await self._attempts(send, repeatable=call.repeatable)

    async def load(self, endpoint: str, creation: Mapping[str, Any]) -> str:
        """``getOrLoad`` or ``loadModel``: the identifier of the loaded instance.

        ``loadModel`` is never sent again: it would make a second instance.
        """
        reuse = endpoint == "getOrLoad"

        async def send(connection: Connection, _: str | None) -> str:
            await self._refuse_what_does_not_fit(connection, creation.get("identifier") if reuse else None)
            identifier = await load_model(connection, endpoint, creation, self._limits, self._deliver, self._remember)
            if self._model.device is None:
                connection.loaded_models[identifier] = identifier
                if reuse:
                    connection.loaded_models[creation["identifier"]] = identifier
            return identifier

        return await self._within_total(self._attempts(send, repeatable=reuse))

    async def download(self, creation: Mapping[str, Any]) -> str:
        """Download a model: its default identifier. It is never sent again."""

        async def send(connection: Connection, _: str | None) -> str:
            return await download_model(connection, creation, self._limits, self._deliver, self._remember)

        return await self._within_total(self._attempts(send, repeatable=False))

    async def predict(self, prediction: Prediction, controller: StreamController) -> None:
        """A prediction: every packet goes to ``controller.deliver``, then ``CLOSED`` or an ``LMStudioError``."""
        try:
            controller.started()
            await self._within_total(self._attempts(lambda *where: self._predict(prediction, controller, *where)))
            controller.deliver(CLOSED)
        except LMStudioError as error:
            controller.deliver(error)
        except asyncio.CancelledError:
            controller.deliver(LMStudioCancelledError("the prediction was cancelled before LM Studio had started it"))
        except Exception as error:  # noqa: BLE001  # the consumer waits for an outcome, whatever happened
            unexpected = LMStudioError(f"unexpected {type(error).__name__} on the I/O thread: {error}")
            unexpected.__cause__ = error
            controller.deliver(unexpected)

    async def _predict(
        self, prediction: Prediction, controller: StreamController, connection: Connection, identifier: str | None
    ) -> None:
        parts = [await self._upload(image) for image in prediction.parameter.images]
        if prediction.context_check is not None:
            await self._check_context(connection, identifier, prediction.context_check)
        request = self._start(
            connection,
            prediction.endpoint,
            deliver=controller.deliver,
            is_queued=lambda: self._is_queued(connection, identifier),
            unread=controller.unread,
        )
        controller.attach(request)
        watch = None
        if controller.watch_queue and self._pool.reports_queue:
            watch = asyncio.create_task(self._watch_queue(request, controller, connection, identifier))
        try:
            await request.open_channel(prediction.parameter.text(identifier, parts, self._model.device))
        except (LMStudioError, NotSentError) as error:
            if controller.cancelled and not getattr(error, "response_started", False):
                raise asyncio.CancelledError from error  # so that it is not sent again
            raise
        finally:
            controller.attach(None)
            if watch is not None:
                watch.cancel()

    async def embed(
        self, parameters: list[Parameter], suspects: Sequence[SplitText], *, split: bool
    ) -> requests.Embedded:
        """``embedString`` for each text; ``suspects`` may be longer than the model's context, and are counted first.

        Each text has a retry budget of its own, counting included, and results that have come are kept. ``total``
        bounds everything together.

        Raises:
            LMStudioContextOverflowError: A text is too long and ``split`` is not set; the message has its number.
        """
        if not parameters:
            return requests.Embedded([])  # the model is not loaded for it
        return await self._within_total(self._embed(parameters, suspects, split=split))

    async def _embed(
        self, parameters: list[Parameter], suspects: Sequence[SplitText], *, split: bool
    ) -> requests.Embedded:
        parts = await self._fit_texts(suspects, split=split) if suspects else []
        sent = parameters
        if parts:
            sent = await run_in_daemon_thread(lambda: requests.insert_parts(parameters, parts), "lmstudio-texts")
        results = await self._batch("embedString", sent, requests.text_numbers(len(parameters), parts))
        return requests.Embedded(results, parts)

    async def _fit_texts(self, texts: Sequence[SplitText], *, split: bool) -> list[SplitText]:
        """Count the tokens of texts; with ``split``, halve those that are longer than the context.

        Returns the texts that were split.
        """
        model = requests.ModelCalls(self._model.namespace, self._model.identifier)
        context_length = (await self._call(model.get_info())).context_length
        remaining = [text for text in texts if context_length and may_exceed(text.parts[0], context_length)]
        while remaining:
            make_calls = partial(requests.count_all, model, [part for text in remaining for part in text.parts])
            calls, parameters = await run_in_daemon_thread(make_calls, "lmstudio-texts")
            numbers = [text.number for text in remaining for _ in text.parts]
            results = await self._batch("countTokens", parameters, numbers)
            counts = iter([call.answer(result) for call, result in zip(calls, results, strict=True)])
            remaining = [
                text
                for text in remaining
                if not text.read_counts([next(counts) for _ in text.parts], context_length, split=split)
            ]
        return [text for text in texts if len(text.parts) > 1]

    async def _batch(self, endpoint: str, parameters: Sequence[Parameter], numbers: Sequence[int]) -> list[Any]:
        """One RPC for each parameter, some of them at once: the results in the order of the parameters.

        ``numbers``: which text each is about.
        """
        slots, device = self._pool.embedding_slots, self._model.device
        batch = BatchRpc(endpoint, parameters, numbers, self._limits, slots, self._text_retries, device)
        return await self._attempts(batch.run, batch=batch)

    # Attempts

    async def _attempts(
        self,
        send: Callable[[Connection, str | None], Awaitable[T]],
        *,
        repeatable: bool = True,
        batch: BatchRpc | None = None,
    ) -> T:
        """Connect, load and ``send``, again and again as the retry budget allows."""
        model = self._model
        while True:
            connection = await self._pool.connection(model.namespace, self._limits)
            try:
                identifier = await self._loaded(connection)
            except NotSentError as error:
                self._budget.consume_unsent(error)
                continue
            except LMStudioDisconnectedError as error:
                self._budget.consume(error, retryable=True)  # `getOrLoad` may always be sent again
                continue
            try:
                return await send(connection, identifier)
            except NotSentError as error:
                self._budget.consume_unsent(error)
            except LMStudioError as error:
                self._consume(error, connection, repeatable, batch)

    def _consume(self, error: LMStudioError, connection: Connection, repeatable: bool, batch: BatchRpc | None) -> None:
        """Take one retry for an error of the request itself, or raise it."""
        gone = isinstance(error, (LMStudioModelNotFoundError, LMStudioModelUnloadedError))
        if gone and self._model.identifier is not None:
            connection.loaded_models.pop(self._model.key or "", None)
        if isinstance(error, LMStudioDisconnectedError):
            retryable = repeatable
        elif gone:
            retryable = self._model.load is not None and self._model.identifier is not None
        else:
            retryable = self._forgotten_upload(error)
        if batch is not None:
            # Each text has its own budget, so the count is the batch's.
            if not retryable or batch.sends > self._budget.retries_left:
                raise error
            return
        self._budget.consume(error, retryable=retryable)

    def _forgotten_upload(self, error: LMStudioError) -> bool:
        """Whether the server may have forgotten a file that an earlier request had uploaded. It is then uploaded again.

        Guess: LM Studio has no error code for it, so any error of the server is taken for one, once, unless its class
        says what was wrong.
        """
        if not self._uploaded_before or type(error) is not LMStudioServerError:
            return False
        self._uploaded_before = False
        self._pool.uploads.clear()
        return True

    async def _loaded(self, connection: Connection) -> str | None:
        """The identifier that the request names, after loading the model if it is not known to be loaded.

        Without a retry left, the memory of earlier requests is not trusted: the model may have been unloaded since.
        """
        model = self._model
        if model.load is None or model.identifier is None or model.key is None:
            return model.identifier
        known = connection.loaded_models.get(model.key)
        if known is not None and not self._budget.exhausted:
            return known
        await self._refuse_what_does_not_fit(connection, model.identifier)
        return await ensure_loaded(connection, model.key, model.load, self._limits, self._deliver)

    async def _refuse_what_does_not_fit(self, connection: Connection, loaded_as: str | None) -> None:
        """Raise ``LMStudioResourcesError`` if LM Studio's guardrails would not let the load pass, if that is asked for.

        ``loaded_as``: a model that is loaded already, under this identifier or key, is not loaded again.
        """
        estimate, namespace = self._model.estimate, self._model.namespace
        if estimate is None:
            return
        if loaded_as is not None:
            listing = requests.list_loaded(namespace)
            infos = listing.answer(await call_rpc(connection, listing.endpoint, None, self._limits))
            if any(loaded_as in (info.identifier, info.model_key, info.path) for info in infos):
                return
        result = await call_rpc(connection, "estimateModelUsage", estimate.text(), self._limits)
        made = requests.read_estimate(namespace, result)
        if not made.passes_guardrails:
            gigabytes = made.memory.total_bytes / 1e9
            raise LMStudioResourcesError(
                f"the model was not loaded: LM Studio estimates {gigabytes:.2f} GB, and its guardrails refuse that. "
                "Load it with a smaller context, unload others, or leave check_resources out.",
                made,
            )

    def _text(self, call: Call[Any], identifier: str | None) -> str | None:
        """The parameter of an RPC about the model."""
        return None if call.parameter is None else call.parameter.text(identifier, device=self._model.device)

    # What an attempt is made of

    def _start(self, connection: Connection, endpoint: str, **options: Any) -> PendingRequest:
        return self._remember(PendingRequest(connection, endpoint, self._limits, **options))

    def _remember(self, request: PendingRequest) -> PendingRequest:
        self._request = request
        return request

    async def _within_total(self, attempts: Awaitable[T]) -> T:
        seconds = self._limits.total
        if seconds is None:
            return await attempts
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await attempts
        except TimeoutError as error:
            if not limit.expired() or isinstance(error, LMStudioError):
                raise
            heard = "nothing" if self._request is None else self._request.last_heard()
            timeout = LMStudioTimeoutError(
                f"the call exceeded the time limit 'total' of {seconds:g} s; last packet: {heard}. It was cancelled. "
                "A longer Timeout(total=…) allows more.",
                limit="total",
                seconds=seconds,
                last_heard=heard,
            )
            timeout.response_started = self._request is not None and self._request.call.last is not None
            raise timeout from None

    async def _upload(self, image: ImagePart) -> str:
        """The JSON text of the part that shows an image, uploading it unless this server and identity have it."""
        file = await _read(image)
        part = self._pool.uploads.get(file.digest)
        if part is not None:
            self._uploaded_before = True
            return part
        call = await run_in_daemon_thread(lambda: requests.upload(file), "lmstudio-image")
        connection = await self._pool.connection(call.namespace, self._limits)
        assert call.parameter is not None
        result = await call_rpc(connection, call.endpoint, call.parameter.text(), self._limits)
        part = encode(call.answer(result))
        self._pool.uploads.put(file.digest, part)
        return part

    async def _check_context(self, connection: Connection, identifier: str | None, prompt: Parameter | str) -> None:
        """Count the prompt's tokens, and raise ``LMStudioContextOverflowError`` if they fill the loaded context."""
        model = requests.ModelCalls(self._model.namespace, identifier)

        async def ask(call: Call[T]) -> T:
            text = self._text(call, identifier)
            return call.answer(await call_rpc(connection, call.endpoint, text, self._limits))

        if not isinstance(prompt, str):
            endpoint = "applyPromptTemplate"
            prompt = await ask(requests.Call(self._model.namespace, endpoint, prompt, requests.read_formatted))
        needed = await ask(model.count_tokens(prompt))
        available = (await ask(model.get_info())).context_length
        if needed >= available:
            error = LMStudioContextOverflowError(
                f"the prompt has {needed} tokens, and the model was loaded with a context of {available} tokens",
                suggestion="Shorten the conversation, or load the model with a larger context length.",
            )
            error.needed, error.available = needed, available
            raise error

    async def _is_queued(self, connection: Connection, identifier: str | None) -> bool:
        """Whether requests of the model wait behind others. Older servers have no such endpoint."""
        return await self._queue(connection, identifier) is not None

    async def _queue(self, connection: Connection, identifier: str | None) -> QueueProgress | None:
        """How many requests wait for the model, or ``None`` if none does or the server does not say in time."""
        parameter = requests.Parameter.of({"throwIfNotFound": True}, "specifier")
        text = parameter.text(identifier, device=self._model.device)
        try:
            async with asyncio.timeout(_PROCESSING_STATE_SECONDS):
                state = await call_rpc(connection, "getInstanceProcessingState", text, self._limits)
        except TimeoutError:
            return None
        if not isinstance(state, dict):
            return None
        status, queued = state.get("status"), state.get("queued")
        if status in (None, "idle") or not isinstance(queued, (int, float)) or not queued > 0:
            return None
        return QueueProgress(int(queued), str(status))

    async def _watch_queue(
        self, request: PendingRequest, controller: StreamController, connection: Connection, identifier: str | None
    ) -> None:
        """Deliver how many requests wait, until the first packet of this one. No token passes here.

        A server that does not know the endpoint is not asked again.
        """
        delay = _FIRST_QUEUE_DELAY
        last: QueueProgress | None = None
        while not request.call.answered:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _MAX_QUEUE_DELAY)
            if request.call.answered:
                return
            try:
                progress = await self._queue(connection, identifier)
            except LMStudioRequestRejectedError:
                self._pool.reports_queue = False
                return
            except (LMStudioError, NotSentError):
                return
            if progress is not None and progress != last and not request.call.answered:
                last = progress
                controller.deliver(progress)


async def _read(image: ImagePart) -> ImageFile:
    """The content of an image, with its digest computed. A server that sends it too slowly is given up.

    Raises:
        LMStudioConnectionError, LMStudioValueError: It cannot be fetched or read, or is not an accepted image.
    """

    def read() -> ImageFile:
        try:
            file = image.read()
        except LMStudioError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL
            raise LMStudioValueError(f"{image!r} cannot be read: {error}") from error
        _ = file.digest
        return file

    try:
        async with asyncio.timeout(_FETCH_SECONDS if image.url is not None else None):
            return await run_in_daemon_thread(read, "lmstudio-image")
    except TimeoutError:
        raise LMStudioConnectionError(f"{image!r} could not be fetched within {_FETCH_SECONDS:g} s") from None
