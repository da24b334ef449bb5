"""The server is killed in the midst of a batch and comes back: all is there at the end, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from lmstudio_integrations import Client, LMStudioError

from .checks import Check
from .server import CHAT, EMBEDDER, vector
from .server_process import ServerProcess, answer_of

__all__ = ["CHECKS", "counts"]

PROMPTS = [f"prompt {number}" for number in range(40)]
TEXTS = [f"text {number}" for number in range(300)]
_AT_ONCE = 8


def _chat(url: str) -> Any:
    from lmstudio_integrations.langchain import ChatLMStudio

    return ChatLMStudio(model=CHAT, base_url=url)


def _in_order(messages: Sequence[Any]) -> None:
    assert [message.text for message in messages] == [answer_of(prompt) for prompt in PROMPTS]


def batch_with_retry() -> None:
    """LangChain `batch` with `with_retry`, killed while eight answers are under way: all there, in order."""
    with ServerProcess(pace=0.02) as server:
        killer = server.restart_when("finished", 10)
        _in_order(_chat(server.url).with_retry().batch(PROMPTS, config={"max_concurrency": _AT_ONCE}))
        killer.join()
        _at_most_once_more(server)


def abatch_with_retry() -> None:
    """LangChain `abatch` with `with_retry`, killed while eight answers are under way: all there, in order."""
    with ServerProcess(pace=0.02) as server:
        killer = server.restart_when("finished", 10)
        batch = _chat(server.url).with_retry().abatch(PROMPTS, config={"max_concurrency": _AT_ONCE})
        _in_order(asyncio.run(batch))
        killer.join()
        _at_most_once_more(server)


def _at_most_once_more(server: ServerProcess) -> None:
    """What the server had finished was not asked for again, apart from those whose end was lost in the kill."""
    twice = [prompt for prompt, count in server.events("finished").items() if count > 1]
    assert len(twice) <= _AT_ONCE, twice
    assert all(count <= 2 for count in server.events("begun").values())


def batch_before_answers() -> None:
    """LangChain `batch` without `with_retry`, killed before any answer has begun: all there, in order."""
    with ServerProcess() as server:
        server.kill()
        server.start(hold=True)
        killer = server.restart_when("asked", _AT_ONCE)
        _in_order(_chat(server.url).batch(PROMPTS, config={"max_concurrency": _AT_ONCE}))
        killer.join()
        assert all(count == 1 for count in server.events("finished").values())


def batch_in_answers() -> None:
    """LangChain `batch` without `with_retry`, killed in answers: those that had begun are errors with what had come."""
    with ServerProcess(pace=0.02) as server:
        killer = server.restart_when("finished", 10)
        config = {"max_concurrency": _AT_ONCE}
        outcomes = _chat(server.url).batch(PROMPTS, config=config, return_exceptions=True)
        killer.join()
        failed = 0
        for prompt, outcome in zip(PROMPTS, outcomes, strict=True):
            if isinstance(outcome, LMStudioError):
                failed += 1
                assert outcome.response_started
                assert outcome.partial is not None
                assert answer_of(prompt).startswith(outcome.partial.content)
            else:
                assert outcome.text == answer_of(prompt)
        assert failed <= _AT_ONCE


def _vectors(embed: Callable[[str, list[str]], Any], *, at: int = 60) -> None:
    with ServerProcess(pace=0.002) as server:
        killer = server.restart_when("finished", at)
        vectors = embed(server.url, TEXTS)
        killer.join()
        assert vectors == [vector(text) for text in TEXTS]
        # Of the 64 under way some may have been answered as the process was killed.
        repeated = [text for text, count in server.events("finished").items() if count > 1]
        assert len(repeated) <= 64, f"{len(repeated)} texts twice"


def _langchain_embeddings(url: str) -> Any:
    from lmstudio_integrations.langchain import LMStudioEmbeddings

    return LMStudioEmbeddings(model=EMBEDDER, base_url=url)


def embed_documents() -> None:
    """LangChain `embed_documents` of 300 texts: all vectors, in order; those that had come are not asked for again."""
    _vectors(lambda url, texts: _langchain_embeddings(url).embed_documents(texts))


def aembed_documents() -> None:
    """LangChain `aembed_documents` of 300 texts."""
    _vectors(lambda url, texts: asyncio.run(_langchain_embeddings(url).aembed_documents(texts)))


def client_embed() -> None:
    """`client.embedding.model(…).embed` of 300 texts with the plain client's one retry."""
    _vectors(lambda url, texts: Client(url).embedding.just_in_time(EMBEDDER).embed(texts))


def _llama_embedding(url: str) -> Any:
    from lmstudio_integrations.llama_index import LMStudioEmbedding

    return LMStudioEmbedding(model_name=EMBEDDER, base_url=url, embed_batch_size=50)


def ingestion() -> None:
    """LlamaIndex's IngestionPipeline over 300 documents: every node has its vector, none is there twice."""

    def run(url: str, texts: list[str]) -> Any:
        from llama_index.core import Document
        from llama_index.core.ingestion import IngestionPipeline
        from llama_index.core.schema import MetadataMode

        pipeline = IngestionPipeline(transformations=[_llama_embedding(url)])
        nodes = pipeline.run(documents=[Document(text=text) for text in texts])
        assert [node.get_content(metadata_mode=MetadataMode.NONE) for node in nodes] == texts
        return [node.embedding for node in nodes]

    _vectors(run)


def aingestion() -> None:
    """LlamaIndex's IngestionPipeline, awaiting."""

    def run(url: str, texts: list[str]) -> Any:
        from llama_index.core import Document
        from llama_index.core.ingestion import IngestionPipeline

        pipeline = IngestionPipeline(transformations=[_llama_embedding(url)])
        nodes = asyncio.run(pipeline.arun(documents=[Document(text=text) for text in texts]))
        return [node.embedding for node in nodes]

    _vectors(run)


def restarts_between_calls() -> None:
    """Ten restarts between calls of one object: no call notices."""
    with ServerProcess(pace=0.0) as server:
        model = _chat(server.url)
        for number in range(10):
            assert model.invoke(f"prompt {number}").text == answer_of(f"prompt {number}")
            server.kill()
            server.start()


def counts() -> dict[str, int]:
    """How often a server was restarted."""
    return {"restarts": ServerProcess.restarts}


CHECKS: tuple[Check, ...] = (
    batch_with_retry,
    abatch_with_retry,
    batch_before_answers,
    batch_in_answers,
    embed_documents,
    aembed_documents,
    client_embed,
    ingestion,
    aingestion,
    restarts_between_calls,
)
