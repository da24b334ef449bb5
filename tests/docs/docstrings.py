"""The docstrings of the package that have examples, and how one is run."""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lmstudio_integrations
from tests.readme.snippets import Snippet, fenced_blocks

PACKAGE = Path(lmstudio_integrations.__file__).parent

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_OUTPUT = "#>"
_LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Docstring:
    """A docstring: the file, the name in it (``""`` for the module), the line of the quotes, and the text."""

    path: Path
    name: str
    line: int
    text: str

    @property
    def id(self) -> str:
        return f"{self.path.relative_to(PACKAGE).with_suffix('').as_posix()}:{self.name}"

    @property
    def examples(self) -> list[Snippet]:
        return [block for block in fenced_blocks(self.text, self.line) if block.language == "python"]


@cache
def docstrings() -> tuple[Docstring, ...]:
    """Every docstring of the package."""
    return tuple(found for path in sorted(PACKAGE.rglob("*.py")) for found in _of_file(path))


def _of_file(path: Path) -> Iterator[Docstring]:
    def visit(node: _Documented, name: str) -> Iterator[Docstring]:
        first = node.body[0] if node.body else None
        text = ast.get_docstring(node, clean=False)
        if text is not None and first is not None:
            yield Docstring(path, name, first.lineno, text)
        for child in ast.walk(node) if isinstance(node, ast.Module) else node.body:
            if child is not node and isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if isinstance(node, ast.Module) and child not in node.body:
                    continue
                yield from visit(child, f"{name}.{child.name}".lstrip("."))

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), "")


def run_examples(docstring: Docstring, names: dict[str, Any], printed: Callable[[], str]) -> None:
    """Run the examples in their order, each with the names of those before it, and compare what each prints.

    An example may ``await`` without a function around it. Lines that begin with ``#>`` have the output of the example
    so far, as in pydantic's documentation; ``...`` stands for any text. ``printed`` returns what was printed since its
    last call.
    """
    with asyncio.Runner() as runner:
        for example in docstring.examples:
            code = compile(example.source, str(docstring.path), "exec", flags=_FLAGS, dont_inherit=True)
            made: Any = types.FunctionType(code, names)()
            if inspect.iscoroutine(made):
                runner.run(made)
            expected = _expected(example)
            got = printed()
            if expected and not doctest.OutputChecker().check_output(expected, got, _LOOSE):
                raise AssertionError(f"{docstring.path}:{example.line}: expected the output\n{expected}\ngot\n{got}")


def _expected(example: Snippet) -> str:
    lines = (line.lstrip() for line in example.text.splitlines())
    return "".join(f"{line[len(_OUTPUT) :].strip()}\n" for line in lines if line.startswith(_OUTPUT))
