"""Which file of the package imports what: for the drawing of the architecture, and for the test of the layers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "lmstudio_integrations"


def layer_of(path: Path, package: Path = PACKAGE) -> str:
    """The layer that a file belongs to: the first folder below ``package``, or the file itself."""
    return path.relative_to(package).parts[0].removesuffix(".py")


def imports_of(path: Path, package: Path = PACKAGE) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything that the file imports, wherever in it that stands."""
    folders = path.relative_to(package.parent).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(folders[: len(folders) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
