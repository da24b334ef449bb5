"""LlamaIndex's tools -> OpenAI's form; tool calls of a response -> LlamaIndex's. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic_core
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection

from lmstudio_integrations.compat.tool_choice import choose_tools
from lmstudio_integrations.errors import LMStudioValueError

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

__all__ = [
    "arguments_so_far",
    "chosen_tools",
    "conversation",
    "has_required_parameters",
    "tool_selections",
    "wire_tools",
]


def wire_tools(tools: Sequence[Any]) -> list[dict[str, Any]]:
    """Tools in OpenAI's form. They may be LlamaIndex's tools, or mappings, which are copied.

    The name is the tool's own: agents look tools up by it.
    """
    return [dict(tool) if isinstance(tool, Mapping) else _described(tool) for tool in tools]


def _described(tool: BaseTool) -> dict[str, Any]:
    metadata = getattr(tool, "metadata", None)
    if metadata is None:
        raise LMStudioValueError(f"expected a LlamaIndex tool (FunctionTool.from_defaults(…)) or a dict, got {tool!r}")
    described: dict[str, Any] = metadata.to_openai_tool(skip_length_check=True)
    described["function"]["name"] = metadata.get_name()
    return described


def chosen_tools(
    choice: Any, tools: Sequence[Any], *, required: bool = False
) -> tuple[str | None, list[dict[str, Any]]]:
    """The client's ``tool_choice`` and the tools in OpenAI's form, as ``compat.tool_choice`` has them.

    ``False`` is "none". ``required`` (LlamaIndex's ``tool_required``) is the default if there are tools.

    Raises:
        LMStudioValueError: The choice names no tool, or requires one and there are none.
    """
    read, chosen = choose_tools("none" if choice is False else choice, wire_tools(tools))
    return read or ("required" if required and chosen else None), chosen


def has_required_parameters(tool: Mapping[str, Any]) -> bool:
    """Whether a tool in OpenAI's form or in the bare one requires an argument."""
    function = tool.get("function")
    parameters = (function if isinstance(function, Mapping) else tool).get("parameters")
    return isinstance(parameters, Mapping) and bool(parameters.get("required"))


def conversation(user_msg: str | ChatMessage | None, chat_history: Sequence[ChatMessage] | None) -> list[ChatMessage]:
    """History and new message as a new list; the caller's list is not changed."""
    messages = list(chat_history or ())
    if user_msg is not None:
        if isinstance(user_msg, str):
            user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
        messages.append(user_msg)
    return messages


def tool_selections(response: ChatResponse) -> list[ToolSelection]:
    """The calls of a response, complete or partial; of partial arguments, what is certain."""
    return [
        ToolSelection(
            tool_id=block.tool_call_id or f"call_{index}",
            tool_name=block.tool_name,
            tool_kwargs=arguments_so_far(block.tool_kwargs),
        )
        for index, block in enumerate(block for block in response.message.blocks if isinstance(block, ToolCallBlock))
    ]


def arguments_so_far(arguments: Any) -> dict[str, Any]:
    """Arguments as an object. Truncated JSON gives what is certain, and anything else ``{}``. Never raises."""
    if isinstance(arguments, Mapping):
        return dict(arguments)
    if not isinstance(arguments, str) or not arguments.strip():
        return {}
    try:
        value = pydantic_core.from_json(arguments, allow_partial="trailing-strings")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
