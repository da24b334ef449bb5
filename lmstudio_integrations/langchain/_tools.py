"""Tools, ``tool_choice`` and ``response_format``, in every form that LangChain has -> the client's options.

LM Studio has tools (``llm.prediction.tools``, ``toolChoice``) and a grammar for the answer (``structured``). One
prediction cannot have both (LM Studio's own SDK refuses it): the grammar of an answer leaves no room for a tool call.
If a caller passes both, as LangChain's agents do, the answer becomes one more tool, a call is required, and the
arguments of a call of that tool are the answer's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import PydanticUserError, TypeAdapter

from lmstudio_integrations.client.schemas import answer_schema, structured_value
from lmstudio_integrations.compat.tool_choice import choose_tools
from lmstudio_integrations.errors import LMStudioValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.tools import BaseTool

__all__ = [
    "ToolRequest",
    "convertible",
    "json_schema_of",
    "openai_tools",
    "resolve_tools",
    "response_schema",
    "schema_name",
]

_TOOL_TYPES = {"function", "custom", "object"}
"""Types of a mapping that may be a tool: OpenAI's and Anthropic's, and that of a JSON Schema with a title."""
_CLIENT_FORMATS = ("text", "none", "json", "json_object", "gbnf")
"""Types of a ``response_format`` that is no schema; the client reads them."""


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """Tools and schema of one prediction, as the client's ``respond`` takes them."""

    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: str | None = None
    response_format: dict[str, Any] | None = None
    answer_tool: str | None = None
    """The tool whose arguments are the answer, if both tools and a schema are requested."""


def openai_tools(
    tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], *, strict: bool | None = None
) -> list[dict[str, Any]]:
    """Every form of tool that LangChain converts, as OpenAI's ``{"type": "function", "function": …}``."""
    converted = []
    for tool in tools:
        made = _openai_tool(tool, strict)
        if made.get("type") != "function" or not isinstance(made.get("function"), dict):
            raise LMStudioValueError(
                f"expected a function with its schema, got the built-in tool {made!r} of another provider"
            )
        converted.append(made)
    return converted


def _openai_tool(tool: Any, strict: bool | None) -> dict[str, Any]:
    """LangChain's conversion, or the schema of a tool as it is if LangChain cannot follow the references in it.

    Observed in langchain-core 1.8: ``KeyError`` for a percent-encoded reference, ``ValueError`` for one to an anchor,
    ``TypeError`` for a property with the name ``$ref``; MCP's ``inputSchema`` is dropped, and OpenAI's form of a
    function for responses is refused.
    """
    if isinstance(tool, Mapping):
        kind = tool.get("type")
        if isinstance(kind, str) and kind not in _TOOL_TYPES:
            return dict(tool)  # of another provider
        if "name" in tool and ("inputSchema" in tool or (kind == "function" and "function" not in tool)):
            named = {key: tool[key] for key in ("name", "description") if tool.get(key) is not None}
            given = tool.get("parameters") or tool.get("inputSchema") or {"type": "object", "properties": {}}
            return {"type": "function", "function": {**named, "parameters": given}}
    schema = getattr(tool, "args_schema", None)
    try:
        return convert_to_openai_tool(tool, strict=strict)
    except (KeyError, TypeError, ValueError):
        if not isinstance(schema, Mapping):
            raise
    function = {"name": tool.name, "description": tool.description, "parameters": dict(schema)}
    return {"type": "function", "function": function}


def response_schema(response_format: Any) -> dict[str, Any] | None:
    """``response_format`` in any form -> LM Studio's ``structured`` value, or ``None`` for plain text.

    Takes OpenAI's ``{"type": "json_schema" | "json_object" | "text"}``, LM Studio's own ``{"type": "json" | "gbnf"}``,
    a JSON schema, a pydantic class (v1 or v2) and a ``TypedDict``.
    """
    if response_format is None:
        return None
    if not isinstance(response_format, Mapping) or response_format.get("type") not in _CLIENT_FORMATS:
        return {"type": "json", "jsonSchema": json_schema_of(response_format)}
    value = structured_value(response_format)
    return None if value["type"] == "none" else value


def json_schema_of(schema: Any) -> dict[str, Any]:
    """``schema`` as a JSON schema, with its references and definitions.

    Raises ``LMStudioValueError`` for what LM Studio's grammar cannot express.
    """
    if isinstance(schema, Mapping):
        made = _inner_schema(dict(schema))
    elif isinstance(schema, type) and is_basemodel_subclass(schema):
        dump = getattr(schema, "model_json_schema", None) or getattr(schema, "schema")  # noqa: B009  # pydantic v2, v1
        return answer_schema(dump(), checked_afterwards=True)
    else:
        try:
            made = convert_to_json_schema(convertible(schema))
        except (TypeError, ValueError) as error:
            raise LMStudioValueError(f"expected a schema, got {schema!r}: {error}") from error
    return answer_schema(made)


def convertible(schema: Any) -> Any:
    """``schema``, or the JSON schema of a ``TypedDict`` with ``NotRequired``, which LangChain's converter refuses.

    Observed in langchain-core 1.8: "NotRequired accepts only a single type".
    """
    if not hasattr(schema, "__required_keys__"):
        return schema
    try:
        convert_to_json_schema(schema)
    except TypeError:
        try:
            return TypeAdapter(schema).json_schema()
        except PydanticUserError:  # on Python 3.11 pydantic needs typing_extensions' TypedDict
            return schema
    return schema


def schema_name(schema: Any) -> str:
    """The name of ``schema`` if it has one, else "answer"."""
    if isinstance(schema, Mapping):
        for inner in (schema, schema.get("json_schema"), schema.get("function")):
            if isinstance(inner, Mapping) and isinstance(name := inner.get("name") or inner.get("title"), str):
                return name
        return "answer"
    return str(getattr(schema, "__name__", "answer"))


def _inner_schema(given: dict[str, Any]) -> dict[str, Any]:
    """The schema in OpenAI's ``response_format``, in a tool, or the mapping itself."""
    wrapped = given.get("json_schema")
    if given.get("type") == "json_schema" and isinstance(wrapped, Mapping):
        wrapped = wrapped.get("schema")
        if isinstance(wrapped, Mapping):
            return dict(wrapped)
        raise LMStudioValueError(f"expected a 'schema' in the 'json_schema' of response_format, got {given!r}")
    function = given.get("function")
    if given.get("type") == "function" and isinstance(function, Mapping):
        given = dict(function)
    for key in ("parameters", "input_schema"):
        if "name" in given and isinstance(given.get(key), Mapping):
            return dict(given[key])
    if not given or not isinstance(given.get("type", ""), (str, list)):
        raise LMStudioValueError(f"expected a JSON schema, got {given!r}")
    return given


def resolve_tools(tools: Any, tool_choice: Any, response_format: Any) -> ToolRequest:
    """Tools and schema of one call, combined as LM Studio supports it.

    Raises:
        LMStudioValueError: A forced tool call together with a schema: no answer could follow.
    """
    choice, tools = choose_tools(tool_choice, openai_tools(tools or ()))
    schema = response_schema(response_format)
    if schema is None:
        return ToolRequest(tools, choice)
    if not tools or choice == "none":
        return ToolRequest(response_format=schema)
    if choice not in {None, "auto"}:
        raise LMStudioValueError(
            f"tool_choice={tool_choice!r} forces a tool call, and response_format requires an answer: pass one of them"
        )
    if schema["type"] != "json":
        raise LMStudioValueError("expected a JSON schema together with tools, got a GBNF grammar: pass one of them")
    answer = _answer_tool(response_format, schema, {tool["function"]["name"] for tool in tools})
    return ToolRequest([*tools, answer], "required", None, answer["function"]["name"])


def _answer_tool(response_format: Any, schema: Mapping[str, Any], taken: set[str]) -> dict[str, Any]:
    name = schema_name(response_format)
    while name in taken:
        name = f"{name}_answer"
    function = {
        "name": name,
        "description": "Give the final answer to the user in this form, once no other tool is needed.",
        "parameters": schema.get("jsonSchema", {"type": "object"}),
    }
    return {"type": "function", "function": function}
