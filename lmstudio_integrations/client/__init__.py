"""The client: LM Studio's native protocol over WebSockets, for blocking and for ``async`` code.

``sync`` and ``aio`` are what users hold. ``requests`` and ``history`` make requests, ``prediction`` reads answers; they
do no I/O. ``transport`` does all of it, on one thread.

What adapters need is here: the two clients, what they take (``Chat``, ``History``, ``PredictionOptions``,
``Timeout``), and what they give (events and results).
"""

from __future__ import annotations

from lmstudio_integrations.client._base import CompletionOptions, PredictionOptions
from lmstudio_integrations.client.act_options import ActOptions
from lmstudio_integrations.client.aio import AsyncClient, AsyncEmbeddingModel, AsyncLLM, AsyncPredictionStream
from lmstudio_integrations.client.callbacks import CallbackOptions
from lmstudio_integrations.client.cancellation import CancelToken
from lmstudio_integrations.client.chat import Chat, History
from lmstudio_integrations.client.events import (
    Event,
    Fragment,
    LoadProgress,
    PromptProgress,
    QueueProgress,
    TokenLogProb,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallName,
    ToolCallStart,
)
from lmstudio_integrations.client.images import ImagePart
from lmstudio_integrations.client.result import PartialPrediction, PredictionResult
from lmstudio_integrations.client.settings import Timeout
from lmstudio_integrations.client.sync import LLM, Client, EmbeddingModel, PredictionStream
from lmstudio_integrations.protocol.config_dicts import LlmPredictionConfigDict

__all__ = [
    "LLM",
    "ActOptions",
    "AsyncClient",
    "AsyncEmbeddingModel",
    "AsyncLLM",
    "AsyncPredictionStream",
    "CallbackOptions",
    "CancelToken",
    "Chat",
    "Client",
    "CompletionOptions",
    "EmbeddingModel",
    "Event",
    "Fragment",
    "History",
    "ImagePart",
    "LlmPredictionConfigDict",
    "LoadProgress",
    "PartialPrediction",
    "PredictionOptions",
    "PredictionResult",
    "PredictionStream",
    "PromptProgress",
    "QueueProgress",
    "Timeout",
    "TokenLogProb",
    "ToolCallArguments",
    "ToolCallEnd",
    "ToolCallFailed",
    "ToolCallName",
    "ToolCallStart",
]
