"""The block translator: ``AIMessage.content_blocks`` of an answer of LM Studio.

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
"""``model_provider`` in the metadata of an answer of LM Studio."""


def translate(message: AIMessage) -> list[ContentBlock]:
    """The blocks of a complete answer: reasoning, text, tool calls, failed tool calls."""
    blocks = _text_blocks(message)
    blocks += [
        {"type": "tool_call", "name": call["name"], "args": call["args"], "id": call["id"]}
        for call in message.tool_calls
    ]
    blocks += [{**call, "type": "invalid_tool_call"} for call in message.invalid_tool_calls]
    return cast("list[ContentBlock]", blocks)


def translate_chunk(message: AIMessageChunk) -> list[ContentBlock]:
    """The blocks of a chunk, or of the sum of all chunks (its ``chunk_position`` is "last")."""
    if message.chunk_position == "last" or not message.tool_call_chunks:
        return translate(message)
    blocks = _text_blocks(message)
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


def _text_blocks(message: AIMessage) -> list[dict[str, Any]]:
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
    """Register the translators in langchain-core."""
    register_translator(PROVIDER, translate, translate_chunk)
