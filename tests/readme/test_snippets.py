"""Every Python block of README.md runs as it stands, here against the emulator."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from llama_index.core.instrumentation import get_dispatcher

from lmstudio_integrations.emulator import EmulatedModel, Emulator, PredictionRequest, Reply
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

    def reply(request: PredictionRequest) -> Reply | None:
        thinks = request.last_user_text.startswith("How many r")
        return Reply("There are three.", reasoning="s t r a w b e r r y") if thinks else None

    with Emulator(MODELS, replies=reply) as emulator:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", emulator.url)
        yield emulator


@pytest.fixture
def _event_handlers() -> Iterator[None]:
    dispatcher = get_dispatcher()
    before = list(dispatcher.event_handlers)
    yield
    dispatcher.event_handlers = before


def snippet_with(text: str) -> Snippet:
    """The one block that has ``text``."""
    (found,) = [snippet for snippet in ALL if text in snippet.text]
    return found


@pytest.mark.parametrize("snippet", ALL, ids=lambda snippet: f"line{snippet.line}")
@pytest.mark.usefixtures("server", "_event_handlers")
def test_it_runs(snippet: Snippet, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(snippet)
    tests = [name for name in names if name.startswith("test_")]
    assert capsys.readouterr().out or tests or "assert " in snippet.text, "a snippet shows something"


def test_the_snippet_for_pytest_passes(lmstudio_emulator: Emulator) -> None:
    names = run(snippet_with("def test_"))
    names["test_the_answer_survives_a_lost_connection"](lmstudio_emulator)


@pytest.mark.usefixtures("server")
def test_progress_is_printed_from_nothing_to_all(capsys: pytest.CaptureFixture[str]) -> None:
    run(snippet_with("on_load_progress=lambda"))
    printed = capsys.readouterr().out
    assert "loading 100%" in printed
    assert [f"reading the prompt {share}%" in printed for share in (0, 50, 100)] == [True] * 3


@pytest.mark.usefixtures("server")
def test_progress_reaches_a_chain_with_its_token_counts(capsys: pytest.CaptureFixture[str]) -> None:
    run(snippet_with("astream_events"))
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[0] == "1.0"
    assert last[1] == last[2]


@pytest.mark.usefixtures("server")
def test_reasoning_is_a_block_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    run(snippet_with("reasoning=True"))
    assert capsys.readouterr().out.splitlines() == ["reasoning s t r a w b e r r y", "text There are three."]


@pytest.mark.usefixtures("server")
def test_both_structured_answers_are_of_the_class(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("with_structured_output", "structured_predict"):
        run(snippet_with(text))
        assert capsys.readouterr().out.startswith("destination='")


def test_leaving_the_block_tells_the_server_to_stop(server: Emulator) -> None:
    server.script(Reply(fragments=["a long answer, "] * 100, pace=0.01))
    run(snippet_with("AsyncClient"))
    cancel = server.wait_for(lambda frame: frame.message.get("type") == "channelSend")
    assert json.dumps(cancel.message["message"]) == '{"type": "cancel"}'
