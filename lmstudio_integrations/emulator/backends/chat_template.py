"""The emulator's prompt template: ChatML with tools, tool calls and tool results, as many open models have it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_TOOLS = "# Tools\n\nYou may call these functions:\n<tools>\n{tools}\n</tools>"


def chatml(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> str:
    """The prompt for a history (wire form), up to the beginning of the assistant's answer."""
    blocks = [(message["role"], "".join(_part(part) for part in message["content"])) for message in messages]
    if tools:
        listed = tools_block(tools)
        if blocks and blocks[0][0] == "system":
            blocks[0] = ("system", f"{blocks[0][1]}\n\n{listed}")
        else:
            blocks.insert(0, ("system", listed))
    body = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in blocks)
    return f"{body}<|im_start|>assistant\n"


def tools_block(tools: Sequence[Mapping[str, Any]]) -> str:
    """The part of a system message that lists the offered tools (their ``function`` objects)."""
    return _TOOLS.format(tools="\n".join(_json({"type": "function", "function": tool}) for tool in tools))


def plain(messages: Sequence[Mapping[str, Any]]) -> str:
    """The texts alone. The SDKs request a raw completion through ``predict`` so."""
    return "".join(part["text"] for message in messages for part in message["content"] if part["type"] == "text")


def _part(part: Mapping[str, Any]) -> str:
    match part["type"]:
        case "text":
            return str(part["text"])
        case "file":
            return f"<|{part['fileType'].partition('/')[0]}|>"
        case "toolCallRequest":
            request = part["toolCallRequest"]
            call = {"name": request["name"], "arguments": request.get("arguments", {})}
            return f"<tool_call>{_json(call)}</tool_call>"
        case _:
            return f"<tool_response>{part['content']}</tool_response>"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
