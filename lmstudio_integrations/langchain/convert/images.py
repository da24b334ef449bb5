"""Image blocks in every form of LangChain's -> a file part of LM Studio's history, or what must be uploaded first."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmstudio_integrations.errors import LMStudioValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Picture", "image_block", "is_image_block", "picture_name"]

# Patterns as text: `re` compiles and keeps them when the first image comes.
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "png"),
    (rb"\xff\xd8\xff", "jpg"),
    (rb"(?s)RIFF....WEBP", "webp"),
)
"""The kinds that LM Studio takes (its documentation, "Image input": JPEG, PNG, WebP), by their first bytes."""

_OTHERS = (
    (rb"GIF8[79]a", "a GIF"),
    (rb"BM", "a BMP"),
    (rb"II\*\x00|MM\x00\*", "a TIFF"),
    (rb"(?s)....ftyp(?:heic|heix|mif1|avif)", "a HEIC or AVIF image"),
    (rb"\s*<(?:\?xml|svg)", "an SVG"),
    (rb"%PDF", "a PDF"),
)

_DATA_URL = r"(?si)data:(?P<mime>[^;,]*)(?:;[^;,]+)*;base64,(?P<data>.*)"


@dataclass(slots=True)
class Picture:
    """An image that is in the history before it is on the server: ``part`` is empty until ``place`` fills it in."""

    data: bytes | None = None
    url: str | None = None
    part: dict[str, Any] = field(default_factory=dict)

    def place(self, identifier: str, name: str, size_bytes: int, file_type: str) -> None:
        """Fill the part with what the server says about the uploaded file; keys always in the same order."""
        self.part.update(
            {"type": "file", "name": name, "identifier": identifier, "sizeBytes": size_bytes, "fileType": file_type}
        )


def is_image_block(block: Mapping[str, Any]) -> bool:
    """Whether ``block`` is an image in OpenAI's, Anthropic's or LangChain's form."""
    kind = block.get("type")
    return kind in {"image", "image_url", "input_image"} or (
        kind == "media" and str(block.get("mime_type", "")).startswith("image/")
    )


def image_block(block: Mapping[str, Any]) -> dict[str, Any] | Picture:
    """A finished file part for a ``file_id``, else a ``Picture`` with its bytes or address."""
    source = block.get("source")
    if isinstance(source, dict):  # Anthropic: {"type": "image", "source": {"type": "base64" | "url" | "file", …}}
        block = {"url": source.get("url"), "data": source.get("data"), "file_id": source.get("file_id")}
    if file_id := block.get("file_id") or (block.get("id") if block.get("source_type") == "id" else None):
        return _file_part(str(file_id), block)
    data = block.get("base64") or block.get("data")
    if isinstance(data, (bytes, bytearray, memoryview)):
        return Picture(data=_checked(bytes(data)))
    if isinstance(data, str):
        return Picture(data=_checked(_decoded(data)))
    url = block.get("url") or block.get("image_url")
    if isinstance(url, dict):
        url = url.get("url")
    if not isinstance(url, str):
        raise LMStudioValueError(
            f"no image in the content block {_shown(block)}: it needs 'url', 'base64', 'image_url' or 'file_id'"
        )
    if found := re.fullmatch(_DATA_URL, url.strip()):
        return Picture(data=_checked(_decoded(found["data"])))
    if re.match(r"https?://", url, re.IGNORECASE):
        return Picture(url=url)
    raise LMStudioValueError(
        f"{url[:80]!r} is no image that can be sent: pass a data: URL with base64, an http(s) address, or the bytes"
    )


def picture_name(data: bytes) -> str:
    """A file name that depends on nothing but the bytes, so that the same conversation stays the same."""
    return f"{hashlib.sha256(data).hexdigest()[:16]}.{_kind(data)}"


def _file_part(file_id: str, block: Mapping[str, Any]) -> dict[str, Any]:
    """A file that is already on the server. Guess: LM Studio goes by the identifier; name and size are for display."""
    extras = block.get("extras") or {}
    return {
        "type": "file",
        "name": str(extras.get("name") or block.get("name") or file_id),
        "identifier": file_id,
        "sizeBytes": int(extras.get("size_bytes") or 0),
        "fileType": "image",
    }


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise LMStudioValueError(f"image data {text[:24]!r}… is no base64: {error}") from error


def _kind(data: bytes) -> str | None:
    return next((kind for signature, kind in _SIGNATURES if re.match(signature, data)), None)


def _checked(data: bytes) -> bytes:
    if _kind(data) is None:
        looks = next(
            (name for signature, name in _OTHERS if re.match(signature, data)), f"data that begins with {data[:8]!r}"
        )
        raise LMStudioValueError(f"LM Studio takes JPEG, PNG and WebP images, and this is {looks}: convert it first")
    return data


def check_image(data: bytes) -> bytes:
    """``data`` itself, if it is of a kind that LM Studio takes; else an ``LMStudioValueError`` that says what it is."""
    return _checked(data)


def _shown(block: Mapping[str, Any]) -> str:
    return repr({key: value if len(str(value)) < 60 else f"{str(value)[:40]}…" for key, value in block.items()})
