"""Texts that are longer than the context of an embedding model: found, split, and their vectors merged. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from lmstudio_integrations.errors import LMStudioContextOverflowError, LMStudioValueError

__all__ = ["LongTexts", "SplitText", "check_long_texts", "may_exceed", "merge_vectors", "scale_to_unit_length"]

LongTexts: TypeAlias = Literal["error", "split", "unchecked"]
"""What to do with a text that has more tokens than the model's context: raise an error, embed its parts and average
them, or send it as it is (LM Studio then embeds its beginning)."""

SMALLEST_CONTEXT = 256
"""The smallest context length (tokens) of usual embedding models. Texts that fit into it need no check."""

_SPECIAL_TOKENS = 2
"""Guess: a model of the BERT family adds a token before and after the text, which ``countTokens`` may not count."""


@dataclass(slots=True)
class SplitText:
    """Text number ``number``, its parts that have to be embedded, and the tokens of each."""

    number: int
    parts: list[str]
    tokens: list[int] = field(default_factory=list)

    def read_counts(self, counts: Sequence[int], context_length: int, *, split: bool) -> bool:
        """Read the token counts of the parts, and halve those that are too long. Whether all parts fit.

        Raises:
            LMStudioContextOverflowError: A part is too long and ``split`` is not set, or it has a single character.
        """
        limit = context_length - _SPECIAL_TOKENS
        if max(counts) <= limit:
            self.tokens = list(counts)
            return True
        parts: list[str] = []
        for part, count in zip(self.parts, counts, strict=True):
            if count <= limit:
                parts.append(part)
            elif split and len(part) > 1:
                parts += _halves(part)
            else:
                error = LMStudioContextOverflowError(
                    f"it has {count} tokens, and the model was loaded with a context of {context_length} tokens",
                    suggestion="Split the text, or embed its parts and average them with long_texts='split'.",
                )
                error.needed, error.available = count, context_length
                error.text_number = self.number
                raise error
        self.parts = parts
        return False


def check_long_texts(value: object) -> None:
    """Raise ``LMStudioValueError`` unless ``value`` is one of ``LongTexts``."""
    if value not in ("error", "split", "unchecked"):
        raise LMStudioValueError(f"long_texts={value!r}: expected 'error', 'split' or 'unchecked'")


def may_exceed(text: str, context_length: int) -> bool:
    """Whether a text may have more tokens than fit into a context. A token has at least one byte of UTF-8."""
    limit = context_length - _SPECIAL_TOKENS
    return len(text) > limit or (len(text) * 4 > limit and len(text.encode()) > limit)


def merge_vectors(vectors: Sequence[list[float]], tokens: Sequence[int]) -> list[float]:
    """The average of the vectors of a text's parts, weighted by their tokens, of length 1 (as in OpenAIEmbeddings)."""
    total = sum(tokens) or 1
    merged = [
        sum(value * count for value, count in zip(values, tokens, strict=True)) / total
        for values in zip(*vectors, strict=True)
    ]
    return scale_to_unit_length(merged)


def scale_to_unit_length(vector: Sequence[float]) -> list[float]:
    """The vector, scaled to length 1; zeros stay as they are."""
    length = math.hypot(*vector) or 1.0  # neither overflows nor underflows, as squares do
    return [value / length for value in vector]


def _halves(text: str) -> list[str]:
    """Two parts, cut at the white space nearest to the middle if it is near, else in the middle."""
    middle = len(text) // 2
    reach = max(1, middle // 2)
    before = max((text.rfind(space, middle - reach, middle) for space in (" ", "\n")), default=-1)
    cut = before + 1 if before > 0 else middle
    return [text[:cut], text[cut:]]
