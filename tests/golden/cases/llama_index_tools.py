"""LlamaIndex: tools, tool choices, response formats and structured predictions in every form."""

import asyncio
from typing import Annotated, Any

from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool, QueryEngineTool, ToolMetadata
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field

from tests.golden.cases.client_requests import FORMATS, Color, Node, Shape
from tests.golden.recorder import Cases, Wire

CASES = Cases("llama_index_tools")


def add(a: int, b: Annotated[int, "the second"] = 1) -> int:
    """Add two numbers."""
    return a + b


def now() -> str:
    """Tell the time."""
    return ""


async def find(text: str, color: Color, tags: list[str] | None = None) -> str:
    """Find something."""
    return text


class Place(BaseModel):
    """A place."""

    city: str = Field(description="Its name", min_length=1)
    zips: list[int] = []


_ADD, _NOW = FunctionTool.from_defaults(add), FunctionTool.from_defaults(now)
_PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
_WIRE = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": _PARAMETERS}}
_TOOLS: dict[str, list[Any]] = {
    "a function": [_ADD],
    "no arguments": [_NOW],
    "an async function": [FunctionTool.from_defaults(async_fn=find)],
    "a schema of its own": [FunctionTool.from_defaults(add, name="place-v.2", description="P.", fn_schema=Place)],
    "a nested schema": [FunctionTool.from_defaults(add, name="shape", fn_schema=Shape)],
    "a recursive schema": [FunctionTool.from_defaults(add, name="node", fn_schema=Node)],
    "partial arguments": [FunctionTool.from_defaults(add, partial_params={"b": 2})],
    "a query engine": [QueryEngineTool(None, metadata=ToolMetadata("Ask.", name="ask"))],  # type: ignore[arg-type]
    "a long description": [FunctionTool.from_defaults(now, description="long " * 300)],
    "OpenAI's form": [_WIRE],
    "the bare form": [_WIRE["function"]],
    "several": [_ADD, _NOW, _WIRE],
    "one name twice": [_ADD, _ADD],
    "something that is no tool": [3],
    "none": [],
}


def _user(text: str = "1+2?") -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


for _name, _tools in _TOOLS.items():
    CASES.add(f"tools: {_name}", lambda w, t=_tools: w.index_llm().chat_with_tools(t, "1+2?"))  # type: ignore[misc]
    CASES.add(f"tools of chat: {_name}", lambda w, t=_tools: w.index_llm().chat(_user(), tools=t))  # type: ignore[misc]
for _choice in (
    None, "auto", "none", "any", "required", True, False, "", "add", "other",
    {"type": "function", "function": {"name": "now"}}, {"type": "tool", "name": "now"}, {"type": "auto"}, {"type": "any"},
):  # fmt: skip
    CASES.add(
        f"tool choice: {_choice!r}",
        lambda w, c=_choice: w.index_llm().chat_with_tools([_ADD, _NOW], "1+2?", tool_choice=c),  # type: ignore[misc]
    )
    CASES.add(
        f"tool choice without tools: {_choice!r}",
        lambda w, c=_choice: w.index_llm().chat(_user(), tool_choice=c),  # type: ignore[misc]
    )
_WAYS: dict[str, dict[str, Any]] = {
    "a history": {"chat_history": [ChatMessage(role="system", content="Be brief.")]},
    "tool_required": {"tool_required": True},
    "tool_required and a choice": {"tool_required": True, "tool_choice": "auto"},
    "parallel calls": {"allow_parallel_tool_calls": True},
    "settings": {"temperature": 0},
}
for _name, _way in _WAYS.items():
    CASES.add(f"tools: {_name}", lambda w, k=_way: w.index_llm().chat_with_tools([_ADD], "1+2?", **k))  # type: ignore[misc]
CASES.add("tools: tool_required without tools", lambda w: w.index_llm().chat_with_tools([], "Hi", tool_required=True))
CASES.add("tools: achat_with_tools", lambda w: w.index_llm().achat_with_tools([_ADD], "1+2?"))
CASES.add("tools: stream_chat_with_tools", lambda w: list(w.index_llm().stream_chat_with_tools([_ADD], "1+2?")))
CASES.add("tools: complete", lambda w: w.index_llm().complete("1+2?", tools=[_WIRE]))


@CASES.add("tools: astream_chat_with_tools")
async def _astream(wire: Wire) -> None:
    async for _ in await wire.index_llm().astream_chat_with_tools([_ADD], "1+2?"):
        pass


# Response formats

for _name, _format in FORMATS.items():
    CASES.add(
        f"response format: {_name}",
        lambda w, f=_format: w.index_llm().chat(_user(), response_format=f),  # type: ignore[misc]
    )
CASES.add(
    "response format of a raw completion",
    lambda w: w.index_llm(raw_completion=True).complete("Hi", response_format=_PARAMETERS),
)
for _choice in (None, "auto", "none", "required"):
    CASES.add(
        f"tools and a schema, tool choice {_choice!r}",
        lambda w, c=_choice: (  # type: ignore[misc]
            w.index_llm().chat(_user(), tools=[_WIRE], tool_choice=c, response_format=_PARAMETERS)
        ),
    )

# Structured predictions


def _prompt() -> PromptTemplate:
    """A new one each time: LlamaIndex's programs change theirs."""
    return PromptTemplate("A place in {country}, please.")


async def _drain(objects: Any) -> None:
    async for _ in objects:
        pass


def _awaiting(wire: Wire, settings: dict[str, Any], *, stream: bool) -> None:
    llm = wire.index_llm(**settings)
    llm.refresh_metadata()

    async def run() -> None:
        if stream:
            await _drain(await llm.astream_structured_predict(Place, _prompt(), country="Italy"))
        else:
            await llm.astructured_predict(Place, _prompt(), country="Italy")

    asyncio.run(run())


for _mode in (PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION, PydanticProgramMode.LLM):
    _set: dict[str, Any] = {"pydantic_program_mode": _mode, "system_prompt": "Be brief."}
    _title = f"mode {_mode.value}"
    CASES.add(
        f"structured_predict: {_title}",
        lambda w, s=_set: w.index_llm(**s).structured_predict(Place, _prompt(), country="Italy"),  # type: ignore[misc]
    )
    CASES.add(f"astructured_predict: {_title}", lambda w, s=_set: _awaiting(w, s, stream=False))  # type: ignore[misc]
    if _mode is not PydanticProgramMode.LLM:
        CASES.add(
            f"stream_structured_predict: {_title}",
            lambda w, s=_set: list(w.index_llm(**s).stream_structured_predict(Place, _prompt(), country="Italy")),  # type: ignore[misc]
        )
        CASES.add(
            f"astream_structured_predict: {_title}",
            lambda w, s=_set: _awaiting(w, s, stream=True),  # type: ignore[misc]
        )
for _cls in (Shape, Node):
    CASES.add(
        f"structured_predict: {_cls.__name__}",
        lambda w, c=_cls: w.index_llm().structured_predict(c, _prompt(), country="Italy"),  # type: ignore[misc]
    )
CASES.add(
    "structured_predict: keywords",
    lambda w: w.index_llm().structured_predict(
        Place, _prompt(), llm_kwargs={"seed": 1, "tool_required": True}, country="Italy"
    ),
)
CASES.add("as_structured_llm: chat", lambda w: w.index_llm().as_structured_llm(Place).chat(_user("Rome")))
CASES.add("as_structured_llm: complete", lambda w: w.index_llm().as_structured_llm(Place).complete("Rome"))
CASES.add("as_structured_llm: stream_chat", lambda w: list(w.index_llm().as_structured_llm(Place).stream_chat(_user())))


@CASES.add("as_structured_llm: achat")
def _achat(wire: Wire) -> None:
    llm = wire.index_llm()
    llm.refresh_metadata()
    asyncio.run(llm.as_structured_llm(Place).achat(_user("Rome")))
