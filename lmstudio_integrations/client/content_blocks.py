"""Content blocks in every form that LangChain passes on -> text, an image, or an attachment. Pure; nothing is imported.

The LangChain adapter converts messages by it, and ``act`` what LangChain's tools return.

The forms: LangChain's own (v0 and v1), OpenAI's chat and responses, Anthropic's, Google's ``media`` and MCP's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from lmstudio_integrations.client.attachments import Attachment, read_attachment, read_image_content
from lmstudio_integrations.client.images import ImagePart

__all__ = ["BlockContent", "block_type", "read_block"]

BlockContent: TypeAlias = "str | dict[str, Any] | ImagePart | Attachment"
"""Text, a file part in LM Studio's form, an image to upload, or content that LM Studio cannot take."""

_TEXT_BLOCKS = frozenset({"text", "text-plain", "input_text", "output_text", None})
_IMAGE_BLOCKS = frozenset({"image", "image_url", "input_image"})
_DATA_BLOCKS = {
    "audio": "audio",
    "audio_url": "audio",
    "document": "file",
    "file": "file",
    "input_audio": "audio",
    "input_file": "file",
    "media": "file",
    "resource": "file",
    "text-plain": "file",
    "video": "video",
    "video_url": "video",
}
"""Type of a block: kind of its content."""
_NESTED = ("source", "resource", "file", "input_audio", "audio_url", "video_url", "image_url")
"""Keys under which a block may hold its data as an object."""


def block_type(block: str | Mapping[str, Any]) -> str | None:
    """The type that a block names; ``None`` if it names none."""
    kind = block.get("type") if isinstance(block, Mapping) else None
    return kind if isinstance(kind, str) else None


def read_block(block: str | Mapping[str, Any]) -> Iterator[BlockContent | None]:
    """The contents of a block; ``None`` if its form is unknown."""
    if isinstance(block, str):
        yield block
        return
    kind = block_type(block)
    if kind in _TEXT_BLOCKS and isinstance(block.get("text"), str):
        yield block["text"]
    elif kind == "refusal":
        yield str(block.get("refusal") or "")
    elif kind == "non_standard" and isinstance(block.get("value"), Mapping):
        yield from read_block(block["value"])
    elif kind in _IMAGE_BLOCKS:
        yield _image(_flattened(block))
    elif kind is not None and kind in _DATA_BLOCKS:
        yield from _data(_flattened(block), _DATA_BLOCKS[kind])
    else:
        yield None


def _flattened(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block merged with the object under a key of ``_NESTED``, whose values win."""
    flat = dict(block)
    for key in _NESTED:
        nested = block.get(key)
        if isinstance(nested, Mapping):
            flat.update(nested)
        elif isinstance(nested, str):  # {"type": "image_url", "image_url": "https://…"}
            flat["url"] = nested
    return flat


def _data(flat: Mapping[str, Any], kind: str) -> Iterator[BlockContent | None]:
    inner = flat.get("content")
    if isinstance(inner, (str, list)):  # Anthropic: a document that consists of blocks
        for item in [inner] if isinstance(inner, str) else inner:
            yield from read_block(item)
        return
    mime_type = _mime_type(flat) or ""
    if mime_type.startswith("image/"):
        yield _image(flat)
        return
    if kind == "file" and mime_type.startswith(("audio/", "video/")):
        kind = mime_type.partition("/")[0]
    if not mime_type and isinstance(flat.get("format"), str):
        mime_type = f"{kind}/{flat['format']}"
    text, data = flat.get("text"), _first(flat, "base64", "data", "blob", "file_data")
    if isinstance(text, str) or flat.get("type") == "text":
        yield text if isinstance(text, str) else str(data or "")
        return
    name = _first(flat, "filename", "name", "title")
    url = _first(flat, "url", "uri", "file_url", "file_id")
    yield read_attachment(kind, _bytes_or_text(data), mime_type, name and str(name), url and str(url))


def _image(flat: Mapping[str, Any]) -> BlockContent:
    """A complete file part for a ``file_id``, else an image to upload."""
    if file_id := flat.get("file_id") or (flat.get("id") if flat.get("source_type") == "id" else None):
        return _file_part(str(file_id), flat)
    data = _first(flat, "base64", "data", "blob", "file_data")
    url = flat.get("url")
    return read_image_content(
        data=_bytes_or_text(data), url=url if isinstance(url, str) else None, mime_type=_mime_type(flat)
    )


def _file_part(file_id: str, block: Mapping[str, Any]) -> dict[str, Any]:
    """A file that is already on the server. Guess: LM Studio goes by the identifier; name and size are for display."""
    extras = block.get("extras")
    described = extras if isinstance(extras, Mapping) else {}
    size = described.get("size_bytes")
    return {
        "type": "file",
        "name": str(described.get("name") or block.get("name") or file_id),
        "identifier": file_id,
        "sizeBytes": size if isinstance(size, int) else 0,
        "fileType": "image",
    }


def _mime_type(block: Mapping[str, Any]) -> str | None:
    found = _first(block, "mime_type", "mimeType", "media_type")
    return found if isinstance(found, str) else None


def _first(block: Mapping[str, Any], *keys: str) -> Any:
    return next((block[key] for key in keys if block.get(key) is not None), None)


def _bytes_or_text(data: Any) -> str | bytes | None:
    return (
        bytes(data) if isinstance(data, (bytearray, memoryview)) else data if isinstance(data, (str, bytes)) else None
    )
