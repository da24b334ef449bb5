"""Every Python block of the documentation runs: those of a page in their order, as one program, against the emulator."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_index.core.instrumentation import get_dispatcher

from lmstudio_integrations.emulator import EmulatedModel, Emulator, PredictionRequest, Reply
from tests.cookbook.conftest import closing_event_loop
from tests.readme.snippets import Snippet, not_run, run, snippets

__all__ = ["closing_event_loop"]

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Pages whose blocks are run by tests of their own.
ELSEWHERE = {
    "emulator.md": "tests/emulator/test_docs_recipes.py",
    "many_machines.md": "tests/cookbook/test_many_machines.py",
}
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if snippets("python", page) and page.name not in ELSEWHERE]
# What the test cannot run, by the beginning of the reason on the page.
NOT_RUN: set[tuple[str, str]] = set()
MODELS = (
    EmulatedModel("qwen/qwen3-4b", context_length=8192),
    EmulatedModel("vision/model", vision=True),
    EmulatedModel("text-embedding-nomic-embed-text-v1.5", "embedding"),
)


def reply(request: PredictionRequest) -> Reply | None:
    """A reasoning model for the pages about reasoning; elsewhere the emulator's own answers."""
    if request.last_user_text.startswith("How many r"):
        return Reply("There are three.", reasoning="s t r a w b e r r y")
    return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(MODELS, replies=reply) as emulator:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", emulator.url)
        yield emulator


@pytest.fixture
def _handlers() -> Iterator[None]:
    """Removes what a page has added to LlamaIndex's dispatcher and to the package's logger."""
    dispatcher, logger = get_dispatcher(), logging.getLogger("lmstudio_integrations")
    before, level, handlers = list(dispatcher.event_handlers), logger.level, list(logger.handlers)
    yield
    dispatcher.event_handlers = before
    logger.setLevel(level)
    logger.handlers = handlers


def runnable(page: Path) -> list[Snippet]:
    return [snippet for snippet in snippets("python", page) if not_run(snippet, page) is None]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
@pytest.mark.usefixtures("server", "_handlers", "closing_event_loop")
def test_snippets_of_a_page_run_in_their_order(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for snippet in runnable(page):
        run(snippet, page, names)
    assert capsys.readouterr().out or not any("print(" in snippet.text for snippet in runnable(page))


def test_snippets_that_are_not_run_are_the_known_ones() -> None:
    found = {
        (page.name, reason)
        for page in PAGES
        for snippet in snippets("python", page)
        if (reason := not_run(snippet, page)) is not None
    }
    assert found == NOT_RUN


@pytest.mark.parametrize("page", ELSEWHERE)
def test_pages_tested_elsewhere_are_named_in_that_test(page: str) -> None:
    place = DOCS.parent / ELSEWHERE[page]
    texts = [file.read_text("utf-8") for file in ([place] if place.is_file() else place.rglob("*.py"))]
    assert any(page in text or page.removesuffix(".md") in text for text in texts)


def test_every_link_between_pages_has_a_target() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in DOCS.rglob("*.md")
        for target in re.findall(r"\]\((?!https?://|#)([^)\s#]+)", page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []
