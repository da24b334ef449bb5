"""LangChain: tools, tool choices, response formats and structured output in every form."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, TypedDict

from langchain_core.tools import InjectedToolArg, StructuredTool, tool
from pydantic import BaseModel, Field

from tests.golden.cases.client_requests import FORMATS
from tests.golden.recorder import Cases

CASES = Cases("langchain_tools")


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@tool(parse_docstring=True)
def find(text: str, kinds: list[str] | None = None) -> str:
    """Find something.

    Args:
        text: What to find, e.g. "Käse".
        kinds: Where.
    """
    return text


@tool
def now() -> str:
    """Tell the time."""
    return ""


@tool("my-tool.v2")
def odd(a: int, secret: Annotated[str, InjectedToolArg]) -> str:
    """A name with special characters."""
    return secret


class Kind(Enum):
    """A kind."""

    A = "a"
    B = "b"


class Place(BaseModel):
    """A place."""

    city: str = Field(description="Its name", min_length=1)
    kind: Kind = Kind.A


class Trip(BaseModel):
    """A trip."""

    stops: list[Place] = Field(max_length=3)
    budget: float | None = Field(default=None, ge=0)
    notes: dict[str, str] = {}


class Tree(BaseModel):
    """A tree."""

    children: list[Tree] = []


class PlaceDict(TypedDict):
    """A place."""

    city: Annotated[str, ..., "Its name"]
    tags: list[str]


def divide(a: float, b: float) -> float:
    """Divide."""
    return a / b


_PLACE = {
    "title": "Place",
    "description": "A place.",
    "type": "object",
    "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
    "required": ["city"],
}
_STRUCTURED = StructuredTool.from_function(lambda **_: "", name="ask", description="Ask.", args_schema=_PLACE)

_TOOLS: dict[str, list[Any]] = {
    "a decorated function": [add],
    "descriptions of arguments": [find],
    "no arguments": [now],
    "special characters and an injected argument": [odd],
    "a plain function": [divide],
    "a pydantic class": [Trip],
    "a recursive pydantic class": [Tree],
    "a TypedDict": [PlaceDict],
    "args_schema as a dict": [_STRUCTURED],
    "a JSON schema": [_PLACE],
    "OpenAI's form": [{"type": "function", "function": {"name": "f", "parameters": _PLACE}}],
    "OpenAI's bare form": [{"name": "f", "description": "F.", "parameters": _PLACE}],
    "Anthropic's form": [{"name": "f", "description": "F.", "input_schema": _PLACE}],
    "several": [add, find, now, divide],
    "a built-in one of OpenAI's": [{"type": "web_search"}],
    "one name twice": [add, add],
    "an anyOf at its root": [{"name": "f", "description": "", "parameters": {"anyOf": [_PLACE, {"type": "object"}]}}],
    "a not": [{"name": "f", "description": "", "parameters": {**_PLACE, "not": {"required": ["zip"]}}}],
    "none": [],
}
for _name, _tools in _TOOLS.items():
    CASES.add(f"tools: {_name}", lambda w, t=_tools: w.chat().bind_tools(t).invoke("1+2?"))  # type: ignore[misc]
for _choice in (
    None, "auto", "none", "any", "required", True, False, "", "add", "other",
    {"type": "function", "function": {"name": "now"}}, {"type": "tool", "name": "now"}, {"type": "auto"}, {"type": "any"},
):  # fmt: skip
    CASES.add(
        f"tool choice: {_choice!r}",
        lambda w, c=_choice: w.chat().bind_tools([add, now], tool_choice=c).invoke("1+2?"),  # type: ignore[misc]
    )
    CASES.add(
        f"tool choice without tools: {_choice!r}",
        lambda w, c=_choice: w.chat().bind_tools([], tool_choice=c).invoke("1+2?"),  # type: ignore[misc]
    )
CASES.add("tools: strict", lambda w: w.chat().bind_tools([add], strict=True).invoke("1+2?"))
CASES.add("tools: one call at a time", lambda w: w.chat().bind_tools([add], parallel_tool_calls=False).invoke("1+2?"))
CASES.add("tools: in a call", lambda w: w.chat().invoke("1+2?", tools=[add, Place], tool_choice="any"))
CASES.add("tools: bound with settings", lambda w: w.chat().bind_tools([add], temperature=0).invoke("1+2?"))
CASES.add("tools: a stream", lambda w: list(w.chat().bind_tools([add]).stream("1+2?")))
CASES.add("tools: awaiting", lambda w: w.chat().bind_tools([add]).ainvoke("1+2?"))

_MORE: dict[str, Any] = {
    "a TypedDict": PlaceDict,
    "a pydantic class with definitions": Trip,
    "a function schema": {"name": "f", "description": "F.", "parameters": _PLACE},
    "a tool": {"type": "function", "function": {"name": "f", "parameters": _PLACE}},
    "an empty mapping": {},
}
for _name, _format in {**FORMATS, **_MORE}.items():
    CASES.add(
        f"response format: {_name}",
        lambda w, f=_format: w.chat().invoke("Hi", response_format=f),  # type: ignore[misc]
    )
    CASES.add(
        f"structured output: {_name}",
        lambda w, f=_format: w.chat().with_structured_output(f, include_raw=True).invoke("Hi"),  # type: ignore[misc]
    )
for _name in ("a JSON schema", "a pydantic class", "a grammar"):
    CASES.add(
        f"response format of a completion: {_name}",
        lambda w, f=FORMATS[_name]: w.text().invoke("Hi", response_format=f),  # type: ignore[misc]
    )
for _method in ("json_schema", "function_calling", "json_mode", "guess"):
    for _name, _schema in {
        "pydantic": Trip, "TypedDict": PlaceDict, "JSON schema": _PLACE, "no schema": None,
        "JSON schema without a title": {"type": "object", "properties": {"a": {"type": "integer"}}},
        "OpenAI's form": {"type": "json_schema", "json_schema": {"name": "place", "schema": _PLACE}},
    }.items():  # fmt: skip
        CASES.add(
            f"structured output by {_method}: {_name}",
            lambda w, m=_method, s=_schema: (  # type: ignore[misc]
                w.chat().with_structured_output(s, method=m, include_raw=True).invoke("Hi")
            ),
        )
CASES.add("structured output: strict", lambda w: w.chat().with_structured_output(Place, strict=True).invoke("Hi"))
CASES.add("structured output: a stream", lambda w: list(w.chat().with_structured_output(Place).stream("Hi")))
CASES.add("structured output: awaiting", lambda w: w.chat().with_structured_output(Place).ainvoke("Hi"))
CASES.add("structured output: settings", lambda w: w.chat().with_structured_output(Place, seed=3).invoke("Hi"))
for _choice in (None, "auto", "none", "any", "add"):
    CASES.add(
        f"tools and a schema, tool choice {_choice!r}",
        lambda w, c=_choice: (  # type: ignore[misc]
            w.chat().bind_tools([add], tool_choice=c, response_format=Place).invoke("Hi")
        ),
    )
CASES.add(
    "tools and a JSON schema of a tool's name",
    lambda w: w.chat().bind_tools([add], response_format={**_PLACE, "title": "add"}).invoke("Hi"),
)
CASES.add(
    "tools and OpenAI's json_object",
    lambda w: w.chat().bind_tools([add], response_format={"type": "json_object"}).invoke("Hi"),
)
CASES.add(
    "tools and a grammar", lambda w: w.chat().bind_tools([add], response_format=FORMATS["a grammar"]).invoke("Hi")
)
