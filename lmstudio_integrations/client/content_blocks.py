"""Content blocks of both frameworks -> text, an image, or an attachment. Neither framework is imported.

The adapters convert messages by it, and ``act`` what the frameworks' tools return. Pure, except that a LlamaIndex
document, audio or video with a path is read from its file.

The forms of mappings: LangChain's own (v0 and v1), OpenAI's chat and responses, Anthropic's, Google's ``media`` and
MCP's. LlamaIndex's blocks are objects with a ``block_type``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from io import IOBase
from pathlib import Path
from typing import Any, TypeAlias

from lmstudio_integrations.client.attachments import (
    Attachment,
    decode_text_document,
    is_text_type,
    read_attachment,
    read_image_content,
)
from lmstudio_integrations.client.images import ImagePart, is_data_url
from lmstudio_integrations.errors import LMStudioValueError

__all__ = [
    "BlockContent",
    "block_type",
    "embeds_data",
    "is_text_block",
    "leaf_blocks",
    "read_block",
    "read_llama_index_block",
]

BlockContent: TypeAlias = "str | dict[str, Any] | ImagePart | Attachment"
"""Text, a file part in LM Studio's form, an image to upload, or content that LM Studio cannot take."""

_TEXT_BLOCKS = frozenset({"text", "text-plain", "input_text", "output_text", None})
_IMAGE_BLOCKS = frozenset({"computer_screenshot", "image", "image_url", "input_image"})
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
_NESTED = (
    *("source", "resource", "file", "input_audio", "audio_url", "video_url", "image_url"),
    *("inline_data", "inlineData"),
)
"""Keys under which a block may hold its data as an object."""
_DATA_KEYS = ("base64", "data", "blob", "file_data")
_DESCRIPTIONS = frozenset(
    {
        *("type", "source_type", "id", "index", "name", "title", "filename", "uri", "mime_type", "mimeType"),
        *("media_type", "format", "detail", "annotations", "cache_control", "extras", "metadata", "meta", "_meta"),
    }
)
"""Keys of a block beside its data."""


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
    elif kind is None and isinstance(block.get("inline_data") or block.get("inlineData"), Mapping):  # Google's parts
        yield from _data(_flattened(block), "file")
    else:
        yield None


def is_text_block(block: Any) -> bool:
    """Whether a block holds text."""
    return isinstance(block, Mapping) and block_type(block) in _TEXT_BLOCKS and isinstance(block.get("text"), str)


def embeds_data(block: Any) -> bool:
    """Whether a block holds the data of an image, a document, audio or video, and nothing but what describes it."""
    kind = block_type(block)
    if kind is None or (kind not in _IMAGE_BLOCKS and kind not in _DATA_BLOCKS):
        return False
    flat = _flattened(block)
    data = _first(flat, *_DATA_KEYS, "url")
    if flat.keys() - _DESCRIPTIONS - {*_DATA_KEYS, *_NESTED, "url"} or not isinstance(data, str):
        return False
    if is_data_url(data):
        return True
    mime_type = _mime_type(flat)
    if not any(isinstance(flat.get(key), str) for key in _DATA_KEYS) or not (
        mime_type or kind in _IMAGE_BLOCKS or isinstance(flat.get("format"), str)
    ):
        return False
    if mime_type and is_text_type(mime_type):
        return decode_text_document(data, mime_type) is not None
    try:
        return bool(base64.b64decode("".join(data.translate(_URL_SAFE).split()), validate=True))
    except (binascii.Error, ValueError):
        return False


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
    text, data = flat.get("text"), _first(flat, *_DATA_KEYS)
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
    data = _first(flat, *_DATA_KEYS)
    url = flat.get("url")
    if data is None and isinstance(url, str) and _BASE64.fullmatch(url):  # as langchain-ollama takes it
        data, url = url, None
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
    """A block's data for ``read_attachment``; base64 for URLs (Google's) becomes the usual one."""
    if isinstance(data, str):
        return data if is_data_url(data) else data.translate(_URL_SAFE)
    return bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else None


_URL_SAFE = str.maketrans("-_", "+/")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]{64,}={0,2}\s*")


# LlamaIndex's blocks


def leaf_blocks(blocks: Iterable[Any]) -> Iterator[Any]:
    """LlamaIndex's blocks with content of their own: containers are replaced by their content, cache hints dropped.

    LM Studio always reuses the common beginning of prompts.
    """
    for block in blocks:
        kind = getattr(block, "block_type", None)
        if kind == "citable":
            yield from leaf_blocks(block.content)
        elif kind == "citation":
            yield from leaf_blocks([block.cited_content])
        elif kind != "cache":
            yield block


def read_llama_index_block(block: Any) -> BlockContent | None:
    """The content of one of LlamaIndex's blocks; ``None`` if it is none of text, image, document, audio and video.

    Raises:
        LMStudioValueError: The file of a document, audio or video cannot be read.
    """
    kind = getattr(block, "block_type", None)
    if kind == "text":
        return str(block.text)
    if kind not in _LLAMA_INDEX_DATA:
        return None
    field, mime_field = _LLAMA_INDEX_DATA[kind]
    data, path = getattr(block, field, None), getattr(block, "path", None)
    url = None if getattr(block, "url", None) is None else str(block.url)
    mime_type = getattr(block, mime_field, None)
    if kind == "image":
        path = None if path is None else Path(path)
        return read_image_content(data=_kept_data(data), path=path, url=url, mime_type=mime_type)
    if kind == "audio" and mime_type:
        mime_type = f"audio/{mime_type}"
    name = None if path is None else Path(path).name
    title = getattr(block, "title", None)
    if title and title != "input_document":  # LlamaIndex's own default
        name = title
    content = _kept_data(data) if path is None else _file(path)
    return read_attachment("file" if kind == "document" else kind, content, mime_type, name, url)


_LLAMA_INDEX_DATA = {
    "image": ("image", "image_mimetype"),
    "document": ("data", "document_mimetype"),
    "audio": ("audio", "format"),
    "video": ("video", "video_mimetype"),
}
"""Type of a block: its fields with the data and with the MIME type."""


def _kept_data(data: Any) -> str | bytes | None:
    """A block's data for ``read_attachment``. LlamaIndex keeps bytes as base64; a stream is rewound."""
    if isinstance(data, IOBase):
        data.seek(0)
        content: bytes = data.read()
        data.seek(0)
        return content
    return data.decode("ascii") if isinstance(data, bytes) else None


def _file(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise LMStudioValueError(f"the document {str(path)!r} cannot be read: {error}") from error
