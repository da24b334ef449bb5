"""Images on their way into a conversation: the accepted forms, their checks, and reading them.

LM Studio shows a model only images that were uploaded before. An ``ImagePart`` holds an image until then: it stands in
a history in place of the part, and the executor uploads it before the request is sent.

Everything that may take long (``ImagePart.read``) runs in a worker thread; nothing here runs on the I/O thread.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeGuard

from pydantic import PrivateAttr

from lmstudio_integrations.errors import LMStudioConnectionError, LMStudioValueError
from lmstudio_integrations.protocol.history import FilePart

if TYPE_CHECKING:
    from typing import Self

__all__ = ["FileSource", "ImageFile", "ImagePart", "image_part", "is_data_url", "read_image"]

FileSource: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]"
"""A path, a ``data:`` URL, the bytes, or a binary file object."""

# LM Studio's server refuses frames over 100 MiB (its WebSocket library's default), and base64 adds a third.
MAX_IMAGE_BYTES = 75_000_000
FETCH_SECONDS = 30.0

_SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"\xff\xd8\xff"), "jpg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp"),
    (re.compile(rb"GIF8"), "gif"),
    (re.compile(rb"BM"), "bmp"),
)
_OTHER_FORMATS = (
    (re.compile(rb"II\*\x00|MM\x00\*"), "a TIFF image"),
    (re.compile(rb"....ftyp(?:heic|heix|mif1|avif)", re.DOTALL), "a HEIC or AVIF image"),
    (re.compile(rb"\s*<(?:\?xml|svg)"), "an SVG image"),
    (re.compile(rb"%PDF"), "a PDF document"),
)
_DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_HTTP_URL = re.compile(r"https?://", re.IGNORECASE)


def is_data_url(value: object) -> TypeGuard[str]:
    """Whether ``value`` is a ``data:`` URL."""
    return isinstance(value, str) and value[:5].lower() == "data:"


def image_format(data: bytes) -> str | None:
    """``"png"``, ``"jpg"``, ``"webp"``, ``"gif"`` or ``"bmp"`` by the first bytes, else ``None``."""
    return next((name for signature, name in _SIGNATURES if signature.match(data)), None)


def check_image(data: bytes, name: str | None = None) -> bytes:
    """``data`` itself.

    Raises:
        LMStudioValueError: The data is not a PNG, JPEG, WebP, GIF or BMP image, or larger than 75 MB.
    """
    title = name or "the image"
    if image_format(data) is None:
        other = next((found for signature, found in _OTHER_FORMATS if signature.match(data)), None)
        found = other or f"{len(data)} bytes that start with {data[:8]!r}"
        raise LMStudioValueError(
            f"{title}: expected a PNG, JPEG, WebP, GIF or BMP image, got {found}; convert it first"
        )
    if len(data) > MAX_IMAGE_BYTES:
        raise LMStudioValueError(
            f"{title} has {len(data)} bytes; LM Studio accepts at most {MAX_IMAGE_BYTES}: make the image smaller"
        )
    return data


@dataclass(frozen=True)
class ImageFile:
    """The content of an image, checked, and the name under which it is uploaded."""

    name: str
    data: bytes

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content: the key of the upload cache."""
        return hashlib.sha256(self.data).hexdigest()

    def to_base64(self) -> str:
        """The content as the upload wants it."""
        return base64.b64encode(self.data).decode("ascii")


class ImagePart(FilePart):
    """An image in a message that is not on the server yet. It is uploaded when the message is sent.

    Example:
        ```python
        from pathlib import Path

        from lmstudio_integrations import Chat, Client, ImagePart

        chat = Chat()
        chat.add_user_message(["What is in this picture?", ImagePart(Path("photo.jpg"))])
        print(Client().llm.just_in_time("qwen/qwen3-4b").respond(chat))
        #> A harbour crane.
        ```

    ``ImagePart("photo.jpg")``, ``ImagePart(Path(…))``, ``ImagePart(data)`` (bytes or a binary file object),
    ``ImagePart("data:image/png;base64,…")``, ``ImagePart.from_base64(text)``, or an http(s) address, which is fetched
    only by a request with ``fetch_images=True``. Accepted: PNG, JPEG, WebP, GIF, BMP, at most 75 MB. The same content
    is uploaded once per server and identity.

    ``name`` is the file name that LM Studio shows; the default is the path's, else one made of the content's digest.

    Raises:
        LMStudioValueError: The content is not an accepted image. A path is read when the request is sent.
    """

    _data: bytes | None = PrivateAttr(default=None)
    _path: Path | None = PrivateAttr(default=None)
    _url: str | None = PrivateAttr(default=None)

    def __init__(self, source: FileSource, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise LMStudioValueError(f"expected the name of an image as text, got {type(name).__name__}")
        super().__init__(name=name or "", identifier="", size_bytes=0, file_type="image")
        if is_data_url(source):
            if not _DATA_URL.match(source):
                raise LMStudioValueError(f"expected a data: URL with base64 content, got {source[:40]!r}…")
            self._data = check_image(decode_base64(source.partition(",")[2]), name)
        elif isinstance(source, str) and _HTTP_URL.match(source):
            self._url = source
        elif isinstance(source, (str, os.PathLike)):
            self._path = Path(source)
        elif isinstance(source, (bytes, bytearray, memoryview)):
            self._data = check_image(bytes(source), name)
        elif hasattr(source, "read"):
            self._data, self.name = _read_stream(source, name)
        else:
            raise LMStudioValueError(
                f"expected an image as path, bytes, binary file or data: URL, got {type(source).__name__}"
            )

    @classmethod
    def from_base64(cls, text: str, name: str | None = None) -> Self:
        """The image whose content is ``text`` in base64. Raises ``LMStudioValueError`` for anything else."""
        return cls(decode_base64(text), name)

    @property
    def url(self) -> str | None:
        """The http(s) address that has to be fetched, or ``None``."""
        return self._url

    def read(self) -> ImageFile:
        """The content, read from its file or fetched. May take as long as the disk or the network does.

        Raises:
            LMStudioValueError: The content is not an accepted image.
            LMStudioConnectionError: The address could not be fetched.
            OSError: The file cannot be read.
        """
        data, name = self._data, self.name
        if data is None:
            data = check_image(_fetch(self._url) if self._url is not None else self._read_path(), name or self._title)
            name = name or (self._path.name if self._path is not None else "")
        if not name:
            name = f"{hashlib.sha256(data).hexdigest()[:16]}.{image_format(data)}"
        return ImageFile(name, data)

    @property
    def _title(self) -> str:
        return str(self._path or self._url or "the image")

    def _read_path(self) -> bytes:
        assert self._path is not None
        return self._path.read_bytes()

    def to_wire(self) -> Any:
        """The part itself: it has no wire form before it is uploaded."""
        return self

    def to_history(self) -> dict[str, Any]:
        """A JSON form that ``Chat.from_history`` reads: with the content, or with the address."""
        if self._url is not None:
            return {"type": "image", "url": self._url} | ({"name": self.name} if self.name else {})
        file = self.read()
        return {"type": "image", "name": file.name, "base64": file.to_base64()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImagePart) and self._content == other._content and self.name == other.name

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # equality by content

    @property
    def _content(self) -> tuple[object, ...]:
        return self._data, self._path, self._url

    def __repr__(self) -> str:
        content = self._title if self._data is None else f"{len(self._data)} bytes"
        return f"ImagePart({content!r})"


def image_part(part: Any, where: str) -> FilePart:
    """An image part from ``{"type": "image", "path" | "base64" | "url" | "data": …}``, or from any ``FileSource``.

    A ``FilePart`` (a handle from ``prepare_image``) is returned as it is. ``where`` names the message in errors.
    """
    if isinstance(part, FilePart):
        return part
    try:
        if not isinstance(part, dict):
            return ImagePart(part)
        unknown = part.keys() - {"type", "name", *_IMAGE_KEYS}
        given = [key for key in _IMAGE_KEYS if part.get(key) is not None]
        if unknown or len(given) != 1:
            raise LMStudioValueError(f"expected one of the keys {', '.join(_IMAGE_KEYS)}, got {sorted(map(str, part))}")
        value, name = part[given[0]], part.get("name")
        if given[0] == "base64":
            return ImagePart.from_base64(value, name)
        return ImagePart(Path(value) if given[0] == "path" else value, name)
    except (LMStudioValueError, TypeError) as error:
        raise LMStudioValueError(f"{where}: an image part: {error}") from None


_IMAGE_KEYS = ("path", "base64", "url", "data")


def read_image(source: FileSource, name: str | None = None) -> ImageFile:
    """The image of ``client.files.prepare_image``: a path, bytes, a ``data:`` URL or a binary file object.

    Raises ``LMStudioValueError`` and ``OSError`` as ``ImagePart.read`` does. Addresses are not fetched here.
    """
    part = ImagePart(source, name)
    if part.url is not None:
        raise LMStudioValueError(f"{part.url!r} is an address: pass the bytes, or an ImagePart with fetch_images=True")
    file = part.read()
    digest_name = not part.name and part._path is None
    return ImageFile(f"image.{image_format(file.data)}", file.data) if digest_name else file


def decode_base64(text: Any) -> bytes:
    """The bytes of base64 text, line breaks allowed. Raises ``LMStudioValueError`` for anything else."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError, AttributeError, TypeError) as error:
        shown = f"{text[:24]!r}…" if isinstance(text, str) else type(text).__name__
        raise LMStudioValueError(f"expected image data in base64, got {shown} ({error})") from None


def _read_stream(stream: Any, name: str | None) -> tuple[bytes, str]:
    data = stream.read()
    if not isinstance(data, bytes):
        raise LMStudioValueError("the file object returned text: open the image in binary mode ('rb')")
    origin = getattr(stream, "name", None)
    name = name or (Path(origin).name if isinstance(origin, str) else "")
    return check_image(data, name or None), name


def _fetch(url: str) -> bytes:
    import http.client
    import urllib.error  # with what it imports, half of what this package takes to import
    import urllib.request

    # The scheme was checked when the part was made.
    request = urllib.request.Request(url, headers={"User-Agent": "lmstudio-integrations"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=FETCH_SECONDS) as response:  # noqa: S310
            data: bytes = response.read(MAX_IMAGE_BYTES + 1)
            if len(data) <= MAX_IMAGE_BYTES and (missing := getattr(response, "length", None)):
                raise http.client.IncompleteRead(data, missing)  # `read` with a size does not raise it
    except (OSError, ValueError, http.client.HTTPException) as error:  # urllib's own errors are OSErrors
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the response's socket
        raise LMStudioConnectionError(f"the image {url!r} could not be fetched: {error}") from error
    return data
