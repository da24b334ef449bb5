"""On the real small model: what it says is never asserted, only structure, counts and sources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.emulator.backends.llama_cpp import available, find_model
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding
from tests.llama_index.conftest import Collected

_WHY_NOT = available()
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.timeout(180),
    pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or ""),
]
_KEY = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(model_path=find_model(), threads=1) as running:
        yield running


@pytest.fixture
def llm(server: Emulator) -> LMStudio:
    return LMStudio(
        model=_KEY,
        base_url=server.url,
        temperature=0,
        seed=1,
        max_tokens=24,
        system_prompt="You are a helpful assistant.",
    )


def test_query_engine_streams_real_tokens_with_sources(server: Emulator, llm: LMStudio, events: Collected) -> None:
    embed_model = LMStudioEmbedding(model_name=f"{_KEY}-embedding", base_url=server.url)
    texts = {"cat": "The cat sleeps on the warm sofa.", "bank": "The central bank raised its interest rate."}
    index = VectorStoreIndex.from_documents(
        [Document(text=text, doc_id=name) for name, text in texts.items()],
        embed_model=embed_model,
        transformations=[TokenTextSplitter()],
    )
    engine: Any = index.as_query_engine(llm=llm, streaming=True, similarity_top_k=1)
    response = engine.query("Where does the cat sleep on a sofa?")
    pieces = list(response.response_gen)
    assert len([piece for piece in pieces if piece]) > 1
    assert response.source_nodes[0].node.ref_doc_id == "cat"
    assert events.of("PromptProgressEvent")
    (event,) = [event.model_dump() for event in events.of("PredictionStatsEvent")]
    assert 0 < event["usage"]["completion_tokens"] <= 24
    assert event["stats"]["tokens_per_second"] > 0


def test_token_counts_are_those_of_the_model(llm: LMStudio) -> None:
    messages = [ChatMessage(role="user", content="Name three colours.")]
    assert llm.count_tokens(messages) == llm.chat(messages).raw["usage"]["prompt_tokens"]


class City(BaseModel):
    name: str
    population: int


def test_real_structured_answer_follows_its_schema(llm: LMStudio) -> None:
    prompt = PromptTemplate("Tell me about {city}.")
    made = llm.structured_predict(City, prompt, {"max_tokens": 100}, city="Paris")
    assert isinstance(made, City)
    *_, streamed = llm.stream_structured_predict(City, prompt, {"max_tokens": 100}, city="Paris")
    assert streamed == made


async def test_agent_runs_a_tool_that_a_real_model_calls(llm: LMStudio) -> None:
    called: list[str] = []

    def weather(city: str) -> str:
        """The weather in a city."""
        called.append(city)
        return "sunny"

    llm.is_function_calling_model = True  # it was not trained for tools; here it has to try
    tools: list[Any] = [weather]
    agent = FunctionAgent(tools=tools, llm=llm, system_prompt="You are a helpful assistant.")
    memory = ChatMemoryBuffer.from_defaults(token_limit=2000, tokenizer_fn=llm.tokenizer)
    handler = agent.run(user_msg="Call weather for Paris.", memory=memory)
    seen = [event async for event in handler.stream_events()]
    await handler
    assert called
    assert [event.tool_name for event in seen if isinstance(event, ToolCallResult)][:1] == ["weather"]
    assert any(isinstance(event, AgentStream) and event.delta for event in seen)
