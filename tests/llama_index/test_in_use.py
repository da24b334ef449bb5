"""LlamaIndex's own agents, engines and pipelines on top of both classes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    CodeActAgent,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.chat_engine import CondensePlusContextChatEngine
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.query_engine import RetrieverQueryEngine, RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import Refine
from llama_index.core.schema import MetadataMode
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool

from lmstudio_integrations.emulator import Emulator, Reply, ToolCall
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding
from tests.sent_requests import creations, settings

TEXTS = {
    "cats": "Cats sleep sixteen hours a day and purr.",
    "trains": "Trains run on rails and are pulled by locomotives.",
    "bread": "Bread is made of flour, water, salt and yeast.",
}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


TWO_TOOLS: list[Any] = [add, multiply]


async def run(agent: Any, question: str) -> tuple[Any, list[Any]]:
    # Without a memory of its own an agent opens a database in memory, which it never closes.
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000, tokenizer_fn=str.split)
    handler = agent.run(user_msg=question, memory=memory)
    events = [event async for event in handler.stream_events()]
    return await handler, events


def thought_out(server: Emulator) -> None:
    server.script(
        Reply(reasoning="First the sum.", tool_calls=[ToolCall("add", {"a": 2, "b": 3})]),
        Reply("Now the product.", tool_calls=[ToolCall("multiply", {"a": 5, "b": 4})]),
        Reply("It is twenty."),
    )


@pytest.mark.parametrize("streaming", [True, False])
async def test_function_agent_uses_both_tools(server: Emulator, llm: LMStudio, streaming: bool) -> None:
    thought_out(server)
    agent = FunctionAgent(tools=TWO_TOOLS, llm=llm, streaming=streaming, system_prompt="You calculate.")
    answer, events = await run(agent, "(2+3)*4?")
    assert str(answer) == "It is twenty."
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert [(result.tool_name, result.tool_output.raw_output) for result in results] == [("add", 5), ("multiply", 20)]
    assert len({result.tool_id for result in results}) == 2
    if streaming:
        deltas = [event for event in events if isinstance(event, AgentStream)]
        assert "".join(event.delta for event in deltas) == "Now the product.It is twenty."
        assert "".join(event.thinking_delta or "" for event in deltas) == "First the sum."
        assert any(event.raw and event.raw["usage"] for event in deltas)
    outputs = [event for event in events if isinstance(event, AgentOutput)]
    raw: Any = outputs[0].raw
    assert raw["finish_reason"] == "tool_calls"


async def test_agent_sends_back_what_the_model_wrote(server: Emulator, llm: LMStudio) -> None:
    thought_out(server)
    await run(FunctionAgent(tools=TWO_TOOLS, llm=llm), "(2+3)*4?")
    turns = [creation["history"]["messages"] for creation in creations(server)]
    assert [message["role"] for message in turns[2]] == ["user", "assistant", "tool", "assistant", "tool"]
    assert turns[2][: len(turns[1])] == turns[1]
    assert turns[2][2]["content"][0]["name"] == "add"
    assert turns[2][4]["content"][0]["content"] == "20"


async def test_agent_runs_parallel_calls(server: Emulator, llm: LMStudio) -> None:
    same = ToolCall("add", {"a": 1, "b": 1})
    server.script(Reply(tool_calls=[same, same, ToolCall("multiply", {"a": 3, "b": 3})]), Reply("2, 2 and 9."))
    answer, events = await run(FunctionAgent(tools=TWO_TOOLS, llm=llm), "Go.")
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert sorted(result.tool_output.raw_output for result in results) == [2, 2, 9]
    assert str(answer) == "2, 2 and 9."


async def test_initial_tool_choice_of_an_agent_is_sent(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply(tool_calls=[ToolCall("multiply", {"a": 2, "b": 2})]), Reply("Four."))
    agent = FunctionAgent(tools=TWO_TOOLS, llm=llm, initial_tool_choice="multiply")
    await run(agent, "2*2?")
    first, second = (settings(creation) for creation in creations(server))
    assert [tool["function"]["name"] for tool in first["llm.prediction.tools"]["tools"]] == ["multiply"]
    assert len(second["llm.prediction.tools"]["tools"]) == 2


async def test_agents_hand_off_to_each_other(server: Emulator, llm: LMStudio) -> None:
    server.script(
        Reply(tool_calls=[ToolCall("handoff", {"to_agent": "multiplier", "reason": "It is a product."})]),
        Reply(tool_calls=[ToolCall("multiply", {"a": 6, "b": 7})]),
        Reply("Forty-two."),
    )
    adder = FunctionAgent(
        name="adder", description="adds", tools=[add], llm=llm, system_prompt="Add.", can_handoff_to=["multiplier"]
    )
    multiplier = FunctionAgent(
        name="multiplier", description="multiplies", tools=[multiply], llm=llm, system_prompt="Multiply."
    )
    answer, events = await run(AgentWorkflow(agents=[adder, multiplier], root_agent="adder"), "6*7?")
    assert str(answer) == "Forty-two."
    names = {event.current_agent_name for event in events if isinstance(event, AgentStream)}
    assert names == {"adder", "multiplier"}


async def test_workflow_picks_the_function_agent_by_metadata(server: Emulator, llm: LMStudio) -> None:
    thought_out(server)
    workflow = AgentWorkflow.from_tools_or_functions(TWO_TOOLS, llm=llm, system_prompt="You calculate.")
    assert isinstance(next(iter(workflow.agents.values())), FunctionAgent)
    answer, _ = await run(workflow, "(2+3)*4?")
    assert str(answer) == "It is twenty."


async def test_workflow_picks_react_for_a_model_without_tools(server: Emulator, llm: LMStudio) -> None:
    plain = llm.model_copy(update={"is_function_calling_model": False})
    workflow = AgentWorkflow.from_tools_or_functions(TWO_TOOLS, llm=plain)
    assert isinstance(next(iter(workflow.agents.values())), ReActAgent)


# LlamaIndex's agent asks its workflow in a way that the workflow package no longer likes.
@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")
@pytest.mark.parametrize("streaming", [True, False])
async def test_react_agent_works_with_text(server: Emulator, llm: LMStudio, streaming: bool) -> None:
    server.script(
        Reply('Thought: I need a sum.\nAction: add\nAction Input: {"a": 2, "b": 3}'),
        Reply("Thought: I can answer without using any more tools.\nAnswer: Five."),
    )
    answer, events = await run(ReActAgent(tools=TWO_TOOLS, llm=llm, streaming=streaming), "2+3?")
    assert str(answer) == "Five."
    (result,) = [event for event in events if isinstance(event, ToolCallResult)]
    assert result.tool_output.raw_output == 5
    assert "Observation: 5" in json.dumps(creations(server)[1]["history"])


async def test_code_act_agent_runs_the_code_of_the_model(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("<execute>\nprint(add(2, 3))\n</execute>"), Reply("Five."))
    ran: list[str] = []

    async def execute(code: str) -> str:
        ran.append(code)
        return "5"

    answer, _ = await run(CodeActAgent(code_execute_fn=execute, tools=TWO_TOOLS, llm=llm), "2+3?")
    assert ran == ["print(add(2, 3))"]
    assert str(answer) == "Five."


# Query engines


@pytest.fixture
def index(embed_model: LMStudioEmbedding) -> VectorStoreIndex:
    documents = [Document(text=text, doc_id=name) for name, text in TEXTS.items()]
    return VectorStoreIndex.from_documents(documents, embed_model=embed_model, transformations=[TokenTextSplitter()])


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize"])
@pytest.mark.parametrize("streaming", [True, False])
def test_query_engine_answers_with_sources(
    server: Emulator, llm: LMStudio, index: VectorStoreIndex, mode: str, streaming: bool
) -> None:
    server.script(*[Reply("Sixteen hours.")] * 3)
    engine: Any = index.as_query_engine(llm=llm, response_mode=mode, streaming=streaming, similarity_top_k=2)
    response = engine.query("How long do cats sleep?")
    text = "".join(response.response_gen) if streaming else response.response
    assert text == "Sixteen hours."
    assert response.source_nodes[0].node.ref_doc_id == "cats"
    assert len(creations(server)) == (2 if mode == "refine" else 1)
    assert TEXTS["cats"] in json.dumps(creations(server)[0]["history"])


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize"])
async def test_query_engine_answers_asynchronously(
    server: Emulator, llm: LMStudio, index: VectorStoreIndex, mode: str
) -> None:
    server.script(*[Reply("Sixteen hours.")] * 6)
    engine: Any = index.as_query_engine(llm=llm, response_mode=mode, similarity_top_k=2)
    assert (await engine.aquery("How long do cats sleep?")).response == "Sixteen hours."
    streaming: Any = index.as_query_engine(llm=llm, response_mode=mode, streaming=True, similarity_top_k=2)
    response = await streaming.aquery("How long do cats sleep?")
    assert "".join([token async for token in response.async_response_gen()]) == "Sixteen hours."


def test_llm_and_embedding_work_as_global_settings(
    server: Emulator, llm: LMStudio, embed_model: LMStudioEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_llm", "_embed_model", "_callback_manager", "_tokenizer", "_prompt_helper", "_transformations"):
        monkeypatch.setattr(Settings, name, getattr(Settings, name))
    Settings.llm, Settings.embed_model = llm, embed_model
    Settings.transformations = [TokenTextSplitter()]
    server.script(Reply("Sixteen hours."))
    engine = VectorStoreIndex.from_documents([Document(text=TEXTS["cats"])]).as_query_engine()
    assert str(engine.query("How long do cats sleep?")) == "Sixteen hours."


def test_sources_are_packed_into_the_context_window(server: Emulator, embed_model: LMStudioEmbedding) -> None:
    llm = LMStudio(model="emulator/chat", base_url=server.url, max_tokens=512)
    words = " ".join(f"word{number}" for number in range(3000))
    index = VectorStoreIndex.from_documents(
        [Document(text=words)], embed_model=embed_model, transformations=[TokenTextSplitter(chunk_size=1000)]
    )
    engine: Any = index.as_query_engine(llm=llm, similarity_top_k=20)
    engine.query("What?")
    assert len(creations(server)) > 1
    for sent in server.sent:
        packet = sent.message.get("message", {})
        if packet.get("type") == "success":
            assert packet["stats"]["promptTokensCount"] + 512 <= 4096


def test_structured_query_returns_objects(server: Emulator, llm: LMStudio, index: VectorStoreIndex) -> None:
    from pydantic import BaseModel

    class Sleep(BaseModel):
        hours: int

    server.script(Reply('{"hours": 16}'))
    engine: Any = index.as_query_engine(llm=llm.as_structured_llm(Sleep), response_mode="tree_summarize")
    response = engine.query("How long do cats sleep?")
    assert response.response == Sleep(hours=16)


def test_structured_answer_filtering_works_in_refine(server: Emulator, llm: LMStudio, index: VectorStoreIndex) -> None:
    server.script(
        Reply(tool_calls=[ToolCall("StructuredRefineResponse", {"answer": "Nothing.", "query_satisfied": False})]),
        Reply(tool_calls=[ToolCall("StructuredRefineResponse", {"answer": "Sixteen.", "query_satisfied": True})]),
    )
    engine = RetrieverQueryEngine(
        index.as_retriever(similarity_top_k=2), Refine(llm=llm, structured_answer_filtering=True)
    )
    assert str(engine.query("How long do cats sleep?")) == "Sixteen."
    choices = [settings(creation)["llm.prediction.toolChoice"]["mode"] for creation in creations(server)]
    assert choices == ["required", "required"]


def engine_tools(llm: LMStudio, index: VectorStoreIndex) -> list[QueryEngineTool]:
    engine = index.as_query_engine(llm=llm, similarity_top_k=1)
    return [
        QueryEngineTool.from_defaults(engine, name=name, description=f"about {name}") for name in ("cats", "trains")
    ]


@pytest.mark.parametrize("selector", ["text", "pydantic"])
async def test_router_chooses_a_query_engine(
    server: Emulator, llm: LMStudio, index: VectorStoreIndex, selector: str
) -> None:
    made: Any
    if selector == "text":
        made = LLMSingleSelector.from_defaults(llm=llm)
        choice = Reply('[{"choice": 2, "reason": "rails"}]')
    else:
        made = PydanticSingleSelector.from_defaults(llm=llm)
        choice = Reply(tool_calls=[ToolCall("SingleSelection", {"index": 2, "reason": "rails"})])
    server.script(choice, Reply("On rails."), choice, Reply("On rails."))
    router = RouterQueryEngine(selector=made, query_engine_tools=engine_tools(llm, index), llm=llm)
    for response in (router.query("Where do trains run?"), await router.aquery("Where do trains run?")):
        assert str(response) == "On rails."
        assert response.metadata is not None
        assert response.metadata["selector_result"].ind == 1
    if selector == "pydantic":
        assert settings(creations(server)[0])["llm.prediction.toolChoice"]["mode"] == "required"


def test_sub_question_engine_combines_the_answers(server: Emulator, llm: LMStudio, index: VectorStoreIndex) -> None:
    questions = [
        {"sub_question": "How long do cats sleep?", "tool_name": "cats"},
        {"sub_question": "Where do trains run?", "tool_name": "trains"},
    ]
    document = Reply("```json\n" + json.dumps({"items": questions}) + "\n```")
    server.script(document, Reply("Sixteen hours."), Reply("On rails."), Reply("Cats sleep, trains run."))
    engine = SubQuestionQueryEngine.from_defaults(
        query_engine_tools=engine_tools(llm, index),
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        llm=llm,
        use_async=False,
        verbose=False,
    )
    assert str(engine.query("Compare cats and trains.")) == "Cats sleep, trains run."
    assert "Sixteen hours." in json.dumps(creations(server)[-1]["history"])


# Chat engines, ingestion


def test_chat_engine_sends_its_history(server: Emulator, llm: LMStudio, index: VectorStoreIndex) -> None:
    server.script(Reply("Sixteen."), Reply("How long do cats sleep, again?"), Reply("Still sixteen."))
    engine = CondensePlusContextChatEngine.from_defaults(
        index.as_retriever(similarity_top_k=1), llm=llm, memory=ChatMemoryBuffer.from_defaults(token_limit=2000)
    )
    assert str(engine.chat("How long do cats sleep?")) == "Sixteen."
    streamed = engine.stream_chat("Really?")
    assert "".join(streamed.response_gen) == "Still sixteen."
    assert [message.content for message in engine.chat_history] == [
        "How long do cats sleep?",
        "Sixteen.",
        "Really?",
        "Still sixteen.",
    ]
    assert TEXTS["cats"] in json.dumps(creations(server)[0]["history"])


async def test_chat_engine_streams_asynchronously(server: Emulator, llm: LMStudio, index: VectorStoreIndex) -> None:
    server.script(Reply("Sixteen.", reasoning="hm"))
    memory = ChatMemoryBuffer.from_defaults(token_limit=2000)
    engine = CondensePlusContextChatEngine.from_defaults(index.as_retriever(similarity_top_k=1), llm=llm, memory=memory)
    streamed = await engine.astream_chat("How long do cats sleep?")
    assert "".join([token async for token in streamed.async_response_gen()]) == "Sixteen."


@pytest.mark.parametrize("awaited", [True, False])
async def test_ingestion_pipeline_embeds(embed_model: LMStudioEmbedding, awaited: bool) -> None:
    documents = [Document(text=text) for text in TEXTS.values()]
    pipeline = IngestionPipeline(transformations=[TokenTextSplitter(), embed_model])
    nodes = await pipeline.arun(documents=documents) if awaited else pipeline.run(documents=documents)
    assert [node.embedding for node in nodes] == [
        embed_model.get_text_embedding(node.get_content(metadata_mode=MetadataMode.EMBED)) for node in nodes
    ]


def test_ingestion_cache_embeds_each_text_once(server: Emulator, embed_model: LMStudioEmbedding) -> None:
    pipeline = IngestionPipeline(transformations=[TokenTextSplitter(), embed_model])
    documents = [Document(text=text, doc_id=name) for name, text in TEXTS.items()]
    first = pipeline.run(documents=documents)
    count = len(server.requests)
    again = pipeline.run(documents=documents)
    assert [node.embedding for node in again] == [node.embedding for node in first]
    assert len(server.requests) == count


def test_memory_keeps_complete_tool_rounds(server: Emulator, llm: LMStudio) -> None:
    server.script(Reply("Adding.", reasoning="hm", tool_calls=[ToolCall("add", {"a": 1, "b": 2})]))
    response = llm.chat([ChatMessage(role="user", content="1+2?")])
    memory = ChatMemoryBuffer.from_defaults(llm=llm, tokenizer_fn=llm.tokenizer)
    memory.put(ChatMessage(role="user", content="1+2?"))
    memory.put(response.message)
    restored = [ChatMessage.model_validate_json(message.model_dump_json()) for message in memory.get()]
    assert restored[1] == response.message
    kinds = [type(block) for block in restored[1].blocks]
    assert kinds == [ThinkingBlock, TextBlock, ToolCallBlock]
