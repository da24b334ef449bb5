"""What the blocking and the awaiting front share: settings, requests, and the state of a stream. No waiting in here."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakSet

from lmstudio_integrations.client import requests
from lmstudio_integrations.client.callbacks import CallbackOptions, Callbacks
from lmstudio_integrations.client.prediction import PredictionReader
from lmstudio_integrations.client.settings import Timeout, parse_address, parse_token
from lmstudio_integrations.client.transport import executor
from lmstudio_integrations.client.transport.thread import io_thread
from lmstudio_integrations.errors import LMStudioCancelledError, LMStudioConnectionError, LMStudioValueError
from lmstudio_integrations.protocol.history import AssistantMessage, TextPart, ToolCallRequestPart

if TYPE_CHECKING:
    from lmstudio_integrations.client.result import PredictionResult
    from lmstudio_integrations.client.transport.pool import ConnectionPool
    from lmstudio_integrations.protocol.auth import Authentication
    from lmstudio_integrations.protocol.config import LlmPredictionConfig
    from lmstudio_integrations.protocol.config_dicts import LlmPredictionConfigDict
    from lmstudio_integrations.protocol.models import ModelInstanceInfo
    from lmstudio_integrations.protocol.prediction import PredictionStats

__all__ = ["BaseClient", "BaseModelHandle", "BasePredictionStream", "CompletionOptions", "PredictionOptions"]

T = TypeVar("T")


class CompletionOptions(CallbackOptions, total=False):
    """What ``complete`` and ``complete_stream`` take besides the prompt.

    ``config``: settings under LM Studio's names (camelCase or snake_case), or ``LlmPredictionConfig``.
    ``response_format``: a pydantic class, a JSON schema, or ``{"type": "gbnf", "gbnfGrammar": …}``.
    ``preset``: the name of a preset. ``draft_model``: key of the model for speculative decoding.
    ``timeout``: seconds or a ``Timeout``, for this prediction alone.
    """

    config: LlmPredictionConfig | LlmPredictionConfigDict | Mapping[str, Any] | None
    response_format: Any
    preset: str | None
    draft_model: str | None
    timeout: float | Timeout | Mapping[str, float | None] | None


class PredictionOptions(CompletionOptions, total=False):
    """What ``respond`` and ``respond_stream`` take besides the history.

    ``tools``: definitions, OpenAI's form or ``{"name", "description", "parameters"}``. ``tool_choice``: ``"auto"``,
    ``"none"``, ``"required"``, or the name of a tool, which is then the only one and must be called.
    """

    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | None


_OPTIONS = frozenset(PredictionOptions.__annotations__)


class BaseClient:
    """A server's address, an identity, time limits. Cheap: no socket and no thread before the first request."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_token: Any = None,
        timeout: float | Timeout | Mapping[str, float | None] | None = None,
    ) -> None:
        self._set_up(parse_address(url), parse_token(api_token), Timeout.of(timeout))

    def _set_up(self, address: str | None, authentication: Authentication | None, timeout: Timeout) -> None:
        self._address = address
        self._authentication = authentication
        self._timeout = timeout
        self._streams: WeakSet[BasePredictionStream] = WeakSet()
        self._closed = False

    @property
    def url(self) -> str | None:
        """The address as it is used, or ``None`` where LM Studio is looked for on this machine."""
        return self._address

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A pickle travels and is kept, so the token is not in it: the other side reads its own environment.
        return {"url": self._address, "timeout": self._timeout}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set_up(state["url"], parse_token(), state["timeout"])

    def __copy__(self) -> Self:
        return self._again()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # A copy stays in this process, so unlike a pickle it keeps the token.
        return self._again()

    def _again(self) -> Self:
        made = object.__new__(type(self))
        made._set_up(self._address, self._authentication, self._timeout)
        return made

    def _pool(self) -> ConnectionPool:
        """On the loop: the way to the server."""
        return io_thread().pool(self._address, self._authentication)

    def _check_open(self) -> None:
        if self._closed:
            raise LMStudioConnectionError("this client has been closed: make a new one")

    def _ask(
        self,
        call: requests.Call[T],
        model: executor.ModelReference | None = None,
        timeout: float | Timeout | Mapping[str, float | None] | None = None,
    ) -> Future[T]:
        """Start an RPC."""
        self._check_open()
        limits = Timeout.of(timeout, self._timeout)
        reference = model or executor.ModelReference(call.namespace, None)

        async def run() -> T:
            return await executor.call(self._pool(), reference, call.endpoint, call.parameter, call.answer, limits)

        return io_thread().submit(run())

    def _load(
        self, namespace: str, endpoint: str, creation: Mapping[str, Any], deliver: Callable[[Any], object]
    ) -> Future[str]:
        """Start to load a model; the answer is the instance's identifier."""
        self._check_open()
        control = executor.StreamController(io_thread(), deliver)

        async def run() -> str:
            info = await executor.load(self._pool(), namespace, endpoint, creation, self._timeout, control)
            return str(info["identifier"])

        return io_thread().submit(run())

    def _close_pool(self) -> Future[None]:
        """Cancel this client's streams and close the sockets that nobody needs."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()

        async def run() -> None:
            await self._pool().close()

        current = io_thread()
        if current.gone:  # Python is exiting, and the engine has closed everything already
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return current.submit(run())


class BaseModelHandle:
    """A model of a server: by identifier, or ``None`` for whichever is loaded."""

    def __init__(self, client: BaseClient, reference: executor.ModelReference) -> None:
        self._client = client
        self._reference = reference
        self._calls = requests.Specifier(reference.namespace, reference.identifier)

    @property
    def identifier(self) -> str | None:
        """The model key or identifier under which requests ask for it."""
        return self._reference.identifier

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.identifier!r})"

    def _ask(self, call: requests.Call[T]) -> Future[T]:
        return self._client._ask(call, self._reference)

    def _tokenize_all(self, texts: Sequence[str]) -> list[Future[list[int]]]:
        """Start to tokenize texts, once all of them are known to be text."""
        return [self._ask(call) for call in [self._calls.tokenize(text) for text in _texts(texts, "tokenize")]]

    def _embed(self, texts: Sequence[str]) -> Future[list[Any]]:
        """Start to embed texts; the results are for ``_read_embeddings``."""
        self._client._check_open()
        parameters = self._calls.embed_all(_texts(texts, "embed"))
        limits = self._client._timeout

        async def run() -> list[Any]:
            if not parameters:  # nothing to ask, so no model is loaded for it
                return []
            return await executor.embed(self._client._pool(), self._reference, parameters, limits)

        return io_thread().submit(run())

    def _read_embeddings(self, results: list[Any]) -> list[list[float]]:
        read = self._calls.embed("").answer
        return [read(result) for result in results]

    def _start(self, make: Callable[..., S], history: Any, options: Mapping[str, Any], *, raw: bool) -> S:
        """Check everything, then start a prediction; its packets go to the stream that ``make`` makes."""
        self._client._check_open()
        given = dict(options)
        for name in given:
            if name not in _OPTIONS:
                raise TypeError(_unknown_option(name))
        callbacks = Callbacks(**{name: given.pop(name) for name in list(given) if name.startswith("on_")})
        limits = Timeout.of(given.pop("timeout", None), self._client._timeout)
        prediction = requests.prediction(self.identifier, history, raw_prompt=raw, **given)
        stream = make(PredictionReader(structured=prediction.structured), callbacks)
        control = stream._control
        pool, reference = self._client._pool, self._reference

        async def run() -> None:
            await executor.predict(pool(), reference, prediction.endpoint, prediction.creation, limits, control)

        io_thread().spawn(run(), control)
        self._client._streams.add(stream)
        return stream


def _texts(texts: Any, method: str) -> Sequence[Any]:
    if isinstance(texts, (bytes, bytearray, Mapping)) or not isinstance(texts, Sequence):
        raise LMStudioValueError(f"{method}() takes a text or a list of texts, not {type(texts).__name__}")
    return texts


def _unknown_option(name: str) -> str:
    from lmstudio_integrations.protocol.config import LlmPredictionConfig

    settings = {key for field, info in LlmPredictionConfig.model_fields.items() for key in (field, info.alias)}
    if name in settings:
        return f"{name!r} is a setting: pass it in config={{{name!r}: …}}"
    near = difflib.get_close_matches(name, _OPTIONS, 1)
    return f"there is no argument {name!r}" + (
        f"; did you mean {near[0]!r}?" if near else f": there are {sorted(_OPTIONS)}"
    )


class BasePredictionStream:
    """A prediction under way: what both kinds of streams know and can do without waiting."""

    def __init__(self, reader: PredictionReader, callbacks: Callbacks, deliver: Callable[[Any], object]) -> None:
        self._reader = reader
        self._callbacks = callbacks
        self._control = executor.StreamController(io_thread(), deliver)
        self._given_up = False

    @property
    def content(self) -> str:
        """The visible text that has been read so far."""
        return self._reader.content

    @property
    def reasoning(self) -> str:
        """The model's thoughts that have been read so far."""
        return self._reader.reasoning

    @property
    def stats(self) -> PredictionStats | None:
        """The statistics, once the prediction has ended."""
        return None if self._reader.result is None else self._reader.result.stats

    @property
    def model_info(self) -> ModelInstanceInfo | None:
        """The instance that answered, once the prediction has ended."""
        return None if self._reader.result is None else self._reader.result.model_info

    def cancel(self) -> None:
        """Ask LM Studio to stop; from any thread or task, and never waits.

        What had come by then is still read, and ``result()`` has ``stats.stop_reason == "userStopped"``. A prediction
        that had not begun (still connecting or loading) raises ``LMStudioCancelledError`` in ``result()``.
        """
        if not self._reader.ended:
            self._control.cancel()

    def close(self) -> None:
        """Cancel if it has not ended, and throw away what has not been read: there is no result then."""
        if not self._reader.ended:
            self._given_up = True
            self._control.abandon()

    def __del__(self) -> None:
        # A finalizer may run on any thread, in the middle of anything: this only posts.
        control, reader = self.__dict__.get("_control"), self.__dict__.get("_reader")
        if control is not None and reader is not None and not reader.ended:
            control.abandon()

    def __repr__(self) -> str:
        state = "ended" if self._reader.ended else "under way"
        return f"<{type(self).__name__} {state}, {len(self.content)} characters>"

    def _check_source(self) -> None:
        """Before waiting for packets: whether any can still come."""
        if self._given_up:
            self._reader.read(LMStudioCancelledError("the stream was closed before its end"))
        if self._control.orphaned and not self._reader.ended:
            raise LMStudioConnectionError(
                "nothing more comes in this stream: Python is exiting, or it belongs to the parent of a forked process"
            )

    def _message(self) -> AssistantMessage:
        result = self._finished()
        parts: list[Any] = [TextPart(text=result.content)]
        parts += [ToolCallRequestPart(tool_call_request=call) for call in result.tool_calls]
        return AssistantMessage(content=parts)

    def _finished(self) -> PredictionResult:
        if self._reader.error is not None:
            raise self._reader.error
        if self._reader.result is None:
            raise LMStudioValueError("this stream was closed before its end, so there is no result")
        return self._reader.result


S = TypeVar("S", bound=BasePredictionStream)
