"""The blocking front: ``Client``, its namespaces, model handles and streams.

Everything here posts a request to the I/O thread and waits for its mailbox. ``aio.py`` has the same names in the same
order for ``async`` code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from lmstudio_integrations.client import requests
from lmstudio_integrations.client._base import (
    BaseClient,
    BaseDownloadedModel,
    EmbeddingLoadConfig,
    LlmLoadConfig,
    ask_api_host,
    ask_local_api_host,
    namespaces,
)
from lmstudio_integrations.client.callbacks import check_callback, refuse_coroutine
from lmstudio_integrations.client.images import FileSource, read_image
from lmstudio_integrations.client.prediction import load_progress
from lmstudio_integrations.client.sync_models import LLM, EmbeddingModel, LoadProgressCallback, Model
from lmstudio_integrations.client.sync_repository import AvailableModel, ModelDownloadOption, Repository
from lmstudio_integrations.client.sync_stream import PredictionStream
from lmstudio_integrations.client.sync_waiting import follow as _follow
from lmstudio_integrations.client.sync_waiting import wait as _wait

if TYPE_CHECKING:
    from lmstudio_integrations.protocol.history import FilePart
    from lmstudio_integrations.protocol.model_calls import ResourceEstimate
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


M = TypeVar("M", bound=Model)
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
