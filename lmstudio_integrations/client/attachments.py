"""Content that is not plain text: images, documents, audio, video. Pure.

LM Studio's chat takes text and images, so a text document is sent as text. In a tool's result or an earlier answer,
anything else becomes a placeholder of one line with its type and size; its data never enters a prompt. Both adapters
use these functions, so that the same content gives the same text on both sides.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmstudio_integrations.client.images import ImagePart, is_data_url
from lmstudio_integrations.errors import LMStudioValueError

__all__ = [
    "LINE",
    "LONG",
    "Attachment",
    "decode_text_document",
    "is_text_type",
    "json_without_binaries",
    "read_attachment",
    "read_image_content",
]

_TEXT_TYPES = frozenset(
    {
        "application/ecmascript",
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
    }
)
LONG = 512
"""Characters from which a string in base64 counts as binary data: identifiers and digests are shorter."""
LINE = 60
"""Characters that a line of base64 has at least, except the last: encoders write 64 or 76."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """Content that cannot be sent, described without its data.

    ``kind`` is "file", "audio", "video" or "image"; ``size`` is in bytes; ``error`` is what is wrong with an image.
    """

    kind: str
    mime_type: str | None = None
    size: int | None = None
    name: str | None = None
    url: str | None = None
    error: LMStudioValueError | None = None

    def placeholder(self) -> str:
        """The line that stands for it in a prompt; always the same for the same attachment."""
        title = " ".join(filter(None, (self.kind, self.name)))
        if self.url:
            title += f" at {self.url[:200]}"
        details = [title]
        if self.mime_type:
            details.append(self.mime_type)
        if self.size is not None:
            details.append(f"{self.size} bytes")
        reason = "LM Studio cannot show it" if self.kind == "image" else "the model takes only text and images"
        return f"[{', '.join(details)}: left out, because {reason}]"


def read_image_content(
    *,
    data: str | bytes | None = None,
    path: Path | None = None,
    url: str | None = None,
    mime_type: str | None = None,
) -> ImagePart | Attachment:
    """An image to upload, or the description of one that LM Studio cannot show.

    Args:
        data: The content as bytes, as base64 or as a ``data:`` URL.
        path: Its file. It is read when the request is sent, and so is a wrong content found only then.
        url: Its ``data:`` or http(s) URL. No other is accepted: a message must not name files of this machine.
        mime_type: Its type, if known; the content decides what it is.
    """
    if data is None and is_data_url(url):
        data, url = url, None
    try:
        if isinstance(data, bytes):
            return ImagePart(data)
        if data is not None:
            return ImagePart(data) if is_data_url(data) else ImagePart.from_base64(data)
        if path is not None:
            return ImagePart(path)
        if url is not None and re.match(r"(?i)https?://", url):
            return ImagePart(url)
        found = "nothing" if url is None else repr(url[:80])
        raise LMStudioValueError(f"expected an image as bytes, base64, data: URL or http(s) URL, got {found}")
    except LMStudioValueError as error:
        size = None
        if data is not None:
            size = _size(parse_data_url(data)[1] if is_data_url(data) else data)
        return Attachment("image", mime_type, size, url=url, error=error)


def read_attachment(
    kind: str,
    data: str | bytes | None,
    mime_type: str | None = None,
    name: str | None = None,
    url: str | None = None,
) -> str | Attachment:
    """The text of a text document, or the description of anything else. Nothing is fetched.

    Args:
        kind: "file", "audio" or "video". Only a file can be text: one whose MIME type is text, or one without a MIME
            type that is UTF-8 without zero bytes.
        data: The content as bytes, as base64 or as a ``data:`` URL.
        mime_type: Its type, if known.
        name: The file's name, if known.
        url: Where the content is. A ``data:`` URL is read if there is no ``data``.
    """
    if is_data_url(url):
        data, url = url if data is None else data, None
    if is_data_url(data):
        said, data = parse_data_url(data)
        mime_type = mime_type or said
    if kind == "file" and data is not None and (not mime_type or is_text_type(mime_type)):
        raw = data if isinstance(data, bytes) else _decode_base64(data)
        text = None if raw is None else _decode_text(raw, mime_type)
        if text is not None:
            return text
    return Attachment(kind, mime_type or None, None if data is None else _size(data), name or None, url or None)


def decode_text_document(data: str, mime_type: str | None) -> str | None:
    """The text of a document in base64 whose type is text; ``None`` if it is anything else."""
    raw = _decode_base64(data) if mime_type and is_text_type(mime_type) else None
    return None if raw is None else _decode_text(raw, None)


def parse_data_url(url: str) -> tuple[str | None, str | bytes]:
    """The MIME type of a ``data:`` URL (``None`` if it names none) and its content: base64 text, or bytes."""
    header, _, content = url[5:].partition(",")
    mime_type = header.partition(";")[0].strip().lower() or None
    if header.rstrip().lower().endswith(";base64"):
        return mime_type, content
    return mime_type, urllib.parse.unquote_to_bytes(content)


def json_without_binaries(value: Any) -> str:
    """``value`` as JSON text in which placeholders replace bytes and long base64 strings."""
    return json.dumps(_without_binaries(value), ensure_ascii=False, default=str)


def is_text_type(mime_type: str) -> bool:
    """Whether a document of this MIME type is text."""
    essence = mime_type.partition(";")[0].strip().lower()
    return essence.startswith("text/") or essence in _TEXT_TYPES or essence.endswith(("+json", "+xml", "+yaml"))


def _decode_text(data: bytes, mime_type: str | None) -> str | None:
    if mime_type:
        return data.decode("utf-8", "replace")
    try:
        return None if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _decode_base64(data: str) -> bytes | None:
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _size(data: str | bytes) -> int:
    """The size of the content in bytes; that of base64 is computed without decoding it."""
    return len(data) if isinstance(data, bytes) else len("".join(data.split()).rstrip("=")) * 3 // 4


def _without_binaries(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_binaries(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_binaries(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Attachment("data", size=len(bytes(value))).placeholder()
    if isinstance(value, str) and len(value) >= LONG:
        if is_data_url(value):
            mime_type, data = parse_data_url(value)
            return Attachment("data", mime_type, _size(data)).placeholder()
        lines = value.split()
        if all(len(line) >= LINE for line in lines[:-1]) and re.fullmatch(r"[\w+/-]+={0,2}", "".join(lines), re.ASCII):
            return Attachment("data", size=_size(value)).placeholder()
    return value
