"""What the blocking and the awaiting client share: settings, requests, and a stream's state. Nothing waits here."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ClassVar, ForwardRef, Self, TypeAlias, TypeVar
from weakref import WeakSet

from pydantic import PrivateAttr

from lmstudio_integrations.client import requests
from lmstudio_integrations.client.act_options import ActOptions, ActSettings
from lmstudio_integrations.client.callbacks import CallbackOptions, Callbacks
from lmstudio_integrations.client.cancellation import CancelToken
from lmstudio_integrations.client.long_texts import LongTexts, check_long_texts
from lmstudio_integrations.client.prediction import PredictionReader
from lmstudio_integrations.client.server_headers import ServerHeaders, lost_headers, parse_server, restore_headers
from lmstudio_integrations.client.settings import (
    LOST_TOKEN,
    Timeout,
    check_encryption,
    parse_ssl_context,
    parse_token,
    token_of,
)
from lmstudio_integrations.client.texts import check_texts
from lmstudio_integrations.client.transport.executor import Executor, RequestLimits
from lmstudio_integrations.client.transport.pending_request import discard
from lmstudio_integrations.client.transport.stream_controller import StreamController
from lmstudio_integrations.client.transport.thread import io_thread
from lmstudio_integrations.errors import LMStudioCancelledError, LMStudioConnectionError, LMStudioValueError
from lmstudio_integrations.protocol.history import AssistantMessage, TextPart, ToolCallRequestPart
from lmstudio_integrations.protocol.models import ModelInfo

if TYPE_CHECKING:
    from os import PathLike
    from ssl import SSLContext

    from pydantic import SecretStr

    from lmstudio_integrations.client.chat import History
    from lmstudio_integrations.client.result import PredictionResult
    from lmstudio_integrations.client.schemas import ResponseFormat
    from lmstudio_integrations.client.transport.pool import ConnectionPool
    from lmstudio_integrations.protocol.auth import Authentication
    from lmstudio_integrations.protocol.config import EmbeddingLoadModelConfig, LlmLoadModelConfig, LlmPredictionConfig
    from lmstudio_integrations.protocol.config_dicts import (
        EmbeddingLoadModelConfigDict,
        LlmLoadModelConfigDict,
        LlmPredictionConfigDict,
    )
    from lmstudio_integrations.protocol.models import ModelInstanceInfo
    from lmstudio_integrations.protocol.prediction import PredictionStats

__all__ = [
    "BaseClient",
    "BaseDownloadedModel",
    "BaseModelHandle",
    "BasePredictionStream",
    "CompletionOptions",
    "EmbeddingLoadConfig",
    "LlmLoadConfig",
    "PredictionOptions",
]

T = TypeVar("T")

LlmLoadConfig: TypeAlias = "LlmLoadModelConfig | LlmLoadModelConfigDict"
"""How an LLM is loaded: LM Studio's names in a dictionary (camelCase or snake_case), or the class with its fields."""
EmbeddingLoadConfig: TypeAlias = "EmbeddingLoadModelConfig | EmbeddingLoadModelConfigDict"
"""The same for an embedding model."""


class CompletionOptions(CallbackOptions, total=False):
    """What ``complete`` and ``complete_stream`` take besides the prompt and ``response_format``.

    ``config``: settings under LM Studio's names (camelCase or snake_case), or ``LlmPredictionConfig``.
    ``preset``: the name of a preset. ``draft_model``: key of the model for speculative decoding.
    ``timeout``: seconds or a ``Timeout``, for this prediction alone. ``max_retries``: how often the request may be sent
    again (default: the client's). ``cancel``: a ``CancelToken``. ``check_context``: count the prompt's tokens first,
    and raise ``LMStudioContextOverflowError`` if they fill the context (three short requests more). ``watch_queue``:
    whether ``events()`` has a ``QueueProgress`` while the request waits at the server; ``on_queue_progress`` includes
    that.
    """

    config: LlmPredictionConfig | LlmPredictionConfigDict | None
    preset: str | None
    draft_model: str | None
    timeout: float | Timeout | Mapping[str, float | None] | None
    max_retries: int | None
    cancel: CancelToken | None
    check_context: bool
    watch_queue: bool


class PredictionOptions(CompletionOptions, total=False):
    """What ``respond`` and ``respond_stream`` take besides the history and ``response_format``.

    ``input``: the history, in place of the first argument.
    ``tools``: definitions, OpenAI's form or ``{"name", "description", "parameters"}``. ``tool_choice``: ``"auto"``,
    ``"none"``, ``"required"``, or the name of a tool, which is then the only one and must be called.
    ``parallel_tool_calls``: ``False`` keeps the first call of an answer.
    ``fetch_images``: whether this process may fetch images that the history names by an http(s) address.
    """

    input: History | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | None
    parallel_tool_calls: bool | None
    fetch_images: bool


_OPTIONS = frozenset(PredictionOptions.__annotations__)
_ACT_OPTIONS = frozenset(ActOptions.__annotations__)

F = TypeVar("F", bound=Callable[..., Any])


def shows_options(options: type[CompletionOptions | ActOptions], **defaults: object) -> Callable[[F], F]:
    """Make ``inspect.signature``, and so ``help`` and completion in notebooks, show each keyword of ``**options``.

    Type checkers and editors know them from ``Unpack``. ``defaults``: those that are neither ``None`` nor ``False``.
    """

    def keyword(name: str, kind: ForwardRef) -> inspect.Parameter:
        default = defaults.get(name, None if kind.__forward_arg__.endswith("| None") else False)
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind.__forward_arg__)

    def decorate(method: F) -> F:
        signature = inspect.signature(method)
        given = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        keywords = [keyword(name, kind) for name, kind in options.__annotations__.items()]
        method.__signature__ = signature.replace(parameters=[*given, *keywords])  # type: ignore[attr-defined]
        return method

    return decorate


_TEMPLATE_OPTIONS = {
    "omitBosToken": "omit_bos_token",
    "omitEosToken": "omit_eos_token",
    "toolDefinitions": "tool_definitions",
}


class BaseClient:
    """A server's address, an identity, time limits. Cheap: no socket and no thread before the first request."""

    _default_timeout: ClassVar[Timeout] = Timeout()
    _address: str | None = None

    def __init__(
        self,
        url: str | None = None,
        *,
        api_host: str | None = None,
        api_token: SecretStr | str | None = None,
        timeout: float | Timeout | Mapping[str, float | None] | None = None,
        max_retries: int = 1,
        ssl_context: SSLContext | str | PathLike[str] | None = None,
        headers: Mapping[str, SecretStr | str] | None = None,
    ) -> None:
        try:
            authentication = parse_token(api_token)
        finally:
            del api_token  # error trackers record the local variables of a traceback
        if url is not None and api_host is not None:
            raise LMStudioValueError("url and api_host are one address under two names: pass one")
        try:
            address, parsed = parse_server(url if api_host is None else api_host, headers)
        finally:
            del url, api_host, headers  # where people put tokens by mistake
        given = None if timeout is None else Timeout.of(timeout)
        tls = parse_ssl_context(ssl_context)
        self._set_up(address, authentication, given, check_retries(max_retries), tls, parsed)
        check_encryption(self._address, self._authentication, self._headers)

    def _set_up(
        self,
        address: str | None,
        authentication: Authentication | None,
        timeout: Timeout | None,
        max_retries: int,
        ssl_context: SSLContext | str | None,
        headers: ServerHeaders | None,
    ) -> None:
        self._address = address
        self._authentication = authentication
        self._timeout = timeout
        self._max_retries = max_retries
        self._ssl_context = ssl_context
        self._headers = headers
        self._lost: tuple[bool, tuple[str, ...]] = (False, ())
        self._streams: WeakSet[BasePredictionStream] = WeakSet()
        self._closed = False

    @property
    def url(self) -> str | None:
        """The address as it is used, or ``None`` where LM Studio is looked for on this machine."""
        return self._address

    @property
    def api_host(self) -> str | None:
        """``host:port`` of the address, under the official SDK's name; ``None`` as in ``url``."""
        return None if self._address is None else self._address.partition("://")[2]

    @property
    def _limits(self) -> RequestLimits:
        return RequestLimits(self._default_timeout if self._timeout is None else self._timeout, self._max_retries)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A pickle travels and is kept, so no secret is in it: the other side reads its own environment, and says so
        # if it lacks one. Nor is an ssl.SSLContext, which cannot be pickled; the path of a CA's file is.
        state: dict[str, Any] = {"url": self._address, "timeout": self._timeout, "max_retries": self._max_retries}
        had_token, names = self._lost
        had_token = had_token or self._authentication is not None
        names = names if self._headers is None else self._headers.names
        state["secrets"] = (had_token, names)
        return state | ({"ssl_context": self._ssl_context} if isinstance(self._ssl_context, str) else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        ssl_context = state.get("ssl_context")
        self._set_up(state["url"], parse_token(), state["timeout"], state["max_retries"], ssl_context, None)
        self._lost = state["secrets"]

    def __copy__(self) -> Self:
        return self._again()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # A copy stays in this process, so unlike a pickle it keeps the token.
        return self._again()

    def _again(self) -> Self:
        made = object.__new__(type(self))
        made._set_up(
            self._address,
            self._authentication,
            self._timeout,
            self._max_retries,
            self._ssl_context,
            self._headers,
        )
        made._lost = self._lost
        return made

    def _pool(self) -> ConnectionPool:
        """On the loop: the way to the server."""
        return io_thread().pool(self._address, self._authentication, self._ssl_context, self._headers)

    def _check_open(self) -> None:
        if self._closed:
            raise LMStudioConnectionError("this client has been closed: make a new one")
        had_token, names = self._lost
        if had_token and self._authentication is None:
            token_of(LOST_TOKEN)
            self._authentication = parse_token()
        if names and self._headers is None:
            self._headers = restore_headers(self._address, lost_headers(names))

    def _submit(
        self,
        reference: requests.ModelReference,
        work: Callable[[Executor], Coroutine[Any, Any, T]],
        deliver: Callable[[Any], object] = discard,
    ) -> Future[T]:
        """Start ``work`` on the I/O thread, with an executor for the model. ``deliver`` gets the packets of a load."""
        self._check_open()

        async def run() -> T:
            return await work(self._executor(reference, self._limits, deliver))

        return io_thread().submit(run())

    def _ask(self, call: requests.Call[T], model: requests.ModelReference | None = None) -> Future[T]:
        """Start an RPC."""
        reference = model or requests.ModelReference(call.namespace, None)
        return self._submit(reference, lambda executor: executor.call(call))

    def _load(
        self,
        reference: requests.ModelReference,
        endpoint: str,
        creation: Mapping[str, Any],
        deliver: Callable[[Any], object],
    ) -> Future[str]:
        """Start to load a model; the result is the identifier of the instance. ``reference`` has no ``load``."""
        return self._submit(reference, lambda executor: executor.load(endpoint, creation), deliver)

    def _download(self, creation: Mapping[str, Any], deliver: Callable[[Any], object]) -> Future[str]:
        """Start to download a model; the result is the key under which it can be loaded."""
        reference = requests.ModelReference("repository", None)
        return self._submit(reference, lambda executor: executor.download(creation), deliver)

    def _executor(
        self,
        model: requests.ModelReference,
        limits: RequestLimits,
        deliver: Callable[[Any], object],
    ) -> Executor:
        """On the I/O thread: what carries out one request."""
        return Executor(self._pool(), model, limits, deliver)

    def _close_pool(self) -> Future[None]:
        """Cancel this client's streams and close the sockets that no other client uses."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()

        async def run() -> None:
            await self._pool().close()

        current = io_thread()
        if current.ended:  # Python is exiting, and the I/O thread has closed everything already
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return current.submit(run())


class BaseModelHandle:
    """A model of a server: by identifier, or ``None`` for whichever is loaded."""

    def __init__(self, client: BaseClient, reference: requests.ModelReference) -> None:
        self._client = client
        self._reference = reference
        self._calls = requests.ModelCalls(reference.namespace, reference.identifier)

    @property
    def identifier(self) -> str | None:
        """The model key or identifier under which requests ask for it."""
        return self._reference.identifier

    @property
    def device(self) -> str | None:
        """The device of LM Link on which requests look for it; ``None`` is any."""
        return self._reference.device

    def __repr__(self) -> str:
        device = "" if self.device is None else f", device={self.device!r}"
        return f"{type(self).__name__}(identifier={self.identifier!r}{device})"

    def _ask(self, call: requests.Call[T]) -> Future[T]:
        return self._client._ask(call, self._reference)

    def _tokenize_all(self, texts: Iterable[str]) -> list[Future[list[int]]]:
        """Start to tokenize texts, once all of them are known to be text."""
        return [self._ask(call) for call in [self._calls.tokenize(text) for text in check_texts(texts)]]

    def _unload(self) -> Future[None]:
        return self._client._ask(requests.unload(self._reference.namespace, self.identifier, self.device))

    def _embed(
        self, texts: Iterable[str], long_texts: LongTexts, deliver: Callable[[Any], object] = discard
    ) -> Future[requests.Embedded]:
        """Start to embed texts; the results are for ``requests.read_embeddings``.

        ``deliver`` gets the packets of a load.
        """
        check_long_texts(long_texts)
        given = check_texts(texts)
        parameters = requests.embedding_parameters(given)
        suspects = [] if long_texts == "unchecked" else requests.long_texts(given)
        split = long_texts == "split"
        return self._client._submit(
            self._reference, lambda executor: executor.embed(parameters, suspects, split=split), deliver
        )

    def _template(
        self,
        history: Any,
        opts: Mapping[str, Any] | None,
        tools: Sequence[Any] | None,
        config: Any,
        omit_bos_token: bool | None,
        omit_eos_token: bool | None,
    ) -> requests.Call[str]:
        """``applyPromptTemplate``, with the official SDK's ``opts`` or with our keywords."""
        given = {_TEMPLATE_OPTIONS.get(name, name): value for name, value in (opts or {}).items()}
        if unknown := given.keys() - set(_TEMPLATE_OPTIONS.values()):
            raise LMStudioValueError(
                f"opts has no key {min(map(str, unknown))!r}: expected {', '.join(_TEMPLATE_OPTIONS)}"
            )
        return self._calls.apply_prompt_template(
            history,
            given.get("tool_definitions") if tools is None else tools,
            config,
            given.get("omit_bos_token") if omit_bos_token is None else omit_bos_token,
            given.get("omit_eos_token") if omit_eos_token is None else omit_eos_token,
        )

    def _start(
        self,
        make: Callable[..., S],
        history: Any,
        options: Mapping[str, Any],
        response_format: ResponseFormat | None = None,
        *,
        raw: bool,
    ) -> S:
        """Check everything, then start a prediction; its packets go to the stream that ``make`` makes."""
        self._client._check_open()
        given = dict(options)
        for name in given:
            if name not in _OPTIONS:
                raise TypeError(_unknown_option(name, _OPTIONS))
        if (synonym := given.pop("input", None)) is not None:
            if history is not None:
                raise TypeError("history and input are one argument under two names: pass one")
            history = synonym
        callbacks = Callbacks(**{name: given.pop(name) for name in list(given) if name.startswith("on_")})
        limits = self._limits(given)
        cancel: CancelToken | None = given.pop("cancel", None)
        watch_queue = bool(given.pop("watch_queue", False)) or callbacks.on_queue_progress is not None
        parallel = given.pop("parallel_tool_calls", None) is not False
        if cancel is not None:
            if not isinstance(cancel, CancelToken):
                raise LMStudioValueError(f"cancel: expected a CancelToken, got {type(cancel).__name__}")
            cancel.raise_if_cancelled()
        prediction = requests.prediction(history, raw_prompt=raw, response_format=response_format, **given)
        reader = PredictionReader(
            structured=prediction.structured,
            tool_names=prediction.tool_names,
            taken_ids=prediction.call_ids,
            parallel_tool_calls=parallel,
        )
        stream = make(reader, callbacks)
        controller = stream._controller
        controller.watch_queue = watch_queue

        async def run() -> None:
            executor = self._client._executor(self._reference, limits, controller.deliver_progress)
            await executor.predict(prediction, controller)

        io_thread().spawn(run(), controller)
        if cancel is not None:
            cancel.attach(controller)
        self._client._streams.add(stream)
        return stream

    def _act_settings(self, options: Mapping[str, Any]) -> ActSettings:
        """The options of ``act``: its own, and those that each round passes on to ``respond``."""
        given = dict(options)
        for name in given:
            if name not in _ACT_OPTIONS:
                raise TypeError(_unknown_option(name, _ACT_OPTIONS))
        limits = self._limits({"timeout": given.pop("timeout", None), "max_retries": given.get("max_retries")})
        own = {name: given.pop(name) for name in ActSettings.__dataclass_fields__ if name in given}
        return ActSettings(**own, timeout=limits.timeout, prediction=given)

    def _limits(self, options: dict[str, Any]) -> RequestLimits:
        """The limits of one call, taken out of its options; those not given are the client's."""
        client = self._client._limits
        timeout, retries = options.pop("timeout", None), options.pop("max_retries", None)
        if timeout is None and retries is None:
            return client
        max_retries = client.max_retries if retries is None else check_retries(retries)
        return RequestLimits(Timeout.of(timeout, client.timeout), max_retries)


def check_retries(value: Any) -> int:
    """``value`` itself. Raises ``LMStudioValueError`` unless it is an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise LMStudioValueError(f"max_retries={value!r}: expected an integer of at least 0")
    return value


def _unknown_option(name: str, options: frozenset[str]) -> str:
    from lmstudio_integrations.protocol.config import LlmPredictionConfig

    settings = {key for field, info in LlmPredictionConfig.model_fields.items() for key in (field, info.alias)}
    if name in settings:
        return f"{name!r} is a setting: pass it in config={{{name!r}: …}}"
    near = difflib.get_close_matches(name, options, 1)
    return f"there is no argument {name!r}" + (
        f"; did you mean {near[0]!r}?" if near else f": there are {sorted(options)}"
    )


class BaseDownloadedModel(ModelInfo):
    """A downloaded model: all that ``ModelInfo`` has, and the client that loads it."""

    _client: Any = PrivateAttr(default=None)

    @classmethod
    def of(cls, info: ModelInfo, client: BaseClient) -> Self:
        """``info`` with the client that loads the model."""
        made: Any = cls.model_construct(info.model_fields_set, **info.__dict__, **(info.model_extra or {}))
        made._client = client
        return made  # type: ignore[no-any-return]  # pydantic loses the subclass

    @property
    def info(self) -> ModelInfo:
        """The model info of the server."""
        return ModelInfo.model_construct(self.model_fields_set, **self.__dict__, **(self.model_extra or {}))

    def __repr__(self) -> str:
        shown = {"model_key": self.model_key, "display_name": self.display_name, "architecture": self.architecture}
        if self.vision is not None:
            shown["vision"] = self.vision  # type: ignore[assignment]  # only shown
        if self.device_identifier is not None:
            shown["device_identifier"] = self.device_identifier
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    __str__ = __repr__


def ask_api_host(api_host: str) -> Future[bool]:
    """Start to ask whether LM Studio answers at an address."""
    address, headers = parse_server(api_host)

    async def run() -> bool:
        from lmstudio_integrations.client.transport.discovery import is_lm_studio  # with it all of websockets

        return address is not None and await is_lm_studio(address, headers or ())

    return io_thread().submit(run())


def ask_local_api_host() -> Future[str | None]:
    """Start to look for LM Studio on this machine."""

    async def run() -> str | None:
        from lmstudio_integrations.client.transport.discovery import find_local

        return await find_local()

    return io_thread().submit(run())


def namespaces(namespace: str | None) -> tuple[str, ...]:
    """The namespaces that a listing covers: ``None`` is both. Raises ``LMStudioValueError`` for another word."""
    if namespace is None:
        return ("llm", "embedding")
    if namespace not in ("llm", "embedding"):
        raise LMStudioValueError(f"namespace={namespace!r}: expected 'llm', 'embedding' or None")
    return (namespace,)


def _is_interrupted() -> bool:
    """Whether Ctrl-C, a task's cancellation or ``SystemExit`` is being handled: the program may be about to end."""
    error = sys.exception()
    return error is not None and not isinstance(error, (Exception, GeneratorExit))


class BasePredictionStream:
    """A prediction under way: what both kinds of streams know and can do without waiting."""

    def __init__(
        self,
        reader: PredictionReader,
        callbacks: Callbacks,
        deliver: Callable[[Any], object],
        unread: Callable[[], int],
    ) -> None:
        self._reader = reader
        self._callbacks = callbacks
        self._controller = StreamController(io_thread(), deliver, unread)
        self._closed = False

    @property
    def content(self) -> str:
        """The visible text that has been read so far."""
        return self._reader.content

    @property
    def reasoning(self) -> str:
        """The model's reasoning that has been read so far."""
        return self._reader.reasoning

    @property
    def stats(self) -> PredictionStats | None:
        """The statistics, once the prediction has ended."""
        return None if self._reader.result is None else self._reader.result.stats

    @property
    def model_info(self) -> ModelInstanceInfo | None:
        """The instance that answered, once the prediction has ended."""
        return None if self._reader.result is None else self._reader.result.model_info

    def _cancel(self) -> None:
        if not self._reader.ended:
            self._controller.cancel(at_once=_is_interrupted())

    def close(self) -> None:
        """Cancel if it has not ended, and discard what has not been read: there is no result then."""
        if not self._reader.ended:
            self._closed = True
            self._controller.abandon(at_once=_is_interrupted())

    def __del__(self) -> None:
        # A finalizer may run on any thread, in the middle of anything: this only posts.
        controller, reader = self.__dict__.get("_controller"), self.__dict__.get("_reader")
        if controller is not None and reader is not None and not reader.ended:
            controller.abandon()

    def __reduce__(self) -> Any:
        raise LMStudioValueError(
            f"a {type(self).__name__} cannot be copied or pickled, because its answer arrives in this process: copy or "
            "pickle its result()"
        )

    def __repr__(self) -> str:
        state = "ended" if self._reader.ended else "running"
        return f"<{type(self).__name__} {state}, {len(self.content)} characters>"

    def _check_source(self) -> None:
        """Raise an error if no more packets can arrive."""
        if self._closed:
            self._reader.read(LMStudioCancelledError("the stream was closed before its end"))
        if self._controller.io_thread_ended and not self._reader.ended:
            raise LMStudioConnectionError(
                "this stream receives nothing more: Python is exiting, or it belongs to the parent of a forked process"
            )

    def _message(self) -> AssistantMessage:
        result = self._finished()
        parts: list[Any] = [TextPart(text=result.content)]
        parts += [ToolCallRequestPart(tool_call_request=call) for call in result.tool_calls]
        return AssistantMessage(content=parts)

    def _finished(self) -> PredictionResult[Any]:
        if self._reader.error is not None:
            raise self._reader.error
        assert self._reader.result is not None
        return self._reader.result


S = TypeVar("S", bound=BasePredictionStream)
