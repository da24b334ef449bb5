"""What is asked for and what must come back: tokens that every dialect of the flood server says alike.

A ``Workload`` stands in the prompt, as ``count=2000 start=3 together=0``.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import Any

MODEL = "flood"
DIMENSIONS = 768
PROMPT_TOKENS = 12
_WORDS = ("a small boat", "left", "the", "harbour", "at", "dawn", "and", "nobody", "on", "the pier", "knew", "why", ".")


@dataclass(frozen=True, slots=True)
class Workload:
    """How many tokens, the number of the first word, and how many predictions are answered together."""

    count: int = 8
    start: int = 0
    together: int = 0

    @classmethod
    def read(cls, prompt: str) -> Workload:
        """The last workload in a text; what it does not name has its default."""
        found = {name: int(number) for name, number in re.findall(r"\b(count|start|together)=(\d+)", prompt)}
        return cls(**found)

    def __str__(self) -> str:
        return f"count={self.count} start={self.start} together={self.together}"


@functools.lru_cache(maxsize=64)
def words(count: int, start: int = 0) -> tuple[str, ...]:
    """The tokens, each with the space behind it."""
    return tuple(_WORDS[(start + at) % len(_WORDS)] + " " for at in range(count))


def text(count: int, start: int = 0) -> str:
    """What a client must have in the end."""
    return "".join(words(count, start))


def dump(value: Any) -> str:
    """JSON as LM Studio's server writes it: no spaces."""
    return json.dumps(value, separators=(",", ":"))
