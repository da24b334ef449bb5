"""Incomplete structured answers and forced calls are errors on both sides (number 11), and nothing is repaired."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.exceptions import ModelError, OutputParserException
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from lmstudio_integrations.client.schemas import raise_for_incomplete_answer
from lmstudio_integrations.emulator import Emulator, FailedToolCall, Reply, ToolCall
from lmstudio_integrations.errors import LMStudioStructuredOutputError
from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.langchain.middleware import InvalidToolCallMiddleware
from lmstudio_integrations.llama_index import LMStudio


class Person(BaseModel):
    name: str
    age: int = 0


DOCUMENT = '{"name": "Ann"}'
QUESTION: Any = {"messages": [("user", "x")]}
ASK = [ChatMessage(role="user", content="x")]
FAILED = FailedToolCall("Person", '{"name": "A', raw_content='<tool_call>{"name": "A')
INCOMPLETE = {
    "truncated by the token limit": (
        Reply('{"name": "Ann", "age": 3', stop_reason="maxPredictedTokensReached"),
        "max_tokens",
    ),
    "complete at the token limit": (Reply(DOCUMENT, stop_reason="maxPredictedTokensReached"), "max_tokens"),
    "truncated by the context": (Reply('{"name": "Ann"', stop_reason="contextLengthReached"), "context"),
    "cancelled": (Reply('{"name": "Ann"', stop_reason="userStopped"), "cancelled"),
    "truncated by a stop string": (Reply('{"name": "Ann"', stop_reason="stopStringFound"), "stopStringFound"),
    "truncated without a reason": (Reply('{"name": "Ann", "age": 3'), "JSON document"),
    "two documents": (Reply('{"name": "Ann"}{"name": "Bob"}'), "JSON document"),
    "prose": (Reply("Sorry, no."), "JSON document"),
    "empty": (Reply(""), "JSON document"),
    "reasoning truncated": (Reply("", reasoning='{"name"', stop_reason="maxPredictedTokensReached"), "max_tokens"),
}


def lc(server: Emulator) -> ChatLMStudio:
    return ChatLMStudio(model="emulator/chat", base_url=server.url)


def li(server: Emulator) -> LMStudio:
    return LMStudio(model="emulator/chat", base_url=server.url)


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def drain(stream: Any) -> list[Any]:
    return [item async for item in stream]


LANGCHAIN: dict[str, Callable[[ChatLMStudio], Any]] = {
    "pydantic": lambda model: model.with_structured_output(Person).invoke("x"),
    "dict": lambda model: model.with_structured_output(Person.model_json_schema()).invoke("x"),
    "JSON mode, streamed": lambda model: list(model.with_structured_output(method="json_mode").stream("x")),
    "awaited": lambda model: asyncio.run(model.with_structured_output(Person).ainvoke("x")),
    "awaited stream": lambda model: asyncio.run(drain(model.with_structured_output(Person).astream("x"))),
    "response_format": lambda model: model.invoke("x", response_format=Person),
    "response_format, streamed": lambda model: list(model.stream("x", response_format=Person)),
    "response_format with tools": lambda model: model.bind_tools([add], response_format=Person).invoke("x"),
    "agent": lambda model: create_agent(model, [add], response_format=Person).invoke(QUESTION),
}
LLAMA_INDEX: dict[str, Callable[[LMStudio], Any]] = {
    "structured_predict": lambda llm: llm.structured_predict(Person, PromptTemplate("x")),
    "stream_structured_predict": lambda llm: list(llm.stream_structured_predict(Person, PromptTemplate("x"))),
    "astructured_predict": lambda llm: asyncio.run(llm.astructured_predict(Person, PromptTemplate("x"))),
    "as_structured_llm": lambda llm: llm.as_structured_llm(Person).chat(ASK),
    "response_format": lambda llm: llm.chat(ASK, response_format=Person),
    "response_format, streamed": lambda llm: list(llm.stream_chat(ASK, response_format=Person)),
    "response_format, completion": lambda llm: llm.complete("x", response_format=Person),
}


@pytest.mark.parametrize("ending", INCOMPLETE)
@pytest.mark.parametrize("way", LANGCHAIN)
def test_langchain_raises_for_an_incomplete_document(lmstudio_emulator: Emulator, way: str, ending: str) -> None:
    reply, words = INCOMPLETE[ending]
    lmstudio_emulator.script(reply)
    with pytest.raises(OutputParserException) as caught:
        LANGCHAIN[way](lc(lmstudio_emulator))
    assert isinstance(caught.value, ModelError)
    assert not caught.value.is_retryable
    answer_tool = way in ("response_format with tools", "agent") and words == "JSON document"
    assert ("a call of the tool 'Person'" if answer_tool else words) in str(caught.value)
    assert len(predictions(lmstudio_emulator)) == 1, "it is not sent again"


@pytest.mark.parametrize("ending", INCOMPLETE)
@pytest.mark.parametrize("way", LLAMA_INDEX)
def test_llama_index_raises_for_an_incomplete_document(lmstudio_emulator: Emulator, way: str, ending: str) -> None:
    reply, words = INCOMPLETE[ending]
    lmstudio_emulator.script(reply)
    with pytest.raises(LMStudioStructuredOutputError, match=words):
        LLAMA_INDEX[way](li(lmstudio_emulator))


def predictions(server: Emulator) -> list[Any]:
    return [request for request in server.requests if request.message.get("endpoint") == "predict"]


@pytest.mark.parametrize("text", [DOCUMENT, f"```json\n{DOCUMENT}\n```", f"  ```\n{DOCUMENT}\n```\n"])
def test_complete_document_is_read_within_a_code_fence_too(lmstudio_emulator: Emulator, text: str) -> None:
    lmstudio_emulator.script(Reply(text), Reply(text), Reply(text, stop_reason="stopStringFound"))
    assert lc(lmstudio_emulator).with_structured_output(Person).invoke("x") == Person(name="Ann")
    assert li(lmstudio_emulator).structured_predict(Person, PromptTemplate("x")) == Person(name="Ann")
    assert lc(lmstudio_emulator).with_structured_output(Person).invoke("x") == Person(name="Ann")


def test_include_raw_has_the_error_and_the_raw_answer(lmstudio_emulator: Emulator) -> None:
    for method in ("json_schema", "json_mode"):
        lmstudio_emulator.script(INCOMPLETE["truncated by the token limit"][0])
        both = lc(lmstudio_emulator).with_structured_output(Person, method=method, include_raw=True).invoke("x")
        assert isinstance(both, dict)
        assert both["raw"].content == '{"name": "Ann", "age": 3'
        assert both["parsed"] is None
        assert "max_tokens" in str(both["parsing_error"])


def test_raise_incomplete_false_returns_the_answer_as_it_is(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(*[Reply('{"name"', stop_reason="maxPredictedTokensReached")] * 2)
    answer = lc(lmstudio_emulator).invoke("x", response_format=Person, raise_incomplete=False)
    assert (answer.content, answer.response_metadata["finish_reason"]) == ('{"name"', "length")
    response = li(lmstudio_emulator).chat(ASK, response_format=Person, raise_incomplete=False)
    assert response.message.content == '{"name"'


UNREADABLE_CALLS = {
    "failed": (Reply(tool_calls=[FAILED]), "could not be parsed: .*not valid JSON"),
    "failed at the token limit": (Reply(tool_calls=[FAILED], stop_reason="maxPredictedTokensReached"), "max_tokens"),
    "text at the token limit": (Reply("Well", stop_reason="maxPredictedTokensReached"), "max_tokens"),
    "failed, context full": (Reply(tool_calls=[FAILED], stop_reason="contextLengthReached"), "context was full"),
    "failed, cancelled": (Reply(tool_calls=[FAILED], stop_reason="userStopped"), "cancelled"),
}


@pytest.mark.parametrize("ending", UNREADABLE_CALLS)
def test_forced_call_that_cannot_be_read_is_an_error_in_langchain(lmstudio_emulator: Emulator, ending: str) -> None:
    reply, words = UNREADABLE_CALLS[ending]
    model = lc(lmstudio_emulator)
    for call in (
        lambda: model.bind_tools([Person], tool_choice="any").invoke("x"),
        lambda: list(model.bind_tools([Person], tool_choice="Person").stream("x")),
        lambda: model.with_structured_output(Person, method="function_calling").invoke("x"),
        lambda: list(model.with_structured_output(Person, method="function_calling").stream("x")),
        lambda: create_agent(model, [add], response_format=ToolStrategy(Person)).invoke(QUESTION),
    ):
        lmstudio_emulator.script(reply)
        with pytest.raises(OutputParserException, match=words):
            call()


@pytest.mark.parametrize("ending", UNREADABLE_CALLS)
def test_forced_call_that_cannot_be_read_is_an_error_in_llama_index(lmstudio_emulator: Emulator, ending: str) -> None:
    reply, words = UNREADABLE_CALLS[ending]
    lmstudio_emulator.script(reply)
    with pytest.raises(LMStudioStructuredOutputError, match=words):
        li(lmstudio_emulator).chat_with_tools([FunctionTool.from_defaults(add)], user_msg="x", tool_required=True)


@pytest.mark.parametrize("text", ["no", ""])
def test_function_calling_without_a_call_is_an_error(lmstudio_emulator: Emulator, text: str) -> None:
    lmstudio_emulator.script(Reply(text))
    with pytest.raises(OutputParserException, match="expected a call of the tool 'Person'"):
        lc(lmstudio_emulator).with_structured_output(Person, method="function_calling").invoke("x")


def test_agents_step_before_its_structured_answer_is_no_error(lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(
        Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Reply(tool_calls=[ToolCall("Person", {"name": "Ann"})])
    )
    agent: Any = create_agent(lc(lmstudio_emulator), [add], response_format=Person)
    assert agent.invoke(QUESTION)["structured_response"] == Person(name="Ann")


async def test_several_answer_calls_are_one_answer_streamed_or_not(lmstudio_emulator: Emulator) -> None:
    reply = Reply("Here: ", tool_calls=[ToolCall("Person", {"name": "Ann"}), ToolCall("Person", {"name": "Bob"})])
    lmstudio_emulator.script(*[reply] * 2)
    bound: Any = lc(lmstudio_emulator).bind_tools([add], response_format=Person)
    whole = bound.invoke("x").content
    streamed = "".join(chunk.content for chunk in bound.stream("x"))
    assert Person.model_validate_json(whole) == Person.model_validate_json(streamed) == Person(name="Ann")


async def test_middleware_repeats_a_forced_call_that_could_not_be_parsed(lmstudio_emulator: Emulator) -> None:
    answer = Reply(tool_calls=[ToolCall("Person", {"name": "Ann"})])
    for strategy in (Person, ToolStrategy(Person)):
        for awaited in (False, True):
            lmstudio_emulator.script(Reply(tool_calls=[FAILED]), answer)
            agent: Any = create_agent(
                lc(lmstudio_emulator), [add], response_format=strategy, middleware=[InvalidToolCallMiddleware()]
            )
            state = await agent.ainvoke(QUESTION) if awaited else agent.invoke(QUESTION)
            assert state["structured_response"] == Person(name="Ann")


def test_middleware_stops_after_max_retries_and_repeats_no_truncated_answer(lmstudio_emulator: Emulator) -> None:
    truncated = Reply(tool_calls=[FAILED], stop_reason="maxPredictedTokensReached")
    for replies, sent in (([Reply(tool_calls=[FAILED])] * 3, 3), ([truncated], 1)):
        lmstudio_emulator.clear_record()
        lmstudio_emulator.script(*replies)
        agent: Any = create_agent(
            lc(lmstudio_emulator), [add], response_format=Person, middleware=[InvalidToolCallMiddleware(max_retries=2)]
        )
        with pytest.raises(OutputParserException):
            agent.invoke(QUESTION)
        assert len(predictions(lmstudio_emulator)) == sent


@pytest.mark.parametrize("stop_reason", ["eosFound", "toolCalls", ""])
def test_natural_end_with_a_document_or_call_is_complete(stop_reason: str) -> None:
    raise_for_incomplete_answer(stop_reason, DOCUMENT, [], [], document=True)
    raise_for_incomplete_answer(stop_reason, "", ["Person"], [], document=True, answer_tool="Person")
    raise_for_incomplete_answer(stop_reason, "Well", [], [], document=False)
    raise_for_incomplete_answer("maxPredictedTokensReached", "", ["add"], ["x"], document=True, answer_tool="Person")
