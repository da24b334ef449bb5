"""Tools that a model may ask for (PROTOCOL: "Tools"): their definitions, the choice among them, their naming."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol._model import WireModel
from lmstudio_integrations.protocol.json_text import decode, encode
from lmstudio_integrations.protocol.tool_schema import tool_parameters

__all__ = [
    "TOOLS_KEY",
    "TOOL_CHOICE_KEY",
    "TOOL_NAMING_KEY",
    "FunctionDefinition",
    "ToolDefinition",
    "ToolNaming",
    "tool_choice_value",
    "tool_definition",
    "tool_fields",
    "wire_tool",
]

TOOLS_KEY = "llm.prediction.tools"
TOOL_CHOICE_KEY = "llm.prediction.toolChoice"
TOOL_NAMING_KEY = "llm.prediction.toolNaming"

ToolNaming = Literal["passThrough", "removeSpecial", "snakeCase", "camelCase"]
_MODES = ("none", "auto", "required")
# OpenAI's, Anthropic's and MCP's name of the same member.
_PARAMETER_KEYS = ("parameters", "input_schema", "inputSchema")
_IGNORED_KEYS = (
    *("type", "strict", "defer_loading"),  # OpenAI
    *("cache_control", "input_examples", "allowed_callers", "eager_input_streaming"),  # Anthropic
    *("title", "annotations", "outputSchema", "icons", "execution", "_meta", "meta"),  # MCP
)
_FUNCTION_KEYS = frozenset((*_PARAMETER_KEYS, "name", "description", *_IGNORED_KEYS))


class FunctionDefinition(WireModel):
    """Name, what it does, and a JSON Schema of its arguments; without ``parameters`` it takes none."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolDefinition(WireModel):
    """One tool."""

    type: Literal["function"] = "function"
    function: FunctionDefinition


def wire_tool(value: Mapping[str, Any] | ToolDefinition) -> dict[str, Any]:
    """The JSON form of :func:`tool_definition`; raises as it does.

    Agents send the same tools in each round, so the conversion of a tool is kept, by the tool's JSON text: measured for
    200 tools, 3 ms a call in place of 17.
    """
    if isinstance(value, dict):
        try:
            converted: dict[str, Any] = decode(_wire_tool(encode(value)))
            return converted
        except LMStudioValueError:
            pass  # the error of the conversion names the tool
    return tool_definition(value).to_wire()


@lru_cache(maxsize=1024)
def _wire_tool(text: str) -> str:
    return encode(tool_definition(decode(text)))


def tool_definition(value: Mapping[str, Any] | ToolDefinition) -> ToolDefinition:
    """A tool as LM Studio takes it, from OpenAI's form or from a bare ``{"name", "description", "parameters"}``.

    ``definitions`` move to ``$defs``; a missing ``properties`` becomes ``{}``; alternatives at the root of the
    parameters are folded into one object where that is possible; extras such as ``strict`` are dropped.

    Raises:
        LMStudioValueError: no name, or parameters that LM Studio would strip or refuse.
    """
    if isinstance(value, ToolDefinition):
        value = value.to_wire()
    if not isinstance(value, Mapping):
        raise LMStudioValueError(f"A tool must be a mapping, not {type(value).__name__}.")
    kind = value.get("type", "function")
    function = value.get("function", value) if kind == "function" else None
    if kind == "custom" and "input_schema" in value:  # Anthropic's name of a tool that the client runs
        function = value
    if not isinstance(function, Mapping):
        raise LMStudioValueError(
            'A tool must be {"type": "function", "function": {…}} or {"name": …, "parameters": …}.'
        )
    name, description = function.get("name"), function.get("description")
    parameters = next((function[key] for key in _PARAMETER_KEYS if function.get(key) is not None), None)
    unknown = function.keys() - _FUNCTION_KEYS
    if unknown:
        raise LMStudioValueError(
            f"The tool {name!r} has the unknown key {min(map(str, unknown))!r}; "
            f"expected name, description and parameters (or {' or '.join(_PARAMETER_KEYS[1:])})."
        )
    if not isinstance(name, str) or not name:
        raise LMStudioValueError("A tool needs a name.")
    if description is not None and not isinstance(description, str):
        raise LMStudioValueError(f"The description of the tool {name!r} must be text.")
    made = FunctionDefinition.validate_args(
        name=name,
        description=description,
        parameters=None if parameters is None else tool_parameters(parameters, name),
    )
    return ToolDefinition(function=made)


def tool_choice_value(mode: Any) -> dict[str, Any]:
    """``{"type": "generic", "mode": …}`` from a mode or from that mapping.

    Raises:
        LMStudioValueError: another mode.
    """
    asked = mode.get("mode") if isinstance(mode, Mapping) and mode.get("type", "generic") == "generic" else mode
    if asked not in _MODES:
        raise LMStudioValueError(f"Unknown tool choice {mode!r}; use one of {', '.join(_MODES)}.")
    return {"type": "generic", "mode": asked}


def tool_fields(
    tools: Sequence[Mapping[str, Any] | ToolDefinition] | None, tool_choice: str | None = None
) -> dict[str, Any]:
    """The settings of a request with tools, by their keys: tools, naming, and the choice if there is one.

    ``tool_choice``: ``None`` leaves it to the server (auto), ``"auto"``, ``"none"``, ``"required"``, or the name of a
    tool: the model then gets that tool alone and must call it. No tools, no fields.

    Guess: the server's default naming ``removeSpecial`` changes names that have special characters, so that a call
    would not find its tool again; ``passThrough`` keeps them. Servers that do not know the key ignore it.

    Raises:
        LMStudioValueError: as :func:`tool_definition`; two tools of one name; a choice that names no tool.
    """
    definitions = [wire_tool(tool) for tool in tools or ()]
    names = [tool["function"]["name"] for tool in definitions]
    _unique(names)
    if tool_choice is not None and tool_choice not in _MODES and tool_choice not in names:
        known = ", ".join(names) if names else "there are none"
        raise LMStudioValueError(
            f"tool_choice {tool_choice!r} is neither one of {', '.join(_MODES)} nor a tool's name (tools: {known})."
        )
    if not definitions:
        if tool_choice == "required":
            raise LMStudioValueError('tool_choice "required" needs at least one tool.')
        return {}
    mode = tool_choice
    if tool_choice is not None and tool_choice not in _MODES:
        definitions = [tool for tool in definitions if tool["function"]["name"] == tool_choice]
        mode = "required"
    fields = {TOOLS_KEY: {"type": "toolArray", "tools": definitions}, TOOL_NAMING_KEY: "passThrough"}
    return fields if mode is None else {**fields, TOOL_CHOICE_KEY: tool_choice_value(mode)}


def _unique(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise LMStudioValueError(f"expected tools of different names, got two that are called {name!r}")
        seen.add(name)
