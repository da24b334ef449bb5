"""Images on their way into a conversation: fetched if allowed, uploaded once per server, remembered by hash."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from lmstudio_integrations import AsyncClient, Client
from lmstudio_integrations.errors import LMStudioConnectionError, LMStudioValueError
from lmstudio_integrations.langchain.convert.images import Picture, check_image, picture_name

__all__ = ["Uploads"]

_MOST_REMEMBERED = 512
_MOST_BYTES = 75_000_000
_FETCH_SECONDS = 30.0

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
            data = self._data(picture)
            key, known = self._known(data)
            if known is None:
                known = self._remember(key, client.files.prepare_image(data, picture_name(data)))
            picture.place(*known)

    async def aplace(self, client: AsyncClient) -> None:
        """The same from a coroutine; fetching happens in a thread."""
        for picture in self._pictures:
            data = picture.data if picture.data is not None else await asyncio.to_thread(self._data, picture)
            key, known = self._known(data)
            if known is None:
                known = self._remember(key, await client.files.prepare_image(data, picture_name(data)))
            picture.place(*known)

    def forget(self) -> None:
        """Forget this prediction's files: the server has failed, and may have lost them."""
        with _lock:
            for key in self._used:
                _remembered.pop(key, None)

    def _known(self, data: bytes) -> tuple[tuple[str | None, str], tuple[str, str, int, str] | None]:
        key = (self._server, hashlib.sha256(data).hexdigest())
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

    def _data(self, picture: Picture) -> bytes:
        if picture.data is not None:
            return picture.data
        assert picture.url is not None
        if not self._fetch:
            raise LMStudioValueError(
                f"the image {picture.url!r} is on the network, and LM Studio fetches nothing: pass its bytes, or allow "
                "this process to fetch images with fetch_images=True"
            )
        return check_image(_download(picture.url))


def _download(url: str) -> bytes:
    # The address was found to be http(s) when it was read.
    request = urllib.request.Request(url, headers={"User-Agent": "lmstudio-integrations"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_FETCH_SECONDS) as answer:  # noqa: S310
            data: bytes = answer.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # urllib's own errors are OSErrors
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the answer's socket
        raise LMStudioConnectionError(f"the image {url!r} could not be fetched: {error}") from error
    if len(data) > _MOST_BYTES:
        raise LMStudioValueError(f"the image {url!r} has more than {_MOST_BYTES} bytes: make it smaller")
    return data
