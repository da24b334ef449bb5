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
from lmstudio_integrations.client.act_options import ActResult, PredictionRoundResult
from lmstudio_integrations.client.aio import (
    AsyncClient,
    AsyncDownloadedEmbeddingModel,
    AsyncDownloadedLlm,
    AsyncEmbeddingModel,
    AsyncLLM,
    AsyncPredictionStream,
)
from lmstudio_integrations.client.cancellation import CancelToken
from lmstudio_integrations.client.chat import Chat
from lmstudio_integrations.client.convenience import (
    configure_default_client,
    embedding_model,
    get_default_client,
    get_sync_api_timeout,
    list_downloaded_models,
    list_loaded_models,
    llm,
    prepare_image,
    set_sync_api_timeout,
)
from lmstudio_integrations.client.images import ImagePart
from lmstudio_integrations.client.prediction import (
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
from lmstudio_integrations.client.result import PartialPrediction, PredictionResult
from lmstudio_integrations.client.settings import Timeout
from lmstudio_integrations.client.sync import (
    LLM,
    Client,
    DownloadedEmbeddingModel,
    DownloadedLlm,
    EmbeddingModel,
    PredictionStream,
)
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
    LMStudioLimitError,
    LMStudioModelNotFoundError,
    LMStudioModelUnloadedError,
    LMStudioPresetNotFoundError,
    LMStudioProtocolError,
    LMStudioRequestRejectedError,
    LMStudioResourcesError,
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

_SDK_NAMES = (
    "AssistantResponse",
    "BaseModel",
    "ChatHistoryData",
    "EmbeddingModelInfo",
    "EmbeddingModelInstanceInfo",
    "LMStudioChannelClosedError",
    "LMStudioClientError",
    "LMStudioOSError",
    "LMStudioPredictionError",
    "LMStudioRuntimeError",
    "LMStudioUnknownMessageWarning",
    "LMStudioWebsocketError",
    "LlmInfo",
    "LlmInstanceInfo",
    "LlmPredictionFragment",
    "LlmPredictionStats",
    "ModelSchema",
    "SystemPrompt",
    "TextData",
    "ToolCallRequestData",
    "ToolCallResultData",
    "ToolResultMessage",
    "UserMessage",
)

if TYPE_CHECKING:
    from lmstudio_integrations.client.sdk_names import (
        AssistantResponse,
        BaseModel,
        ChatHistoryData,
        EmbeddingModelInfo,
        EmbeddingModelInstanceInfo,
        LlmInfo,
        LlmInstanceInfo,
        LlmPredictionFragment,
        LlmPredictionStats,
        LMStudioChannelClosedError,
        LMStudioClientError,
        LMStudioOSError,
        LMStudioPredictionError,
        LMStudioRuntimeError,
        LMStudioUnknownMessageWarning,
        LMStudioWebsocketError,
        ModelSchema,
        SystemPrompt,
        TextData,
        ToolCallRequestData,
        ToolCallResultData,
        ToolResultMessage,
        UserMessage,
    )
    from lmstudio_integrations.protocol.config_dicts import (
        EmbeddingLoadModelConfigDict,
        GpuSettingDict,
        LlmLoadModelConfigDict,
        LlmPredictionConfigDict,
    )
    from lmstudio_integrations.protocol.repository import DownloadProgressUpdate
else:  # types, and the official SDK's names, which hardly any program asks for
    __getattr__, __dir__ = lazy(
        __name__,
        {
            **dict.fromkeys(_SDK_NAMES, "client.sdk_names"),
            "DownloadProgressUpdate": "protocol.repository",
            "EmbeddingLoadModelConfigDict": "protocol.config_dicts",
            "GpuSettingDict": "protocol.config_dicts",
            "LlmLoadModelConfigDict": "protocol.config_dicts",
            "LlmPredictionConfigDict": "protocol.config_dicts",
        },
    )

__all__ = [
    "LLM",
    "ActResult",
    "AssistantResponse",
    "AsyncClient",
    "AsyncDownloadedEmbeddingModel",
    "AsyncDownloadedLlm",
    "AsyncEmbeddingModel",
    "AsyncLLM",
    "AsyncPredictionStream",
    "BaseModel",
    "CancelToken",
    "Chat",
    "ChatHistoryData",
    "Client",
    "DownloadProgressUpdate",
    "DownloadedEmbeddingModel",
    "DownloadedLlm",
    "EmbeddingLoadModelConfig",
    "EmbeddingLoadModelConfigDict",
    "EmbeddingModel",
    "EmbeddingModelInfo",
    "EmbeddingModelInstanceInfo",
    "FileHandle",
    "Fragment",
    "GpuSetting",
    "GpuSettingDict",
    "ImagePart",
    "LMStudioAuthenticationError",
    "LMStudioCancelledError",
    "LMStudioChannelClosedError",
    "LMStudioClientError",
    "LMStudioConnectionError",
    "LMStudioContextOverflowError",
    "LMStudioDisconnectedError",
    "LMStudioError",
    "LMStudioIncompleteError",
    "LMStudioInvalidRequestError",
    "LMStudioLimitError",
    "LMStudioModelNotFoundError",
    "LMStudioModelUnloadedError",
    "LMStudioOSError",
    "LMStudioPredictionError",
    "LMStudioPresetNotFoundError",
    "LMStudioProtocolError",
    "LMStudioRequestRejectedError",
    "LMStudioResourcesError",
    "LMStudioRuntimeError",
    "LMStudioServerError",
    "LMStudioServerNotFoundError",
    "LMStudioStructuredOutputError",
    "LMStudioTimeoutError",
    "LMStudioToolCallError",
    "LMStudioUnknownMessageWarning",
    "LMStudioUnsupportedError",
    "LMStudioValueError",
    "LMStudioWebsocketError",
    "LlmInfo",
    "LlmInstanceInfo",
    "LlmLoadModelConfig",
    "LlmLoadModelConfigDict",
    "LlmPredictionConfig",
    "LlmPredictionConfigDict",
    "LlmPredictionFragment",
    "LlmPredictionStats",
    "LoadProgress",
    "ModelInfo",
    "ModelInstanceInfo",
    "ModelSchema",
    "PartialPrediction",
    "PredictionResult",
    "PredictionRoundResult",
    "PredictionStats",
    "PredictionStream",
    "PromptProgress",
    "QueueProgress",
    "SystemPrompt",
    "TextData",
    "Timeout",
    "TokenLogProb",
    "ToolCallArguments",
    "ToolCallEnd",
    "ToolCallFailed",
    "ToolCallName",
    "ToolCallRequest",
    "ToolCallRequestData",
    "ToolCallResultData",
    "ToolCallStart",
    "ToolFunctionDef",
    "ToolResultMessage",
    "UserMessage",
    "__version__",
    "configure_default_client",
    "embedding_model",
    "get_default_client",
    "get_sync_api_timeout",
    "list_downloaded_models",
    "list_loaded_models",
    "llm",
    "prepare_image",
    "set_sync_api_timeout",
]
