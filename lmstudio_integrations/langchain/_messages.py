"""LangChain messages -> LM Studio's history. Pure; ``client.history`` decides what a history looks like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from lmstudio_integrations.client.attachments import Attachment, json_without_binaries
from lmstudio_integrations.client.content_blocks import BlockContent, block_type, read_block
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
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}
_CALL_BLOCKS = frozenset({"tool_call", "tool_use"})
_FOREIGN_BLOCKS = frozenset(
    {
        # Blocks of other providers that no other model can read.
        "tool_call_chunk",
        "invalid_tool_call",
        "input_json_delta",
        "function_call",
        "redacted_thinking",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
        "server_tool_use",
        "web_search_tool_result",
        "non_standard",
    }
)
_HINTS = {
    "audio": "transcribe it and pass a text block",
    "video": "pass single frames as image blocks",
    "file": "pass the document's text as a text block",
}


def to_history(messages: Iterable[BaseMessage], **options: Unpack[HistoryOptions]) -> PreparedHistory:
    """``messages`` as LM Studio's history; ``HistoryBuilder`` describes the options.

    Raises:
        LMStudioValueError: A message or content block that LM Studio cannot take.
    """
    builder = HistoryBuilder(**options)
    for message in messages:
        if isinstance(message, ToolMessage):
            _add_tool_result(builder, message.content, message.tool_call_id, message.name)
            continue
        role = _role(message)
        if role == "assistant":
            _add_answer(builder, message)
        elif isinstance(message.content, str):
            _add_input(builder, role, message.content, message.name)
        else:
            _add_blocks(builder, role, message.content, message.name)
    return builder.build()


def _role(message: BaseMessage) -> str:
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, ChatMessage) and (role := _ROLES.get(message.role)):
        return role
    given = f"role {message.role!r}" if isinstance(message, ChatMessage) else f"type {type(message).__name__}"
    raise LMStudioValueError(
        f"expected SystemMessage, HumanMessage, AIMessage or ToolMessage, or a ChatMessage with one of the roles "
        f"{', '.join(_ROLES)}; got a message of {given}"
    )


def _add_input(builder: HistoryBuilder, role: str, content: Any, name: str | None) -> None:
    if role == "user":
        builder.add_user(content, name)
    else:
        builder.add_system(content)


def _add_blocks(builder: HistoryBuilder, role: str, content: Sequence[Any], name: str | None) -> None:
    parts: list[Any] = []
    only_results = False
    for block in content:
        if block_type(block) == "tool_result":  # Anthropic's form of a ToolMessage
            only_results = True
            _add_tool_result(builder, block.get("content") or "", str(block.get("tool_use_id") or ""), None)
            continue
        for item in read_block(block):
            if item is None or isinstance(item, Attachment):
                raise _refused(block, item, role)
            parts.append(item)
    if parts or not only_results:
        _add_input(builder, role, parts, name)


def _add_answer(builder: HistoryBuilder, message: BaseMessage) -> None:
    kwargs = message.additional_kwargs
    calls: list[ToolCallRecord] = []
    invalid: list[ToolCallRecord] = []
    if isinstance(message, AIMessage):  # not a ChatMessage of the assistant
        calls = [(call["id"], call["name"], call["args"]) for call in message.tool_calls]
        if message.invalid_tool_calls:
            invalid = [(call["id"], call["name"], call["args"]) for call in message.invalid_tool_calls]
        elif "failed_tool_calls" in message.response_metadata:
            invalid = _failed_calls(message.response_metadata["failed_tool_calls"])
    parts: Any = message.content
    reasoning = ""
    if not isinstance(parts, str):
        parts, reasoning, more = _read_answer(parts, {call_id for call_id, _, _ in [*calls, *invalid]})
        calls += more
    # Blocks and additional_kwargs may contain the same reasoning (output_version "v1").
    reasoning = reasoning or str(kwargs.get("reasoning_content") or "")
    builder.add_assistant(
        parts,
        calls=calls,
        invalid_calls=invalid,
        reasoning=reasoning,
        reasoning_tags=_tags(kwargs.get("reasoning_tags")),
        name=message.name,
    )


def _failed_calls(failed: Any) -> list[ToolCallRecord]:
    """Calls that LM Studio could not parse, as ``response_metadata`` keeps them: without ids."""
    calls = failed if isinstance(failed, list) else ()
    return [(None, call.get("name"), call.get("raw_content") or call.get("arguments")) for call in calls]


def _read_answer(content: Sequence[Any], known: set[str | None]) -> tuple[list[Any], str, list[ToolCallRecord]]:
    """Texts and images of an answer, its reasoning, and the calls that are only in its blocks."""
    parts: list[Any] = []
    reasoning: list[str] = []
    calls: list[ToolCallRecord] = []
    for block in content:
        kind = block_type(block)
        if kind in _CALL_BLOCKS:
            call_id, name = block.get("id"), block.get("name")
            if call_id not in known:
                call = (_text_or_none(call_id), _text_or_none(name), block.get("args", block.get("input")))
                calls.append(call)
        elif kind in {"reasoning", "thinking"}:
            reasoning.append(_reasoning_text(block))
        elif kind == "non_standard" or kind not in _FOREIGN_BLOCKS:
            for item in read_block(block):
                if item is not None:
                    parts.append(item.placeholder() if isinstance(item, Attachment) else item)
                elif kind != "non_standard":
                    raise _refused(block, None, "assistant")
    return parts, "".join(reasoning), calls


def _text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)


def _tags(tags: Any) -> tuple[str, str] | None:
    if isinstance(tags, (list, tuple)) and len(tags) == 2 and all(isinstance(tag, str) for tag in tags):
        return tags[0], tags[1]
    return None


def _reasoning_text(block: Mapping[str, Any]) -> str:
    text = block.get("reasoning") or block.get("thinking")
    if text is None:  # OpenAI's responses
        text = "".join([str(item.get("text") or "") for item in block.get("summary") or ()])
    return str(text)


def _add_tool_result(builder: HistoryBuilder, content: Any, call_id: str, name: str | None) -> None:
    # Guess: the text is sent unchanged, except for binary data in it. LM Studio's own SDKs encode even text as JSON,
    # which models read less well.
    contents: list[BlockContent] = []
    for block in [content] if isinstance(content, str) else content:
        for item in read_block(block):
            if item is not None:
                contents.append(item)
            elif block_type(block) not in _CALL_BLOCKS | _FOREIGN_BLOCKS:
                contents.append(json_without_binaries(block))
    text, images = tool_result(contents)
    builder.add_tool_result(text, call_id, name, images)


def _refused(block: Mapping[str, Any], content: Attachment | None, role: str) -> LMStudioValueError:
    if content is not None and content.error is not None:
        return content.error
    hint = "pass text or image blocks" if content is None else _HINTS[content.kind]
    return LMStudioValueError(
        f"a content block of type {block.get('type')!r} cannot be sent in a {role} message, because LM Studio's chat "
        f"takes only text and images: {hint}"
    )
