"""The history as ``llama_index.base`` sends it, until the client uploads images itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.client.images import ImagePart

__all__ = ["with_files"]


def with_files(history: PreparedHistory, files: Sequence[Mapping[str, Any]]) -> PreparedHistory:
    """``history`` with the uploaded ``files``, one for each of its images, in place of those."""
    if not history.images:
        return history
    uploaded = iter(files)
    messages = [
        {
            "role": message["role"],
            "content": [dict(next(uploaded)) if isinstance(part, ImagePart) else part for part in message["content"]],
        }
        for message in history.messages
    ]
    return PreparedHistory(messages, [], history.call_ids)
