"""Vectors with fewer dimensions than the model makes."""

from __future__ import annotations

from collections.abc import Iterable

from lmstudio_integrations.client.long_texts import scale_to_unit_length
from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["shorten_vectors"]


def shorten_vectors(vectors: Iterable[list[float]], dimensions: int | None) -> list[list[float]]:
    """The first ``dimensions`` numbers of each vector, scaled to length 1; ``None`` changes nothing.

    LM Studio's protocol has no such setting. Models that were trained for it (Matryoshka representation learning) hold
    the most important part of a text in the first numbers; OpenAI's ``dimensions`` does the same.

    Raises:
        LMStudioValueError: The model's vectors have fewer numbers.
    """
    if dimensions is None:
        return list(vectors)
    return [_shorten(vector, dimensions) for vector in vectors]


def _shorten(vector: list[float], dimensions: int) -> list[float]:
    if len(vector) < dimensions:
        raise LMStudioValueError(
            f"dimensions={dimensions}: the model's vectors have {len(vector)} numbers. Pass at most that, or None"
        )
    if len(vector) == dimensions:
        return vector
    return scale_to_unit_length(vector[:dimensions])
