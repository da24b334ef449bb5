"""``LMStudioEmbedding``: a LlamaIndex embedding model over LM Studio's own protocol."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.instrumentation.span import active_span_id
from pydantic import ConfigDict, Field, field_validator

from lmstudio_integrations.client import LoadProgress
from lmstudio_integrations.client.long_texts import LongTexts
from lmstudio_integrations.client.texts import check_text, check_texts
from lmstudio_integrations.compat.embedding_vectors import shorten_vectors
from lmstudio_integrations.compat.prediction_request import load_options
from lmstudio_integrations.errors import LMStudioError
from lmstudio_integrations.llama_index.events import has_listener, report_progress
from lmstudio_integrations.llama_index.settings import ConnectionSettings

if TYPE_CHECKING:
    from typing import Unpack

    from lmstudio_integrations import AsyncEmbeddingModel, EmbeddingModel
    from lmstudio_integrations.llama_index._keywords import LMStudioEmbeddingKeywords

__all__ = ["LMStudioEmbedding"]

ANY_MODEL = "unknown"
"""LlamaIndex's name of a model without a name; here, any embedding model that is loaded."""


# LlamaIndex wraps overridden methods in spans as well, so calling its wrapped methods would make a second span.
_BLOCKING_BATCH: Callable[..., list[Embedding]] = inspect.unwrap(BaseEmbedding.get_text_embedding_batch)
_AWAITING_BATCH: Callable[..., Awaitable[list[Embedding]]] = inspect.unwrap(BaseEmbedding.aget_text_embedding_batch)


@dataclass(slots=True)
class _BatchCall:
    """One call of ``get_text_embedding_batch`` or of its awaiting form.

    LlamaIndex tells a batch neither where its texts begin among all ``texts`` nor that another batch has failed.
    """

    texts: list[str]
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    failed: bool = False

    def join(self) -> None:
        """Count the current task to the call. After a failure it is cancelled, as it may have waited to start."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        if self.failed:
            raise asyncio.CancelledError

    def fail(self) -> None:
        """Cancel what still runs."""
        self.failed = True
        for task in self.tasks - {asyncio.current_task()}:
            task.cancel()


_BATCH_CALL: ContextVar[_BatchCall | None] = ContextVar("_BATCH_CALL", default=None)
"""The call that the current batch is part of."""


@contextmanager
def _batch_call(texts: Iterable[str]) -> Iterator[_BatchCall]:
    call = _BatchCall(check_texts(texts))
    token = _BATCH_CALL.set(call)
    try:
        yield call
    finally:
        _BATCH_CALL.reset(token)


@contextmanager
def _numbers_in_call(batch: list[str]) -> Iterator[None]:
    """Errors inside number their text among all texts of the call. Equal texts fail alike, so the first one will do."""
    try:
        yield
    except LMStudioError as error:
        call = _BATCH_CALL.get()
        if error.text_number is not None and call is not None:
            error.text_number = call.texts.index(batch[error.text_number])
        raise


class LMStudioEmbedding(ConnectionSettings, BaseEmbedding):
    """An embedding model in LM Studio.

    LM Studio embeds one text per request; the client sends up to 128 requests at once per server, and the vectors have
    the order of the texts.

    Example: Construct
        ```python
        from lmstudio_integrations.llama_index import LMStudioEmbedding

        embed_model = LMStudioEmbedding(
            model_name="text-embedding-nomic-embed-text-v1.5",  # without it, any embedding model that is loaded
            query_instruction="search_query:",
            text_instruction="search_document:",
        )
        ```

    Example: Embed texts and queries
        ```python
        vectors = embed_model.get_text_embedding_batch(["The crane lifts 40 tons.", "The ferry leaves at seven."])
        vector = embed_model.get_query_embedding("When does the ferry leave?")
        print(len(vectors), len(vector), type(vector[0]).__name__)
        #> 2 768 float
        ```

    Example: Async
        ```python
        vectors = await embed_model.aget_text_embedding_batch(["The crane lifts 40 tons."])
        vector = await embed_model.aget_query_embedding("When does the ferry leave?")
        ```

    Example: Index documents
        ```python
        from llama_index.core import Document, VectorStoreIndex

        documents = [Document(text="The crane lifts 40 tons."), Document(text="The ferry leaves at seven.")]
        index = VectorStoreIndex.from_documents(documents, embed_model=embed_model)
        print(len(index.as_retriever().retrieve("When does the ferry leave?")))
        #> 2
        ```

    Raises:
        LMStudioError: All methods raise the client's errors (``lmstudio_integrations.errors``). A text that is longer
            than the model's context is an ``LMStudioContextOverflowError``, unless ``long_texts`` is changed.

    Source: LlamaIndex, "Embeddings"; LM Studio, "Embedding" (lmstudio-python).
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(defer_build=False)
    OWN_NAMES: ClassVar[dict[str, str]] = {**ConnectionSettings.OWN_NAMES, "model": "model_name"}

    embed_batch_size: int = Field(
        default=128,
        gt=0,
        le=2048,
        description="Texts that get_text_embedding_batch embeds before it goes on to the next ones; each batch has its "
        "own event. LlamaIndex's own default of 10 would leave LM Studio idle between batches.",
    )
    query_instruction: str | None = Field(default=None, description="Put before every query, for models that want it.")
    text_instruction: str | None = Field(default=None, description="Put before every text that is to be found.")

    if TYPE_CHECKING:

        def __init__(self, **keywords: Unpack[LMStudioEmbeddingKeywords]) -> None:
            """Fields, and their names in other integrations (``compat.names``)."""

    long_texts: LongTexts = Field(
        default="error",
        description="A text that has more tokens than the model's context is an error with its number ('error'), or is "
        "embedded in parts whose vectors are averaged ('split'), or is sent as it is ('unchecked').",
    )

    dimensions: int | None = Field(
        default=None,
        ge=1,
        description="How many numbers each vector has, scaled to length 1: the first of those that the model makes. "
        "Only for models that were trained for it (Matryoshka), such as nomic-embed-text-v1.5 and Qwen3-Embedding. "
        "None: all.",
    )

    @field_validator("model_name", mode="before")
    @classmethod
    def _any_model(cls, value: Any) -> Any:
        return ANY_MODEL if value is None else value

    @classmethod
    def class_name(cls) -> str:
        return "LMStudioEmbedding"

    def _model(self) -> EmbeddingModel:
        return self._client().embedding.just_in_time(self._key(), **load_options(self._setting))

    def _amodel(self) -> AsyncEmbeddingModel:
        return self._async_client().embedding.just_in_time(self._key(), **load_options(self._setting))

    def _key(self) -> str | None:
        return None if self.model_name == ANY_MODEL else self.model_name

    def _embed(self, texts: list[str]) -> list[Embedding]:
        vectors = self._model().embed(texts, long_texts=self.long_texts, on_load_progress=self._report_load())
        return shorten_vectors(vectors, self.dimensions)

    async def _aembed(self, texts: list[str]) -> list[Embedding]:
        report = self._report_load()
        vectors = await self._amodel().embed(texts, long_texts=self.long_texts, on_load_progress=report)
        return shorten_vectors(vectors, self.dimensions)

    def _report_load(self) -> Callable[[float], None] | None:
        """What dispatches the progress of a load in the current span; ``None`` if nothing listens."""
        if not has_listener():
            return None
        span_id, model = active_span_id.get(), self._key()
        return lambda progress: report_progress(LoadProgress(progress, model), span_id, model)

    def get_text_embedding_batch(
        self, texts: Iterable[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """One vector for each text, in their order. ``texts`` is any iterable of strings."""
        with _batch_call(texts) as call:
            return _BLOCKING_BATCH(self, call.texts, show_progress, **kwargs)

    async def aget_text_embedding_batch(
        self, texts: Iterable[str], show_progress: bool = False, **kwargs: Any
    ) -> list[Embedding]:
        """``get_text_embedding_batch`` for coroutines. If one batch fails, the others are cancelled."""
        with _batch_call(texts) as call:
            try:
                return await _AWAITING_BATCH(self, call.texts, show_progress, **kwargs)
            except BaseException:
                call.fail()
                raise

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([instructed(self.query_instruction, check_text(query))])[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._aembed([instructed(self.query_instruction, check_text(query))]))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._embed([instructed(self.text_instruction, check_text(text))])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aembed([instructed(self.text_instruction, check_text(text))]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        with _numbers_in_call(texts):
            return self._embed([instructed(self.text_instruction, text) for text in texts])

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        if (call := _BATCH_CALL.get()) is not None:
            call.join()
        with _numbers_in_call(texts):
            return await self._aembed([instructed(self.text_instruction, text) for text in texts])


def instructed(instruction: str | None, text: str) -> str:
    """The text after its instruction, separated by one space unless the instruction ends with white space."""
    if not instruction:
        return text
    separator = "" if instruction[-1].isspace() else " "
    return f"{instruction}{separator}{text}"
