"""``with_structured_output``: the chain behind it, for each of LangChain's three methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from lmstudio_integrations.client.schemas import raise_for_incomplete_answer
from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain._tools import convertible, json_schema_of, schema_name
from lmstudio_integrations.langchain.errors import LangChainErrors

if TYPE_CHECKING:
    from langchain_core.language_models.base import LanguageModelInput
    from langchain_core.language_models.chat_models import BaseChatModel

    from lmstudio_integrations.langchain.settings import Method

__all__ = ["structured_chain"]


def structured_chain(
    model: BaseChatModel,
    schema: dict[str, Any] | type | None,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    options: dict[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    """``model`` with ``schema`` requested by ``method``, then a parser, which streams partial objects, too."""
    if schema is None and method != "json_mode":
        raise LMStudioValueError(f"schema=None: method={method!r} needs a schema; only 'json_mode' does not")
    schema = convertible(schema)
    traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    options = {**options, "raise_incomplete": False}  # the step after the model raises, so that include_raw has it
    if schema is not None:
        options["ls_structured_output_format"] = traced
    bound: Runnable[LanguageModelInput, Any]
    if method == "function_calling":
        assert schema is not None
        tool = _as_tool(schema)
        name = tool["function"]["name"]
        bound = model.bind_tools([tool], tool_choice=name, parallel_tool_calls=False, strict=strict, **options)
        return _with_raw(bound, _tool_parser(schema, name), name, include_raw=include_raw)
    if method == "json_schema":
        named: dict[str, Any] = {"name": schema_name(schema), "schema": json_schema_of(schema)}
        if strict is not None:
            named["strict"] = strict
        response_format: dict[str, Any] = {"type": "json_schema", "json_schema": named}
    elif method == "json_mode":
        response_format = {"type": "json_object"}
    else:
        raise LMStudioValueError(f"method={method!r}: expected 'json_schema', 'function_calling' or 'json_mode'")
    bound = model.bind(response_format=response_format, **options)
    return _with_raw(bound, _text_parser(schema), None, include_raw=include_raw)


def _is_model_class(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _as_tool(schema: dict[str, Any] | type) -> dict[str, Any]:
    """A tool whose parameters are the schema. Bare JSON schemas get a name if they have none."""
    if isinstance(schema, dict) and not ({"title", "name", "function", "json_schema"} & set(schema)):
        schema = {**schema, "title": schema_name(schema)}
    if isinstance(schema, dict) and "json_schema" in schema:
        schema = {**json_schema_of(schema), "title": schema_name(schema)}
    return convert_to_openai_tool(schema)


def _tool_parser(schema: Any, name: str) -> BaseOutputParser[Any]:
    if _is_model_class(schema):
        return PydanticToolsParser(tools=[schema], first_tool_only=True)
    return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def _text_parser(schema: Any) -> BaseOutputParser[Any]:
    if _is_model_class(schema):
        return PydanticOutputParser(pydantic_object=schema)
    return JsonOutputParser()


def _with_raw(
    bound: Runnable[LanguageModelInput, Any],
    parser: BaseOutputParser[Any],
    answer_tool: str | None,
    *,
    include_raw: bool,
) -> Runnable[LanguageModelInput, Any]:
    """With ``include_raw``: a dict of ``raw``, ``parsed`` and ``parsing_error``; nothing is raised for an answer."""
    check = _CompletenessCheck(answer_tool, parser)
    complete: Runnable[Any, Any] = RunnableGenerator(check.pass_on, check.apass_on)
    if not include_raw:
        return bound | complete | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | complete | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=bound) | parsed.with_fallbacks([failed], exception_key="parsing_error")


class _CompletenessCheck:
    """Passes the messages of an answer on, and raises after the last if they are not the complete document.

    ``answer_tool``: the tool whose arguments are the document; ``None``: the text is. ``parser``: the next step, which
    raises nothing for the parts of a stream, not even for the last.
    """

    def __init__(self, answer_tool: str | None, parser: BaseOutputParser[Any]) -> None:
        self._answer_tool = answer_tool
        self._parser = parser

    def pass_on(self, messages: Iterator[AIMessage]) -> Iterator[AIMessage]:
        """The messages, or the chunks of one."""
        answer = _Answer()
        for message in messages:
            answer.add(message)
            yield message
        answer.raise_for_incomplete(self._answer_tool)
        answer.raise_for_invalid(self._parser)

    async def apass_on(self, messages: AsyncIterator[AIMessage]) -> AsyncIterator[AIMessage]:
        """``pass_on`` for coroutines."""
        answer = _Answer()
        async for message in messages:
            answer.add(message)
            yield message
        answer.raise_for_incomplete(self._answer_tool)
        answer.raise_for_invalid(self._parser)


class _Answer:
    """The parts of an answer that its completeness depends on."""

    def __init__(self) -> None:
        self._text = ""
        self._metadata: dict[str, Any] = {}
        self._calls: list[str] = []
        self._chunks: list[AIMessageChunk] = []

    def add(self, message: AIMessage) -> None:
        """One message, or one chunk of it."""
        self._text += message.text
        self._metadata |= message.response_metadata
        calls: Sequence[Any] = message.tool_calls
        if isinstance(message, AIMessageChunk):
            calls = message.tool_call_chunks
            self._chunks.append(message)
        self._calls += [str(call["name"]) for call in calls if call["name"]]

    def raise_for_incomplete(self, answer_tool: str | None) -> None:
        failed = self._metadata.get("failed_tool_calls") or ()
        calls = list(self._calls)
        for call in failed:  # their chunks have names, too
            if call.get("name") in calls:
                calls.remove(call["name"])
        with LangChainErrors():
            raise_for_incomplete_answer(
                str(self._metadata.get("stop_reason") or ""),
                self._text,
                calls,
                [f"{call.get('error')}; got {call.get('raw_content')!r:.200}" for call in failed],
                document=True,
                answer_tool=answer_tool,
            )

    def raise_for_invalid(self, parser: BaseOutputParser[Any]) -> None:
        """Raise what ``parser`` raises for the complete answer, if it came in chunks."""
        if self._chunks:
            first, *others = self._chunks
            parser.parse_result([ChatGeneration(message=first + others if others else first)])
