"""Made-up embeddings: the sum of one fixed vector per word and per three letters, so that similar texts are close."""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache


def embedding(text: str, dimensions: int) -> list[float]:
    """A vector of length 1, the same for the same text in every process."""
    total = [0.0] * dimensions
    for feature, weight in _features(text).items():
        for place, value in enumerate(_direction(feature, dimensions)):
            total[place] += weight * value
    length = math.sqrt(sum(value * value for value in total)) or 1.0
    return [value / length for value in total]


def _features(text: str) -> dict[str, float]:
    """Words weigh by their length, so that "the" has little weight; the complete text counts too."""
    features: dict[str, float] = {f"text:{text}": 0.3}
    for word in re.findall(r"\w+", text.casefold()):
        features[f"word:{word}"] = features.get(f"word:{word}", 0.0) + min(len(word), 8) / 4
        for at in range(len(word) - 2):
            part = f"part:{word[at : at + 3]}"
            features[part] = features.get(part, 0.0) + 0.6
    return features


@lru_cache(maxsize=4096)
def _direction(feature: str, dimensions: int) -> tuple[float, ...]:
    noise = hashlib.shake_128(feature.encode("utf-8", "surrogatepass")).digest(dimensions)
    return tuple((byte - 127.5) / 127.5 for byte in noise)
