"""A small deterministic tokenizer: words, groups of digits, single signs. No character is lost or split.

It is nobody's real vocabulary. What counts is that ``tokenize``, ``countTokens``, prompt progress, limits and the
statistics of the emulator all use this one, so that their numbers agree exactly.
"""

from __future__ import annotations

import re
import zlib
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
