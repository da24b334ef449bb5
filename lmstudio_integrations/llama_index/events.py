"""What LM Studio tells beyond tokens, as LlamaIndex instrumentation events.

They go through the dispatcher ``lmstudio_integrations.llama_index.events``, whose parent is the root dispatcher, so a
handler on ``llama_index.core.instrumentation.get_dispatcher()`` receives them. Each bears the id of the span of the
method that was called (``stream_chat``, ``achat``, …). Inside a generator that span is no longer the active one, so the
id is taken in the method's body and handed on.

LlamaIndex: https://docs.llamaindex.ai/en/stable/module_guides/observability/instrumentation/
"""

from __future__ import annotations

import sys
from typing import Any

from llama_index.core import instrumentation
from llama_index.core.instrumentation.events import BaseEvent
from pydantic import Field

from lmstudio_integrations.client import LoadProgress, PromptProgress

__all__ = ["LoadProgressEvent", "PredictionStatsEvent", "PromptProgressEvent", "dispatcher", "report_progress"]

dispatcher = instrumentation.get_dispatcher(__name__)


class PromptProgressEvent(BaseEvent):
    """How much of the prompt has been processed. The counts are tokens, ``None`` where an older server omits them."""

    progress: float = Field(description="0.0 to 1.0")
    processed_tokens: int | None = None
    unprocessed_tokens: int | None = None
    cached_tokens: int | None = None
    total_tokens: int | None = None

    @classmethod
    def class_name(cls) -> str:
        return "PromptProgressEvent"


class LoadProgressEvent(BaseEvent):
    """How far the model has been loaded that this call needs."""

    progress: float = Field(description="0.0 to 1.0")
    model: str | None = Field(default=None, description="identifier of the model")

    @classmethod
    def class_name(cls) -> str:
        return "LoadProgressEvent"


class PredictionStatsEvent(BaseEvent):
    """Once at the end of each prediction: what ``raw`` of the last response holds.

    ``usage`` counts tokens as OpenAI names them; ``stats`` has LM Studio's own figures (``tokens_per_second``,
    ``time_to_first_token_sec``, ``stop_reason``, …); ``finish_reason`` is ``stop``, ``length``, ``tool_calls``,
    ``cancelled`` or ``error``.
    """

    model: str | None = None
    finish_reason: str
    usage: dict[str, Any]
    stats: dict[str, Any]

    @classmethod
    def class_name(cls) -> str:
        return "PredictionStatsEvent"


def report_progress(progress: PromptProgress | LoadProgress, span_id: str | None, model: str | None) -> None:
    """Dispatch the progress of a prediction within the span ``span_id``, and to the workflow that runs, if any."""
    event: PromptProgressEvent | LoadProgressEvent
    if isinstance(progress, PromptProgress):
        event = PromptProgressEvent(
            span_id=span_id,
            progress=progress.progress,
            processed_tokens=progress.processed_tokens,
            unprocessed_tokens=progress.unprocessed_tokens,
            cached_tokens=progress.cached_tokens,
            total_tokens=progress.total_tokens,
        )
    else:
        event = LoadProgressEvent(span_id=span_id, progress=progress.progress, model=progress.identifier or model)
    dispatcher.event(event)
    context = _workflow_context()
    if context is not None:
        from lmstudio_integrations.llama_index.workflow_events import write_progress

        write_progress(context, progress)


def _workflow_context() -> Any:
    """The context of the workflow's step that is running, or ``None``.

    Workflows have no public interface for it. If this private one changes, workflows get no progress.
    """
    variable = getattr(sys.modules.get("workflows.runtime.types.results"), "InternalContextVar", None)
    try:
        context = variable.get()()  # type: ignore[union-attr]  # an AttributeError is expected
        return context if hasattr(context, "write_event_to_stream") else None
    except (AttributeError, LookupError, TypeError):
        return None
