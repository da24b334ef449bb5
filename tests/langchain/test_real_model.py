"""On the real small model: what it says is never asserted, only structure, counts and validity."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import BaseModel

from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.emulator.backends.llama_cpp import available, find_model
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings

_WHY_NOT = available()
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.timeout(120),
    pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT or ""),
]
_KEY = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(model_path=find_model(), threads=1) as running:
        yield running


@pytest.fixture
def model(server: Emulator) -> ChatLMStudio:
    return ChatLMStudio(model=_KEY, base_url=server.url, temperature=0, seed=1, max_tokens=24)


def test_chain_streams_real_tokens_with_progress_and_exact_counts(model: ChatLMStudio) -> None:
    steps: list[float] = []
    prompt = ChatPromptTemplate.from_messages([("system", "You are a helpful assistant."), ("user", "{question}")])
    messages = prompt.invoke({"question": "Name three colours."}).to_messages()
    first, *rest = model.stream(messages, on_prompt_progress=steps.append)
    answer = first + rest
    assert answer.text
    assert steps
    assert steps == sorted(steps)
    assert answer.usage_metadata is not None
    assert 0 < answer.usage_metadata["output_tokens"] <= 24
    assert answer.response_metadata["stats"]["tokens_per_second"] > 0
    assert "".join((prompt | model | StrOutputParser()).stream({"question": "Name three colours."})) == answer.text


def test_real_answer_follows_its_schema(model: ChatLMStudio) -> None:
    class City(BaseModel):
        name: str
        population: int

    made = model.with_structured_output(City).invoke("Tell me about Paris.", max_tokens=100)
    assert isinstance(made, City)


def test_agent_runs_a_tool_that_a_real_model_calls(model: ChatLMStudio) -> None:
    called: list[str] = []

    @tool
    def weather(city: str) -> str:
        """The weather in a city."""
        called.append(city)
        return "sunny"

    agent = create_agent(model, tools=[weather], system_prompt="You are a helpful assistant.")
    messages = agent.invoke({"messages": [HumanMessage("Call weather for Paris.")]})["messages"]
    assert called
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]


def test_retriever_finds_by_real_embeddings(server: Emulator) -> None:
    embeddings = LMStudioEmbeddings(model=f"{_KEY}-embedding", base_url=server.url)
    store = InMemoryVectorStore.from_texts(
        ["The cat sleeps on the warm sofa.", "The central bank raised its interest rate."], embeddings
    )
    found = store.as_retriever(search_kwargs={"k": 1}).invoke("A cat is sleeping on a sofa.")
    assert found[0].page_content.startswith("The cat")
