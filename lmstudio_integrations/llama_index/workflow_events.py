"""Progress in the event stream of LlamaIndex's workflows and agents.

::

    handler = FunctionAgent(tools=tools, llm=LMStudio(model="qwen/qwen3-4b")).run("Why is the sky blue?")
    async for event in handler.stream_events():
        if isinstance(event, PromptProgressUpdate):
            print(f"{event.progress:.0%} of the prompt")
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from llama_index.core.workflow import Event

from lmstudio_integrations.client import LoadProgress, PromptProgress

__all__ = ["LoadProgressUpdate", "PromptProgressUpdate", "write_progress"]


class PromptProgressUpdate(Event):
    """How much of the prompt has been processed, 0.0 to 1.0. The counts are tokens, ``None`` from older servers."""

    progress: float
    processed_tokens: int | None = None
    unprocessed_tokens: int | None = None
    cached_tokens: int | None = None
    total_tokens: int | None = None


class LoadProgressUpdate(Event):
    """How much of the model ``identifier`` has been loaded, 0.0 to 1.0."""

    progress: float
    identifier: str | None = None


def write_progress(context: Any, progress: PromptProgress | LoadProgress) -> None:
    """Write to the event stream of the workflow whose step is running; ``context`` is the step's.

    A step that runs in a worker thread cannot write: a workflow's stream takes events only on its event loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    kind = PromptProgressUpdate if isinstance(progress, PromptProgress) else LoadProgressUpdate
    context.write_event_to_stream(kind(**asdict(progress)))
