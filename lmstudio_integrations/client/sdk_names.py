"""Names of the official Python SDK (``lmstudio``) for classes that have another name here.

They are attributes of ``lmstudio_integrations``, so that code and type hints for the SDK go on to work. Where the SDK
has more classes than this package, the name is an alias of their common class.
"""

from __future__ import annotations

from typing import TypeAlias

import pydantic

from lmstudio_integrations.client.events import Fragment
from lmstudio_integrations.client.schemas import ModelSchema
from lmstudio_integrations.errors import (
    LMStudioConnectionError,
    LMStudioError,
    LMStudioIncompleteError,
    LMStudioServerError,
    LMStudioValueError,
)
from lmstudio_integrations.protocol.history import (
    AssistantMessage,
    ChatHistory,
    SystemMessage,
    TextPart,
    ToolCallRequestPart,
    ToolCallResultPart,
    ToolMessage,
    UserMessage,
)
from lmstudio_integrations.protocol.models import ModelInfo, ModelInstanceInfo
from lmstudio_integrations.protocol.prediction import PredictionStats

__all__ = [
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
]

# Errors. The SDK's LMStudioClientError is the network's; its LMStudioOSError a file that cannot be read, which is an
# LMStudioValueError here; its LMStudioRuntimeError a misuse of an object, which is one, too.
LMStudioPredictionError: TypeAlias = LMStudioServerError
LMStudioClientError: TypeAlias = LMStudioConnectionError
LMStudioWebsocketError: TypeAlias = LMStudioConnectionError
LMStudioChannelClosedError: TypeAlias = LMStudioIncompleteError
LMStudioOSError: TypeAlias = LMStudioValueError
LMStudioRuntimeError: TypeAlias = LMStudioValueError

AssistantResponse: TypeAlias = AssistantMessage
SystemPrompt: TypeAlias = SystemMessage
ToolResultMessage: TypeAlias = ToolMessage
TextData: TypeAlias = TextPart
ToolCallRequestData: TypeAlias = ToolCallRequestPart
ToolCallResultData: TypeAlias = ToolCallResultPart
ChatHistoryData: TypeAlias = ChatHistory
LlmPredictionFragment: TypeAlias = Fragment
LlmPredictionStats: TypeAlias = PredictionStats
LlmInfo: TypeAlias = ModelInfo
EmbeddingModelInfo: TypeAlias = ModelInfo
LlmInstanceInfo: TypeAlias = ModelInstanceInfo
EmbeddingModelInstanceInfo: TypeAlias = ModelInstanceInfo


class LMStudioUnknownMessageWarning(LMStudioError, UserWarning):  # noqa: N818  # the SDK's name
    """Never issued: what a newer server adds is logged once, by the logger ``lmstudio_integrations``."""


class BaseModel(pydantic.BaseModel):
    """A base for classes of structured answers: pydantic's own. ``respond(response_format=…)`` takes either.

    Example:
        ```python
        import lmstudio_integrations as lms

        class Sailing(lms.BaseModel):
            destination: str
            hour: int

        model = lms.llm("qwen/qwen3-4b")
        print(model.respond("The ferry to the island leaves at seven.", response_format=Sailing).parsed)
        #> {'destination': 'the island', 'hour': 7}
        ```
    """
