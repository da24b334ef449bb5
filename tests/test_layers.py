"""One way only: langchain | llama_index -> client -> protocol <- emulator, with errors below all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.package_imports import imports_of, layer_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lmstudio_integrations"
FACE = frozenset({"client", "protocol", "errors", "_version", "_lazy"})
ADAPTER = frozenset({"client", "compat", "errors", "_version", "_lazy"})
ALLOWED: dict[str, frozenset[str]] = {
    "_surrogates": frozenset(),
    "errors": frozenset({"_surrogates"}),
    "_version": frozenset(),
    "_lazy": frozenset(),
    "protocol": frozenset({"errors"}),
    "client": frozenset({"protocol", "errors", "_surrogates", "_version"}),
    "compat": frozenset({"client", "errors"}),
    "emulator": frozenset({"protocol", "errors", "_surrogates", "_version", "_lazy"}),
    "langchain": ADAPTER,
    "llama_index": ADAPTER,
    "__init__": FACE,
    "__main__": FACE,
}
FOREIGN: dict[str, frozenset[str]] = {
    "_surrogates": frozenset(),
    "errors": frozenset(),
    "protocol": frozenset({"pydantic", "pydantic_core", "typing_extensions"}),
    "client": frozenset({"pydantic", "pydantic_core", "typing_extensions", "websockets"}),
    "compat": frozenset(),
}

OPTIONAL = {"client/progress_bar.py": "tqdm", "client/transport/uvloop_event_loop.py": "uvloop"}


def _layer(path: Path) -> str:
    return layer_of(path, PACKAGE)


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    return imports_of(path, PACKAGE)


def offences(path: Path) -> list[str]:
    """``file:line: what`` for every import that goes the wrong way."""
    layer = _layer(path)
    found = []
    for line, name in _imports(path):
        where = f"{path.relative_to(PACKAGE.parent)}:{line}: {layer} imports {name}"
        head, _, rest = name.partition(".")
        if head == "lmstudio_integrations":
            target = rest.partition(".")[0]
            known = target in ALLOWED
            if not known and layer not in ("langchain", "llama_index", "__main__"):
                found.append(f"{where}: the face of the package is for users and adapters")
            elif known and target != layer and target not in ALLOWED[layer]:
                found.append(where)
        elif layer in FOREIGN and head not in sys.stdlib_module_names and head not in FOREIGN[layer]:
            if OPTIONAL.get(path.relative_to(PACKAGE).as_posix()) == head:
                continue
            found.append(f"{where}: not among its dependencies")
    return found


def _files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_imports_only_from_the_layers_below_it(path: Path) -> None:
    assert _layer(path) in ALLOWED, "a new layer: say in ALLOWED what it may import"
    assert offences(path) == []


@pytest.mark.parametrize(
    ("layer", "line", "bad"),
    [
        ("protocol", "from lmstudio_integrations.client.transport import thread", True),
        ("protocol", "import lmstudio_integrations.client.transport.thread", True),
        ("protocol", "def f():\n    import websockets", True),
        ("protocol", "from lmstudio_integrations import errors", False),
        ("protocol", "from ..client import engine", True),
        ("protocol", "from . import history", False),
        ("emulator", "from lmstudio_integrations.client.transport.multiplexer import x", True),
        ("emulator", "from lmstudio_integrations.protocol import history", False),
        ("client", "from lmstudio_integrations.langchain import x", True),
        ("client", "import langchain_core", True),
        ("client", "import websockets.asyncio.client", False),
        ("client", "from lmstudio_integrations import Client", True),
        ("langchain", "from lmstudio_integrations import Client", False),
        ("langchain", "from lmstudio_integrations.protocol.models import x", True),
        ("llama_index", "from lmstudio_integrations.protocol.models import x", True),
        ("langchain", "from lmstudio_integrations.llama_index import x", True),
        ("langchain", "from lmstudio_integrations.emulator import Emulator", True),
        ("errors", "from lmstudio_integrations.protocol import history", True),
    ],
)
def test_layer_check_finds_a_wrong_import_and_names_its_line(
    layer: str, line: str, bad: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lmstudio_integrations"
    path = package / f"{layer}.py" if layer == "errors" else package / layer / "some.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"{line}\n", encoding="utf-8")
    monkeypatch.setattr(f"{__name__}.PACKAGE", package)
    found = offences(path)
    assert bool(found) is bad
    if bad:
        assert f"{path.name}:{1 + line.count(chr(10))}: {layer} imports" in found[0]


def test_import_of_the_package_imports_no_framework_and_no_emulator() -> None:
    unwanted = ("langchain", "llama_index", "langgraph", "openai", "numpy", "lmstudio_integrations.emulator")
    program = (
        "import sys, lmstudio_integrations\n"
        f"print(*sorted(m for m in sys.modules if m.startswith({unwanted!r}) or m.startswith('lmstudio_integrations.l')))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=50, check=True
    )
    assert ran.stdout.split() == []


def _import_circles() -> list[list[str]]:
    """Groups of modules that import each other, also inside functions and for type checkers."""
    modules = {_module_name(path): path for path in _files()}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        targets = (_target(found, modules) for _, found in _imports(path))
        graph[name] = {target for target in targets if target is not None and target != name}
    reachable = {name: _reachable(name, graph) for name in graph}
    circles = {
        frozenset(other for other in reachable[name] if name in reachable[other])
        for name in graph
        if name in reachable[name]
    }
    return sorted(sorted(circle) for circle in circles)


def _module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _target(imported: str, modules: dict[str, Path]) -> str | None:
    """The module that ``from … import …`` reads: ``imported`` itself, or the module that has the name."""
    if imported in modules:
        return imported
    module = imported.rpartition(".")[0]
    return module if module in modules else None


def _reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(graph[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += graph[name]
    return found


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    assert _import_circles() == []


def test_dir_of_the_package_lists_the_public_names_only() -> None:
    import lmstudio_integrations

    assert dir(lmstudio_integrations) == sorted(lmstudio_integrations.__all__)
