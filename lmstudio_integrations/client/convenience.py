"""Module-level functions such as ``llm()``, on one client for the process.

Address and token come from the environment, or LM Studio is found on this machine (see ``Client``), unless
``configure_default_client`` has chosen another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmstudio_integrations.client.requests import DEFAULT_TTL
from lmstudio_integrations.client.settings import Timeout
from lmstudio_integrations.client.sync import (
    LLM,
    Client,
    DownloadedEmbeddingModel,
    DownloadedLlm,
    EmbeddingModel,
)
from lmstudio_integrations.client.sync_models import LoadProgressCallback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from ssl import SSLContext

    from pydantic import SecretStr

    from lmstudio_integrations.client.images import FileSource
    from lmstudio_integrations.protocol.config import EmbeddingLoadModelConfig, LlmLoadModelConfig
    from lmstudio_integrations.protocol.config_dicts import EmbeddingLoadModelConfigDict, LlmLoadModelConfigDict
    from lmstudio_integrations.protocol.history import FilePart

__all__ = [
    "configure_default_client",
    "embedding_model",
    "get_default_client",
    "get_sync_api_timeout",
    "list_downloaded_models",
    "list_loaded_models",
    "llm",
    "prepare_image",
    "set_sync_api_timeout",
]

_configured: list[Client] = []


def configure_default_client(
    api_host: str | None = None,
    api_token: SecretStr | str | None = None,
    *,
    timeout: float | Timeout | Mapping[str, float | None] | None = None,
    max_retries: int = 1,
    ssl_context: SSLContext | str | PathLike[str] | None = None,
    headers: Mapping[str, SecretStr | str] | None = None,
) -> None:
    """Choose the server, the token and the limits of the module-level functions, as ``Client`` does.

    It may be called again: the client of before is left to those that hold it.
    """
    client = Client(
        api_host,
        api_token=api_token,
        timeout=timeout,
        max_retries=max_retries,
        ssl_context=ssl_context,
        headers=headers,
    )
    _configured[:] = [client]


def get_default_client(api_host: str | None = None) -> Client:
    """The client of the module-level functions; ``api_host`` chooses its server first."""
    if api_host is not None:
        configure_default_client(api_host)
    # Without a configuration the environment counts, which may change.
    return next(iter(_configured), None) or Client()


def set_sync_api_timeout(timeout: float | None) -> None:
    """How many seconds blocking clients wait for the first and for the next packet of an answer; ``None``: for ever.

    It counts for every ``Client`` that was made without a ``timeout`` of its own, also for requests to come of clients
    that exist.
    """
    Client._default_timeout = Timeout.of({"first_packet": timeout, "idle": timeout}, Client._default_timeout)


def get_sync_api_timeout() -> float | None:
    """The seconds of ``set_sync_api_timeout``; 300 until it is called."""
    return Client._default_timeout.idle


def llm(
    key: str | None = None,
    *,
    ttl: float | None = DEFAULT_TTL,
    config: LlmLoadModelConfig | LlmLoadModelConfigDict | None = None,
    on_load_progress: LoadProgressCallback | None = None,
    device: str | None = None,
    check_resources: bool = False,
) -> LLM:
    """A language model that is loaded: ``key``, or any; as ``Client().llm.model(…)``."""
    return get_default_client().llm.model(
        key,
        ttl=ttl,
        config=config,
        on_load_progress=on_load_progress,
        device=device,
        check_resources=check_resources,
    )


def embedding_model(
    key: str | None = None,
    *,
    ttl: float | None = DEFAULT_TTL,
    config: EmbeddingLoadModelConfig | EmbeddingLoadModelConfigDict | None = None,
    on_load_progress: LoadProgressCallback | None = None,
    device: str | None = None,
    check_resources: bool = False,
) -> EmbeddingModel:
    """An embedding model that is loaded: ``key``, or any."""
    return get_default_client().embedding.model(
        key,
        ttl=ttl,
        config=config,
        on_load_progress=on_load_progress,
        device=device,
        check_resources=check_resources,
    )


def prepare_image(src: FileSource, name: str | None = None) -> FilePart:
    """Upload an image (path, bytes or binary file) for use in a message."""
    return get_default_client().prepare_image(src, name)


def list_loaded_models(namespace: str | None = None) -> list[LLM | EmbeddingModel]:
    """Handles to everything that is loaded; ``namespace``: only "llm" or "embedding"."""
    return get_default_client().list_loaded_models(namespace)


def list_downloaded_models(namespace: str | None = None) -> list[DownloadedLlm | DownloadedEmbeddingModel]:
    """Every model on the server's disk; ``namespace``: only "llm" or "embedding"."""
    return get_default_client().list_downloaded_models(namespace)
