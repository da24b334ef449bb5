"""Files that clients have uploaded."""

from __future__ import annotations

import base64
import binascii
import itertools
from pathlib import PurePath
from typing import Any

from lmstudio_integrations.protocol.files import UploadFileResult

from .failures import EndpointError

_STARTS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM")
_BY_SUFFIX = {
    ".pdf": "application/pdf",
    ".docx": "application/word",
    ".doc": "application/word",
    ".txt": "text/plain",
    ".md": "text/other",
    ".csv": "text/other",
    ".json": "text/other",
}


class FileStore:
    """Uploaded files, each visible to the client that uploaded it only."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], bytes] = {}
        self._numbers = itertools.count(1)

    def upload(self, client: str, name: str, content_base64: str) -> dict[str, Any]:
        """Keep a file; what ``uploadFileBase64`` answers."""
        try:
            content = base64.b64decode(content_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise EndpointError("The content of the file is not valid base64", cause=str(error)) from None
        identifier = f"emulated {next(self._numbers)}{PurePath(name).suffix}"
        self._files[client, identifier] = content
        kind = _file_type(name, content)
        return UploadFileResult(identifier=identifier, file_type=kind, size_bytes=len(content)).to_wire()

    def content(self, client: str, identifier: str) -> bytes:
        """The bytes of an uploaded file."""
        self.require(client, identifier)
        return self._files.get((client, identifier), b"")

    def require(self, client: str, identifier: str) -> None:
        """Guess: a file that this client has not uploaded is an error; a ``base64:`` identifier is the file itself."""
        if not identifier.startswith("base64:") and (client, identifier.removeprefix("local:")) not in self._files:
            raise EndpointError(f"File not found: {identifier}", cause="This client has uploaded no such file.")


def _file_type(name: str, content: bytes) -> str:
    if content.startswith(_STARTS) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP"):
        return "image"
    return _BY_SUFFIX.get(PurePath(name).suffix.lower(), "unknown")
