"""Every example in a docstring runs as it stands, here against the emulator."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, is_typeddict

import pytest
from llama_index.core.instrumentation import get_dispatcher

from lmstudio_integrations.emulator import Emulator
from tests.docs.answers import MODELS, reply
from tests.docs.docstrings import PACKAGE, Docstring, docstrings, run_examples

WITH_EXAMPLES = [docstring for docstring in docstrings() if docstring.examples]
BY_ID = {docstring.id: docstring for docstring in docstrings()}
PUBLIC = ("", ".client", ".langchain", ".langchain.middleware", ".llama_index", ".emulator")
_JPEG = b"\xff\xd8\xff\xe0" + b"a picture that nobody decodes"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """An emulator where the examples look first, in a folder that has the files they name."""
    (tmp_path / "photo.jpg").write_bytes(_JPEG)
    monkeypatch.chdir(tmp_path)
    dispatcher = get_dispatcher()
    handlers = list(dispatcher.event_handlers)
    with Emulator(MODELS, replies=reply) as emulator:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", emulator.url)
        yield emulator
    dispatcher.event_handlers = handlers


def _before(docstring: Docstring) -> list[Docstring]:
    """The docstring of the class, whose examples a method's go on from, and the docstring itself."""
    owner, _, method = docstring.name.rpartition(".")
    of_class = BY_ID.get(docstring.id.removesuffix(f".{method}")) if owner else None
    return [docstring] if of_class is None else [of_class, docstring]


@pytest.mark.parametrize("docstring", WITH_EXAMPLES, ids=lambda docstring: docstring.id)
@pytest.mark.usefixtures("server")
def test_examples_of_the_docstring_run_and_print_what_they_say(
    docstring: Docstring, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for one in _before(docstring):
        run_examples(one, names, lambda: capsys.readouterr().out)
    for name, made in names.items():
        if name.startswith("test_"):  # a test for pytest, with the emulator's fixture
            with Emulator() as emulator:
                made(emulator)


def _public_classes() -> dict[str, type]:
    """The public classes that a user makes, calls or reads, by the id of their docstring.

    Left out: errors (``errors`` has one example for all), enumerations, dictionaries of keywords (their fields are the
    documentation), and the wire's own data, which ``protocol`` describes.
    """
    found: dict[str, type] = {}
    for module in PUBLIC:
        names = importlib.import_module(f"lmstudio_integrations{module}")
        for name in names.__all__:
            made = getattr(names, name)
            if not inspect.isclass(made) or is_typeddict(made) or issubclass(made, BaseException | enum.Enum):
                continue
            path = made.__module__.removeprefix("lmstudio_integrations.").replace(".", "/")
            if not path.startswith("protocol/"):
                found[f"{path}:{made.__name__}"] = made
    return found


@pytest.mark.parametrize("identifier", sorted(_public_classes()))
def test_public_class_has_an_example(identifier: str) -> None:
    assert BY_ID[identifier].examples, f"{identifier} has no ```python block in its docstring"


def test_no_docstring_has_an_example_that_is_not_run() -> None:
    literal = re.compile(r"::\s*$", re.MULTILINE)
    assert [docstring.id for docstring in docstrings() if literal.search(docstring.text)] == []


def test_every_file_of_the_package_was_read() -> None:
    assert {docstring.path for docstring in docstrings()} >= set(PACKAGE.rglob("client/*.py"))
