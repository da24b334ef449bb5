"""An extension of griffe, for the documentation site: literal blocks of docstrings become fenced ones, with colours.

Docstrings have reStructuredText's form (a line that ends in ``::``, then indented code), which editors and ``help()``
show well. The site's renderer reads Markdown.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Extension, Object

_BLOCK = re.compile(
    r"^(?P<indent>[ ]*)(?P<text>[^\n]*?)::\n\n(?P<code>(?:(?P=indent)[ ]{4,}[^\n]*\n|[ ]*\n)+)", re.MULTILINE
)
_TREE = re.compile("[├└│]")


class DocstringBlocks(Extension):
    """Rewrites every docstring of a package before any is parsed."""

    def on_package(self, *, pkg: Object, **kwargs: Any) -> None:
        """Called when the package has been read completely."""
        _rewrite(pkg)


def _rewrite(obj: Object) -> None:
    if obj.docstring is not None:
        obj.docstring.value = fenced(obj.docstring.value)
    for member in obj.members.values():
        if not member.is_alias:
            _rewrite(member)


def fenced(text: str) -> str:
    """``text`` with its literal blocks in fences: of Python, or plain if a tree is drawn."""
    return _BLOCK.sub(_fence, text + "\n").rstrip("\n")


def _fence(found: re.Match[str]) -> str:
    indent, words = found["indent"], found["text"]
    code = textwrap.dedent(found["code"]).strip("\n")
    language = "text" if _TREE.search(code) else "python"
    head = f"{indent}{words}:\n\n" if words.strip() else ""
    return head + textwrap.indent(f"```{language}\n{code}\n```\n\n", indent)
