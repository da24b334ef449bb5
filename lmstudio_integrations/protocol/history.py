"""A conversation as LM Studio takes it (PROTOCOL: "History JSON").

Four roles, each with its own kinds of parts; content is always a list. Anything else is refused by the server without
an answer, so these models allow nothing else.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from lmstudio_integrations.protocol._model import WireInt, WireModel

__all__ = [
    "FILE_TYPES",
    "AssistantMessage",
    "AssistantPart",
    "ChatHistory",
    "FilePart",
    "FileType",
    "Message",
    "SystemMessage",
    "TextPart",
    "ToolCallRequest",
    "ToolCallRequestPart",
    "ToolCallResultPart",
    "ToolMessage",
    "UserMessage",
    "UserPart",
]


FileType = Literal["image", "text/plain", "application/pdf", "application/word", "text/other", "unknown"]
FILE_TYPES: tuple[str, ...] = get_args(FileType)


class TextPart(WireModel):
    """Text in a system, user or assistant message."""

    type: Literal["text"] = "text"
    text: str


class FilePart(WireModel):
    """A file that was uploaded before; the four values are those of the upload's answer."""

    type: Literal["file"] = "file"
    name: str
    identifier: str
    size_bytes: WireInt
    file_type: FileType


class ToolCallRequest(WireModel):
    """One call that the model asks for. ``arguments`` is the parsed object, in the order in which it came.

    ``id`` may be missing and need not be unique over several rounds.
    """

    id: str | None = None
    type: Literal["function"] = "function"
    name: str
    arguments: dict[str, Any] | None = None


class ToolCallRequestPart(WireModel):
    """A tool call in an assistant message."""

    type: Literal["toolCallRequest"] = "toolCallRequest"
    tool_call_request: ToolCallRequest


class ToolCallResultPart(WireModel):
    """What a tool answered: always text. ``name`` is newer than October 2025 and ignored by older servers."""

    type: Literal["toolCallResult"] = "toolCallResult"
    content: str
    tool_call_id: str | None = None
    name: str | None = None


UserPart = Annotated[TextPart | FilePart, Field(discriminator="type")]
"""What system and user messages may hold."""
AssistantPart = Annotated[TextPart | FilePart | ToolCallRequestPart, Field(discriminator="type")]
"""What assistant messages may hold."""


class SystemMessage(WireModel):
    """Instructions."""

    role: Literal["system"] = "system"
    content: list[UserPart]


class UserMessage(WireModel):
    """A message of the user."""

    role: Literal["user"] = "user"
    content: list[UserPart]


class AssistantMessage(WireModel):
    """A message of the model. Both official SDKs put a text part first, if an empty one, before tool calls."""

    role: Literal["assistant"] = "assistant"
    content: list[AssistantPart]


class ToolMessage(WireModel):
    """Results of tool calls; one message may hold all of a round."""

    role: Literal["tool"] = "tool"
    content: list[ToolCallResultPart]


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]
"""One message of any role."""


class ChatHistory(WireModel):
    """The complete conversation; may be empty."""

    messages: list[Message] = Field(default_factory=list)
