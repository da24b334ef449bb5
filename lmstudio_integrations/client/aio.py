"""The client for ``async`` code: ``AsyncClient``, its namespaces and the models that it lists.

It works on any event loop, or on several. All I/O happens on the I/O thread: a blocked event loop does not stop the
reception of an answer. ``tools/generate_sync.py`` derives the blocking client, ``sync.py``, from this file.
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
from lmstudio_integrations.client.aio_models import AsyncEmbeddingModel, AsyncLLM, AsyncModel, LoadProgressCallback
from lmstudio_integrations.client.aio_repository import AsyncAvailableModel, AsyncModelDownloadOption, AsyncRepository
from lmstudio_integrations.client.aio_stream import AsyncPredictionStream
from lmstudio_integrations.client.aio_waiting import follow, wait
from lmstudio_integrations.client.callbacks import load_calls
from lmstudio_integrations.client.images import FileSource, read_image
from lmstudio_integrations.client.transport.daemon import run_in_daemon_thread

if TYPE_CHECKING:
    from lmstudio_integrations.protocol.history import FilePart
    from lmstudio_integrations.protocol.model_calls import ResourceEstimate
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


class AsyncDownloadedLlm(BaseDownloadedModel):
    """A downloaded language model, as ``list_downloaded_models`` returns it.

    It has the attributes of ``ModelInfo`` (``model_key``, ``size_bytes`` …), alone as ``info``.

    Example:
        ```python
        from lmstudio_integrations import AsyncClient

        async with AsyncClient() as client:
            first, *others = await client.llm.list_downloaded()
            print(first.model_key, first.size_bytes)
            #> qwen/qwen3-4b 1000000
            model = await first.model(ttl=600)  # loads it if it is not loaded
            print(await model.respond("Why is the sky blue?"))
            #> Air scatters blue light more than red.
        ```
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

    Example:
        ```python
        from lmstudio_integrations import AsyncClient

        async with AsyncClient() as client:
            first, *others = await client.embedding.list_downloaded()
            model = await first.model()  # loads it if it is not loaded
            print(len(await model.embed("The ferry leaves at seven.")))
            #> 768
        ```
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


M = TypeVar("M", bound=AsyncModel)
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
        creation = requests.load_model_parameter(self._namespace, model_key, instance_identifier, ttl, config, device)
        reference = requests.model_reference(self._namespace, model_key, ttl, config, device, check_resources)
        identifier = await self._load("loadModel", reference, creation, on_load_progress)
        return self._kind(self._client, requests.instance_by_identifier(self._namespace, identifier, device))

    async def estimate_resources(
        self, model_key: str, config: C | None = None, *, device: str | None = None
    ) -> ResourceEstimate:
        """What loading a model would take, and whether LM Studio's guardrails would let it pass. Nothing is loaded.

        ``estimate.memory.total_bytes``, ``estimate.memory.total_vram_bytes``, ``estimate.passes_guardrails``.
        """
        return await wait(self._client._ask(requests.estimate(self._namespace, model_key, config, device)))

    async def unload(self, model_identifier: str, *, device: str | None = None) -> None:
        """Unload an instance, if several devices have it the one on ``device``."""
        await wait(self._client._ask(requests.unload(self._namespace, model_identifier, device)))

    async def list_loaded(self) -> list[M]:
        """Handles to the loaded instances."""
        infos = await wait(self._client._ask(requests.list_loaded(self._namespace)))
        return [self.just_in_time(info.identifier, device=info.device_identifier) for info in infos]

    async def get_model_info(self, model_specifier: str | Mapping[str, object]) -> ModelInstanceInfo:
        """The loaded instance of an identifier, or of a query such as ``{"path": …}`` or ``{"vision": True}``.

        Raises ``LMStudioModelNotFoundError`` if no loaded model fits.
        """
        return await wait(self._client._ask(requests.model_info(self._namespace, model_specifier)))

    async def list_downloaded(self) -> list[D]:
        """The models of this kind on the server's disk, each with ``model()`` and ``load_new_instance()``."""
        infos = await wait(self._client._ask(requests.list_downloaded()))
        return [self._downloaded.of(info, self._client) for info in infos if info.type == self._namespace]

    async def _load(
        self,
        endpoint: str,
        reference: requests.ModelReference,
        creation: Mapping[str, Any],
        on_load_progress: LoadProgressCallback | None,
    ) -> str:
        take_calls = load_calls(on_load_progress, blocking=False)
        asked = replace(reference, load=None)
        return await follow(lambda deliver: self._client._load(asked, endpoint, creation, deliver), take_calls)


class AsyncFiles:
    """``client.files``."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def prepare_image(self, src: FileSource, name: str | None = None) -> FilePart:
        """Upload an image (path, bytes or binary file: PNG, JPEG, WebP, GIF, BMP) for use in a message.

        The handle is good for this client's server and identity. Raises ``LMStudioValueError`` for other contents.
        """
        return await wait(
            self._client._ask(
                requests.upload(await run_in_daemon_thread(lambda: read_image(src, name), "lmstudio-image"))
            )
        )


class AsyncSystem:
    """``client.system``."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def version(self) -> Version:
        """LM Studio's ``version`` and ``build``."""
        return await wait(self._client._ask(requests.version()))

    async def list_downloaded_models(self) -> list[AsyncDownloadedLlm | AsyncDownloadedEmbeddingModel]:
        """Every model on the server's disk, each with ``model()`` and ``load_new_instance()``."""
        infos = await wait(self._client._ask(requests.list_downloaded()))
        return [
            (AsyncDownloadedEmbeddingModel if info.type == "embedding" else AsyncDownloadedLlm).of(info, self._client)
            for info in infos
        ]


class AsyncClient(BaseClient):
    """A way to LM Studio.

    Making one costs nothing: sockets are opened by the first request and shared by all clients of one address and
    token in the process. Leaving an ``async with`` block, or ``close()``, cancels this client's streams and closes the
    sockets that no other client uses. For ``llm``, ``embedding``, ``files``, ``repository`` and ``system`` see there.

    Example: Construct and call
        ```python
        from lmstudio_integrations import AsyncClient

        async with AsyncClient() as client:  # or AsyncClient("ws://192.168.0.7:1234", api_token="sk-lm-...")
            model = await client.llm.model("qwen/qwen3-4b")
            result = await model.respond("Why is the sky blue?")
            print(result.content)
            #> Air scatters blue light more than red.
        ```

    Example: Load a model, with settings and progress
        ```python
        async with AsyncClient() as client:
            model = await client.llm.model(
                "qwen/qwen3-0.6b",
                config={"contextLength": 8192},  # tokens
                ttl=600,  # seconds without requests, after which LM Studio unloads it
                on_load_progress=lambda progress: print(f"{progress:.0%}"),
            )
            #> 0%
            #> ...
            #> 100%
            print(await model.get_context_length())
            #> 8192
        ```

    Example: Embed
        ```python
        async with AsyncClient() as client:
            model = await client.embedding.model("text-embedding-nomic-embed-text-v1.5")
            vectors = await model.embed(["The crane lifts 40 tons.", "The ferry leaves at seven."])
            print(len(vectors), len(vectors[0]))
            #> 2 768
        ```

    Example: What the server has
        ```python
        async with AsyncClient() as client:
            for model in await client.list_downloaded_models("llm"):
                print(model.model_key)
            #> qwen/qwen3-4b
            #> qwen/qwen3-0.6b
            version = await client.system.version()
            print(version.version, version.build)
            #> ... ...
        ```

    Example: Images
        ```python
        from lmstudio_integrations import Chat

        async with AsyncClient() as client:
            chat = Chat()
            chat.add_user_message("What is in this picture?", images=[await client.prepare_image("photo.jpg")])
            print(await client.llm.just_in_time("qwen/qwen3-4b").respond(chat))
            #> A harbour crane.
        ```

    Args:
        url: ``ws://``, ``wss://``, ``http://``, ``https://`` or ``host:port``, with a path prefix if need be; ``None``
            reads ``LMSTUDIO_BASE_URL``, then looks for LM Studio on this machine.
        api_host: ``url`` under the official SDK's name.
        api_token: A string or a pydantic ``SecretStr``; ``None`` reads ``LMSTUDIO_API_TOKEN``, then ``LM_API_TOKEN``.
        timeout: Seconds, or a ``Timeout`` with a limit for each stage (default: its own).
        max_retries: How often a request is sent again whose connection was lost before an answer had begun (default 1).
        ssl_context: For ``wss://``, the path of a file or folder with CA certificates (PEM), or an ``ssl.SSLContext``.
        headers: Names and values for a reverse proxy that demands them, sent with each connection and shown nowhere;
            for basic authentication write ``https://user:password@host``.

    Raises:
        LMStudioValueError: The address, token or a limit cannot be used.
        LMStudioServerNotFoundError: At the first request: no server answers.
        LMStudioAuthenticationError: At the first request: the server refuses the token.

    Source: LM Studio, "Getting Started" and "Manage Models" (lmstudio-python).
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
        return await wait(ask_api_host(api_host))

    @staticmethod
    async def find_default_local_api_host() -> str | None:
        """``host:port`` of the LM Studio on this machine, or ``None``: all its usual ports are tried concurrently."""
        return await wait(ask_local_api_host())

    async def close(self) -> None:
        """Cancel this client's streams and close the sockets that no other client uses."""
        await wait(self._close_pool())

    async def aclose(self) -> None:
        """``close()``, under the name that ``contextlib.aclosing`` looks for."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
