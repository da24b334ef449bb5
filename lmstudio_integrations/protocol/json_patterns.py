r"""Patterns of JSON Schema -> patterns that every engine of LM Studio compiles and that keep a string valid JSON.

llama.cpp's converter copies most of a pattern into a grammar: it knows no classes like ``\d``, no escapes like ``\/``,
only patterns from ``^`` to ``$``, and its ``.`` and ``[^a]`` also match the quote that ends the string (common/
json-schema-to-grammar.cpp, ``_visit_pattern``; src/llama-grammar.cpp, ``parse_char``). outlines-core puts a pattern
between two quotes as it is (src/json_schema/parsing.rs). So classes are written as ranges of ASCII without quote,
backslash and control characters, and what may stand before or after an unanchored pattern is written out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["MOST_REPETITIONS", "engine_pattern"]

MOST_REPETITIONS = 2000
"""llama.cpp refuses a grammar with as many repetitions of one rule, or (since August 2026) drops their upper bound
(src/llama-grammar.cpp, ``MAX_REPETITION_THRESHOLD``)."""

_Ranges = tuple[tuple[int, int], ...]
_FORBIDDEN: _Ranges = ((0x00, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F))
_CLASSES: dict[str, _Ranges] = {
    "d": ((0x30, 0x39),),
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
    "s": ((0x20, 0x20),),
}
_LAST = 0x10FFFF
_SPECIAL = frozenset("^$.[]()|{}*+?\\")
_REPEAT = re.compile(r"\{(\d*)(,?)(\d*)\}")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>)?(?!\?)")


class _UnknownError(Exception):
    """The pattern has something that no engine, or not every engine, knows."""


@lru_cache(maxsize=512)
def engine_pattern(pattern: str) -> str | None:
    r"""``pattern`` in the syntax that all engines know, from ``^`` to ``$``; ``None`` if it has none.

    It matches fewer strings: only ASCII for ``\d`` and ``\w``, and no quotes, backslashes and control characters, which
    a string of JSON would have to escape.
    """
    try:
        made = _translated(pattern)
        re.compile(made)  # an expression that is not well-formed
    except (_UnknownError, IndexError, re.error, RecursionError, OverflowError):
        return None
    return made


def _translated(pattern: str) -> str:
    starts = pattern.startswith("^")
    ends = pattern.endswith("$") and (len(pattern) - len(pattern[:-1].rstrip("\\"))) % 2 == 1
    body = pattern[starts : len(pattern) - ends]
    made: list[str] = []
    depth, position, alternatives = 0, 0, False
    while position < len(body):
        character = body[position]
        alternatives = alternatives or (character == "|" and depth == 0)
        depth += (character == "(") - (character == ")")
        if character in "*+?{" and (not made or made[-1] in ("(", "|")):
            raise _UnknownError  # nothing to repeat
        piece, position = _piece(body, position)
        made.append(piece)
    text = "".join(made)
    if alternatives:
        if starts != ends:
            raise _UnknownError  # the anchor belongs to one alternative
        text = f"({text})"  # outlines-core puts the quotes directly beside what stands between the anchors
    if starts and ends:
        return f"^{text}$"
    anything = _class(_without(((0, _LAST),))) + "*"
    return f"^{'' if starts else anything}{text}{'' if ends else anything}$"


def _piece(body: str, position: int) -> tuple[str, int]:
    """The translation of what begins at ``position``, and where the next begins."""
    character = body[position]
    if character == "[":
        return _read_class(body, position + 1)
    if character == "\\":
        return _escaped(body, position)
    if character == ".":
        return _class(_without(((0, _LAST),))), position + 1
    if character == "(":
        found = _GROUP.match(body, position)
        if found is None:
            raise _UnknownError
        return "(", found.end()
    if character in "*+?{":
        return _quantifier(body, position)
    if character in ")|":
        return character, position + 1
    if character in "^$]}" or _is_forbidden(ord(character)):
        raise _UnknownError
    return character, position + 1


def _escaped(body: str, position: int) -> tuple[str, int]:
    character = body[position + 1]
    if character.lower() in _CLASSES:
        ranges = _CLASSES[character.lower()]
        return _class(ranges if character.islower() else _without(_complement(ranges))), position + 2
    if character.isalnum() or _is_forbidden(ord(character)):
        raise _UnknownError
    return (f"\\{character}" if character in _SPECIAL else character), position + 2


def _quantifier(body: str, position: int) -> tuple[str, int]:
    """A quantifier; lazy ones are written as greedy ones, which match the same complete strings."""
    if body[position] == "{":
        found = _REPEAT.match(body, position)
        if found is None or not (found[1] or found[3]):
            raise _UnknownError
        fewest, most = int(found[1] or 0), int(found[3] or 0)
        if max(fewest, most) >= MOST_REPETITIONS:
            raise _UnknownError
        text, end = (f"{{{fewest}{found[2]}{found[3]}}}", found.end())
    else:
        text, end = body[position], position + 1
    following = body[end : end + 1]
    if following == "+":
        raise _UnknownError  # possessive
    return text, end + (following == "?")


def _read_class(body: str, position: int) -> tuple[str, int]:
    negated = body.startswith("^", position)
    position += negated
    ranges: list[tuple[int, int]] = []
    first = True
    while first or body[position] != "]":
        first = False
        low, position = _member(body, position)
        if isinstance(low, tuple):
            ranges += low
        elif body[position] == "-" and body[position + 1] != "]":
            high, position = _member(body, position + 1)
            if isinstance(high, tuple) or high < low:
                raise _UnknownError
            ranges.append((low, high))
        else:
            ranges.append((low, low))
    allowed = _complement(ranges) if negated else ranges
    return _class(_without(allowed)), position + 1


def _member(body: str, position: int) -> tuple[int | _Ranges, int]:
    """One character of a class as its number, or the ranges of a class within it."""
    character = body[position]
    if character == "[" or body[position : position + 2] in ("--", "&&", "||", "~~"):
        raise _UnknownError  # nested sets and set operations mean something else in llguidance
    if character != "\\":
        return ord(character), position + 1
    character = body[position + 1]
    if character.lower() in _CLASSES:
        ranges = _CLASSES[character.lower()]
        return (ranges if character.islower() else tuple(_complement(ranges))), position + 2
    if character.isalnum():
        raise _UnknownError
    return ord(character), position + 2


def _complement(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            made.append((start, low - 1))
        start = max(start, high + 1)
    if start <= _LAST:
        made.append((start, _LAST))
    return made


def _without(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges without what a string of JSON has to escape."""
    return _complement([*_complement(ranges), *_FORBIDDEN])


def _is_forbidden(code: int) -> bool:
    return any(low <= code <= high for low, high in _FORBIDDEN)


def _class(ranges: Iterable[tuple[int, int]], *, negated: bool = False) -> str:
    """A class in the notation that llama.cpp's grammars and regular expressions share."""
    ranges = list(ranges)
    if not ranges:
        raise _UnknownError
    if not negated and ranges[-1][1] == _LAST:
        return _class(_complement(ranges), negated=True)
    text = "".join(_code(low) if low == high else f"{_code(low)}-{_code(high)}" for low, high in ranges)
    return f"[{'^' if negated else ''}{text}]"


def _code(code: int) -> str:
    character = chr(code)
    return character if code > 0x7F or character.isalnum() or character in "_ " else f"\\x{code:02X}"
