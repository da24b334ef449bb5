"""Tools that ``act`` can run: functions, ``ToolFunctionDef``, mappings, and tools of LangChain and LlamaIndex.

Tools of the frameworks are recognized by their attributes; neither framework is imported.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypedDict, get_type_hints, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import PydanticSerializationError, PydanticUndefined, to_jsonable_python

from lmstudio_integrations._surrogates import without_surrogates
from lmstudio_integrations.client.attachments import Attachment, json_without_binaries, read_attachment
from lmstudio_integrations.client.callbacks import is_coroutine_function
from lmstudio_integrations.client.content_blocks import BlockContent, leaf_blocks, read_block, read_llama_index_block
from lmstudio_integrations.client.images import ImagePart
from lmstudio_integrations.client.tool_results import tool_result
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.protocol.history import ToolCallRequest
from lmstudio_integrations.protocol.tools import tool_definition

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import NotRequired

    from pydantic.json_schema import GenerateJsonSchema

__all__ = [
    "ActTool",
    "LangChainTool",
    "LlamaIndexTool",
    "ToolFunctionDef",
    "ToolFunctionDefDict",
    "ToolInput",
    "ToolOutput",
    "ToolParameter",
    "act_tools",
]


class ToolParameter(TypedDict):
    """A parameter of a ``ToolFunctionDef``: its type, and its default if it has one."""

    type: Any
    default: NotRequired[Any]


class ToolFunctionDefDict(TypedDict):
    """``ToolFunctionDef`` as a dictionary."""

    name: str
    description: str
    parameters: Mapping[str, type[Any] | ToolParameter]
    implementation: Callable[..., Any]


@dataclass(kw_only=True, frozen=True, slots=True)
class ToolFunctionDef:
    """A tool with a name, a description and parameters of its own.

    Example:
        ```python
        from lmstudio_integrations import Client, ToolFunctionDef

        add = ToolFunctionDef(
            name="add",
            description="Add two numbers.",
            parameters={"a": int, "b": {"type": int, "default": 1}},
            implementation=lambda a, b: a + b,
        )
        print(Client().llm.just_in_time("qwen/qwen3-4b").act("What is 17 + 25?", [add]))
        #> 17 + 25 is 42.
        ```

    ``parameters`` gives each parameter's type, or ``{"type": …, "default": …}``. Arguments are converted to these types
    by pydantic before ``implementation`` is called with them as keywords.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    implementation: Callable[..., Any]

    @classmethod
    def from_callable(cls, f: Callable[..., Any], *, name: str | None = None, description: str | None = None) -> Self:
        """A function as a tool: its name, its docstring and its type hints, unless other ones are given.

        A parameter without a type hint accepts any JSON value.

        Raises:
            LMStudioValueError: The function has no name, or its parameters cannot be read.
        """
        name = (
            name
            or getattr(f, "__name__", None)
            or getattr(f.func if isinstance(f, partial) else None, "__name__", None)
        )
        if not isinstance(name, str) or not name.isidentifier():
            raise LMStudioValueError(
                f"expected a function with a name as a tool, got {f!r}: "
                "pass ToolFunctionDef.from_callable(function, name=…, description=…)"
            )
        if description is None:
            description = inspect.getdoc(f) or ""
        return cls(name=name, description=description, parameters=_parameters(f), implementation=f)


@runtime_checkable
class LangChainTool(Protocol):
    """What a LangChain ``BaseTool`` has."""

    name: str
    description: str

    @property
    def tool_call_schema(self) -> Any:
        """The parameters that the model fills in: a pydantic class or a JSON Schema."""
        ...

    def invoke(self, input: Any) -> Any:
        """Run it."""
        ...

    async def ainvoke(self, input: Any) -> Any:
        """Run it in the event loop."""
        ...


@runtime_checkable
class LlamaIndexTool(Protocol):
    """What a LlamaIndex ``BaseTool`` has."""

    @property
    def metadata(self) -> Any:
        """Name, description and parameters."""
        ...

    def __call__(self, input: Any) -> Any:
        """Run it."""
        ...


ToolInput: TypeAlias = (
    "Callable[..., Any] | ToolFunctionDef | ToolFunctionDefDict | LangChainTool | LlamaIndexTool | Mapping[str, Any]"
)
"""A tool for ``act``.

A function, a ``ToolFunctionDef``, a LangChain or LlamaIndex tool, or a mapping with an ``"implementation"``: besides it
the keys of ``ToolFunctionDef``, or those of any tool definition that ``respond(tools=…)`` takes.
"""


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool returned, for the model."""

    text: str
    images: tuple[dict[str, Any] | ImagePart, ...] = ()


@dataclass(frozen=True, slots=True)
class ActTool:
    """A tool that ``act`` runs.

    ``definition`` is what LM Studio gets. ``parse`` turns the arguments of a call into those of ``run`` and raises
    ``ValueError`` if they do not fit. ``run`` and ``run_async`` take the call and its parsed arguments; ``run`` is
    ``None`` if the tool is a coroutine function, ``run_async`` is ``None`` if it belongs on a thread.
    ``return_direct``: its result is the answer, and the model does not get it.
    """

    name: str
    definition: dict[str, Any]
    parse: Callable[[dict[str, Any]], Any]
    run: Callable[[ToolCallRequest, Any], Any] | None
    run_async: Callable[[ToolCallRequest, Any], Awaitable[Any]] | None = None
    read: Callable[[Any], ToolOutput] = field(default_factory=lambda: json_output)
    return_direct: bool = False


def act_tools(tools: Iterable[ToolInput], *, blocking: bool) -> dict[str, ActTool]:
    """The tools by their names. ``blocking``: they run without an event loop.

    Raises:
        LMStudioValueError: There is none, two have one name, something is no tool, or a coroutine function is among
            the tools of a blocking call.
    """
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Iterable):
        raise LMStudioValueError(f"expected a list of tools, got {type(tools).__name__}")
    made: dict[str, ActTool] = {}
    for given in tools:
        tool = act_tool(given)
        if tool.name in made:
            raise LMStudioValueError(f"expected tools with different names, got two of the name {tool.name!r}")
        if blocking and tool.run is None:
            raise LMStudioValueError(
                f"the tool {tool.name!r} is a coroutine function: pass a plain function, or use AsyncClient"
            )
        made[tool.name] = tool
    if not made:
        raise LMStudioValueError("expected at least one tool, got none: respond() answers without tools")
    return made


def act_tool(tool: Any) -> ActTool:
    """One tool. Raises ``LMStudioValueError`` for anything else."""
    if isinstance(tool, ToolFunctionDef):
        return _function_tool(tool)
    if isinstance(tool, Mapping):
        return _mapping_tool(tool)
    if all(hasattr(tool, name) for name in ("name", "invoke", "ainvoke", "tool_call_schema")):
        return _langchain_tool(tool)
    if hasattr(getattr(tool, "metadata", None), "get_parameters_dict"):
        return _llama_index_tool(tool)
    if callable(tool):
        return _function_tool(ToolFunctionDef.from_callable(tool))
    raise LMStudioValueError(
        "expected a function, a ToolFunctionDef, a mapping with an 'implementation', or a tool of LangChain or "
        f"LlamaIndex, got {type(tool).__name__}"
    )


# Functions


@cache
def _schema_generator() -> type[GenerateJsonSchema]:
    """A generator of schemas without a title for each property: they repeat the names and cost tokens."""
    from pydantic.json_schema import GenerateJsonSchema  # as heavy as the rest of this package

    class NoTitles(GenerateJsonSchema):
        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    return NoTitles


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        signature = inspect.signature(function)
        hints = get_type_hints(_hinted(function), include_extras=True)
    except Exception as error:
        raise LMStudioValueError(f"the parameters of the tool {function!r} cannot be read: {error}") from error
    parameters: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = hints.get(name, Any)
        given = parameter.default is not parameter.empty
        parameters[name] = ToolParameter(type=kind, default=parameter.default) if given else kind
    return parameters


def _hinted(function: Any) -> Any:
    """Where the type hints of a callable are: a partial, a class and a callable object have none of their own."""
    if isinstance(function, partial):
        function = function.func
    if inspect.isclass(function):
        return function.__init__
    if inspect.isroutine(function):
        return function
    return type(function).__call__


def _function_tool(given: ToolFunctionDef) -> ActTool:
    if not given.name or not callable(given.implementation):
        raise LMStudioValueError(f"expected a tool with a name and a callable 'implementation', got {given!r}")
    fields: dict[str, Any] = {}
    names: list[str] = []
    for name, kind in given.parameters.items():
        default: Any = ...
        if isinstance(kind, Mapping):
            if "type" not in kind:
                raise LMStudioValueError(f"the parameter {name!r} of the tool {given.name!r} has no 'type': {kind!r}")
            kind, default = kind["type"], kind.get("default", ...)
        # A name of our own: pydantic refuses some that Python allows, and the alias is what the model sees.
        extras: dict[str, Any] = {}
        for words in getattr(kind, "__metadata__", ()):
            if isinstance(words, str):  # Annotated[str, "the city"], as both frameworks read it
                extras = {"description": words}
        value = PydanticUndefined if default is ... else default
        fields[f"p{len(names)}"] = (kind, Field(default=value, alias=name, **extras))
        names.append(name)
    try:
        model = create_model(given.name, __config__=ConfigDict(arbitrary_types_allowed=False), **fields)
        schema = model.model_json_schema(schema_generator=_schema_generator())
    except (PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError) as error:
        raise LMStudioValueError(
            f"the parameters of the tool {given.name!r} have no JSON form: {str(error).splitlines()[0]}"
        ) from error
    implementation = given.implementation
    run, run_async = _runners(implementation, _positional(implementation))
    return ActTool(
        name=given.name,
        definition=_definition(given.name, given.description, schema),
        parse=lambda arguments: _validated(model, names, arguments),
        run=run,
        run_async=run_async,
    )


def _validated(model: type[BaseModel], names: list[str], arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        made = model.model_validate(arguments)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_context=False)
        ]
        raise ValueError("; ".join(problems)) from error
    # Those that were not given keep the function's own default.
    return {
        name: getattr(made, f"p{index}") for index, name in enumerate(names) if f"p{index}" in made.model_fields_set
    }


def _positional(function: Callable[..., Any]) -> list[str]:
    """Parameters that cannot be passed by name."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_ONLY]


def _runners(function: Callable[..., Any], positional: list[str]) -> tuple[Any, Any]:
    """``run`` and ``run_async`` of an ``ActTool``."""

    def run(_: ToolCallRequest, arguments: dict[str, Any]) -> Any:
        given = dict(arguments)
        first = [given.pop(name) for name in positional if name in given]
        return function(*first, **given)

    if not is_coroutine_function(function):
        return run, None

    async def run_async(call: ToolCallRequest, arguments: dict[str, Any]) -> Any:
        return await run(call, arguments)

    return None, run_async


# Mappings


def _mapping_tool(tool: Mapping[str, Any]) -> ActTool:
    implementation = tool.get("implementation")
    if not callable(implementation):
        raise LMStudioValueError(
            f"expected a tool with a callable 'implementation', got {sorted(map(str, tool))}: act() runs the tools; "
            "respond(tools=…) takes definitions alone"
        )
    rest = {key: value for key, value in tool.items() if key != "implementation"}
    parameters = rest.get("parameters")
    if set(rest) == {"name", "description", "parameters"} and not _is_schema(parameters):
        return _function_tool(ToolFunctionDef(**rest, implementation=implementation))
    definition = tool_definition(rest).to_wire()
    function = definition["function"]
    run, run_async = _runners(implementation, [])
    return ActTool(
        name=function["name"],
        definition=definition,
        parse=lambda arguments: _checked(function.get("parameters") or {}, arguments),
        run=run,
        run_async=run_async,
    )


def _is_schema(parameters: Any) -> bool:
    """Whether ``parameters`` is a JSON Schema rather than a mapping of names to types."""
    return isinstance(parameters, Mapping) and (
        parameters.get("type") == "object" or isinstance(parameters.get("properties"), Mapping)
    )


def _checked(schema: Mapping[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments themselves. Only their names are checked: there is no type to convert them to."""
    missing = [name for name in schema.get("required", ()) if name not in arguments]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")
    if schema.get("additionalProperties") is False:
        unknown = [name for name in arguments if name not in schema.get("properties", {})]
        if unknown:
            raise ValueError(f"unknown: {', '.join(unknown)}")
    return arguments


# Tools of the frameworks


def _langchain_tool(tool: Any) -> ActTool:
    schema = tool.tool_call_schema
    if not isinstance(schema, Mapping):
        schema = (getattr(schema, "model_json_schema", None) or schema.schema)()

    def message(call: ToolCallRequest, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"type": "tool_call", "name": tool.name, "args": arguments, "id": call.id}

    def run(call: ToolCallRequest, arguments: dict[str, Any]) -> Any:
        return tool.invoke(message(call, arguments))

    async def run_async(call: ToolCallRequest, arguments: dict[str, Any]) -> Any:
        return await tool.ainvoke(message(call, arguments))

    # A tool with a coroutine alone raises NotImplementedError in `invoke`.
    only_async = getattr(tool, "coroutine", None) is not None and getattr(tool, "func", None) is None
    return ActTool(
        name=tool.name,
        definition=_definition(tool.name, tool.description, _without_titles(schema)),
        parse=dict,
        run=None if only_async else run,
        run_async=run_async,
        read=_langchain_output,
        return_direct=getattr(tool, "return_direct", False) is True,
    )


def _llama_index_tool(tool: Any) -> ActTool:
    metadata = tool.metadata
    name = metadata.name or metadata.get_name()
    if getattr(tool, "requires_context", False):
        raise LMStudioValueError(f"the tool {name!r} needs a workflow's Context, which act() does not have")
    call_it = getattr(tool, "call", tool)

    def run(_: ToolCallRequest, arguments: dict[str, Any]) -> Any:
        return call_it(**arguments)

    async def run_async(_: ToolCallRequest, arguments: dict[str, Any]) -> Any:
        return await tool.acall(**arguments)

    return ActTool(
        name=name,
        definition=_definition(name, metadata.description, _without_titles(metadata.get_parameters_dict())),
        parse=dict,
        run=run,
        run_async=run_async if hasattr(tool, "acall") else None,
        read=_llama_index_output,
        return_direct=getattr(metadata, "return_direct", False) is True,
    )


def _definition(name: str, description: str | None, schema: Mapping[str, Any]) -> dict[str, Any]:
    members: dict[str, Any] = {"name": name, "parameters": dict(schema)}
    if description:
        members["description"] = description
    return tool_definition(members).to_wire()


def _without_titles(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without the titles that pydantic gives to properties."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return dict(schema)
    stripped = {
        name: {key: value for key, value in item.items() if key != "title"} if isinstance(item, Mapping) else item
        for name, item in properties.items()
    }
    return {**schema, "properties": stripped}


# Results


def json_output(value: Any) -> ToolOutput:
    """A function's result as JSON text, as both official SDKs send it; strings are quoted, too.

    ``ImagePart`` objects, alone or in a list, follow the results in a message of their own.
    """
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    images = tuple(item for item in items if isinstance(item, ImagePart))
    rest = [item for item in items if not isinstance(item, ImagePart)] if images else [value]
    output = _output_of(map(to_json_text, rest))
    return replace(output, text=output.text or "(image)", images=(*images, *output.images))


def to_json_text(value: Any) -> str:
    """JSON text of anything; what has no JSON form is written as ``str`` shows it.

    Bytes are text if they are UTF-8, else a placeholder.
    """
    try:
        plain = to_jsonable_python(_without_bytes(value), fallback=str, inf_nan_mode="constants")
        text = json.dumps(plain, ensure_ascii=False)
    except (PydanticSerializationError, TypeError, ValueError, RecursionError):
        text = json.dumps(str(value), ensure_ascii=False)
    return without_surrogates(text)


def _without_bytes(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        content = read_attachment("file", bytes(value))
        return content.placeholder() if isinstance(content, Attachment) else content
    if type(value) is dict:
        return {name: _without_bytes(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return [_without_bytes(item) for item in value]
    return value


def _langchain_output(message: Any) -> ToolOutput:
    content = getattr(message, "content", message)
    if not isinstance(content, (str, list)):
        return json_output(content)
    contents: list[BlockContent] = []
    for item in [content] if isinstance(content, str) else content:
        block = item if isinstance(item, (str, Mapping)) else to_json_text(item)
        contents += [json_without_binaries(block) if read is None else read for read in read_block(block)]
    return _output_of(contents)


def _output_of(contents: Iterable[BlockContent]) -> ToolOutput:
    """The output that contents make; one that is nothing but images says so."""
    text, images = tool_result(contents)
    return ToolOutput(without_surrogates(text) or ("(image)" if images else ""), tuple(images))


def _llama_index_output(output: Any) -> ToolOutput:
    error = getattr(output, "exception", None)
    if isinstance(error, Exception):
        raise error
    blocks = getattr(output, "blocks", None)
    if not isinstance(blocks, list):
        content = getattr(output, "content", None)
        return _output_of([content]) if isinstance(content, str) else json_output(output)
    contents: list[BlockContent] = []
    for block in leaf_blocks(blocks):
        read = read_llama_index_block(block)
        contents.append(f"[{getattr(block, 'block_type', None)}: left out]" if read is None else read)
    return _output_of(contents)
