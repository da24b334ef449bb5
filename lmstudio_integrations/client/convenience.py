"""The shortest way in: ``llm()`` and friends, on a client without settings of its own.

Address and token come from the environment, or LM Studio is found on this machine (see ``Client``). Clients share
their sockets, so making one for each call costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmstudio_integrations.client.requests import DEFAULT_TTL
from lmstudio_integrations.client.sync import LLM, Client, EmbeddingModel, LoadProgressCallback

if TYPE_CHECKING:
    from lmstudio_integrations.protocol.models import ModelInfo

__all__ = ["embedding_model", "list_downloaded_models", "list_loaded_models", "llm"]


def llm(
    key: str | None = None,
    *,
    ttl: float | None = DEFAULT_TTL,
    config: Any = None,
    on_load_progress: LoadProgressCallback | None = None,
) -> LLM:
    """A language model that is loaded: ``key``, or any; as ``Client().llm.model(…)``."""
    return Client().llm.model(key, ttl=ttl, config=config, on_load_progress=on_load_progress)


def embedding_model(
    key: str | None = None,
    *,
    ttl: float | None = DEFAULT_TTL,
    config: Any = None,
    on_load_progress: LoadProgressCallback | None = None,
) -> EmbeddingModel:
    """An embedding model that is loaded: ``key``, or any."""
    return Client().embedding.model(key, ttl=ttl, config=config, on_load_progress=on_load_progress)


def list_loaded_models() -> list[LLM | EmbeddingModel]:
    """Handles to everything that is loaded."""
    return Client().list_loaded_models()


def list_downloaded_models() -> list[ModelInfo]:
    """Every model on the server's disk."""
    return Client().list_downloaded_models()
