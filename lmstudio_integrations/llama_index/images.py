"""Images of a conversation, uploaded to LM Studio once each.

LM Studio takes images as files that were uploaded before (lmstudio-js, ``files.prepareImage``). What was uploaded is
remembered by process, server and content, so a conversation that goes on sends each image once. LM Studio scopes
uploads to the client's identity, which is a process's own.
Guess: LM Studio forgets uploads when it restarts or the client goes; ``forget`` makes the next call send them again.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.errors import LMStudioValueError

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import ImageBlock

__all__ = ["ImageData", "UploadCache", "file_part", "read_image", "uploads"]


Server = Hashable
"""What stands for a server and an identity there: uploads of one identity are not seen by another."""


@dataclass(frozen=True, slots=True)
class ImageData:
    """The bytes of an image, its file's name if it has one, and the digest by which it is known."""

    data: bytes
    name: str | None
    digest: str


def read_image(block: ImageBlock) -> ImageData:
    """The image of a block: from its bytes, its file, or its URL (``data:`` or fetched; this may take a while).

    Raises:
        LMStudioValueError: There is no image in it, or it cannot be read.
    """
    try:
        stream = block.resolve_image()
        data = stream.read()
        stream.seek(0)  # the stream may be the caller's own
    except (ValueError, OSError) as error:
        raise LMStudioValueError(
            f"the image of an ImageBlock cannot be read ({error}): pass image bytes, an existing path, or a URL"
        ) from error
    name = block.path.name if block.path is not None else None
    return ImageData(data=data, name=name, digest=hashlib.sha256(data).hexdigest())


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
