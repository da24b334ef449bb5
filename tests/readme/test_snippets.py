"""Every Python block of README.md runs as it stands, here against the emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from llama_index.core.instrumentation import get_dispatcher

from lmstudio_integrations.emulator import EmulatedModel, Emulator
from tests.readme.snippets import Snippet, run, snippets

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = (
    EmulatedModel("qwen/qwen3-4b"),
    EmulatedModel("text-embedding-nomic-embed-text-v1.5", "embedding"),
)
ALL = snippets("python")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator with the models that the README names, where its snippets look first."""
    with Emulator(MODELS) as emulator:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", emulator.url)
        yield emulator


@pytest.fixture
def _event_handlers() -> Iterator[None]:
    dispatcher = get_dispatcher()
    before = list(dispatcher.event_handlers)
    yield
    dispatcher.event_handlers = before


@pytest.mark.parametrize("snippet", ALL, ids=lambda snippet: f"line{snippet.line}")
@pytest.mark.usefixtures("server", "_event_handlers")
def test_snippet_of_the_readme_runs(snippet: Snippet, capsys: pytest.CaptureFixture[str]) -> None:
    run(snippet)
    assert capsys.readouterr().out or "assert " in snippet.text, "a snippet shows something"
