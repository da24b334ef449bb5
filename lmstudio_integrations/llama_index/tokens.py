"""The model's own tokenizer, asked at the server, in the shape that LlamaIndex wants a tokenizer to have."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmstudio_integrations.llama_index.llm import LMStudio

__all__ = ["LMStudioTokenizer"]

_REMEMBERED = 4096


class LMStudioTokenizer:
    """A callable ``text -> token ids`` with ``encode``, for ``Settings.tokenizer`` and ``TokenCountingHandler``.

    Each new text is one call to the server, so splitters that count thousands of pieces take their time; the last
    4096 texts are remembered. It blocks, as LlamaIndex's tokenizers do; ``await llm.atokenize(text)`` does not.
    """

    def __init__(self, llm: LMStudio) -> None:
        self._llm = llm
        self._known: OrderedDict[str, tuple[int, ...]] = OrderedDict()

    def encode(self, text: str, *args: Any, **kwargs: Any) -> list[int]:
        """Token ids of ``text``. Further arguments, which other tokenizers know, are accepted and mean nothing here."""
        known = self._known.get(text)
        if known is None:
            known = tuple(self._llm.tokenize(text))
            self._known[text] = known
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return list(known)

    def __call__(self, text: str, *args: Any, **kwargs: Any) -> list[int]:
        return self.encode(text)

    def __getstate__(self) -> dict[str, Any]:
        return {"_llm": self._llm, "_known": OrderedDict()}
