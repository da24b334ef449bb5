"""Images of a conversation, uploaded to LM Studio once each.

LM Studio takes images as files that were uploaded before (lmstudio-js, ``files.prepareImage``). What was uploaded is
remembered by process, server and content, so a conversation that goes on sends each image once. LM Studio scopes
uploads to the client's identity, which is a process's own.
Guess: LM Studio forgets uploads when it restarts or the client goes; ``forget`` makes the next call send them again.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from lmstudio_integrations.client.images import ImagePart
from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["ImageData", "UploadCache", "file_part", "read_image", "uploads"]


Server = Hashable
"""What stands for a server and an identity there: uploads of one identity are not seen by another."""


@dataclass(frozen=True, slots=True)
class ImageData:
    """The bytes of an image, its file's name if it has one, and the digest by which it is known."""

    data: bytes
    name: str | None
    digest: str


def read_image(image: ImagePart, *, fetch: bool = False) -> ImageData:
    """The content of an image, read from its file or fetched if that is allowed (this may take a while).

    Raises:
        LMStudioValueError: It cannot be read, or must not be fetched.
    """
    if image.url is not None and not fetch:
        raise LMStudioValueError(
            f"the image {image.url!r} is on the network, and LM Studio fetches nothing: pass its bytes, or allow this "
            "process to fetch images with fetch_images=True"
        )
    try:
        file = image.read()
    except OSError as error:
        raise LMStudioValueError(f"the image {image!r} cannot be read: {error}") from error
    return ImageData(data=file.data, name=file.name, digest=file.digest)


def file_part(handle: Any) -> dict[str, Any]:
    """An uploaded file as a part of a message."""
    return {
        "type": "file",
        "name": handle.name,
        "identifier": handle.identifier,
        "sizeBytes": handle.size_bytes,
        "fileType": handle.file_type,
    }


class UploadCache:
    """Parts of uploaded images by server and content, the least used forgotten first. For any thread."""

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._parts: OrderedDict[tuple[int, Server, str], dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, server: Server, image: ImageData) -> dict[str, Any] | None:
        """The part of ``image`` on ``server``, if it was uploaded."""
        with self._lock:
            key = (os.getpid(), server, image.digest)
            part = self._parts.get(key)
            if part is not None:
                self._parts.move_to_end(key)
            return part

    def put(self, server: Server, image: ImageData, part: dict[str, Any]) -> None:
        """Remember an upload."""
        with self._lock:
            self._parts[os.getpid(), server, image.digest] = part
            while len(self._parts) > self._size:
                self._parts.popitem(last=False)

    def forget(self, server: Server, images: Sequence[ImageData]) -> bool:
        """Upload these again next time. Whether any of them was remembered."""
        with self._lock:
            keys = [(os.getpid(), server, image.digest) for image in images]
            dropped = [self._parts.pop(key, None) for key in keys]
            return any(part is not None for part in dropped)


uploads = UploadCache()
"""The uploads of this process."""
