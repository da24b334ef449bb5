"""The blocking front: ``Client``, its namespaces, model handles and streams.

Everything here posts a request to the I/O thread and waits for its mailbox. ``aio.py`` has the same names in the same
order for ``async`` code.
"""

from __future__ import annotations

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
from lmstudio_integrations.client.act import act_steps, drive
from lmstudio_integrations.client.callbacks import check_callback, refuse_coroutine
from lmstudio_integrations.client.chat import History
from lmstudio_integrations.client.images import FileSource, read_image
from lmstudio_integrations.client.prediction import Fragment, load_progress
from lmstudio_integrations.client.sync_repository import AvailableModel, ModelDownloadOption, Repository
from lmstudio_integrations.client.sync_stream import PredictionStream
from lmstudio_integrations.client.sync_waiting import follow as _follow
from lmstudio_integrations.client.sync_waiting import wait as _wait

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
    "LLM",
    "AvailableModel",
    "Client",
    "DownloadedEmbeddingModel",
    "DownloadedLlm",
    "EmbeddingModel",
    "Files",
    "ModelDownloadOption",
    "Models",
    "PredictionStream",
    "Repository",
    "System",
]

T = TypeVar("T")
LoadProgressCallback = Callable[[float], Any]


class _Model(BaseModelHandle):
    """A model of either kind."""

    @overload
    def tokenize(self, input: str) -> list[int]: ...  # type: ignore[overload-overlap]  # text is a sequence of text, too
    @overload
    def tokenize(self, input: Iterable[str]) -> list[list[int]]: ...
    def tokenize(self, input: str | Iterable[str]) -> list[int] | list[list[int]]:
        """Token ids of a text, or of each of several."""
        if isinstance(input, str):
            return _wait(self._ask(self._calls.tokenize(input)))
        return [_wait(future) for future in self._tokenize_all(input)]

    def count_tokens(self, input: str) -> int:
        """How many tokens a text has."""
        return _wait(self._ask(self._calls.count_tokens(input)))

    def get_info(self) -> ModelInstanceInfo:
        """The loaded instance: identifier, context length, abilities."""
        return _wait(self._ask(self._calls.get_info()))

    def get_context_length(self) -> int:
        """The context with which it is loaded, in tokens."""
        return self.get_info().context_length

    def get_processing_state(self) -> ProcessingState:
        """What it does now ("idle", "processingPrompt", "generating", "computingEmbedding"), and how many wait."""
        return _wait(self._ask(self._calls.get_processing_state()))

    def unload(self) -> None:
        """Unload it. A later request through this handle loads it again."""
        _wait(self._unload())


class LLM(_Model):
    """A language model. It is loaded at its first use if it is not loaded yet, and addressed by its identifier."""

    def get_load_config(self) -> ReportedLlmLoadConfig:
        """How it was loaded: a dictionary under LM Studio's names, with attributes (``.context_length``)."""
        config: ReportedLlmLoadConfig = _wait(self._ask(self._calls.get_load_config()))
        return config

    @shows_options(PredictionOptions)
    def respond(self, history: History | None = None, **options: Unpack[PredictionOptions]) -> PredictionResult:
        """Answer a chat: text, a JSON history, a list of messages or a ``Chat``.

        For ``options`` see ``PredictionOptions``. Raises ``LMStudioValueError`` for what LM Studio would refuse, else
        the errors of ``PredictionStream``.
        """
        with self.respond_stream(history, **options) as stream:
            return stream.result()

    @shows_options(PredictionOptions)
    def respond_stream(self, history: History | None = None, **options: Unpack[PredictionOptions]) -> PredictionStream:
        """The same as a stream. Returns at once; connecting, loading and their errors come with the first read."""
        return self._start(PredictionStream, history, options, raw=False)

    @shows_options(CompletionOptions)
    def complete(self, prompt: str, **options: Unpack[CompletionOptions]) -> PredictionResult:
        """Continue a text without a chat template."""
        with self.complete_stream(prompt, **options) as stream:
            return stream.result()

    @shows_options(CompletionOptions)
    def complete_stream(self, prompt: str, **options: Unpack[CompletionOptions]) -> PredictionStream:
        """The same as a stream."""
        return self._start(PredictionStream, prompt, options, raw=True)

    def act(
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
        timeout: float | Timeout | Mapping[str, float | None] | None = None,
        max_retries: int | None = None,
        cancel: CancelToken | None = None,
    ) -> ActResult:
        """Answer a chat, running the tools that the model calls, until it answers without a tool call.

        Args:
            chat: What ``respond`` takes. It is not changed: ``on_message=chat.append`` adds the new messages to it.
            tools: Functions with type hints, ``ToolFunctionDef`` objects, mappings with an ``"implementation"``, tools
                of LangChain or LlamaIndex. They run on threads of their own.
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
        return drive(act_steps(chat, tools, options, blocking=True), self._respond_round)

    def _respond_round(self, history: PreparedHistory, options: Mapping[str, Any]) -> PredictionResult:
        return self.respond(history, **options)

    def apply_prompt_template(
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
        return _wait(self._ask(call))

    def get_base_prediction_config(
        self, *, ignore_server_session_config: bool | None = None
    ) -> ReportedPredictionConfig:
        """The settings of a prediction that sets none itself: a dictionary under LM Studio's names, with attributes."""
        return _wait(self._ask(self._calls.get_base_prediction_config(ignore_server_session_config)))

    def preload_draft_model(self, draft_model_key: str) -> None:
        """Load the draft model of later predictions (``draft_model=``) now, so that the first need not wait for it."""
        _wait(self._ask(self._calls.preload_draft_model(draft_model_key)))


class EmbeddingModel(_Model):
    """An embedding model. It is loaded when first needed, if it is not there."""

    def get_load_config(self) -> ReportedEmbeddingLoadConfig:
        """How it was loaded: a dictionary under LM Studio's names, with attributes (``.context_length``)."""
        config: ReportedEmbeddingLoadConfig = _wait(self._ask(self._calls.get_load_config()))
        return config

    @overload
    def embed(self, input: str, *, long_texts: LongTexts = ...) -> list[float]: ...  # type: ignore[overload-overlap]  # as above
    @overload
    def embed(self, input: Iterable[str], *, long_texts: LongTexts = ...) -> list[list[float]]: ...
    def embed(self, input: str | Iterable[str], *, long_texts: LongTexts = "error") -> list[float] | list[list[float]]:
        """The embedding of a text, or of each of several in their order, some of them at once.

        ``long_texts``: a text that has more tokens than the model's context is an error that names its number
        ("error"), or is embedded in parts whose vectors are averaged ("split"), or is sent as it is ("unchecked": LM
        Studio then embeds its beginning). Only texts of more than 254 bytes cost further requests for it.
        """
        if isinstance(input, str):
            return requests.read_embeddings(_wait(self._embed([input], long_texts)))[0]
        return requests.read_embeddings(_wait(self._embed(input, long_texts)))


class DownloadedLlm(BaseDownloadedModel):
    """A downloaded language model, as ``list_downloaded_models`` returns it.

    It has the attributes of ``ModelInfo`` (``model_key``, ``size_bytes`` …), alone as ``info``.
    """

    def model(
        self,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        config: LlmLoadConfig | None = None,
        on_load_progress: LoadProgressCallback | None = None,
    ) -> LLM:
        """The model, loaded now if it is not: as ``client.llm.model(…)``."""
        models = self._client.llm
        handle: LLM = models.model(
            self.model_key,
            ttl=ttl,
            config=config,
            on_load_progress=on_load_progress,
            device=self.device_identifier,
        )
        return handle

    def load_new_instance(
        self,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        instance_identifier: str | None = None,
        config: LlmLoadConfig | None = None,
        on_load_progress: LoadProgressCallback | None = None,
    ) -> LLM:
        """Another instance of it: as ``client.llm.load_new_instance(…)``."""
        models = self._client.llm
        handle: LLM = models.load_new_instance(
            self.model_key,
            instance_identifier,
            ttl=ttl,
            config=config,
            on_load_progress=on_load_progress,
            device=self.device_identifier,
        )
        return handle


class DownloadedEmbeddingModel(BaseDownloadedModel):
    """A downloaded embedding model, as ``list_downloaded_models`` returns it.

    It has the attributes of ``ModelInfo`` (``model_key``, ``size_bytes`` …), alone as ``info``.
    """

    def model(
        self,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        config: EmbeddingLoadConfig | None = None,
        on_load_progress: LoadProgressCallback | None = None,
    ) -> EmbeddingModel:
        """The model, loaded now if it is not: as ``client.embedding.model(…)``."""
        models = self._client.embedding
        handle: EmbeddingModel = models.model(
            self.model_key,
            ttl=ttl,
            config=config,
            on_load_progress=on_load_progress,
            device=self.device_identifier,
        )
        return handle

    def load_new_instance(
        self,
        *,
        ttl: float | None = requests.DEFAULT_TTL,
        instance_identifier: str | None = None,
        config: EmbeddingLoadConfig | None = None,
        on_load_progress: LoadProgressCallback | None = None,
    ) -> EmbeddingModel:
        """Another instance of it: as ``client.embedding.load_new_instance(…)``."""
        models = self._client.embedding
        handle: EmbeddingModel = models.load_new_instance(
            self.model_key,
            instance_identifier,
            ttl=ttl,
            config=config,
            on_load_progress=on_load_progress,
            device=self.device_identifier,
        )
        return handle


M = TypeVar("M", bound=_Model)
D = TypeVar("D", bound=BaseDownloadedModel)
C = TypeVar("C")


class Models(Generic[M, D, C]):
    """The models of one kind on a server: ``client.llm`` and ``client.embedding``."""

    def __init__(self, client: Client, namespace: str, kind: type[M], downloaded: type[D]) -> None:
        self._client = client
        self._namespace = namespace
        self._kind = kind
        self._downloaded = downloaded

    def model(
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
        Ctrl-C, or an error raised in the callback, cancels the load.
        Raises ``LMStudioModelNotFoundError`` for an unknown key, or if none is loaded.
        """
        if key is None:
            any_loaded = self.just_in_time(None, ttl=ttl, config=config, device=device)
            info = any_loaded.get_info()
            return self.just_in_time(info.identifier, ttl=ttl, config=config, device=device)
        reference = requests.model_reference(self._namespace, key, ttl, config, device, check_resources)
        assert reference.load is not None
        identifier = self._load("getOrLoad", reference, reference.load, on_load_progress)
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

    def load_new_instance(
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
        identifier = self._load("loadModel", reference, creation, on_load_progress)
        return self._kind(self._client, requests.instance_by_identifier(self._namespace, identifier, device))

    def estimate_resources(
        self, model_key: str, config: C | None = None, *, device: str | None = None
    ) -> ResourceEstimate:
        """What loading a model would take, and whether LM Studio's guardrails would let it pass. Nothing is loaded.

        ``estimate.memory.total_bytes``, ``estimate.memory.total_vram_bytes``, ``estimate.passes_guardrails``.
        """
        return _wait(self._client._ask(requests.estimate(self._namespace, model_key, config, device)))

    def unload(self, model_identifier: str, *, device: str | None = None) -> None:
        """Unload an instance, if several devices have it the one on ``device``."""
        _wait(self._client._ask(requests.unload(self._namespace, model_identifier, device)))

    def list_loaded(self) -> list[M]:
        """Handles to the loaded instances."""
        infos = _wait(self._client._ask(requests.list_loaded(self._namespace)))
        return [self.just_in_time(info.identifier, device=info.device_identifier) for info in infos]

    def get_model_info(self, model_specifier: str | Mapping[str, object]) -> ModelInstanceInfo:
        """The loaded instance of an identifier, or of a query such as ``{"path": …}`` or ``{"vision": True}``.

        Raises ``LMStudioModelNotFoundError`` if no loaded model fits.
        """
        return _wait(self._client._ask(requests.model_info(self._namespace, model_specifier)))

    def list_downloaded(self) -> list[D]:
        """The models of this kind on the server's disk, each with ``model()`` and ``load_new_instance()``."""
        infos = _wait(self._client._ask(requests.list_downloaded()))
        return [self._downloaded.of(info, self._client) for info in infos if info.type == self._namespace]

    def _load(
        self,
        endpoint: str,
        reference: requests.ModelReference,
        creation: Mapping[str, Any],
        on_load_progress: LoadProgressCallback | None,
    ) -> str:
        check_callback("on_load_progress", on_load_progress)
        refuse_coroutine("on_load_progress", on_load_progress)
        last = -1.0

        def read(packet: Any) -> None:
            nonlocal last
            progress = load_progress(packet)
            if progress is not None and progress != last and on_load_progress is not None:
                last = progress
                on_load_progress(progress)

        asked = replace(reference, load=None)
        return _follow(lambda deliver: self._client._load(asked, endpoint, creation, deliver), read)


class Files:
    """``client.files``."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def prepare_image(self, src: FileSource, name: str | None = None) -> FilePart:
        """Upload an image (path, bytes or binary file: PNG, JPEG, WebP, GIF, BMP) for use in a message.

        The handle is good for this client's server and identity. Raises ``LMStudioValueError`` for other contents.
        """
        return _wait(self._client._ask(requests.upload(read_image(src, name))))


class System:
    """``client.system``."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def version(self) -> Version:
        """LM Studio's ``version`` and ``build``."""
        return _wait(self._client._ask(requests.version()))

    def list_downloaded_models(self) -> list[DownloadedLlm | DownloadedEmbeddingModel]:
        """Every model on the server's disk, each with ``model()`` and ``load_new_instance()``."""
        infos = _wait(self._client._ask(requests.list_downloaded()))
        return [
            (DownloadedEmbeddingModel if info.type == "embedding" else DownloadedLlm).of(info, self._client)
            for info in infos
        ]


class Client(BaseClient):
    """A way to LM Studio.

    ``url``: ``ws://``, ``wss://``, ``http://``, ``https://`` or ``host:port``, with a path prefix if need be; ``None``
    reads ``LMSTUDIO_BASE_URL``, then looks for LM Studio on this machine. ``api_token``: a string or a pydantic
    ``SecretStr``; ``None`` reads ``LMSTUDIO_API_TOKEN``, then ``LM_API_TOKEN``. ``timeout``: seconds or ``Timeout``.
    ``ssl_context``: for ``wss://``, the path of a file or folder with CA certificates (PEM), or an ``ssl.SSLContext``.
    ``headers``: names and values for a reverse proxy that demands them, sent with each connection and shown nowhere;
    for basic authentication write ``https://user:password@host``.

    Making one costs nothing: sockets are opened by the first request and shared by all clients of one address and
    token in the process. Leaving a ``with`` block, or ``close()``, cancels this client's streams and closes the
    sockets that no other client uses.
    """

    @property
    def llm(self) -> Models[LLM, DownloadedLlm, LlmLoadConfig]:
        """Language models."""
        return Models(self, "llm", LLM, DownloadedLlm)

    @property
    def embedding(
        self,
    ) -> Models[EmbeddingModel, DownloadedEmbeddingModel, EmbeddingLoadConfig]:
        """Embedding models."""
        return Models(self, "embedding", EmbeddingModel, DownloadedEmbeddingModel)

    @property
    def files(self) -> Files:
        """Uploads."""
        return Files(self)

    @property
    def repository(self) -> Repository:
        """Models that can be downloaded."""
        return Repository(self)

    @property
    def system(self) -> System:
        """The server itself."""
        return System(self)

    def prepare_image(self, src: FileSource, name: str | None = None) -> FilePart:
        """Upload an image for use in a message: as ``client.files.prepare_image``."""
        return self.files.prepare_image(src, name)

    def list_loaded_models(self, namespace: str | None = None) -> list[LLM | EmbeddingModel]:
        """Handles to everything that is loaded, language models first; ``namespace``: only "llm" or "embedding"."""
        wanted = namespaces(namespace)
        handles: list[LLM | EmbeddingModel] = []
        if "llm" in wanted:
            handles += self.llm.list_loaded()
        if "embedding" in wanted:
            handles += self.embedding.list_loaded()
        return handles

    def list_downloaded_models(self, namespace: str | None = None) -> list[DownloadedLlm | DownloadedEmbeddingModel]:
        """Every model on the server's disk; ``namespace``: only "llm" or "embedding"."""
        wanted = namespaces(namespace)
        models = self.system.list_downloaded_models()
        return [model for model in models if namespace is None or model.type in wanted]

    @staticmethod
    def is_valid_api_host(api_host: str) -> bool:
        """Whether LM Studio's API answers at ``api_host`` ("host:port" or an address)."""
        return _wait(ask_api_host(api_host))

    @staticmethod
    def find_default_local_api_host() -> str | None:
        """``host:port`` of the LM Studio on this machine, or ``None``: all its usual ports are tried concurrently."""
        return _wait(ask_local_api_host())

    def close(self) -> None:
        """Cancel this client's streams and close the sockets that no other client uses."""
        _wait(self._close_pool())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
