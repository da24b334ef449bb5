"""LlamaIndex messages -> LM Studio's history. Pure; ``client.history`` decides what a history looks like.

A document with a path is the exception: its file is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Unpack

from llama_index.core.base.llms.types import (
    ChatMessage,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from lmstudio_integrations.client.attachments import Attachment
from lmstudio_integrations.client.content_blocks import BlockContent, leaf_blocks, read_llama_index_block
from lmstudio_integrations.client.history import (
    HistoryBuilder,
    HistoryOptions,
    PreparedHistory,
    ToolCallRecord,
)
from lmstudio_integrations.client.tool_results import tool_result
from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["to_history"]

_ROLES = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}
_HINTS = {
    "audio": "transcribe it and pass the text as a TextBlock",
    "video": "pass single frames as ImageBlock",
    "file": "read its text (a LlamaIndex reader does that) and pass it as a TextBlock",
}


def to_history(messages: Iterable[ChatMessage], **options: Unpack[HistoryOptions]) -> PreparedHistory:
    """``messages`` as LM Studio's history; ``HistoryBuilder`` describes the options.

    Raises:
        LMStudioValueError: A block that LM Studio cannot take, or one that its role cannot hold.
    """
    builder = HistoryBuilder(text_separator="\n", **options)  # as in ChatMessage.content
    for message in messages:
        role = _ROLES[message.role]
        text = _only_text(message.blocks)
        if role == "user":
            builder.add_user(_input(message.blocks, role) if text is None else text, _name(message))
        elif role == "assistant":
            _add_answer(builder, message, text)
        elif role == "tool":
            _add_tool_result(builder, message, text)
        else:
            builder.add_system(_input(message.blocks, role) if text is None else text)
    return builder.build()


def _only_text(blocks: Sequence[Any]) -> str | None:
    """The text of a message that is one ``TextBlock``, as most are."""
    if len(blocks) == 1 and type(block := blocks[0]) is TextBlock:
        return block.text
    return None


def _name(message: ChatMessage) -> str | None:
    name = message.additional_kwargs.get("name")
    return name if isinstance(name, str) else None


def _input(blocks: Sequence[Any], role: str) -> list[Any]:
    parts: list[Any] = []
    for block in leaf_blocks(blocks):
        if isinstance(block, (ToolCallBlock, ThinkingBlock)):
            raise LMStudioValueError(
                f"a {type(block).__name__} in a {role} message: only messages of the role assistant can hold it"
            )
        content = _read(block)
        if isinstance(content, Attachment):
            raise content.error or LMStudioValueError(
                f"a {type(block).__name__} cannot be sent in a {role} message, because LM Studio's chat takes only "
                f"text and images: {_HINTS[content.kind]}"
            )
        parts.append(content)
    return parts


def _add_answer(builder: HistoryBuilder, message: ChatMessage, text: str | None) -> None:
    legacy_calls = message.additional_kwargs.get("tool_calls")
    if text is not None and not legacy_calls:
        builder.add_assistant(text, name=_name(message))
        return
    parts: list[Any] = []
    calls: list[ToolCallRecord] = []
    reasoning: list[str] = []
    tags: tuple[str, str] | None = None
    for block in leaf_blocks(message.blocks):
        if isinstance(block, TextBlock):
            parts.append(block.text)
        elif isinstance(block, ToolCallBlock):
            calls.append((block.tool_call_id, block.tool_name, block.tool_kwargs))
        elif isinstance(block, ThinkingBlock):
            reasoning.append(block.content or "")
            tags = tags or _tags(block.additional_information)
        else:
            content = _read(block)
            parts.append(content.placeholder() if isinstance(content, Attachment) else content)
    builder.add_assistant(
        parts,
        calls=calls or _legacy_calls(legacy_calls),
        reasoning="".join(reasoning),
        reasoning_tags=tags,
        name=_name(message),
    )


def _tags(information: Mapping[str, Any]) -> tuple[str, str] | None:
    start, end = information.get("start_tag"), information.get("end_tag")
    return (start, end) if isinstance(start, str) and isinstance(end, str) else None


def _add_tool_result(builder: HistoryBuilder, message: ChatMessage, text: str | None) -> None:
    """Add a tool's result; its name comes from the call that its id belongs to.

    The text is sent unchanged, except for binary data in it. LM Studio's own SDKs encode a tool's result as JSON, even
    text; LlamaIndex's tools return text already, and this model gets the same text as any other.
    """
    call_id = message.additional_kwargs.get("tool_call_id")
    call_id = call_id if isinstance(call_id, str) else None
    contents: list[BlockContent] = [] if text is None else [text]
    for block in leaf_blocks(message.blocks) if text is None else ():
        if isinstance(block, (ToolCallBlock, ThinkingBlock)):
            raise LMStudioValueError(
                f"a {type(block).__name__} in a tool message: only messages of the role assistant can hold it"
            )
        contents.append(_read(block))
    text, images = tool_result(contents)
    builder.add_tool_result(text, call_id, _name(message), images)


def _read(block: Any) -> BlockContent:
    content = read_llama_index_block(block)
    if content is None:
        raise LMStudioValueError(f"a {type(block).__name__} cannot be sent: pass TextBlock or ImageBlock")
    return content


def _legacy_calls(calls: Any) -> Iterator[ToolCallRecord]:
    """Calls as older integrations keep them, in ``additional_kwargs["tool_calls"]``: OpenAI's form, dict or object."""
    for call in calls if isinstance(calls, (list, tuple)) else ():
        function = _member(call, "function")
        name = _member(function, "name") if function is not None else None
        if not isinstance(name, str):
            raise LMStudioValueError(f"expected a function's name in additional_kwargs['tool_calls'], got {call!r}")
        call_id = _member(call, "id")
        yield (call_id if isinstance(call_id, str) else None), name, _member(function, "arguments")


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
