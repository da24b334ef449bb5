"""The fenced blocks of a Markdown page, with the lines they stand on, and how they are run."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

README = Path(__file__).parents[2] / "README.md"

# A block may be indented: within a list, an admonition or a docstring.
_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```[ \t]*$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Snippet:
    """One fenced block: its language, its text, and the line of its first character, counted from 1."""

    language: str
    text: str
    line: int

    @property
    def source(self) -> str:
        """The text with as many empty lines before it as the page has, so that tracebacks name the page's lines."""
        return "\n" * (self.line - 1) + self.text


def run(snippet: Snippet, page: Path = README, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a Python block: as a script of its own, or with the ``names`` that earlier ones have defined."""
    names = {"__name__": "__main__"} if names is None else names
    exec(compile(snippet.source, page.name, "exec", dont_inherit=True), names)
    return names


def not_run(snippet: Snippet, page: Path) -> str | None:
    """Why a block cannot be run: the comment ``<!-- not run: reason -->`` before it. ``None``: it can."""
    before = "\n".join(page.read_text(encoding="utf-8").splitlines()[: snippet.line - 2])
    found = re.search(r"<!-- not run: (.+?) -->\s*\Z", before, re.DOTALL)
    return None if found is None else found[1]


def snippets(language: str, page: Path = README) -> list[Snippet]:
    """The blocks of ``language`` in ``page``, in their order."""
    return [snippet for snippet in fenced_blocks(page.read_text(encoding="utf-8")) if snippet.language == language]


def fenced_blocks(text: str, first_line: int = 1) -> Iterator[Snippet]:
    """The blocks of a text that begins on line ``first_line`` of its file, without their indentation."""
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text")) + first_line
        yield Snippet(found["language"], textwrap.dedent(found["text"]), line)
