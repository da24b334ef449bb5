"""A small deterministic tokenizer: words, groups of digits, single signs. No character is lost or split.

It is not the vocabulary of a real model. It ensures that ``tokenize``, ``countTokens``, prompt progress, limits and the
statistics of the emulator all use this one, so that their numbers agree exactly.
"""

from __future__ import annotations

import re
import zlib
from collections import deque
from collections.abc import Sequence

_LETTERS = "A-Za-z\u00c0-\u02af\u0300-\u1fff"  # Latin to the Indic scripts; CJK and emoji are one token each
_PIECE = re.compile(
    rf"<\|\w+\|>|</?\w{{1,20}}>| ?[{_LETTERS}][{_LETTERS}0-9']{{0,15}}| ?[0-9]{{1,3}}|\n+| ?[^\s0-9{_LETTERS}]|\s",
    re.DOTALL,
)
_VOCABULARY = 100_000


def pieces(text: str) -> list[str]:
    """The tokens of ``text`` as strings; joined they are ``text`` again."""
    return _PIECE.findall(text)


def token_id(piece: str) -> int:
    """The number of a token: 0 to 99 999, the same in every process."""
    return zlib.crc32(piece.encode("utf-8", "surrogatepass")) % _VOCABULARY


def token_ids(text: str) -> list[int]:
    """The tokens of ``text`` as numbers."""
    return [token_id(piece) for piece in pieces(text)]


def count(text: str) -> int:
    """How many tokens ``text`` has."""
    return len(pieces(text))


def common_prefix(one: Sequence[str], other: Sequence[str]) -> int:
    """How many tokens both begin with alike."""
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return length


class PromptCache:
    """The last few token sequences (prompt and answer) of an instance.

    ``reusable`` returns how many leading tokens of a new prompt are in the cache.
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
