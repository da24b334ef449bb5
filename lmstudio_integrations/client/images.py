"""A file to upload, read from wherever the user has it."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import IO, Any

from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["FileSource", "read_image"]

FileSource = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

# LM Studio's server refuses frames over 100 MiB (its WebSocket library's default), and base64 adds a third.
_MOST_BYTES = 75_000_000

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
)


def sniff(data: bytes) -> str | None:
    """The ending that fits an image's first bytes (``.png``, ``.jpg``, ``.webp`` …), or ``None``."""
    for signature, ending in _SIGNATURES:
        if data.startswith(signature):
            return ending
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return None


def read_image(source: Any, name: Any = None) -> tuple[str, str]:
    """``(name, base64)`` of an image: a path, bytes, or a binary file object.

    Raises ``LMStudioValueError`` for anything else, for what is no PNG, JPEG, WebP, GIF or BMP, and for more than
    75 MB; ``OSError`` where the file cannot be read.
    """
    if name is not None and not isinstance(name, str):
        raise LMStudioValueError(f"the name of an image is text, not {type(name).__name__}")
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        data = path.read_bytes()
        name = name or path.name
    elif hasattr(source, "read"):
        data = source.read()
        if not isinstance(data, bytes):
            raise LMStudioValueError("the file object gave text: open the image in binary mode ('rb')")
        origin = getattr(source, "name", None)
        name = name or (Path(origin).name if isinstance(origin, str) else None)
    else:
        raise LMStudioValueError(f"an image is a path, bytes or a binary file, not {type(source).__name__}")
    ending = sniff(data)
    if ending is None:
        raise LMStudioValueError(
            f"{name or 'the image'} ({len(data)} bytes, beginning {data[:8]!r}) is no PNG, JPEG, WebP, GIF or BMP image"
        )
    if len(data) > _MOST_BYTES:
        raise LMStudioValueError(
            f"the image has {len(data)} bytes; LM Studio takes {_MOST_BYTES} at the most: make it smaller"
        )
    return name or f"image{ending}", base64.b64encode(data).decode("ascii")
