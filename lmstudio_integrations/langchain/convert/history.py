"""The history as ``langchain.request`` sends it, until the client uploads images itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from langchain_core.messages import BaseMessage

from lmstudio_integrations.client.history import DEFAULT_REASONING_TAGS as DEFAULT_TAGS
from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.langchain._messages import to_history
from lmstudio_integrations.langchain.convert.images import Picture

__all__ = ["DEFAULT_TAGS", "Conversation", "conversation", "text_only"]


@dataclass(slots=True)
class Conversation:
    """A history, and its images: the part of each is in the history and is completed by its upload."""

    prepared: PreparedHistory = field(default_factory=PreparedHistory)
    pictures: list[Picture] = field(default_factory=list)

    @property
    def call_ids(self) -> set[str]:
        """The ids of all tool calls so far: new ones must differ."""
        return self.prepared.call_ids

    def history(self) -> PreparedHistory:
        """What ``respond`` takes."""
        return self.prepared


def conversation(
    messages: Sequence[BaseMessage],
    *,
    reasoning: bool | None = None,
    merge_messages: bool = True,
    message_names: bool = False,
) -> Conversation:
    """``to_history`` with an empty file part in place of each image."""
    prepared = to_history(
        messages, send_reasoning=reasoning, merge_messages=merge_messages, message_names=message_names
    )
    pictures = [Picture(image) for image in prepared.images]
    parts = {id(picture.image): picture.part for picture in pictures}
    if pictures:
        for message in prepared.messages:
            message["content"] = [parts.get(id(part), part) for part in message["content"]]
    return Conversation(prepared, pictures)


def text_only(history: PreparedHistory, pictures: Iterable[Picture]) -> PreparedHistory:
    """``history`` without its images."""
    return history.without_images()
