"""The settings of both adapters' chat models about a conversation."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from lmstudio_integrations.client.history import HistoryOptions

__all__ = ["ChatSettings"]


class ChatSettings(BaseModel):
    """What a conversation becomes before it is sent."""

    # Not built: each class that inherits these fields has them in a schema of its own.
    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=True)

    send_reasoning: bool | None = Field(
        default=None,
        description="Whether the model's earlier reasoning goes back to it: True all of it, False none, None that of "
        "the messages since the last user message, which models need between tool calls. The chat template may drop "
        "it.",
    )
    merge_messages: bool = Field(
        default=True,
        description="Merge neighbouring messages of one role, and late system messages with the user messages beside "
        "them: strict chat templates accept neither.",
    )
    message_names: bool = Field(
        default=False,
        description="Put a message's name before its text, for supervisors of several agents.",
    )
    fetch_images: bool = Field(
        default=False,
        description="Allow this process to fetch images that messages name by an http(s) URL. LM Studio fetches none.",
    )
    check_context: bool = Field(
        default=False,
        description="Count the prompt's tokens at the server before each chat, and raise LMStudioContextOverflowError "
        "if they do not fit. It costs three short requests per call; without it, context_overflow_policy applies.",
    )

    def _history_options(self) -> HistoryOptions:
        return {
            "send_reasoning": self.send_reasoning,
            "merge_messages": self.merge_messages,
            "message_names": self.message_names,
            "fetch_images": self.fetch_images,
        }
