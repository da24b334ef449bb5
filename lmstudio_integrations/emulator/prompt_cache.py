"""What an engine would still have in its memory from earlier prompts of one model instance."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from .tokens import common_prefix


class PromptCache:
    """The last few token sequences (prompt and answer) of an instance.

    ``reusable`` tells how many leading tokens of a new prompt would not have to be processed again.
    """

    def __init__(self, sequences: int = 4) -> None:
        self._kept: deque[Sequence[str]] = deque(maxlen=sequences)

    def reusable(self, prompt: Sequence[str]) -> int:
        """Length of the longest common beginning, at most all but the last token: that one is always processed."""
        longest = max((common_prefix(prompt, kept) for kept in self._kept), default=0)
        return max(0, min(longest, len(prompt) - 1))

    def keep(self, sequence: Sequence[str]) -> None:
        """Remember a sequence; one that it continues is replaced by it."""
        for kept in list(self._kept):
            if common_prefix(kept, sequence) == len(kept):
                self._kept.remove(kept)
        self._kept.append(sequence)
