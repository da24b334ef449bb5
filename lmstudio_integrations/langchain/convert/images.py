"""An image of a history and the part that its upload completes, until the client uploads images itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lmstudio_integrations.client.images import ImagePart

__all__ = ["Picture"]


@dataclass(slots=True)
class Picture:
    """An image and its part of the history, which has only its type until ``place`` completes it."""

    image: ImagePart
    part: dict[str, Any] = field(default_factory=lambda: {"type": "file"})

    def place(self, identifier: str, name: str, size_bytes: int, file_type: str) -> None:
        """Complete the part with what the server says about the uploaded file; keys always in the same order."""
        self.part.update(
            {"type": "file", "name": name, "identifier": identifier, "sizeBytes": size_bytes, "fileType": file_type}
        )
