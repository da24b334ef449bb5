"""What single snippets of the guides print, and what they send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.instrumentation import get_dispatcher

from lmstudio_integrations.emulator import Emulator, Reply
from tests.docs.test_snippets import DOCS, MODELS, _handlers, closing_event_loop, reply
from tests.readme.snippets import Snippet, run, snippets

__all__ = ["_handlers", "closing_event_loop"]

GUIDES = DOCS / "guides"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(MODELS, replies=reply) as emulator:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", emulator.url)
        yield emulator


def _run_until(page: Path, text: str, printed: Any) -> str:
    """Run the page's snippets up to the one that has ``text``; returns what that one prints."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for snippet in snippets("python", page):
        printed()
        get_dispatcher().event_handlers = []  # those of earlier snippets print, too
        run(snippet, page, names)
        if text in snippet.text:
            return str(printed().out)
    raise AssertionError(f"no snippet of {page.name} has {text!r}")


def _snippet(page: Path, text: str) -> Snippet:
    (found,) = [snippet for snippet in snippets("python", page) if text in snippet.text]
    return found


@pytest.mark.usefixtures("server", "_handlers")
def test_prompt_progress_is_printed_from_nothing_to_all(capsys: pytest.CaptureFixture[str]) -> None:
    printed = _run_until(GUIDES / "chat_and_streaming.md", "on_prompt_progress=lambda", capsys.readouterr)
    assert [f"{share}% of the prompt" in printed for share in (0, 50, 100)] == [True] * 3


@pytest.mark.usefixtures("server", "_handlers")
def test_progress_reaches_a_chain_with_its_token_counts(capsys: pytest.CaptureFixture[str]) -> None:
    printed = _run_until(GUIDES / "chat_and_streaming.md", "astream_events", capsys.readouterr)
    progress, processed, total = printed.splitlines()[-1].split()
    assert progress == "1.0"
    assert 0 < int(processed) <= int(total)


@pytest.mark.usefixtures("server", "_handlers")
def test_reasoning_is_a_block_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    printed = _run_until(GUIDES / "reasoning.md", "content_blocks", capsys.readouterr)
    assert printed.splitlines()[:2] == ["reasoning s t r a w b e r r y", "text There are three."]


@pytest.mark.usefixtures("server", "_handlers")
@pytest.mark.parametrize("text", ["with_structured_output(Sailing)", "structured_predict"])
def test_structured_answer_is_of_the_class(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run_until(GUIDES / "structured_output.md", text, capsys.readouterr).startswith("destination='")


def test_leaving_the_block_cancels_at_the_server(server: Emulator) -> None:
    server.script(Reply(fragments=["a long answer, "] * 100, pace=0.01))
    page = GUIDES / "cancelling.md"
    run(
        _snippet(page, "async def beginning"),
        page,
        {"__name__": "__main__", "lms": __import__("lmstudio_integrations")},
    )
    cancel = server.wait_for(lambda frame: frame.message.get("type") == "channelSend")
    assert json.dumps(cancel.message["message"]) == '{"type": "cancel"}'


@pytest.mark.usefixtures("server", "_handlers", "closing_event_loop")
def test_llama_index_has_both_reasons_of_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    printed = _run_until(GUIDES / "tokens_and_limits.md", 'response.raw["finish_reason"]', capsys.readouterr)
    assert printed == "length maxPredictedTokensReached\n"


def test_token_of_llama_index_ends_the_answer_at_the_server(server: Emulator) -> None:
    server.script(Reply(fragments=["a long answer, "] * 100, pace=0.01))
    page = GUIDES / "cancelling.md"
    names = {"__name__": "__main__", "CancelToken": __import__("lmstudio_integrations").CancelToken}
    run(_snippet(page, "llm.stream_chat"), page, names)
    cancel = server.wait_for(lambda frame: frame.message.get("type") == "channelSend")
    assert cancel.message["message"] == {"type": "cancel"}
