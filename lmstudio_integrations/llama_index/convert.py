"""LlamaIndex's messages as LM Studio's chat history: pure, and the same bytes for the same conversation every turn.

The history is LM Studio's wire form, ``{"messages": [{"role", "content": [parts]}]}`` (lmstudio-js, ``ChatHistory``).
Equal conversations give equal histories because LM Studio reuses the processed prompt up to the first difference.
The rules: parts stand in the order of the blocks; adjacent texts of one message are joined with a newline, as
``ChatMessage.content`` joins them; an assistant's tool calls follow a text part (maybe empty), as LM Studio's own SDKs
write it; arguments, ids and tool results pass as they are; reasoning is left out unless ``replay_thinking`` is set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["images_in", "to_history"]

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

_REFUSED: dict[type, str] = {
    AudioBlock: "transcribe it and pass the text as a TextBlock",
    VideoBlock: "pass single frames as ImageBlock",
    DocumentBlock: "read its text (a LlamaIndex reader does that) and pass it as a TextBlock",
}


def images_in(messages: Sequence[ChatMessage]) -> list[ImageBlock]:
    """Every image of the conversation, in the order in which ``to_history`` wants their files.

    Raises:
        LMStudioValueError: A block that LM Studio cannot take.
    """
    return [block for message in messages for block in _leaves(message.blocks) if isinstance(block, ImageBlock)]


def to_history(
    messages: Sequence[ChatMessage],
    files: Sequence[Mapping[str, Any]] = (),
    *,
    replay_thinking: bool = False,
    skip_images: bool = False,
) -> dict[str, Any]:
    """The conversation in LM Studio's wire form.

    ``files`` are the uploaded images as wire parts (``{"type": "file", …}``), one for each of ``images_in(messages)``;
    ``skip_images`` leaves images out, for counting.

    Raises:
        LMStudioValueError: A block that LM Studio cannot take, or one that its role cannot hold.
    """
    uploaded = None if skip_images else iter(files)
    names: dict[str, str] = {}
    converted: list[dict[str, Any]] = []
    for message in messages:
        role = _ROLES[message.role]
        if role == "tool":
            content = [_tool_result(message, names)]
        else:
            content = _parts(message, role, uploaded, replay_thinking)
            names.update(_names_of_calls(content))
        converted.append({"role": role, "content": content})
    return {"messages": converted}


def _leaves(blocks: Sequence[Any]) -> Iterator[Any]:
    """Blocks that carry content themselves: containers opened, cache hints dropped, the impossible refused."""
    for block in blocks:
        if isinstance(block, (CitableBlock, CitationBlock)):
            content = block.content if isinstance(block, CitableBlock) else [block.cited_content]
            yield from _leaves(content)
        elif isinstance(block, CachePoint):
            continue  # LM Studio reuses every common beginning of prompts without being told
        elif isinstance(block, (TextBlock, ImageBlock, ThinkingBlock, ToolCallBlock)):
            yield block
        else:
            hint = next(
                (words for kind, words in _REFUSED.items() if isinstance(block, kind)), "pass TextBlock or ImageBlock"
            )
            raise LMStudioValueError(f"LM Studio's chat takes no {type(block).__name__}: {hint}")


def _parts(
    message: ChatMessage, role: str, files: Iterator[Mapping[str, Any]] | None, replay: bool
) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    glue = "\n"
    for block in _leaves(message.blocks):
        if isinstance(block, ToolCallBlock):
            _only_assistant(block, role)
            calls.append(_call_part(block.tool_call_id, block.tool_name, block.tool_kwargs))
        elif isinstance(block, ThinkingBlock):
            _only_assistant(block, role)
            if replay and block.content:
                _append_text(parts, _thinking_text(block), glue)
                glue = ""
        elif isinstance(block, ImageBlock):
            if files is not None:
                parts.append(dict(_next_file(files)))
        else:
            _append_text(parts, block.text, glue)
            glue = "\n"
    if role == "assistant" and not calls:
        calls = [_call_part(*legacy) for legacy in _legacy_calls(message)]
    if calls and not (parts and parts[0]["type"] == "text"):
        parts.insert(0, {"type": "text", "text": ""})
    return parts + calls


def _append_text(parts: list[dict[str, Any]], text: str, glue: str) -> None:
    if parts and parts[-1]["type"] == "text":
        parts[-1]["text"] += glue + text
    else:
        parts.append({"type": "text", "text": text})


def _thinking_text(block: ThinkingBlock) -> str:
    """Reasoning between the tags that it came with, else between the most common ones."""
    info = block.additional_information
    return f"{info.get('start_tag', '<think>')}{block.content}{info.get('end_tag', '</think>')}"


def _only_assistant(block: Any, role: str) -> None:
    if role != "assistant":
        raise LMStudioValueError(
            f"a {type(block).__name__} in a {role} message: only messages of the role assistant can hold it"
        )


def _next_file(files: Iterator[Mapping[str, Any]]) -> Mapping[str, Any]:
    part = next(files, None)
    if part is None:
        raise LMStudioValueError("an ImageBlock that was not uploaded: pass one file for each of images_in(messages)")
    return part


def _call_part(call_id: str | None, name: str, arguments: Any) -> dict[str, Any]:
    request: dict[str, Any] = {} if call_id is None else {"id": call_id}
    request |= {"type": "function", "name": name, "arguments": _arguments(name, arguments)}
    return {"type": "toolCallRequest", "toolCallRequest": request}


def _arguments(name: str, value: Any) -> dict[str, Any]:
    """A call's arguments as the object that the wire wants; LlamaIndex also allows their JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except ValueError:
            raise LMStudioValueError(
                f"the call of the tool {name!r} has arguments that are no JSON: {value!r}; pass an object, or leave "
                "the broken call out of the conversation"
            ) from None
    if not isinstance(value, Mapping):
        raise LMStudioValueError(f"the call of the tool {name!r} has the arguments {value!r}: pass an object")
    return dict(value)


def _legacy_calls(message: ChatMessage) -> Iterator[tuple[str | None, str, Any]]:
    """Calls as older integrations keep them, in ``additional_kwargs["tool_calls"]``: OpenAI's shape, dict or object."""
    calls = message.additional_kwargs.get("tool_calls")
    for call in calls if isinstance(calls, (list, tuple)) else ():
        function = _member(call, "function")
        name = _member(function, "name") if function is not None else None
        if not isinstance(name, str):
            raise LMStudioValueError(f"additional_kwargs['tool_calls'] holds {call!r}, which names no function")
        call_id = _member(call, "id")
        yield (call_id if isinstance(call_id, str) else None), name, _member(function, "arguments") or {}


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _names_of_calls(content: list[dict[str, Any]]) -> dict[str, str]:
    requests = (part["toolCallRequest"] for part in content if part["type"] == "toolCallRequest")
    return {request["id"]: request["name"] for request in requests if "id" in request}


def _tool_result(message: ChatMessage, names: Mapping[str, str]) -> dict[str, Any]:
    """A tool's answer. The wire holds text only; the name comes from the call that the id belongs to.

    The text goes as it is. LM Studio's own SDKs encode what a tool returns as JSON, texts too; LlamaIndex's tools have
    made a text of it already, and it should look the same to this model as to any other.
    """
    texts = []
    for block in _leaves(message.blocks):
        if not isinstance(block, TextBlock):
            raise LMStudioValueError(
                f"a {type(block).__name__} in a tool's result: LM Studio takes only text there. "
                "Pass it in a user message"
            )
        texts.append(block.text)
    result: dict[str, Any] = {"type": "toolCallResult", "content": "\n".join(texts)}
    call_id = message.additional_kwargs.get("tool_call_id")
    name = names.get(call_id) if isinstance(call_id, str) else None
    name = name or message.additional_kwargs.get("name")
    if isinstance(call_id, str):
        result["toolCallId"] = call_id
    if isinstance(name, str):
        result["name"] = name
    return result
