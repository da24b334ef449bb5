"""Images on their way into a conversation: fetched if allowed, uploaded once per server, remembered by hash."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.client.images import ImageFile
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain.convert.images import Picture

__all__ = ["Uploads"]

_MOST_REMEMBERED = 512

# (server, hash of the bytes) -> what the server calls the file. Shared by all models of the process, and small: no
# bytes.
_remembered: OrderedDict[tuple[str | None, str], tuple[str, str, int, str]] = OrderedDict()
_lock = threading.Lock()


class Uploads:
    """The images of one prediction. ``server``: the address as the user gave it; ``fetch``: whether http is allowed."""

    def __init__(self, pictures: Iterable[Picture], *, server: str | None, fetch: bool) -> None:
        self._pictures = list(pictures)
        self._server = server
        self._fetch = fetch
        self._used: set[tuple[str | None, str]] = set()

    def place(self, client: Client) -> None:
        """Upload what the server has not got, and complete the history's parts."""
        for picture in self._pictures:
            file = self._file(picture)
            key, known = self._known(file)
            if known is None:
                known = self._remember(key, client.files.prepare_image(file.data, file.name))
            picture.place(*known)

    async def aplace(self, client: AsyncClient) -> None:
        """The same from a coroutine; fetching happens in a thread."""
        for picture in self._pictures:
            file = await asyncio.to_thread(self._file, picture)
            key, known = self._known(file)
            if known is None:
                known = self._remember(key, await client.files.prepare_image(file.data, file.name))
            picture.place(*known)

    def forget(self) -> None:
        """Forget this prediction's files: the server has failed, and may have lost them."""
        with _lock:
            for key in self._used:
                _remembered.pop(key, None)

    def _known(self, file: ImageFile) -> tuple[tuple[str | None, str], tuple[str, str, int, str] | None]:
        key = (self._server, file.digest)
        self._used.add(key)
        with _lock:
            known = _remembered.get(key)
            if known is not None:
                _remembered.move_to_end(key)
        return key, known

    def _remember(self, key: tuple[str | None, str], file: Any) -> tuple[str, str, int, str]:
        known = (file.identifier, file.name, file.size_bytes, file.file_type)
        with _lock:
            _remembered[key] = known
            while len(_remembered) > _MOST_REMEMBERED:
                _remembered.popitem(last=False)
        return known

    def _file(self, picture: Picture) -> ImageFile:
        url = picture.image.url
        if url is not None and not self._fetch:
            raise LMStudioValueError(
                f"the image {url!r} is on the network, and LM Studio fetches nothing: pass its bytes, or allow "
                "this process to fetch images with fetch_images=True"
            )
        return picture.image.read()
