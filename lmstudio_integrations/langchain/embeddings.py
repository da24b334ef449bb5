"""``LMStudioEmbeddings``: LangChain's embeddings over LM Studio's own protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, Field

from lmstudio_integrations.client.long_texts import LongTexts
from lmstudio_integrations.client.progress_bar import ProgressBars
from lmstudio_integrations.client.texts import check_text, check_texts, numbers_from
from lmstudio_integrations.compat.embedding_vectors import shorten_vectors
from lmstudio_integrations.langchain.errors import LangChainErrors
from lmstudio_integrations.langchain.settings import ConnectionSettings

if TYPE_CHECKING:
    from typing import Unpack

    from lmstudio_integrations.langchain._keywords import LMStudioEmbeddingsKeywords

__all__ = ["LMStudioEmbeddings"]

_TEXTS_PER_STEP = 128
"""Texts between two steps of the progress bar. The client has up to 64 of them under way at once."""


class LMStudioEmbeddings(ConnectionSettings, Embeddings):
    """Embeddings by a model that LM Studio runs.

    The first call connects, and loads the model if it is not loaded; the constructor opens no connection, unless
    ``validate_model_on_init`` is set. Texts are sent as text, never as tokens, several at once; the vectors have the
    order of the texts.

    Example: Construct
        ```python
        from lmstudio_integrations.langchain import LMStudioEmbeddings

        embeddings = LMStudioEmbeddings(
            model="text-embedding-nomic-embed-text-v1.5",
            query_prefix="search_query: ",
            document_prefix="search_document: ",
        )
        ```

        The prefixes are for models that were trained with them (nomic: as above; e5: "query: " and "passage: ").

    Example: Embed documents and queries
        ```python
        vectors = embeddings.embed_documents(["The crane lifts 40 tons.", "The ferry leaves at seven."])
        vector = embeddings.embed_query("When does the ferry leave?")
        print(len(vectors), len(vector), type(vector[0]).__name__)
        #> 2 768 float
        ```

    Example: Async
        ```python
        vectors = await embeddings.aembed_documents(["The crane lifts 40 tons."])
        vector = await embeddings.aembed_query("When does the ferry leave?")
        ```

    Example: Load settings and long texts
        ```python
        embeddings = LMStudioEmbeddings(
            model="text-embedding-nomic-embed-text-v1.5", context_length=8192, ttl=600, long_texts="split"
        )
        print(len(embeddings.embed_query("The ferry leaves at seven. " * 1000)))
        #> 768
        ```

    Raises:
        LMStudioError: The errors of ``lmstudio_integrations.langchain.errors``, which are LangChain's as well: a text
            that is longer than the model's context is a ``ContextOverflowError``, unless ``long_texts`` is changed.

    Source: LangChain, "Embedding models"; LM Studio, "Embedding" (lmstudio-python).
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=False)
    _KIND: ClassVar[Literal["llm", "embedding"]] = "embedding"

    query_prefix: str = ""
    """Put before the text of ``embed_query``."""

    document_prefix: str = ""
    """Put before each text of ``embed_documents``."""

    long_texts: LongTexts = "error"
    """A text that has more tokens than the model's context is a ``ContextOverflowError`` with its number ("error"), or
    is embedded in parts whose vectors are averaged ("split"), or is sent as it is ("unchecked")."""

    dimensions: int | None = Field(default=None, ge=1)
    """Keep only the first ``dimensions`` numbers of each vector, and scale it to length 1; ``None`` keeps the vector as
    it is. Only for models that were trained for it (Matryoshka), such as nomic-embed-text-v1.5 and Qwen3-Embedding."""

    show_progress: bool = False
    """Whether ``embed_documents`` and ``aembed_documents`` draw a progress bar (extra ``progress``)."""

    if TYPE_CHECKING:

        def __init__(self, **keywords: Unpack[LMStudioEmbeddingsKeywords]) -> None:
            """Fields, and their names in other integrations (``compat.names``)."""

    def embed_documents(self, texts: Iterable[str]) -> list[list[float]]:
        """One list of floats for each text, in their order."""
        with LangChainErrors():
            return self._embed([self.document_prefix + text for text in check_texts(texts)], self.show_progress)

    def embed_query(self, text: str) -> list[float]:
        """One list of floats."""
        with LangChainErrors():
            return self._embed([self.query_prefix + check_text(text)])[0]

    async def aembed_documents(self, texts: Iterable[str]) -> list[list[float]]:
        """``embed_documents`` for coroutines."""
        with LangChainErrors():
            return await self._aembed([self.document_prefix + text for text in check_texts(texts)], self.show_progress)

    async def aembed_query(self, text: str) -> list[float]:
        """``embed_query`` for coroutines."""
        with LangChainErrors():
            return (await self._aembed([self.query_prefix + check_text(text)]))[0]

    def _embed(self, texts: list[str], show_progress: bool = False) -> list[list[float]]:
        model = self._client().embedding.just_in_time(self.model, **self._load_options())
        vectors: list[list[float]] = []
        for batch in _steps(texts, show_progress):
            with numbers_from(len(vectors)):
                made = model.embed(batch, long_texts=self.long_texts, on_load_progress=self.on_load_progress)
            vectors += shorten_vectors(made, self.dimensions)
        return vectors

    async def _aembed(self, texts: list[str], show_progress: bool = False) -> list[list[float]]:
        model = self._async_client().embedding.just_in_time(self.model, **self._load_options())
        vectors: list[list[float]] = []
        for batch in _steps(texts, show_progress):
            with numbers_from(len(vectors)):
                made = await model.embed(batch, long_texts=self.long_texts, on_load_progress=self.on_load_progress)
            vectors += shorten_vectors(made, self.dimensions)
        return vectors


def _steps(texts: list[str], show_progress: bool) -> Iterator[list[str]]:
    """All texts in one list, or with a progress bar in several, between which the bar is drawn."""
    if not show_progress or not texts:
        yield from [texts] if texts else []
        return
    bars = ProgressBars()
    done = 0
    try:
        while done < len(texts):
            bars.show_count(None, "Embedding", done, len(texts))
            yield texts[done : done + _TEXTS_PER_STEP]
            done += _TEXTS_PER_STEP
    finally:  # also if a step has failed, which closes this generator
        bars.end(None, failed=done < len(texts))
