"""``tool_choice`` in every form of both frameworks and of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["read_tool_choice", "tool_name"]


def read_tool_choice(choice: Any, tools: Sequence[Mapping[str, Any]]) -> str | None:
    """The client's ``tool_choice``: ``None``, "auto", "none", "required" or the name of a tool.

    Args:
        choice: One of these, ``True`` or "any" ("required"), ``False`` or "" (``None``), or
            ``{"type": "function", "function": {"name": …}}``.
        tools: The tools, in OpenAI's form or the bare one.

    Raises:
        LMStudioValueError: The name is none of the tools'; a call is required and there are no tools.
    """
    if isinstance(choice, Mapping):
        function = choice.get("function")
        given = function.get("name") if isinstance(function, Mapping) else choice.get("name") or choice.get("type")
    else:
        given = choice
    if given is None or given is False or given == "":
        return None
    if given is True or given in ("any", "required"):
        if not tools:
            raise LMStudioValueError(f"tool_choice={choice!r} requires a tool call, but there are no tools: pass some")
        return "required"
    names = [tool_name(tool) for tool in tools]
    if given in ("auto", "none") or given in names:
        return str(given)
    raise LMStudioValueError(
        f"tool_choice={choice!r} names no tool: expected 'auto', 'none', 'any', 'required' or one of {names}"
    )


def tool_name(tool: Mapping[str, Any]) -> Any:
    """The name of a tool in OpenAI's form or in the bare one."""
    function = tool.get("function")
    return function.get("name") if isinstance(function, Mapping) else tool.get("name")
