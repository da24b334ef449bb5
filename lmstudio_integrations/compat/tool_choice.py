"""``tool_choice`` in every form of both frameworks and of OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["choose_tools", "tool_name"]

_EXPECTED = "expected 'auto', 'none', 'any', 'required', a tool's name, or OpenAI's or Anthropic's form of these"


def choose_tools(choice: Any, tools: Sequence[dict[str, Any]]) -> tuple[str | None, list[dict[str, Any]]]:
    """The client's ``tool_choice`` (``None``, "auto", "none", "required" or a tool's name), and the tools to send.

    Args:
        choice: One of these, ``True`` or "any" ("required"), ``False`` or "" (``None``); OpenAI's
            ``{"type": "function", "function": {"name": …}}``; Anthropic's ``{"type": "tool", "name": …}``; OpenAI's
            ``{"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": […]}}``, also in the form of its
            responses: the model gets these tools alone.
        tools: The tools, in OpenAI's form or the bare one.

    Raises:
        LMStudioValueError: The name is none of the tools'; a call is required and there are no tools; an unknown form.
    """
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools", choice)
        named = allowed.get("tools") if isinstance(allowed, Mapping) else None
        if not isinstance(named, (list, tuple)) or not all(isinstance(tool, Mapping) for tool in named):
            raise LMStudioValueError(f"expected 'allowed_tools' with a list of 'tools', got {choice!r}")
        names = [tool_name(tool) for tool in named]
        known = [tool_name(tool) for tool in tools]
        for name in names:
            if name not in known:
                raise LMStudioValueError(f"tool_choice allows {name!r}, which names no tool: expected one of {known}")
        chosen = [tool for tool in tools if tool_name(tool) in names]
        return _read_choice(allowed.get("mode", "auto"), chosen), chosen
    return _read_choice(choice, tools), list(tools)


def _read_choice(choice: Any, tools: Sequence[Mapping[str, Any]]) -> str | None:
    given = _named(choice) if isinstance(choice, Mapping) else choice
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


def _named(choice: Mapping[str, Any]) -> Any:
    """What a mapping chooses. A form that is not understood must not leave the choice to the model."""
    if choice.get("disable_parallel_tool_use"):
        raise LMStudioValueError(f"tool_choice={dict(choice)!r}: pass parallel_tool_calls=False in its place")
    function = choice.get("function")
    kind = choice.get("type")
    if isinstance(function, Mapping):
        given = function.get("name")
    elif kind == "generic":  # LM Studio's own form
        given = choice.get("mode")
    else:
        given = choice.get("name") or (None if kind in ("function", "tool") else kind)
    if not isinstance(given, str):
        raise LMStudioValueError(f"tool_choice={dict(choice)!r}: {_EXPECTED}")
    return given


def tool_name(tool: Mapping[str, Any]) -> Any:
    """The name of a tool in OpenAI's form or in the bare one."""
    function = tool.get("function")
    return function.get("name") if isinstance(function, Mapping) else tool.get("name")
