"""What the plain client's ``respond`` takes: histories, tools and their choice, response formats."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, Field

from lmstudio_integrations import Chat, FileHandle, ToolCallRequest
from lmstudio_integrations.emulator import Reply
from tests.golden.recorder import Cases, Wire

CASES = Cases("client_requests")


def respond(name: str, history: Any, **options: Any) -> None:
    """A case that answers ``history``."""

    def run(wire: Wire) -> None:
        wire.script(Reply("{}" if "response_format" in options else "Good."))
        wire.llm.respond(history, **options)

    CASES.add(name, run)


# Histories

_CALL = {"id": "1", "name": "add", "arguments": {"b": 2, "a": [1, {"ü": "😀", "n": None, "f": 1.0}]}}
_FILE = {"type": "file", "name": "cat.png", "identifier": "base64:AAAA", "sizeBytes": 3, "fileType": "image"}

_HISTORIES: dict[str, Any] = {
    "text": "Hi",
    "unicode": 'Grüße, 世界 \U0001f600 \u200d \u2028 \x07 "quoted" \\back',
    "an empty text": "",
    "a list of messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "a JSON history": {"messages": [{"role": "user", "content": "Hi"}]},
    "no messages": [],
    "every role": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+2?"},
        {"role": "assistant", "content": ["Let me see.", {"type": "toolCallRequest", "toolCallRequest": _CALL}]},
        {"role": "tool", "content": [{"type": "toolCallResult", "content": "3", "toolCallId": "1", "name": "add"}]},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "Thanks"},
    ],
    "snake_case parts": [
        {"role": "assistant", "content": [{"type": "toolCallRequest", "tool_call_request": _CALL}]},
        {"role": "tool", "content": [{"type": "toolCallResult", "content": "3", "tool_call_id": "1"}]},
    ],
    "several parts": [{"role": "user", "content": ["a", {"type": "text", "text": "b"}, _FILE, "c"]}],
    "a file alone": [{"role": "user", "content": [_FILE]}],
    "an empty content": [{"role": "assistant", "content": []}, {"role": "user", "content": "Go on"}],
    "a call without an id and arguments": [
        {"role": "assistant", "content": [{"type": "toolCallRequest", "toolCallRequest": {"name": "now"}}]},
        {"role": "tool", "content": [{"type": "toolCallResult", "content": ""}]},
    ],
    "two results in one message": [
        {
            "role": "tool",
            "content": [
                {"type": "toolCallResult", "content": "1", "toolCallId": "a"},
                {"type": "toolCallResult", "content": '{"x": 2}', "toolCallId": "b"},
            ],
        },
    ],
    "neighbours of one role": [
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "system", "content": "c"},
    ],
    "a late system message": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "system", "content": "c"},
        {"role": "user", "content": "d"},
    ],
    "an assistant's text at the end": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "It is"}],
    "an unknown role": [{"role": "developer", "content": "a"}],
    "an unknown key": [{"role": "user", "content": "a", "name": "Ann"}],
    "an unknown part": [{"role": "user", "content": [{"type": "audio"}]}],
    "text in a tool message": [{"role": "tool", "content": "3"}],
    "a call of a user": [{"role": "user", "content": [{"type": "toolCallRequest", "toolCallRequest": _CALL}]}],
    "a number": 3,
    "twenty messages": [
        {"role": ("user", "assistant")[number % 2], "content": f"message {number}"} for number in range(20)
    ],
}
for _name, _history in _HISTORIES.items():
    respond(f"history: {_name}", _history)


def _chat() -> Chat:
    chat = Chat("Be brief.")
    chat.add_user_message("1+2?", images=[FileHandle.model_validate(_FILE)])
    chat.add_assistant_response("", [ToolCallRequest(id="1", name="add", arguments={"a": 1}), {"name": "now"}])
    chat.add_tool_results([{"content": "3", "tool_call_id": "1", "name": "add"}])
    chat.append({"role": "user", "content": ["Thanks", "!"]})
    return chat


respond("history: a Chat", _chat())
respond("history: the messages of a Chat", list(_chat().messages))
respond("history: a Chat through JSON", Chat.from_json(_chat().to_json()))
respond("history: the copy of a Chat", _chat().copy())
respond("history: the JSON history of a Chat", _chat().to_history())

# Tools


def tool(name: str = "add", extra: Any = None, **parameters: Any) -> dict[str, Any]:
    """A tool in OpenAI's form; ``extra``: more of its parameters."""
    parameters |= extra or {}
    return {"type": "function", "function": {"name": name, "description": "A tool.", "parameters": parameters}}


_ADD = tool(
    type="object", properties={"a": {"type": "integer"}, "b": {"type": "integer", "default": 1}}, required=["a"]
)
_NOW = {"name": "now", "description": "The time."}
_A, _B = ({"type": "object", "properties": {n: {"type": "string"}}, "required": [n]} for n in "ab")

_TOOLS: dict[str, list[Any]] = {
    "OpenAI's form": [_ADD],
    "the bare form": [_ADD["function"]],
    "without parameters": [_NOW],
    "with empty parameters": [{**_NOW, "parameters": {}}],
    "an object without properties": [tool(type="object")],
    "several": [_ADD, _NOW, tool("sub", type="object", properties={})],
    "extras": [{**_ADD, "strict": True, "function": {**_ADD["function"], "strict": True}}],
    "a name with special characters": [tool("my-tool.v2 (ü)", type="object", properties={})],
    "closed": [tool(type="object", properties={"a": {}}, additionalProperties=False)],
    "open": [tool(type="object", properties={"a": {}}, additionalProperties={"type": "string"})],
    "definitions": [
        tool(
            type="object",
            properties={"p": {"$ref": "#/definitions/P"}},
            definitions={"P": {"type": "object", "properties": {"x": {"type": "number"}}}},
        )
    ],
    "$defs": [
        tool(type="object", properties={"p": {"$ref": "#/$defs/P"}}, extra={"$defs": {"P": {"enum": ["x", "y"]}}})
    ],
    "a title and $schema": [tool(type="object", title="T", properties={"a": {"title": "A"}}, extra={"$schema": "x"})],
    "an anyOf at its root": [tool(anyOf=[_A, _B])],
    "a oneOf at its root": [tool(oneOf=[_A, _B])],
    "an allOf at its root": [tool(allOf=[_A, _B])],
    "constants in a oneOf": [
        tool(
            oneOf=[
                {"type": "object", "properties": {"kind": {"const": k}, k: {"type": "integer"}}, "required": ["kind"]}
                for k in ("x", "y")
            ]
        )
    ],
    "a condition": [tool(type="object", properties={"a": {}}, extra={"if": _A, "then": _B})],
    "a not": [tool(type="object", properties={"a": {"not": {"type": "null"}}})],
    "a pattern and a format": [
        tool(type="object", properties={"a": {"type": "string", "pattern": "^a+$", "format": "date"}})
    ],
    "patternProperties": [tool(type="object", properties={}, patternProperties={"^x": {"type": "string"}})],
    "no name": [{"type": "function", "function": {"parameters": {}}}],
    "one name twice": [_ADD, _ADD],
    "parameters that are no object": [tool(type="string")],
    "none": [],
}
for _name, _tools in _TOOLS.items():
    respond(f"tools: {_name}", "1+2?", tools=_tools)
for _choice in (None, "auto", "none", "required", "add", "now", "nothing"):
    respond(f"tool choice: {_choice!r}", "1+2?", tools=[_ADD, _NOW], tool_choice=_choice)
    respond(f"tool choice without tools: {_choice!r}", "1+2?", tool_choice=_choice)
respond("tools and a schema together", "1+2?", tools=[_ADD], response_format=_A)
respond("tools in a setting", "1+2?", config={"rawTools": {"type": "toolArray", "tools": [_ADD]}})
respond("tools, and a naming in a setting", "1+2?", tools=[_ADD], config={"toolNaming": "snakeCase"})
respond("tools, and a choice in a setting", "1+2?", tools=[_ADD], config={"toolChoice": "required"})

# Response formats


class Color(Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    """A point."""

    x: float
    y: float = Field(default=0, ge=0, le=1)


class Node(BaseModel):
    """A tree."""

    children: list[Node] = []


class Shape(BaseModel):
    """A shape."""

    kind: Literal["square", "circle"] = "square"
    color: Color | None = None
    points: list[Point] = Field(default_factory=list, max_length=3, description="corners")
    extra: dict[str, int] = {}
    any_of: int | str | None = None


class Custom:
    """Whatever has ``model_json_schema``."""

    @staticmethod
    def model_json_schema() -> dict[str, Any]:
        return {"type": "array", "items": {"type": "integer"}}


FORMATS: dict[str, Any] = {
    "a pydantic class": Shape,
    "a recursive pydantic class": Node,
    "an object with model_json_schema": Custom(),
    "a JSON schema": _A,
    "a closed JSON schema": {**_A, "additionalProperties": False},
    "an open JSON schema": {**_A, "additionalProperties": True},
    "a nested JSON schema": {"type": "object", "properties": {"in": _A, "list": {"type": "array", "items": _B}}},
    "a bare object": {"type": "object"},
    "an array": {"type": "array", "items": _A},
    "an anyOf": {"anyOf": [_A, _B]},
    "an allOf": {"allOf": [_A, _B]},
    "a not": {"type": "object", "properties": {"a": {"not": {"type": "string"}}}},
    "a condition": {**_A, "if": _A, "then": _B},
    "patternProperties": {"type": "object", "patternProperties": {"^x": {"type": "integer"}}},
    "definitions": {
        "type": "object",
        "properties": {"p": {"$ref": "#/definitions/P"}},
        "definitions": {"P": _A},
    },
    "LM Studio's json": {"type": "json"},
    "LM Studio's json with a schema": {"type": "json", "jsonSchema": _A},
    "LM Studio's none": {"type": "none"},
    "a grammar": {"type": "gbnf", "gbnfGrammar": 'root ::= "ja"'},
    "OpenAI's json_schema": {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": _A}},
    "OpenAI's json_schema without a schema": {"type": "json_schema", "json_schema": {"name": "a"}},
    "OpenAI's json_object": {"type": "json_object"},
    "OpenAI's text": {"type": "text"},
    "a text": "json",
    "a plain class": int,
}
for _name, _format in FORMATS.items():
    respond(f"response format: {_name}", "Hi", response_format=_format)
for _name in ("a pydantic class", "a JSON schema", "a grammar", "OpenAI's json_object"):
    CASES.add(
        f"response format of a completion: {_name}",
        lambda wire, f=FORMATS[_name]: wire.llm.complete("Hi", response_format=f),  # type: ignore[misc]
    )
respond("response format in a setting", "Hi", config={"structured": _A})
respond("response format, and one in a setting", "Hi", response_format=_A, config={"structured": _B})
