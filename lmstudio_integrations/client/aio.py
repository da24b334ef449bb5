"""The awaiting front: ``AsyncClient``, its namespaces, model handles and streams.

The same names in the same order as in ``sync.py``, for ``async`` code on any event loop, or several. The I/O is the
engine's, on its own thread: a blocked loop here does not stop the reception of an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, overload

from lmstudio_integrations.client import requests
from lmstudio_integrations.client._base import (
    BaseClient,
    BaseDownloadedModel,
    BaseModelHandle,
    CompletionOptions,
    EmbeddingLoadConfig,
    LlmLoadConfig,
    PredictionOptions,
    ask_api_host,
    ask_local_api_host,
    namespaces,
    shows_options,
)
from lmstudio_integrations.client.act import act_steps, drive_async
from lmstudio_integrations.client.aio_repository import AsyncAvailableModel, AsyncModelDownloadOption, AsyncRepository
from lmstudio_integrations.client.aio_stream import AsyncPredictionStream
from lmstudio_integrations.client.aio_waiting import follow as _follow
from lmstudio_integrations.client.aio_waiting import run as _run
from lmstudio_integrations.client.aio_waiting import wait as _wait
from lmstudio_integrations.client.callbacks import check_callback
from lmstudio_integrations.client.chat import History
from lmstudio_integrations.client.images import FileSource, read_image
from lmstudio_integrations.client.prediction import Fragment, load_progress

if TYPE_CHECKING:
    from lmstudio_integrations.client.act import ActResult, InvalidToolRequestHandler, PredictionRoundResult
    from lmstudio_integrations.client.cancellation import CancelToken
    from lmstudio_integrations.client.history import PreparedHistory
    from lmstudio_integrations.client.long_texts import LongTexts
    from lmstudio_integrations.client.result import PredictionResult
    from lmstudio_integrations.client.settings import Timeout
    from lmstudio_integrations.client.tool_functions import ToolInput
    from lmstudio_integrations.protocol.config import LlmPredictionConfig
    from lmstudio_integrations.protocol.config_dicts import (
        LlmPredictionConfigDict,
    )
    from lmstudio_integrations.protocol.config_reported import (
        ReportedEmbeddingLoadConfig,
        ReportedLlmLoadConfig,
        ReportedPredictionConfig,
    )
    from lmstudio_integrations.protocol.history import AssistantMessage, FilePart, ToolMessage, UserMessage
    from lmstudio_integrations.protocol.model_calls import ProcessingState, ResourceEstimate
    from lmstudio_integrations.protocol.models import ModelInstanceInfo
    from lmstudio_integrations.protocol.system import Version

__all__ = [
    "AsyncAvailableModel",
    "AsyncClient",
    "AsyncDownloadedEmbeddingModel",
    "AsyncDownloadedLlm",
    "AsyncEmbeddingModel",
    "AsyncFiles",
    "AsyncLLM",
    "AsyncModelDownloadOption",
    "AsyncModels",
    "AsyncPredictionStream",
    "AsyncRepository",
    "AsyncSystem",
]

T = TypeVar("T")
LoadProgressCallback = Callable[[float], Any]


class _AsyncModel(BaseModelHandle):
    """A model of either kind."""

    @overload
    async def tokenize(self, input: str) -> list[int]: ...  # type: ignore[overload-overlap]  # text is a sequence of text, too
    @overload
    async def tokenize(self, input: Iterable[str]) -> list[list[int]]: ...
    async def tokenize(self, input: str | Iterable[str]) -> list[int] | list[list[int]]:
        """Token ids of a text, or of each of several."""
        if isinstance(input, str):
            return await _wait(self._ask(self._calls.tokenize(input)))
        return [await _wait(future) for future in self._tokenize_all(input)]

    async def count_tokens(self, input: str) -> int:
        """How many tokens a text has."""
        return await _wait(self._ask(self._calls.count_tokens(input)))

    async def get_info(self) -> ModelInstanceInfo:
        """The loaded instance: identifier, context length, abilities."""
        return await _wait(self._ask(self._calls.get_info()))

    async def get_context_length(self) -> int:
        """The context with which it is loaded, in tokens."""
        return (await self.get_info()).context_length

    async def get_processing_state(self) -> ProcessingState:
        """What it does now ("idle", "processingPrompt", "generating", "computingEmbedding"), and how many wait."""
        return await _wait(self._ask(self._calls.get_processing_state()))

    async def unload(self) -> None:
        """Unload it. A later request through this handle loads it again."""
        await _wait(self._unload())


class AsyncLLM(_AsyncModel):
    """A language model. It is loaded at its first use if it is not loaded yet, and addressed by its identifier."""

    async def get_load_config(self) -> ReportedLlmLoadConfig:
        """How it was loaded: a dictionary under LM Studio's names, with attributes (``.context_length``)."""
        config: ReportedLlmLoadConfig = await _wait(self._ask(self._calls.get_load_config()))
        return config

    @shows_options(PredictionOptions)
    async def respond(self, history: History | None = None, **options: Unpack[PredictionOptions]) -> PredictionResult:
        """Answer a chat: text, a JSON history, a list of messages or a ``Chat``.

        For ``options`` see ``PredictionOptions``. Raises ``LMStudioValueError`` for what LM Studio would refuse, else
        the errors of ``AsyncPredictionStream``.
        """
        async with await self.respond_stream(history, **options) as stream:
            return await stream.result()

    @shows_options(PredictionOptions)
    async def respond_stream(
        self, history: History | None = None, **options: Unpack[PredictionOptions]
    ) -> AsyncPredictionStream:
        """The same as a stream. Returns at once; connecting, loading and their errors come with the first read."""
        return self._start(AsyncPredictionStream, history, options, raw=False)

    @shows_options(CompletionOptions)
    async def complete(self, prompt: str, **options: Unpack[CompletionOptions]) -> PredictionResult:
        """Continue a text without a chat template."""
        async with await self.complete_stream(prompt, **options) as stream:
            return await stream.result()

    @shows_options(CompletionOptions)
    async def complete_stream(self, prompt: str, **options: Unpack[CompletionOptions]) -> AsyncPredictionStream:
        """The same as a stream."""
        return self._start(AsyncPredictionStream, prompt, options, raw=True)

    async def act(
        self,
        chat: History,
        tools: Iterable[ToolInput],
        *,
        max_prediction_rounds: int | None = None,
        max_parallel_tool_calls: int | None = 1,
        config: LlmPredictionConfig | LlmPredictionConfigDict | None = None,
        preset: str | None = None,
        on_message: Callable[[AssistantMessage | ToolMessage | UserMessage], object] | None = None,
        on_first_token: Callable[[int], object] | None = None,
        on_prediction_fragment: Callable[[Fragment, int], object] | None = None,
        on_round_start: Callable[[int], object] | None = None,
        on_round_end: Callable[[int], object] | None = None,
        on_prediction_completed: Callable[[PredictionRoundResult], object] | None = None,
        on_prompt_processing_progress: Callable[[float, int], object] | None = None,
        on_load_progress: Callable[[float], object] | None = None,
        handle_invalid_tool_request: InvalidToolRequestHandler | None = None,
        draft_model: str | None = None,
        parallel_tool_calls: bool | None = None,
        check_context: bool = False,
        fetch_images: bool = False,
        timeout: float | Timeout | Mapping[str, float | None] | None = None,  # noqa: ASYNC109  # limits of stages
        max_retries: int | None = None,
        cancel: CancelToken | None = None,
    ) -> ActResult:
        """Answer a chat, running the tools that the model calls, until it answers without a tool call.

        Args:
            chat: What ``respond`` takes. It is not changed: ``on_message=chat.append`` adds the new messages to it.
            tools: Functions with type hints, ``ToolFunctionDef`` objects, mappings with an ``"implementation"``, tools
                of LangChain or LlamaIndex. Coroutine functions run in this loop, other tools on threads
                of their own.
            max_prediction_rounds: The most predictions; the last one must answer without tools. ``None``: no limit.
            max_parallel_tool_calls: How many tools of one round run at once. ``None``: by the number of processors.
            config: Settings of every prediction, as in ``respond``.
            preset: The name of a preset.
            on_message: Gets each ``AssistantMessage``, and a ``ToolMessage`` with the results of each round; images of
                tools follow in a ``UserMessage``.
            on_first_token: Gets the round's index, before the round's first fragment or tool call.
            on_prediction_fragment: Gets each ``Fragment`` and the round's index.
            on_round_start: Gets the round's index, before its prediction.
            on_round_end: Gets the round's index, after its tools.
            on_prediction_completed: Gets the round's result, before its tools run.
            on_prompt_processing_progress: Gets the progress (0.0 to 1.0) and the round's index.
            on_load_progress: Gets the progress (0.0 to 1.0) while the model is loaded.
            handle_invalid_tool_request: Gets an ``LMStudioToolCallError`` and the call: for a tool that does not exist
                or raised an exception, or arguments that do not fit. Returns the text for the model or ``None`` (the
                error's own text); an exception that it raises ends ``act``. Without it, the model gets the error.
            draft_model: Key of the model for speculative decoding.
            parallel_tool_calls: ``False`` keeps the first tool call of each round.
            check_context: Count the tokens of each prompt first.
            fetch_images: Whether this process may fetch images that the chat names by an http(s) address.
            timeout: Seconds or a ``Timeout``; ``total`` bounds all rounds and tools together.
            max_retries: How often each round's request may be sent again.
            cancel: A ``CancelToken``. A prediction under way ends, and ``act`` with it; a tool under way is abandoned.

        Raises:
            LMStudioValueError: A tool, the chat or an option cannot be used.
            LMStudioCancelledError: Cancelled between predictions or while tools ran.
            LMStudioTimeoutError: A time limit expired.
        """
        options = self._act_options(
            max_prediction_rounds=max_prediction_rounds,
            max_parallel_tool_calls=max_parallel_tool_calls,
            config=config,
            preset=preset,
            on_message=on_message,
            on_first_token=on_first_token,
            on_prediction_fragment=on_prediction_fragment,
            on_round_start=on_round_start,
            on_round_end=on_round_end,
            on_prediction_completed=on_prediction_completed,
            on_prompt_processing_progress=on_prompt_processing_progress,
            on_load_progress=on_load_progress,
            handle_invalid_tool_request=handle_invalid_tool_request,
            draft_model=draft_model,
            parallel_tool_calls=parallel_tool_calls,
            check_context=check_context,
            fetch_images=fetch_images,
            timeout=timeout,
            max_retries=max_retries,
            cancel=cancel,
        )
        return await drive_async(act_steps(chat, tools, options, blocking=False), self._respond_round)

    async def _respond_round(self, history: PreparedHistory, options: Mapping[str, Any]) -> PredictionResult:
        return await self.respond(history, **options)

    async def apply_prompt_template(
        self,
        history: History,
        opts: Mapping[str, object] | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        config: LlmPredictionConfig | LlmPredictionConfigDict | None = None,
        omit_bos_token: bool | None = None,
        omit_eos_token: bool | None = None,
    ) -> str:
        """The chat as the model would see it, tools included.

        ``opts`` holds the same options under LM Studio's names: ``omitBosToken``, ``omitEosToken``,
        ``toolDefinitions``.
        """
        call = self._template(history, opts, tools, config, omit_bos_token, omit_eos_token)
        return await _wait(self._ask(call))

    async def get_base_prediction_config(
        self, *, ignore_server_session_config: bool | None = None
    ) -> ReportedPredictionConfig:
        """The settings of a prediction that sets none itself: a dictionary under LM Studio's names, with attributes."""
        return await _wait(self._ask(self._calls.get_base_prediction_config(ignore_server_session_config)))

    async def preload_draft_model(self, draft_model_key: str) -> None:
        """Load the draft model of later predictions (``draft_model=``) now, so that the first need not wait for it."""
        await _wait(self._ask(self._calls.preload_draft_model(draft_model_key)))


class AsyncEmbeddingModel(_AsyncModel):
    """An embedding model. It is loaded when first needed, if it is not there."""

    async def get_load_config(self) -> ReportedEmbeddingLoadConfig:
        """How it was loaded: a dictionary under LM Studio's names, with attributes (``.context_length``)."""
        config: ReportedEmbeddingLoadConfig = await _wait(self._ask(self._calls.get_load_config()))
        return config

    @overload
    async def embed(self, input: str, *, long_texts: LongTexts = ...) -> list[float]: ...  # type: ignore[overload-overlap]  # as above
    @overload
    async def embed(self, input: Iterable[str], *, long_texts: LongTexts = ...) -> list[list[float]]: ...
    async def embed(
        self, input: str | Iterable[str], *, long_texts: LongTexts = "error"
    ) -> list[float] | list[list[float]]:
        """The embedding of a text, or of each of several in their order, some of them at once.

        ``long_texts``: a text that has more tokens than the model's context is an error that names its number
        ("error"), or is embedded in parts whose vectors are averaged ("split"), or is sent as it is ("unchecked": LM
        Studio then embeds its beginning). Only texts of more than 254 bytes cost further requests for it.
        """
        if isinstance(input, str):
            return requests.read_embeddings(await _wait(self._embed([input], long_texts)))[0]
        return requests.read_embeddings(await _wait(self._embed(input, long_texts)))


class AsyncDownloadedLlm(BaseDownloadedModel):
    """A downloaded language model, as ``list_downloaded_models`` returns it.

    It has the attributes of ``ModelInfo`` (``model_key``, ``size_bytes`` …), alone as ``info``.
    """

    async def model(
        self,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        config: LlmLoadConfig | None = None,
        on_load_progress: LoadProgressCallback | None = None,
    ) -> AsyncLLM:
        """The model, loaded now if it is not: as ``client.llm.model(…)``."""
        models = self._client.llm
        handle: AsyncLLM = await models.model(
            self.model_key,
            ttl=ttl,
            config=config,
            on_load_progress=on_load_progress,
            device=self.device_identifier,
        )
        return handle

    async def load_new_instance(
        self,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        instance_identifier: str | None = None,
        config: LlmLoadConfig | None = None,
        on_load_progress: LoadProgressCallback | None = None,
    ) -> AsyncLLM:
        """Another instance of it: as ``client.llm.load_new_instance(…)``."""
        models = self._client.llm
        handle: AsyncLLM = await models.load_new_instance(
            self.model_key,
            instance_identifier,
            ttl=ttl,
            config=config,
            on_load_progress=on_load_progress,
            device=self.device_identifier,
        )
        return handle


class AsyncDownloadedEmbeddingModel(BaseDownloadedModel):
    """A downloaded embedding model, as ``list_downloaded_models`` returns it.

    It has the attributes of ``ModelInfo`` (``model_key``, ``size_bytes`` …), alone as ``info``.
    """

    async def model(
        self,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        config: EmbeddingLoadConfig | None = None,
        on_load_progress: LoadProgressCallback | None = None,
    ) -> AsyncEmbeddingModel:
        """The model, loaded now if it is not: as ``client.embedding.model(…)``."""
        models = self._client.embedding
        handle: AsyncEmbeddingModel = await models.model(
            self.model_key,
            ttl=ttl,
            config=config,
            on_load_progress=on_load_progress,
            device=self.device_identifier,
        )
        return handle

    async def load_new_instance(
        self,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        instance_identifier: str | None = None,
        config: EmbeddingLoadConfig | None = None,
        on_load_progress: LoadProgressCallback | None = None,
    ) -> AsyncEmbeddingModel:
        """Another instance of it: as ``client.embedding.load_new_instance(…)``."""
        models = self._client.embedding
        handle: AsyncEmbeddingModel = await models.load_new_instance(
            self.model_key,
            instance_identifier,
            ttl=ttl,
            config=config,
            on_load_progress=on_load_progress,
            device=self.device_identifier,
        )
        return handle


M = TypeVar("M", bound=_AsyncModel)
D = TypeVar("D", bound=BaseDownloadedModel)
C = TypeVar("C")


class AsyncModels(Generic[M, D, C]):
    """The models of one kind on a server: ``client.llm`` and ``client.embedding``."""

    def __init__(self, client: AsyncClient, namespace: str, kind: type[M], downloaded: type[D]) -> None:
        self._client = client
        self._namespace = namespace
        self._kind = kind
        self._downloaded = downloaded

    async def model(
        self,
        key: str | None = None,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        config: C | None = None,
        on_load_progress: LoadProgressCallback | None = None,
        device: str | None = None,
        check_resources: bool = False,
    ) -> M:
        """A model that is loaded: ``key``, loaded now if it is not, or with ``None`` any that is.

        ``ttl``: seconds of idleness (default 3600) after which LM Studio unloads it again, ``None`` for never;
        ``config``: load options. Both count only if it has to be loaded. ``on_load_progress(progress)``: 0.0 to 1.0.
        ``device``: a device of LM Link, by a listed model's ``device_identifier``. ``check_resources``: ask LM Studio
        first whether the model would fit, and raise ``LMStudioResourcesError`` if its guardrails would not let it pass.
        Cancelling the task, or an error raised in the callback, cancels the load.
        Raises ``LMStudioModelNotFoundError`` for an unknown key, or if none is loaded.
        """
        if key is None:
            any_loaded = self.just_in_time(None, ttl=ttl, config=config, device=device)
            info = await any_loaded.get_info()
            return self.just_in_time(info.identifier, ttl=ttl, config=config, device=device)
        reference = requests.model_reference(self._namespace, key, ttl, config, device, check_resources)
        assert reference.load is not None
        identifier = await self._load("getOrLoad", reference, reference.load, on_load_progress)
        return self._kind(self._client, replace(reference, identifier=identifier))

    def just_in_time(
        self,
        key: str | None = None,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        config: C | None = None,
        device: str | None = None,
        check_resources: bool = False,
    ) -> M:
        """A handle without a request: the model is loaded by the first request that finds it missing."""
        reference = requests.model_reference(self._namespace, key, ttl, config, device, check_resources)
        return self._kind(self._client, reference)

    async def load_new_instance(
        self,
        model_key: str,
        instance_identifier: str | None = None,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        config: C | None = None,
        on_load_progress: LoadProgressCallback | None = None,
        device: str | None = None,
        check_resources: bool = False,
    ) -> M:
        """Load another instance, under ``instance_identifier`` (default: LM Studio chooses an identifier)."""
        creation = requests.load_model(self._namespace, model_key, instance_identifier, ttl, config, device)
        reference = requests.model_reference(self._namespace, model_key, ttl, config, device, check_resources)
        identifier = await self._load("loadModel", reference, creation, on_load_progress)
        return self._kind(self._client, requests.instance_by_identifier(self._namespace, identifier, device))

    async def estimate_resources(
        self, model_key: str, config: C | None = None, *, device: str | None = None
    ) -> ResourceEstimate:
        """What loading a model would take, and whether LM Studio's guardrails would let it pass. Nothing is loaded.

        ``estimate.memory.total_bytes``, ``estimate.memory.total_vram_bytes``, ``estimate.passes_guardrails``.
        """
        return await _wait(self._client._ask(requests.estimate(self._namespace, model_key, config, device)))

    async def unload(self, model_identifier: str, *, device: str | None = None) -> None:
        """Unload an instance, if several devices have it the one on ``device``."""
        await _wait(self._client._ask(requests.unload(self._namespace, model_identifier, device)))

    async def list_loaded(self) -> list[M]:
        """Handles to the loaded instances."""
        infos = await _wait(self._client._ask(requests.list_loaded(self._namespace)))
        return [self.just_in_time(info.identifier, device=info.device_identifier) for info in infos]

    async def get_model_info(self, model_specifier: str | Mapping[str, object]) -> ModelInstanceInfo:
        """The loaded instance of an identifier, or of a query such as ``{"path": …}`` or ``{"vision": True}``.

        Raises ``LMStudioModelNotFoundError`` if no loaded model fits.
        """
        return await _wait(self._client._ask(requests.model_info(self._namespace, model_specifier)))

    async def list_downloaded(self) -> list[D]:
        """The models of this kind on the server's disk, each with ``model()`` and ``load_new_instance()``."""
        infos = await _wait(self._client._ask(requests.list_downloaded()))
        return [self._downloaded.of(info, self._client) for info in infos if info.type == self._namespace]

    async def _load(
        self,
        endpoint: str,
        reference: requests.ModelReference,
        creation: Mapping[str, Any],
        on_load_progress: LoadProgressCallback | None,
    ) -> str:
        check_callback("on_load_progress", on_load_progress)
        last = -1.0

        async def read(packet: Any) -> None:
            nonlocal last
            progress = load_progress(packet)
            if progress is not None and progress != last and on_load_progress is not None:
                last = progress
                await _run(on_load_progress, progress)

        asked = replace(reference, load=None)
        return await _follow(lambda deliver: self._client._load(asked, endpoint, creation, deliver), read)


class AsyncFiles:
    """``client.files``."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def prepare_image(self, src: FileSource, name: str | None = None) -> FilePart:
        """Upload an image (path, bytes or binary file: PNG, JPEG, WebP, GIF, BMP) for use in a message.

        The handle is good for this client's server and identity. Raises ``LMStudioValueError`` for other contents.
        """
        return await _wait(self._client._ask(requests.upload(await asyncio.to_thread(read_image, src, name))))


class AsyncSystem:
    """``client.system``."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def version(self) -> Version:
        """LM Studio's ``version`` and ``build``."""
        return await _wait(self._client._ask(requests.version()))

    async def list_downloaded_models(self) -> list[AsyncDownloadedLlm | AsyncDownloadedEmbeddingModel]:
        """Every model on the server's disk, each with ``model()`` and ``load_new_instance()``."""
        infos = await _wait(self._client._ask(requests.list_downloaded()))
        return [
            (AsyncDownloadedEmbeddingModel if info.type == "embedding" else AsyncDownloadedLlm).of(info, self._client)
            for info in infos
        ]


class AsyncClient(BaseClient):
    """A way to LM Studio.

    ``url``: ``ws://``, ``wss://``, ``http://``, ``https://`` or ``host:port``, with a path prefix if need be; ``None``
    reads ``LMSTUDIO_BASE_URL``, then looks for LM Studio on this machine. ``api_token``: a string or a pydantic
    ``SecretStr``; ``None`` reads ``LMSTUDIO_API_TOKEN``, then ``LM_API_TOKEN``. ``timeout``: seconds or ``Timeout``.
    ``ssl_context``: for ``wss://``, the path of a file or folder with CA certificates (PEM), or an ``ssl.SSLContext``.
    ``headers``: names and values for a reverse proxy that demands them, sent with each connection and shown nowhere;
    for basic authentication write ``https://user:password@host``.

    Making one costs nothing: sockets are opened by the first request and shared by all clients of one address and
    token in the process. Leaving an ``async with`` block, or ``close()``, cancels this client's streams and closes the
    sockets that no other client uses.
    """

    @property
    def llm(self) -> AsyncModels[AsyncLLM, AsyncDownloadedLlm, LlmLoadConfig]:
        """Language models."""
        return AsyncModels(self, "llm", AsyncLLM, AsyncDownloadedLlm)

    @property
    def embedding(
        self,
    ) -> AsyncModels[AsyncEmbeddingModel, AsyncDownloadedEmbeddingModel, EmbeddingLoadConfig]:
        """Embedding models."""
        return AsyncModels(self, "embedding", AsyncEmbeddingModel, AsyncDownloadedEmbeddingModel)

    @property
    def files(self) -> AsyncFiles:
        """Uploads."""
        return AsyncFiles(self)

    @property
    def repository(self) -> AsyncRepository:
        """Models that can be downloaded."""
        return AsyncRepository(self)

    @property
    def system(self) -> AsyncSystem:
        """The server itself."""
        return AsyncSystem(self)

    async def prepare_image(self, src: FileSource, name: str | None = None) -> FilePart:
        """Upload an image for use in a message: as ``client.files.prepare_image``."""
        return await self.files.prepare_image(src, name)

    async def list_loaded_models(self, namespace: str | None = None) -> list[AsyncLLM | AsyncEmbeddingModel]:
        """Handles to everything that is loaded, language models first; ``namespace``: only "llm" or "embedding"."""
        wanted = namespaces(namespace)
        handles: list[AsyncLLM | AsyncEmbeddingModel] = []
        if "llm" in wanted:
            handles += await self.llm.list_loaded()
        if "embedding" in wanted:
            handles += await self.embedding.list_loaded()
        return handles

    async def list_downloaded_models(
        self, namespace: str | None = None
    ) -> list[AsyncDownloadedLlm | AsyncDownloadedEmbeddingModel]:
        """Every model on the server's disk; ``namespace``: only "llm" or "embedding"."""
        wanted = namespaces(namespace)
        models = await self.system.list_downloaded_models()
        return [model for model in models if namespace is None or model.type in wanted]

    @staticmethod
    async def is_valid_api_host(api_host: str) -> bool:
        """Whether LM Studio's API answers at ``api_host`` ("host:port" or an address)."""
        return await _wait(ask_api_host(api_host))

    @staticmethod
    async def find_default_local_api_host() -> str | None:
        """``host:port`` of the LM Studio on this machine, or ``None``: all its usual ports are tried concurrently."""
        return await _wait(ask_local_api_host())

    async def close(self) -> None:
        """Cancel this client's streams and close the sockets that no other client uses."""
        await _wait(self._close_pool())

    async def aclose(self) -> None:
        """``close()``, under the name that ``contextlib.aclosing`` looks for."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
