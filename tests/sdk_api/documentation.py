"""Runs the snippets of LM Studio's own Python documentation with the official SDK and with this package.

The documentation is not part of this project: ``python -m tests.sdk_api.documentation FOLDER`` reads a checkout of
``lmstudio-ai/docs`` (POSIX only). A snippet runs alone, or behind what its page takes for granted: a model and a chat of
the blocking client, or of the awaiting one. What comes out is printed, and the exit code is 1 if a snippet runs with the
official SDK alone.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import inspect
import io
import os
import re
import signal
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Protocol, runtime_checkable
from unittest import mock

import lmstudio

import lmstudio_integrations
from lmstudio_integrations.emulator import EmulatedModel, Emulator
from tests.sdk_api.comparison import PNG, default_clients

__all__ = ["Snippet", "run_with_both", "snippets"]

_BLOCK = re.compile(r"^[ ]*```python[^\n]*\n(.*?)^[ ]*```", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r'(?:(?:llm|model|load_new_instance|embedding_model)\(\s*|model_key = )"([^"\s]+)"')
_HOST = re.compile(r"(?:localhost|127\.0\.0\.1):1234")
_IMAGE = re.compile(r'"[^"]*\.(?:jpg|jpeg|png)"')
_SECONDS = 30
_WAYS = ("alone", "blocking", "awaiting")


@dataclass(frozen=True)
class Snippet:
    """A block of Python: its page and number, and its code."""

    name: str
    code: str


def snippets(folder: Path) -> list[Snippet]:
    """Every block of Python of the pages below ``folder``."""
    pages = sorted(path for path in folder.rglob("*") if path.suffix in (".md", ".mdx"))
    return [
        Snippet(f"{page.relative_to(folder)}#{number}", textwrap.dedent(found[1]))
        for page in pages
        for number, found in enumerate(_BLOCK.finditer(page.read_text("utf-8")), 1)
    ]


def run_with_both(snippet: Snippet, models: tuple[EmulatedModel, ...]) -> tuple[str | None, str | None]:
    """The error with the official SDK, and with this package; ``None`` if it ran."""
    return _run(lmstudio, snippet, models), _run(lmstudio_integrations, snippet, models)


def models_of(found: list[Snippet]) -> tuple[EmulatedModel, ...]:
    """A loaded model for each key that the snippets name."""
    keys = sorted({key for snippet in found for key in _KEY.findall(snippet.code)})
    return tuple(EmulatedModel(key, "embedding" if "embed" in key else "llm", loaded=True, vision=True) for key in keys)


def _run(package: ModuleType, snippet: Snippet, models: tuple[EmulatedModel, ...]) -> str | None:
    """The error of the snippet alone, or ``None`` if one of the ways comes to an end."""
    problems: list[str] = []
    with Emulator(models or None) as server, default_clients(server), _surroundings(package):
        host = server.url.removeprefix("ws://")
        text = _IMAGE.sub(repr("image.png"), _HOST.sub(host, snippet.code))
        try:
            code = compile(text, snippet.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as error:
            return f"SyntaxError: {error}"
        for way in _WAYS:
            try:
                with _time_limit(), contextlib.redirect_stdout(io.StringIO()):
                    _run_one_way(package, code, way, host)
                return None
            except EOFError:  # it asks for input: there is none
                return None
            except Exception as error:  # noqa: BLE001  # it is the outcome
                problems.append(f"{type(error).__name__}: {error}")
    return " ".join(problems[0].split())[:200]


def _run_one_way(package: Any, code: CodeType, way: str, host: str) -> None:
    names: dict[str, Any] = {name: getattr(package, name) for name in dir(package) if not name.startswith("_")}
    names |= {"__name__": "snippet", "lms": package, "runtime_checkable": runtime_checkable, "Protocol": Protocol}
    names |= {"initial_text": "Once upon a time", "image_path": "image.png", "DictSchema": dict[str, Any]}
    names |= {"BookSchema": _book(package), "schema": {"type": "object", "properties": {"title": {"type": "string"}}}}
    if way == "blocking":
        with contextlib.suppress(lmstudio.LMStudioError):  # the SDK's, if there is one already: it is as good
            package.configure_default_client(host)
        names["model"] = names["llm"] = package.llm()
        names["chat"] = package.Chat("Be brief.")
        names["prediction_stream"] = names["model"].respond_stream("Hi")
        names["result"] = names["prediction_stream"].wait_for_result()
    if way != "awaiting":
        made = eval(code, names)  # the documentation's
        if inspect.isawaitable(made):
            asyncio.run(_await(made))
        return

    async def run() -> None:
        async with package.AsyncClient(host) as client:
            names["client"], names["chat"] = client, package.Chat("Be brief.")
            names["model"] = names["llm"] = await client.llm.model()
            made = eval(code, names)
            if inspect.isawaitable(made):
                await made

    asyncio.run(run())


def _book(package: Any) -> Any:
    class BookSchema(package.BaseModel):  # type: ignore[misc]  # either package's
        title: str

    return BookSchema


async def _await(made: Any) -> Any:
    return await made


@contextlib.contextmanager
def _surroundings(package: ModuleType) -> Iterator[None]:
    """``import lmstudio`` imports ``package``; the current folder has an image; nothing is typed in."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        mock.patch.dict(sys.modules, {"lmstudio": package}),
        mock.patch.object(builtins, "input", side_effect=EOFError),
        mock.patch.dict(os.environ),
    ):
        Path("image.png").write_bytes(PNG)
        yield


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def expire(*_: object) -> None:
        raise TimeoutError(f"it did not end within {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: list[str]) -> int:
    """Run all, print what does not run with both."""
    if len(arguments) != 1:
        sys.stderr.write(f"usage: python -m tests.sdk_api.documentation FOLDER\n{__doc__}")
        return 2
    folder = Path(arguments[0])
    found = snippets(folder / "1_python" if (folder / "1_python").is_dir() else folder)
    models = models_of(found)
    counts: Counter[str] = Counter()
    for snippet in found:
        theirs, ours = run_with_both(snippet, models)
        verdict = {(True, True): "both", (True, False): "only the SDK", (False, True): "only here"}.get(
            (theirs is None, ours is None), "neither"
        )
        counts[verdict] += 1
        if verdict != "both":
            sys.stdout.write(f"{verdict}: {snippet.name}\n    SDK: {theirs}\n    here: {ours}\n")
    sys.stdout.write(f"{len(found)} snippets: {dict(counts)}\n")
    return 1 if counts["only the SDK"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
