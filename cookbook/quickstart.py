"""The main job on one page: a LangChain chain and a LlamaIndex query engine, answered by LM Studio.

Without LM Studio the emulator answers, with a small real model. While a prompt is processed a bar moves; at the end a
table shows what each framework's own metadata tells about the prediction.

Run it with `.uv/bin/uv run --no-dev --extra all cookbook/quickstart.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from _handbook import HANDBOOK
from _place import lm_studio_or_emulator
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from lmstudio_integrations.langchain import ChatLMStudio
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding, PredictionStatsEvent, PromptProgressEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _place import Place
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import LLMResult
    from llama_index.core.instrumentation.events import BaseEvent

console = Console()


class PromptBar:
    """A bar that a prediction's prompt progress, 0.0 to 1.0, moves; it has to end before text is written below it."""

    def __init__(self) -> None:
        columns = (TextColumn("reading the prompt"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task("", total=1.0)
        self._progress.start()

    def move(self, share: float) -> None:
        """Show how much of the prompt has been read."""
        self._progress.update(self._task, completed=share)

    def end(self) -> None:
        """Leave the bar as it is. A second call does nothing."""
        if self._progress.live.is_started:
            self._progress.stop()


class LastMessage(BaseCallbackHandler):
    """Keeps the model's last message, because a chain that ends in a parser hands on nothing but its text."""

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """LangChain calls this after each prediction."""
        generation: Any = response.generations[0][0]
        self.message: AIMessage = generation.message


class Watcher(BaseEventHandler):
    """Moves the bar and keeps the statistics, both out of LlamaIndex's instrumentation events."""

    bar: Any
    stats: PredictionStatsEvent | None = None

    def handle(self, event: BaseEvent, **_: Any) -> None:
        """LlamaIndex calls this for every event of every component."""
        if isinstance(event, PromptProgressEvent):
            self.bar.move(event.progress)
        elif isinstance(event, PredictionStatsEvent):
            self.stats = event


def write(pieces: Iterable[str], bar: PromptBar) -> None:
    """Write an answer while it comes."""
    try:
        for piece in pieces:
            bar.end()
            console.out(piece, end="", highlight=False)
    finally:
        bar.end()
    console.print()


def langchain_chain(place: Place) -> dict[str, Any]:
    """Stream the answer of ``prompt | model | parser``; returns what the message's metadata tells."""
    console.print()
    console.rule("LangChain: prompt | model | parser")
    question = "Summarise this handbook in one sentence."
    console.print(f"[bold]{question}[/bold]")
    bar, last = PromptBar(), LastMessage()
    prompt = ChatPromptTemplate.from_messages(
        [("system", "You are a helpful assistant."), ("user", "{handbook}\n\n{question}")]
    )
    model = ChatLMStudio(
        model=place.chat_model, base_url=place.url, temperature=0, max_tokens=80, on_prompt_progress=bar.move
    )
    chain = prompt | model | StrOutputParser()
    handbook = "\n\n".join(HANDBOOK.values())
    write(chain.stream({"handbook": handbook, "question": question}, {"callbacks": [last]}), bar)
    console.print()
    usage = last.message.usage_metadata
    assert usage is not None
    return {
        "prompt_tokens": usage["input_tokens"],
        "generated_tokens": usage["output_tokens"],
        **last.message.response_metadata["stats"],
    }


def llama_index_query(place: Place) -> dict[str, Any]:
    """Ask a query engine over the handbook; returns what the statistics event tells."""
    console.rule("LlamaIndex: a query engine over a handbook")
    question = "How many tons does the crane lift?"
    console.print(f"[bold]{question}[/bold]")
    llm = LMStudio(model=place.chat_model, base_url=place.url, temperature=0, max_tokens=80)
    embedding = LMStudioEmbedding(model=place.embedding_model, base_url=place.url)
    documents = [Document(text=text, metadata={"title": title}) for title, text in HANDBOOK.items()]
    index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    engine = index.as_query_engine(llm=llm, similarity_top_k=2, streaming=True)
    bar = PromptBar()
    watcher = Watcher(bar=bar)
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(watcher)
    try:
        response: Any = engine.query(question)
        write(response.response_gen, bar)
    finally:
        bar.end()
        dispatcher.event_handlers.remove(watcher)
    sources = ", ".join(f"{node.metadata['title']} ({node.score:.2f})" for node in response.source_nodes)
    console.print(f"[dim]sources: {sources}[/dim]", highlight=False)
    assert watcher.stats is not None
    return {
        "prompt_tokens": watcher.stats.usage["prompt_tokens"],
        "generated_tokens": watcher.stats.usage["completion_tokens"],
        **watcher.stats.stats,
    }


def statistics_table(columns: dict[str, dict[str, Any]]) -> Table:
    """One row for each figure, one column for each framework."""
    table = Table(title="What each framework's metadata tells", title_justify="left")
    table.add_column("")
    for title in columns:
        table.add_column(title, justify="right")
    rows = {
        "prompt tokens": ("prompt_tokens", "{}"),
        "generated tokens": ("generated_tokens", "{}"),
        "time to first token": ("time_to_first_token_sec", "{:.2f} s"),
        "tokens per second": ("tokens_per_second", "{:.1f}"),
        "stop reason": ("stop_reason", "{}"),
    }
    for title, (key, form) in rows.items():
        figures = (column.get(key) for column in columns.values())
        table.add_row(title, *("unknown" if figure is None else form.format(figure) for figure in figures))
    return table


def main() -> None:
    """Find a place to ask, ask there through both frameworks, and compare the figures."""
    with lm_studio_or_emulator() as place:
        columns = {"LangChain": langchain_chain(place), "LlamaIndex": llama_index_query(place)}
    console.print()
    console.print(statistics_table(columns))


if __name__ == "__main__":
    main()
