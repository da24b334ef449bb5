"""The main job on one page: a LangChain chain and a LlamaIndex query engine, answered by LM Studio.

Without LM Studio the emulator answers, with a small real model. A progress bar shows the processing of each
prompt, and a table at the end the statistics that each framework's own metadata has.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/quickstart.py`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from _sample_docs import HANDBOOK
from _server import lm_studio_or_emulator
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler

from lmstudio_integrations.langchain import ChatLMStudio, ProgressBar
from lmstudio_integrations.llama_index import (
    LMStudio,
    LMStudioEmbedding,
    PredictionStatsEvent,
    ProgressBarEventHandler,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _server import Server
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import LLMResult
    from llama_index.core.instrumentation.events import BaseEvent


class LastMessage(BaseCallbackHandler):
    """Keeps the model's last message, because a chain that ends in a parser hands on nothing but its text."""

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """LangChain calls this after each prediction."""
        generation: Any = response.generations[0][0]
        self.message: AIMessage = generation.message


class LastStats(BaseEventHandler):
    """Keeps the statistics of the last prediction."""

    stats: PredictionStatsEvent | None = None

    def handle(self, event: BaseEvent, **_: Any) -> None:
        """LlamaIndex calls this for every event of every component."""
        if isinstance(event, PredictionStatsEvent):
            self.stats = event


def write(pieces: Iterable[str]) -> None:
    """Write an answer while it streams."""
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def langchain_chain(server: Server) -> dict[str, Any]:
    """Stream the answer of ``prompt | model | parser``; returns the figures of the message's metadata."""
    print("\n--- LangChain: prompt | model | parser ---")
    question = "Summarise this handbook in one sentence."
    print(question)
    last = LastMessage()
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You are a helpful assistant."), ("user", "{handbook}\n\n{question}")]
    )
    model = ChatLMStudio(model=server.chat_model, base_url=server.url, temperature=0, max_tokens=80)
    chain = prompt | model | StrOutputParser()
    handbook = "\n\n".join(HANDBOOK.values())
    bar = ProgressBar(file=sys.stdout, transient=False, summary=False)
    write(chain.stream({"handbook": handbook, "question": question}, {"callbacks": [last, bar]}))
    usage = last.message.usage_metadata
    assert usage is not None
    return {
        "prompt_tokens": usage["input_tokens"],
        "generated_tokens": usage["output_tokens"],
        **last.message.response_metadata["stats"],
    }


def llama_index_query(server: Server) -> dict[str, Any]:
    """Ask a query engine over the handbook; returns the figures of the statistics event."""
    print("\n--- LlamaIndex: a query engine over a handbook ---")
    question = "How many tons does the crane lift?"
    print(question)
    llm = LMStudio(model=server.chat_model, base_url=server.url, temperature=0, max_tokens=80)
    embedding = LMStudioEmbedding(model=server.embedding_model, base_url=server.url)
    documents = [Document(text=text, metadata={"title": title}) for title, text in HANDBOOK.items()]
    index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    engine = index.as_query_engine(llm=llm, similarity_top_k=2, streaming=True)
    last, bar = LastStats(), ProgressBarEventHandler(sys.stdout, transient=False)
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(last)
    dispatcher.add_event_handler(bar)
    try:
        response: Any = engine.query(question)
        write(response.response_gen)
    finally:
        dispatcher.event_handlers.remove(last)
        dispatcher.event_handlers.remove(bar)
    sources = ", ".join(f"{node.metadata['title']} ({node.score:.2f})" for node in response.source_nodes)
    print(f"sources: {sources}")
    assert last.stats is not None
    return {
        "prompt_tokens": last.stats.usage["prompt_tokens"],
        "generated_tokens": last.stats.usage["completion_tokens"],
        **last.stats.stats,
    }


def print_statistics(columns: dict[str, dict[str, Any]]) -> None:
    """Print one row for each figure, one column for each framework."""
    print("\nThe statistics in each framework's metadata:")
    print(" " * 20 + "".join(f"{title:>28}" for title in columns))
    rows = {
        "prompt tokens": ("prompt_tokens", "{}"),
        "generated tokens": ("generated_tokens", "{}"),
        "time to first token": ("time_to_first_token_sec", "{:.2f} s"),
        "tokens per second": ("tokens_per_second", "{:.1f}"),
        "stop reason": ("stop_reason", "{}"),
    }
    for title, (key, form) in rows.items():
        figures = (column.get(key) for column in columns.values())
        cells = ("unknown" if figure is None else form.format(figure) for figure in figures)
        print(f"{title:<20}" + "".join(f"{cell:>28}" for cell in cells))


def main() -> None:
    """Ask one server through both frameworks, and compare the figures."""
    with lm_studio_or_emulator() as server:
        columns = {"LangChain": langchain_chain(server), "LlamaIndex": llama_index_query(server)}
    print_statistics(columns)


if __name__ == "__main__":
    main()
