"""The model's own tokenizer, in the form that LlamaIndex expects of a tokenizer."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Protocol

__all__ = ["LMStudioTokenizer", "Tokenizing"]

_CACHED_TEXTS = 4096


class Tokenizing(Protocol):
    """An object that tokenizes texts, such as ``LMStudio``."""

    def tokenize(self, text: str) -> list[int]:
        """The token ids of ``text``."""
        ...


class LMStudioTokenizer:
    """A callable ``text -> token ids`` with ``encode``, for ``Settings.tokenizer`` and ``TokenCountingHandler``.

    Example:
        ```python
        from llama_index.core.callbacks import TokenCountingHandler

        from lmstudio_integrations.llama_index import LMStudio

        tokenizer = LMStudio(model="qwen/qwen3-4b").tokenizer
        print(len(tokenizer("The ferry leaves at seven.")))
        #> 6
        counter = TokenCountingHandler(tokenizer=tokenizer)
        ```

    Each new text costs one request to the server; the last 4,096 texts are cached. It blocks, as all of LlamaIndex's
    tokenizers do; ``await llm.atokenize(text)`` does not. It can be pickled; the cache is not part of the pickle.
    """

    def __init__(self, llm: Tokenizing) -> None:
        self._llm = llm
        self._cache: OrderedDict[str, tuple[int, ...]] = OrderedDict()

    def encode(self, text: str, *args: Any, **kwargs: Any) -> list[int]:
        """The token ids of ``text``. Further arguments, which other tokenizers have, are accepted and ignored."""
        ids = self._cache.get(text)
        if ids is None:
            ids = tuple(self._llm.tokenize(text))
            self._cache[text] = ids
            while len(self._cache) > _CACHED_TEXTS:
                self._cache.popitem(last=False)
        return list(ids)

    def __call__(self, text: str, *args: Any, **kwargs: Any) -> list[int]:
        return self.encode(text)

    def __getstate__(self) -> dict[str, Any]:
        return {"_llm": self._llm, "_cache": OrderedDict()}
