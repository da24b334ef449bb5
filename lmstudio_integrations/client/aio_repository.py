"""``client.repository`` for ``async`` code: finding and downloading models.

``tools/generate_sync.py`` derives the blocking form, ``sync_repository.py``, from this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lmstudio_integrations.client import requests
from lmstudio_integrations.client.aio_waiting import follow, wait
from lmstudio_integrations.client.callbacks import download_calls

if TYPE_CHECKING:
    from lmstudio_integrations.client._base import BaseClient
    from lmstudio_integrations.protocol.repository import (
        DownloadOptionInfo,
        DownloadProgressUpdate,
        LmLinkStatus,
        ModelSearchResult,
    )

__all__ = ["AsyncAvailableModel", "AsyncModelDownloadOption", "AsyncRepository"]


class AsyncModelDownloadOption:
    """A file of a model that can be downloaded. ``info``: quantization, size and whether it fits into memory."""

    def __init__(self, client: BaseClient, info: DownloadOptionInfo) -> None:
        self._client = client
        self.info = info

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.info.name!r}, {self.info.quantization!r}, {self.info.size_bytes} bytes)"

    async def download(
        self,
        on_progress: Callable[[DownloadProgressUpdate], object] | None = None,
        on_finalize: Callable[[], object] | None = None,
    ) -> str:
        """Download it: the key under which it can be loaded.

        ``on_progress(update)``: bytes so far, bytes in all, bytes per second. ``on_finalize()``: all is there and is
        being checked. Cancelling the task, or an error raised in a callback, cancels the download.
        """
        take_calls = download_calls(on_progress, on_finalize, blocking=False)
        creation = requests.download_parameter(self.info.download_identifier)
        return await follow(lambda deliver: self._client._download(creation, deliver), take_calls)


class AsyncAvailableModel:
    """A model that was found. ``search_result`` has its name and identifier."""

    def __init__(self, client: BaseClient, search_result: ModelSearchResult) -> None:
        self._client = client
        self.search_result = search_result

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.search_result.name!r})"

    async def get_download_options(self) -> list[AsyncModelDownloadOption]:
        """The files in which it can be downloaded."""
        infos = await wait(self._client._ask(requests.download_options(self.search_result)))
        return [AsyncModelDownloadOption(self._client, info) for info in infos]


class AsyncRepository:
    """``client.repository``: finding and downloading models, and the devices of LM Link."""

    def __init__(self, client: BaseClient) -> None:
        self._client = client

    async def search_models(
        self,
        search_term: str | None = None,
        limit: int | None = None,
        compatibility_types: Sequence[str] | None = None,
    ) -> list[AsyncAvailableModel]:
        """Models that can be downloaded.

        ``compatibility_types``: formats, such as "gguf" and "safetensors".
        """
        call = requests.search_models(search_term, limit, compatibility_types)
        return [AsyncAvailableModel(self._client, found) for found in await wait(self._client._ask(call))]

    async def lm_link_status(self) -> LmLinkStatus:
        """The devices of LM Link: ``status.peers``, each with the identifier that ``device=`` takes.

        LM Studio's developers say of this endpoint that it will change.
        """
        return await wait(self._client._ask(requests.lm_link_status()))
