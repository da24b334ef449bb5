"""Progress of a prediction as plain data: the payload of LangChain's custom events."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lmstudio_integrations.client import LoadProgress, PromptProgress

__all__ = ["LOAD_PROGRESS", "PROMPT_PROGRESS", "progress_data", "progress_name"]

PROMPT_PROGRESS = "lmstudio.prompt_progress"
"""Custom event while the prompt is read: ``progress`` 0.0 to 1.0, and ``cached_tokens``, ``total_tokens``,
``processed_tokens``, ``unprocessed_tokens`` where the server gives them."""

LOAD_PROGRESS = "lmstudio.load_progress"
"""Custom event while a model is loaded: ``progress`` 0.0 to 1.0, ``identifier``."""


def progress_data(event: PromptProgress | LoadProgress) -> dict[str, Any]:
    """The event's values under their own names."""
    return asdict(event)


def progress_name(event: PromptProgress | LoadProgress) -> str:
    """The name of the custom event."""
    return PROMPT_PROGRESS if isinstance(event, PromptProgress) else LOAD_PROGRESS
