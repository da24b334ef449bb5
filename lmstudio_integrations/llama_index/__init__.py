"""LlamaIndex over LM Studio's own protocol: ``LMStudio`` (a language model) and ``LMStudioEmbedding``.

``events`` has the instrumentation events (prompt progress, load progress, statistics) and a ready progress bar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import llama_index.core  # noqa: F401  # checks that it is installed
except ImportError as error:  # the extra is not installed
    raise ImportError(
        "lmstudio_integrations.llama_index needs llama-index-core (0.14.21 or newer): "
        'pip install "lmstudio-integrations[llama-index]"'
    ) from error

from lmstudio_integrations._lazy import lazy
from lmstudio_integrations.client.cancellation import CancelToken

if TYPE_CHECKING:
    from lmstudio_integrations.llama_index._tokenizer import LMStudioTokenizer
    from lmstudio_integrations.llama_index.embedding import LMStudioEmbedding
    from lmstudio_integrations.llama_index.events import (
        LoadProgressEvent,
        LoadProgressUpdate,
        PredictionStatsEvent,
        ProgressBarEventHandler,
        PromptProgressEvent,
        PromptProgressUpdate,
        QueueProgressEvent,
        QueueProgressUpdate,
    )
    from lmstudio_integrations.llama_index.llm import LMStudio
else:  # to a type checker, a module's `__getattr__` means that any name exists
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "LMStudio": "llm",
            "LMStudioEmbedding": "embedding",
            "LMStudioTokenizer": "_tokenizer",
            "LoadProgressEvent": "events",
            "PredictionStatsEvent": "events",
            "ProgressBarEventHandler": "events",
            "LoadProgressUpdate": "events",
            "PromptProgressEvent": "events",
            "PromptProgressUpdate": "events",
            "QueueProgressEvent": "events",
            "QueueProgressUpdate": "events",
        },
    )

__all__ = [
    "CancelToken",
    "LMStudio",
    "LMStudioEmbedding",
    "LMStudioTokenizer",
    "LoadProgressEvent",
    "LoadProgressUpdate",
    "PredictionStatsEvent",
    "ProgressBarEventHandler",
    "PromptProgressEvent",
    "PromptProgressUpdate",
    "QueueProgressEvent",
    "QueueProgressUpdate",
]
