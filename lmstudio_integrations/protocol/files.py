"""Uploading a file and what comes back (PROTOCOL: "Files"). The content travels as base64 in one frame."""

from lmstudio_integrations.protocol._model import LenientModel, WireInt, WireModel
from lmstudio_integrations.protocol.history import FILE_TYPES, FilePart, FileType

__all__ = ["FILE_TYPES", "FileType", "UploadFileParameter", "UploadFileResult"]


class UploadFileParameter(WireModel):
    """``files.uploadFileBase64``: the name with its ending, and the bytes as base64."""

    name: str
    content_base64: str


class UploadFileResult(LenientModel):
    """Where the server has put it. It stays there for the client identifier that uploaded it."""

    identifier: str
    file_type: str = "unknown"
    size_bytes: WireInt = 0

    def file_part(self, name: str) -> FilePart:
        """The part of a message that shows this file; a file type of a newer server becomes ``"unknown"``."""
        return FilePart.model_validate(
            {
                "name": name,
                "identifier": self.identifier,
                "size_bytes": self.size_bytes,
                "file_type": self.file_type if self.file_type in FILE_TYPES else "unknown",
            }
        )
