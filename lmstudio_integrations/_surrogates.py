"""Text that was cut in the middle of a character.

LM Studio's server counts text in UTF-16 units, so that an emoji may arrive as two halves (surrogates) in two fragments.
Neither half can be printed or sent separately. Both are put together, or replaced by U+FFFD.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["SurrogateJoiner", "json_without_surrogates", "without_surrogates"]

_HALF = re.compile("[\ud800-\udfff]")
_FIRST_HALF = re.compile("[\ud800-\udbff]$")
_REPLACEMENT = "\ufffd"


def without_surrogates(text: str) -> str:
    """``text`` with pairs of surrogates joined, and U+FFFD in the place of each other one."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def json_without_surrogates(value: Any) -> Any:
    """A JSON value in which ``without_surrogates`` was applied to each text, keys included."""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, list):
        return [json_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {without_surrogates(name): json_without_surrogates(item) for name, item in value.items()}
    return value


class SurrogateJoiner:
    """Puts the halves of one stream of text together again: the first waits for the second.

    A half whose other half never comes is replaced by U+FFFD.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: str = ""
        """Half a character that waits for the next piece."""

    def feed(self, text: str) -> str:
        """The next complete piece; half a character at its end is kept for the next piece."""
        if not self.held and (text.isascii() or _HALF.search(text) is None):
            return text
        text, self.held = self.held + text, ""
        if _FIRST_HALF.search(text):
            text, self.held = text[:-1], text[-1]
        return without_surrogates(text)

    def end(self) -> str:
        """What is left when no further piece will come."""
        held, self.held = self.held, ""
        return _REPLACEMENT if held else ""
