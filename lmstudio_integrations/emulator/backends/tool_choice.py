"""The tool that the fake model calls, if any: the one that the text names, else the one with most words in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Tool = Mapping[str, Any]

_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can could do does for from get give how i in is it its me my no not of on or our "
        "please tell that the their them this to tool tools use using value was we what when where which who will "
        "with would you your function functions call calls",
    )
)
# Arithmetic in the text stands for these words; they are compared as the text's own words are.
_OPERATORS = (
    (re.compile(r"\d\s*\+\s*-?\d"), "add adder sum plus addition"),
    (re.compile(r"\d\s*[*×]\s*-?\d"), "multiply multiplier times product multiplication mul"),
    (re.compile(r"\d\s+-\s+\d"), "subtract minus difference subtraction"),
    (re.compile(r"\d\s*[/÷]\s*-?\d"), "divide division quotient"),
)
_ENOUGH = 2


def choose_tool(tools: Sequence[Tool], text: str, *, forced: bool, called: Sequence[str] = ()) -> Tool | None:
    """The tool that the model calls, or ``None``.

    Args:
        tools: the functions on offer.
        text: the last user message.
        forced: one has to be called, whatever the text says.
        called: names that were called already since that message; when forced, another one is preferred.
    """
    fresh = [tool for tool in tools if tool["name"] not in called]
    candidates = fresh if fresh and forced else list(tools)
    named = [(found.start(), tool) for tool in candidates if (found := _named(tool["name"], text))]
    if named:
        return min(named, key=lambda pair: pair[0])[1]
    words = _words(text)
    for pattern, operator_words in _OPERATORS:
        if pattern.search(text):
            words |= _words(operator_words)
    scores = [_score(tool, words) for tool in candidates]
    best = max(range(len(candidates)), key=lambda place: scores[place], default=None)
    if best is None or (scores[best] < _ENOUGH and not forced):
        return None
    return candidates[best]


def _named(name: str, text: str) -> re.Match[str] | None:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text, re.IGNORECASE)


def _score(tool: Tool, words: set[str]) -> int:
    """Two for each word of the name, one for each of the description; nothing if the name shares none."""
    of_name = len(_words(tool["name"]) & words)
    return 2 * of_name + len(_words(tool.get("description", "")) & words) if of_name else 0


def _words(text: str) -> set[str]:
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text).replace("_", " ").lower()
    return {_stem(word) for word in re.findall(r"[^\W\d]+", parted) if word not in _COMMON}


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
