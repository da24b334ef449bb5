"""``LMStudioEmbeddings``: LangChain's embeddings over LM Studio's own protocol."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict

from lmstudio_integrations.errors import LMStudioValueError
from lmstudio_integrations.langchain.errors import LangChainErrors
from lmstudio_integrations.langchain.settings import ConnectionSettings

__all__ = ["LMStudioEmbeddings"]


class LMStudioEmbeddings(ConnectionSettings, Embeddings):
    """Embeddings by a model that LM Studio runs.

    ``LMStudioEmbeddings(model="nomic-embed-text-v1.5")`` opens no connection; the first call does, and loads the model
    if it is not loaded. Texts go as they are, never as tokens; those of one call are embedded several at once, in
    their order.

    ``query_prefix`` and ``document_prefix`` are put before each text, for models that were trained with them
    (nomic: "search_query: " and "search_document: "; e5: "query: " and "passage: ").
    """

    model_config = ConfigDict(defer_build=False)

    query_prefix: str = ""
    """Put before the text of ``embed_query``."""

    document_prefix: str = ""
    """Put before each text of ``embed_documents``."""

    def embed_documents(self, texts: Iterable[str]) -> list[list[float]]:
        """One list of floats for each text, in their order."""
        with LangChainErrors():
            return self._embed([self.document_prefix + text for text in _texts(texts)])

    def embed_query(self, text: str) -> list[float]:
        """One list of floats."""
        with LangChainErrors():
            return self._embed([self.query_prefix + one for one in _texts([text])])[0]

    async def aembed_documents(self, texts: Iterable[str]) -> list[list[float]]:
        """The same as ``embed_documents``."""
        with LangChainErrors():
            return await self._aembed([self.document_prefix + text for text in _texts(texts)])

    async def aembed_query(self, text: str) -> list[float]:
        """The same as ``embed_query``."""
        with LangChainErrors():
            return (await self._aembed([self.query_prefix + one for one in _texts([text])]))[0]

    def _embed(self, texts: list[str]) -> list[list[float]]:
        if not texts:
            return []
        model = self._client().embedding.just_in_time(self.model, **self._load_options())
        return model.embed(texts)

    async def _aembed(self, texts: list[str]) -> list[list[float]]:
        if not texts:
            return []
        model = self._aclient().embedding.just_in_time(self.model, **self._load_options())
        return await model.embed(texts)


def _texts(texts: Iterable[str]) -> list[str]:
    """The texts as a list. A bare string is an error: its characters would be embedded one by one."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise LMStudioValueError(f"expected an iterable of texts, got {type(texts).__name__}: pass [text]")
    given = list(texts)
    for number, text in enumerate(given):
        if not isinstance(text, str):
            raise LMStudioValueError(f"text {number}: expected a string, got {type(text).__name__}: {text!r:.80}")
    return given
