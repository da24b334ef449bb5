"""LM Studio for Python: its native protocol, and on it LangChain's and LlamaIndex's models.

This module is the client alone; it imports no framework::

    import lmstudio_integrations as lms

    model = lms.llm("qwen/qwen3-4b")
    for fragment in model.respond_stream("Why is the sky blue?"):
        print(fragment, end="", flush=True)

The adapters are ``lmstudio_integrations.langchain`` and ``lmstudio_integrations.llama_index``; a server to test
against without LM Studio is ``lmstudio_integrations.emulator``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmstudio_integrations._lazy import lazy
from lmstudio_integrations._version import __version__
from lmstudio_integrations.client.act import ActResult, PredictionRoundResult
from lmstudio_integrations.client.aio import AsyncClient, AsyncEmbeddingModel, AsyncLLM, AsyncPredictionStream
from lmstudio_integrations.client.cancellation import CancelToken
from lmstudio_integrations.client.chat import Chat
from lmstudio_integrations.client.convenience import embedding_model, list_downloaded_models, list_loaded_models, llm
from lmstudio_integrations.client.images import ImagePart
from lmstudio_integrations.client.prediction import (
    Fragment,
    LoadProgress,
    PromptProgress,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallFailed,
    ToolCallName,
    ToolCallStart,
)
from lmstudio_integrations.client.result import PartialPrediction, PredictionResult
from lmstudio_integrations.client.settings import Timeout
from lmstudio_integrations.client.sync import LLM, Client, EmbeddingModel, PredictionStream
from lmstudio_integrations.client.tool_functions import ToolFunctionDef
from lmstudio_integrations.errors import (
    LMStudioAuthenticationError,
    LMStudioCancelledError,
    LMStudioConnectionError,
    LMStudioContextOverflowError,
    LMStudioDisconnectedError,
    LMStudioError,
    LMStudioIncompleteError,
    LMStudioInvalidRequestError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
    LMStudioPresetNotFoundError,
    LMStudioProtocolError,
    LMStudioRequestRejectedError,
    LMStudioServerError,
    LMStudioServerNotFoundError,
    LMStudioStructuredOutputError,
    LMStudioTimeoutError,
    LMStudioToolCallError,
    LMStudioUnsupportedError,
    LMStudioValueError,
)
from lmstudio_integrations.protocol.config import (
    EmbeddingLoadModelConfig,
    GpuSetting,
    LlmLoadModelConfig,
    LlmPredictionConfig,
)
from lmstudio_integrations.protocol.history import FilePart as FileHandle
from lmstudio_integrations.protocol.history import ToolCallRequest
from lmstudio_integrations.protocol.models import ModelInfo, ModelInstanceInfo
from lmstudio_integrations.protocol.prediction import PredictionStats

if TYPE_CHECKING:
    from lmstudio_integrations.protocol.config_dicts import (
        EmbeddingLoadModelConfigDict,
        GpuSettingDict,
        LlmLoadModelConfigDict,
        LlmPredictionConfigDict,
    )
else:  # types alone, which hardly any program asks for
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "EmbeddingLoadModelConfigDict": "protocol.config_dicts",
            "GpuSettingDict": "protocol.config_dicts",
            "LlmLoadModelConfigDict": "protocol.config_dicts",
            "LlmPredictionConfigDict": "protocol.config_dicts",
        },
    )

__all__ = [
    "LLM",
    "ActResult",
    "AsyncClient",
    "AsyncEmbeddingModel",
    "AsyncLLM",
    "AsyncPredictionStream",
    "CancelToken",
    "Chat",
    "Client",
    "EmbeddingLoadModelConfig",
    "EmbeddingLoadModelConfigDict",
    "EmbeddingModel",
    "FileHandle",
    "Fragment",
    "GpuSetting",
    "GpuSettingDict",
    "ImagePart",
    "LMStudioAuthenticationError",
    "LMStudioCancelledError",
    "LMStudioConnectionError",
    "LMStudioContextOverflowError",
    "LMStudioDisconnectedError",
    "LMStudioError",
    "LMStudioIncompleteError",
    "LMStudioInvalidRequestError",
    "LMStudioModelNotFoundError",
    "LMStudioModelUnloadedError",
    "LMStudioPresetNotFoundError",
    "LMStudioProtocolError",
    "LMStudioRequestRejectedError",
    "LMStudioServerError",
    "LMStudioServerNotFoundError",
    "LMStudioStructuredOutputError",
    "LMStudioTimeoutError",
    "LMStudioToolCallError",
    "LMStudioUnsupportedError",
    "LMStudioValueError",
    "LlmLoadModelConfig",
    "LlmLoadModelConfigDict",
    "LlmPredictionConfig",
    "LlmPredictionConfigDict",
    "LoadProgress",
    "ModelInfo",
    "ModelInstanceInfo",
    "PartialPrediction",
    "PredictionResult",
    "PredictionRoundResult",
    "PredictionStats",
    "PredictionStream",
    "PromptProgress",
    "Timeout",
    "ToolCallArguments",
    "ToolCallEnd",
    "ToolCallFailed",
    "ToolCallName",
    "ToolCallRequest",
    "ToolCallStart",
    "ToolFunctionDef",
    "__version__",
    "embedding_model",
    "list_downloaded_models",
    "list_loaded_models",
    "llm",
]
