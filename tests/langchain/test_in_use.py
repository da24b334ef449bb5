"""As people use it: agents, graphs, chains and summaries, on top of the adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel
from typing_extensions import TypedDict

from lmstudio_integrations.emulator import Emulator, Reply, ToolCall
from lmstudio_integrations.langchain import PROMPT_PROGRESS, ChatLMStudio, LMStudioEmbeddings
from tests.sent_requests import prediction_history, prediction_settings, predictions

Make = Callable[..., ChatLMStudio]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Sum(BaseModel):
    """The sum."""

    total: int


QUESTION: Any = {"messages": [HumanMessage("How much is 1 + 2?")]}


# Agents


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_agent_calls_its_tool_and_answers(chat: Make, lmstudio_emulator: Emulator, version: str) -> None:
    lmstudio_emulator.script(Reply(reasoning="hm", tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Reply("Three."))
    agent = create_agent(chat(output_version=version), tools=[add])
    messages = agent.invoke(QUESTION)["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert messages[2].content == "3"
    assert messages[-1].text == "Three."
    user, said, result = prediction_history(lmstudio_emulator)
    assert (user["role"], said["role"], result["role"]) == ("user", "assistant", "tool")
    assert said["content"][0]["text"] == "<think>hm</think>"


async def test_agent_awaits_parallel_calls(chat: Make, lmstudio_emulator: Emulator) -> None:
    calls = [ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 1, "b": 2})]
    lmstudio_emulator.script(Reply(tool_calls=calls), Reply("Three, twice."))
    messages = (await create_agent(chat(), tools=[add]).ainvoke(QUESTION))["messages"]
    assert [message.content for message in messages if isinstance(message, ToolMessage)] == ["3", "3"]
    assert len(prediction_history(lmstudio_emulator)[-1]["content"]) == 2


@pytest.mark.parametrize("response_format", [Sum, ProviderStrategy(Sum), ToolStrategy(Sum)])
def test_agent_with_tools_returns_a_structured_response(
    chat: Make, lmstudio_emulator: Emulator, response_format: Any
) -> None:
    lmstudio_emulator.script(
        Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Reply(tool_calls=[ToolCall("Sum", {"total": 3})])
    )
    state = create_agent(chat(), tools=[add], response_format=response_format).invoke(QUESTION)
    assert state["structured_response"] == Sum(total=3)
    assert prediction_settings(lmstudio_emulator)["llm.prediction.toolChoice"]["mode"] == "required"


@pytest.mark.parametrize("response_format", [Sum, ProviderStrategy(Sum)])
def test_agent_without_tools_uses_the_grammar(chat: Make, lmstudio_emulator: Emulator, response_format: Any) -> None:
    lmstudio_emulator.script(Reply('{"total": 3}'))
    state = create_agent(chat(), tools=[], response_format=response_format).invoke(QUESTION)
    assert state["structured_response"] == Sum(total=3)
    assert prediction_settings(lmstudio_emulator)["llm.prediction.structured"]["type"] == "json"


def test_agent_retries_only_retryable_errors(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(error="busy"), Reply("Three."))
    agent = create_agent(chat(), tools=[], middleware=[ModelRetryMiddleware(max_retries=1, initial_delay=0.0)])
    assert agent.invoke(QUESTION)["messages"][-1].text == "Three."


@pytest.mark.parametrize("exact", [False, True])
def test_summarization_middleware_summarizes_at_a_fraction_of_the_context(
    chat: Make, lmstudio_emulator: Emulator, exact: bool
) -> None:
    model = chat().with_profile()
    counter: Any = {"token_counter": model.get_num_tokens_from_messages} if exact else {}
    middleware = SummarizationMiddleware(model=model, trigger=("fraction", 0.5), keep=("messages", 1), **counter)
    agent = create_agent(model, tools=[], middleware=[middleware])
    few: Any = {"messages": [HumanMessage("few words"), AIMessage("yes"), HumanMessage("and?")]}
    agent.invoke(few)
    assert len(predictions(lmstudio_emulator)) == 1
    rounds = [message for _ in range(6) for message in (HumanMessage("many words " * 200), AIMessage("yes"))]
    many: Any = {"messages": [*rounds, HumanMessage("and?")]}
    lmstudio_emulator.script(Reply("They said many words."), Reply("Yes."))
    messages = agent.invoke(many)["messages"]
    assert len(predictions(lmstudio_emulator)) == 3
    assert "They said many words." in messages[0].text


def test_summarization_middleware_raises_without_a_known_context(chat: Make) -> None:
    known = chat(context_length=2048)
    SummarizationMiddleware(model=known, trigger=("fraction", 0.5))
    unknown = chat(profile={"tool_calling": True})
    with pytest.raises(ValueError, match="profile"):
        SummarizationMiddleware(model=unknown, trigger=("fraction", 0.5))


# Graphs


class State(TypedDict):
    messages: Annotated[list[Any], add_messages]


def graph(model: ChatLMStudio) -> Any:
    def call(state: State, config: RunnableConfig) -> Any:
        return {"messages": [model.invoke(state["messages"], config)]}

    async def acall(state: State, config: RunnableConfig) -> Any:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    from langchain_core.runnables import RunnableLambda

    made = StateGraph(State)
    made.add_node("model", RunnableLambda(call, acall))
    made.add_edge(START, "model")
    made.add_edge("model", END)
    return made.compile()


async def test_graph_streams_tokens_once_and_the_complete_message_last(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply("one two three"), Reply("one two three"))
    compiled = graph(chat())
    for streamed in (
        list(compiled.stream(QUESTION, stream_mode=["messages", "values", "updates"])),
        [part async for part in compiled.astream(QUESTION, stream_mode=["messages", "values", "updates"])],
    ):
        tokens = [part[0] for mode, part in streamed if mode == "messages"]
        assert all(isinstance(token, AIMessageChunk) for token in tokens)
        assert [token.content for token in tokens] == ["one", " two", " three", ""]
        assert len({token.id for token in tokens}) == 1
        values = [part for mode, part in streamed if mode == "values"]
        assert values[-1]["messages"][-1].content == "one two three"
        assert values[-1]["messages"][-1].usage_metadata is not None
        assert [list(part) for mode, part in streamed if mode == "updates"] == [["model"]]


async def test_events_of_a_graph_have_progress_and_tokens(chat: Make) -> None:
    events = [event async for event in graph(chat()).astream_events(QUESTION, version="v2")]
    names = {event["event"] for event in events}
    assert {"on_chat_model_stream", "on_chat_model_end", "on_custom_event"} <= names
    assert {event["name"] for event in events if event["event"] == "on_custom_event"} == {PROMPT_PROGRESS}


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_graph_streams_the_native_protocol(chat: Make, lmstudio_emulator: Emulator) -> None:
    lmstudio_emulator.script(Reply(reasoning="hm", text="one two three"))
    stream = await graph(chat()).astream_events(QUESTION, version="v3")
    texts = [[text async for text in message.text] async for message in stream.messages]
    assert texts == [["one", " two", " three"]]


def test_graph_streams_debug_and_custom_modes(chat: Make) -> None:
    modes = [mode for mode, _ in graph(chat()).stream(QUESTION, stream_mode=["debug", "custom", "tasks"])]
    assert {"debug", "tasks"} <= set(modes)


# Chains


async def test_chain_parses_while_streaming(chat: Make, lmstudio_emulator: Emulator) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "You are brief."), ("user", "{question}")])
    lmstudio_emulator.script(Reply("one two"), Reply("one two"), Reply(fragments=['{"a": ', "1", ', "b": 2}']))
    text = prompt | chat() | StrOutputParser()
    assert list(text.stream({"question": "x"})) == ["one", " two", ""]
    assert [part async for part in text.astream({"question": "x"})] == ["one", " two", ""]
    parts = list((prompt | chat() | JsonOutputParser()).stream({"question": "x"}))
    assert parts[-1] == {"a": 1, "b": 2}
    assert len(parts) > 1


def test_chain_uses_a_retriever(chat: Make, lmstudio_emulator: Emulator) -> None:
    embeddings = LMStudioEmbeddings(model="emulator/embedding", base_url=lmstudio_emulator.url)
    store = InMemoryVectorStore.from_texts(["the cat sat on the mat", "stocks fell on monday"], embeddings)
    prompt = ChatPromptTemplate.from_template("Answer from this: {context}\n\nQuestion: {question}")
    found = store.as_retriever(search_kwargs={"k": 1}) | (lambda documents: documents[0].page_content)
    chain = {"context": found, "question": RunnablePassthrough()} | prompt | chat() | StrOutputParser()
    assert "the cat sat on the mat" in chain.invoke("where the cat sat")
