"""``with_structured_output`` by its three methods, over the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NotRequired

import pydantic.v1
import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import add_ai_message_chunks
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict

from lmstudio_integrations import LMStudioStructuredOutputError
from lmstudio_integrations.emulator import Emulator, FailedToolCall, Reply, ToolCall
from lmstudio_integrations.langchain import ChatLMStudio
from tests.sent_requests import prediction_settings

Make = Callable[..., ChatLMStudio]
STRUCTURED = "llm.prediction.structured"


class Joke(BaseModel):
    """A joke."""

    setup: str
    punchline: str = Field(description="the end")


class OldJoke(pydantic.v1.BaseModel):
    """A joke."""

    setup: str
    punchline: str


class TypedJoke(TypedDict):
    """A joke."""

    setup: str
    punchline: str


JOKE = '{"setup": "Why?", "punchline": "So."}'
DOCUMENT = {"setup": "Why?", "punchline": "So."}
SCHEMA = Joke.model_json_schema()
BARE = {key: value for key, value in SCHEMA.items() if key not in {"title", "description"}}
OPENAI_TOOL = {"type": "function", "function": {"name": "Joke", "parameters": BARE}}
OPENAI_FORMAT = {"type": "json_schema", "json_schema": {"name": "Joke", "strict": True, "schema": BARE}}


def plain(answer: Any) -> Any:
    return (
        answer.dict() if isinstance(answer, pydantic.v1.BaseModel) else getattr(answer, "model_dump", lambda: answer)()
    )


@pytest.mark.parametrize("schema", [Joke, OldJoke, TypedJoke, SCHEMA, BARE, OPENAI_TOOL, OPENAI_FORMAT])
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_structured_output_works_for_every_schema_method_and_way(
    chat: Make, lmstudio_emulator: Emulator, schema: Any, method: Any
) -> None:
    call = ToolCall("answer" if schema is BARE else getattr(schema, "__name__", "Joke"), DOCUMENT)
    reply = Reply(tool_calls=[call]) if method == "function_calling" else Reply(JOKE)
    lmstudio_emulator.script(*[reply] * 4)
    model = chat().with_structured_output(schema, method=method)
    answers = [
        model.invoke("x"),
        await model.ainvoke("x"),
        list(model.stream("x"))[-1],
        [chunk async for chunk in model.astream("x")][-1],
    ]
    for answer in answers:
        assert plain(answer) == DOCUMENT
        assert isinstance(answer, schema if schema in (Joke, OldJoke) else dict)


def test_schema_is_sent_with_its_definitions(chat: Make, lmstudio_emulator: Emulator) -> None:
    class Shelf(BaseModel):
        jokes: list[Joke]

    chat().with_structured_output(Shelf).invoke("x")
    value = prediction_settings(lmstudio_emulator)[STRUCTURED]
    assert value["type"] == "json"
    assert value["jsonSchema"]["properties"]["jokes"]["items"] == {"$ref": "#/$defs/Joke"}
    assert value["jsonSchema"]["$defs"]["Joke"]["required"] == ["setup", "punchline"]


def test_definitions_of_draft_4_are_converted(chat: Make, lmstudio_emulator: Emulator) -> None:
    class OldShelf(pydantic.v1.BaseModel):
        jokes: list[OldJoke]

    chat().with_structured_output(OldShelf).invoke("x")
    assert "OldJoke" in prediction_settings(lmstudio_emulator)[STRUCTURED]["jsonSchema"]["$defs"]


def test_function_calling_forces_the_tool(chat: Make, lmstudio_emulator: Emulator) -> None:
    chat().with_structured_output(Joke, method="function_calling").invoke("x")
    sent = prediction_settings(lmstudio_emulator)
    assert [tool["function"]["name"] for tool in sent["llm.prediction.tools"]["tools"]] == ["Joke"]
    assert sent["llm.prediction.toolChoice"]["mode"] == "required"
    assert STRUCTURED not in sent


def test_json_mode_sends_an_object_schema(chat: Make, lmstudio_emulator: Emulator) -> None:
    chat().with_structured_output(None, method="json_mode").invoke("x")
    assert prediction_settings(lmstudio_emulator)[STRUCTURED] == {"type": "json", "jsonSchema": {"type": "object"}}


@pytest.mark.parametrize("strict", [None, True, False])
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_strict_is_accepted(chat: Make, method: Any, strict: bool | None) -> None:
    assert chat().with_structured_output(SCHEMA, method=method, strict=strict).invoke("x") is not None


def test_stream_yields_partial_dicts(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(fragments=['{"setup": ', '"Why', '?", "punch', 'line": "So', '."}']))
    parts = list(chat().with_structured_output(SCHEMA).stream("x"))
    assert parts[0] in ({}, {"setup": ""}, {"setup": "Why"})
    assert {"setup": "Why?", "punchline": "So"} in parts
    assert parts[-1] == DOCUMENT


def test_include_raw_returns_raw_and_parsed(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(JOKE))
    answer = chat().with_structured_output(Joke, include_raw=True).invoke("x")
    assert isinstance(answer["raw"], AIMessage)
    assert answer["raw"].usage_metadata is not None
    assert answer["parsed"] == Joke(**DOCUMENT)
    assert answer["parsing_error"] is None


def test_unparsable_answer_raises_or_is_the_parsing_error(chat: Make, lmstudio_emulator: Emulator) -> None:
    cut = Reply('{"setup": "Why?"', stop_reason="maxPredictedTokensReached")
    lmstudio_emulator.script(cut, cut)
    with pytest.raises(OutputParserException):
        chat().with_structured_output(Joke).invoke("x")
    answer = chat().with_structured_output(Joke, include_raw=True).invoke("x")
    assert answer["parsed"] is None
    assert isinstance(answer["parsing_error"], OutputParserException)
    assert answer["raw"].response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_document_that_does_not_fit_the_class_raises_however_it_is_asked_for(
    chat: Make, lmstudio_emulator: Emulator, method: Any, way: str
) -> None:
    wrong = {"setup": "Why?", "punchline": 5}
    reply = Reply(tool_calls=[ToolCall("Joke", wrong)]) if method == "function_calling" else Reply(json.dumps(wrong))
    lmstudio_emulator.script(reply, reply)
    for include_raw in (False, True):
        chain = chat().with_structured_output(Joke, method=method, include_raw=include_raw)
        if include_raw and "stream" not in way:
            (answer,) = await _parts(chain, way)
            assert answer["parsed"] is None
            assert "punchline" in str(answer["parsing_error"])
        else:  # in a stream, the raw message has been handed out before
            with pytest.raises((OutputParserException, ValidationError), match="punchline"):
                await _parts(chain, way)


async def _parts(chain: Any, way: str) -> list[Any]:
    if way == "astream":
        return [part async for part in chain.astream("x")]
    if way == "ainvoke":
        return [await chain.ainvoke("x")]
    return await asyncio.to_thread(lambda: list(chain.stream("x")) if way == "stream" else [chain.invoke("x")])


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_number_that_is_not_json_is_no_document(
    chat: Make, lmstudio_emulator: Emulator, number: str, way: str
) -> None:
    lmstudio_emulator.script(Reply(f'{{"setup": "Why?", "punchline": {number}}}'))
    with pytest.raises(LMStudioStructuredOutputError, match="expected a JSON document"):
        await _parts(chat().with_structured_output(SCHEMA), way)


async def test_document_in_the_reasoning_is_parsed(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(*[Reply(reasoning=JOKE)] * 3)
    model = chat().with_structured_output(Joke)
    assert model.invoke("x") == await model.ainvoke("x") == list(model.stream("x"))[-1] == Joke(**DOCUMENT)


def test_unsupported_schema_raises_in_with_structured_output(chat: Make) -> None:
    schema = {"title": "x", "type": "object", "properties": {"a": {"not": {"type": "string"}}}}
    with pytest.raises(ValueError, match="'not'"):
        chat().with_structured_output(schema)


@pytest.mark.parametrize(
    ("schema", "method", "named"), [(None, "json_schema", "json_mode"), (Joke, "magic", "'magic'")]
)
def test_invalid_arguments_raise(chat: Make, schema: Any, method: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        chat().with_structured_output(schema, method=method)


def test_function_calling_returns_one_call(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(tool_calls=[ToolCall("Joke", DOCUMENT), ToolCall("Joke", DOCUMENT)]))
    answer = chat().with_structured_output(Joke, method="function_calling", include_raw=True).invoke("x")
    assert len(answer["raw"].tool_calls) == 1


def test_other_keywords_reach_the_server(chat: Make, lmstudio_emulator: Emulator) -> None:
    chat().with_structured_output(Joke, temperature=0.5).invoke("x")
    assert prediction_settings(lmstudio_emulator)["llm.prediction.temperature"] == 0.5


def test_response_format_of_a_call_is_sent(chat: Make, lmstudio_emulator: Emulator) -> None:
    chat().invoke("x", response_format={"type": "gbnf", "gbnfGrammar": 'root ::= "yes"'})
    assert prediction_settings(lmstudio_emulator)[STRUCTURED] == {"type": "gbnf", "gbnfGrammar": 'root ::= "yes"'}


class OpenJoke(TypedDict):
    """A joke."""

    setup: str
    punchline: NotRequired[str]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_typed_dict_with_keys_that_may_be_missing_is_a_schema(
    lmstudio_emulator: Emulator, chat: Make, method: Any
) -> None:
    called = Reply(tool_calls=[ToolCall("OpenJoke", {"setup": "Why?"})])
    lmstudio_emulator.script(called if method == "function_calling" else Reply('{"setup": "Why?"}'))
    assert chat().with_structured_output(OpenJoke, method=method).invoke("x") == {"setup": "Why?"}
    if method == "json_schema":
        sent = prediction_settings(lmstudio_emulator)[STRUCTURED]["jsonSchema"]
        assert (sent["required"], list(sent["properties"])) == (["setup"], ["setup", "punchline"])


NAMED = ToolCall("Joke", DOCUMENT)
OTHER = ToolCall("Joke", {"setup": "Who?", "punchline": "Me."})
BROKEN = FailedToolCall("Joke", '{"setup": "Wh')


@pytest.mark.parametrize(
    ("calls", "document"),
    [
        ([NAMED], DOCUMENT),
        ([NAMED, OTHER], DOCUMENT),
        ([NAMED, BROKEN], DOCUMENT),
        ([ToolCall("look", {"q": "x"}), NAMED], DOCUMENT),
        ([ToolCall("Joke", DOCUMENT, brief=True), OTHER], DOCUMENT),
        ([BROKEN], None),
        ([BROKEN, NAMED], None),
        ([FailedToolCall("look", '{"q'), NAMED], DOCUMENT),
    ],
)
async def test_answer_by_a_tool_is_the_same_text_complete_and_streamed(
    lmstudio_emulator: Emulator, chat: Make, calls: list[Any], document: dict[str, str] | None
) -> None:
    look = {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"q": {}}}}
    model = chat().bind_tools([look], response_format=Joke)
    lmstudio_emulator.script(*[Reply("Here it is. ", tool_calls=calls) for _ in range(4)])

    def joined(chunks: list[Any]) -> Any:
        return add_ai_message_chunks(*chunks)

    async def astream() -> Any:
        return joined([chunk async for chunk in model.astream("x")])

    ways: list[Any] = [
        lambda: model.ainvoke("x"),
        astream,
        lambda: asyncio.to_thread(model.invoke, "x"),
        lambda: asyncio.to_thread(lambda: joined(list(model.stream("x")))),
    ]
    texts = set()
    for way in ways:
        if document is None:
            with pytest.raises(LMStudioStructuredOutputError, match="could not be parsed"):
                await way()
        else:
            message = await way()
            texts.add((message.text, str([call["name"] for call in message.tool_calls])))
    assert len(texts) == (document is not None)
    assert all(json.loads(text) == document for text, _ in texts)
