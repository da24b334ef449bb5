"""Values in a prompt for the arguments of a tool call: numbers, quotations, names and places."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
_QUOTED = re.compile(
    r"\"([^\"]{1,200})\"|(?<!\w)'([^']{1,200})'(?!\w)|\u201c([^\u201d]+)\u201d|\u300c([^\u300d]+)\u300d|`([^`]+)`"
)
_PLACE = re.compile(r"\b(?:in|at|near|for|of)\s+((?:[A-Z][\w'-]*)(?:,?\s+[A-Z][\w'-]*)*)")
_NAMED = re.compile(r"\b(?:named|called|name is)\s+([A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*)")
_PLACE_KEYS = ("location", "city", "place", "country", "where", "destination", "address")
_WHOLE_TEXT_KEYS = ("query", "question", "text", "prompt", "search", "message", "request")


@dataclass
class Hints:
    """The usable parts of a text; each number and quotation is used once, in order."""

    text: str = ""
    _numbers: list[float] = field(default_factory=list)
    _quoted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        quoted = [next(filter(None, found)) for found in _QUOTED.findall(self.text)]
        self._quoted = [words for words in quoted if words.strip()]
        self._numbers = [float(found) for found in _NUMBER.findall(self.text)]

    def number(self, low: float, high: float, *, whole: bool) -> float | None:
        """The next number of the text within these bounds."""
        for place, value in enumerate(self._numbers):
            if low <= value <= high and (not whole or value.is_integer()):
                return self._numbers.pop(place)
        return None

    def words(self, key: str) -> str | None:
        """Something of the text for a string argument of this name."""
        if not self.text:
            return None
        lowered = key.lower()
        if self._quoted:
            return self._quoted.pop(0)
        if any(part in lowered for part in _PLACE_KEYS) and (found := _PLACE.search(self.text)):
            return found[1]
        if "name" in lowered and (found := _NAMED.search(self.text)):
            return found[1]
        if any(part in lowered for part in _WHOLE_TEXT_KEYS) or lowered.strip("_") in ("input", "q", "arg1"):
            return self.text.strip()
        return None

    def mentioned(self, choices: list[object]) -> object | None:
        """The first of some fixed choices that the text names."""
        lowered = self.text.lower()
        found = (one for one in choices if isinstance(one, str) and one and one.lower() in lowered)
        return next(found, None)
