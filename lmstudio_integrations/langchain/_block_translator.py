"""The block translator: what ``AIMessage.content_blocks`` shows of an answer of ours.

Registered for the provider "lmstudio" (LangChain's documentation of ``block_translators``, "outside langchain-core").
Without it langchain-core numbers blocks by their position, and a tool call after reasoning or text is merged into
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages.block_translators import register_translator

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.messages.content import ContentBlock

__all__ = ["PROVIDER", "register", "translate", "translate_chunk"]

PROVIDER = "lmstudio"
"""What answers of ours have as ``model_provider`` in their metadata."""


def translate(message: AIMessage) -> list[ContentBlock]:
    """Blocks of a whole answer: reasoning, text, tool calls, failed tool calls."""
    blocks = _said(message)
    blocks += [
        {"type": "tool_call", "name": call["name"], "args": call["args"], "id": call["id"]}
        for call in message.tool_calls
    ]
    blocks += [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]
    return cast("list[ContentBlock]", blocks)


def translate_chunk(message: AIMessageChunk) -> list[ContentBlock]:
    """Blocks of a piece of an answer, or of all its pieces added up (``chunk_position`` is then "last")."""
    if message.chunk_position == "last" or not message.tool_call_chunks:
        return translate(message)
    blocks = _said(message)
    for call in message.tool_call_chunks:
        block: dict[str, Any] = {
            "type": "tool_call_chunk",
            "id": call["id"],
            "name": call["name"],
            "args": call["args"],
        }
        if call["index"] is not None:
            block["index"] = f"lc_tc_{call['index']}"
        blocks.append(block)
    return cast("list[ContentBlock]", blocks)


def _said(message: AIMessage) -> list[dict[str, Any]]:
    """Reasoning and text."""
    blocks: list[dict[str, Any]] = []
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    if isinstance(message.content, str):
        if message.content:
            blocks.append({"type": "text", "text": message.content})
        return blocks
    own = [{"type": "text", "text": block} if isinstance(block, str) else dict(block) for block in message.content]
    if any(block.get("type") == "reasoning" for block in own):
        blocks = []
    return blocks + [
        block for block in own if block.get("type") not in {"tool_call", "tool_call_chunk", "invalid_tool_call"}
    ]


def register() -> None:
    """Make langchain-core use these translators."""
    register_translator(PROVIDER, translate, translate_chunk)
