"""Every page of the cookbook runs as it stands; here its answers come from the emulator's rules."""

from __future__ import annotations

import re
import runpy
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lmstudio_integrations.client.transport import discovery
from lmstudio_integrations.emulator import EmulatedModel, Emulator
from lmstudio_integrations.emulator.backends.llama_cpp import find_model

if TYPE_CHECKING:
    from collections.abc import Iterator

COOKBOOK = Path(__file__).parents[2] / "cookbook"
PAGES = sorted(path.stem for path in COOKBOOK.glob("[!_]*.py"))

Run = Callable[[str], str]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator where the pages look first."""
    with Emulator() as emulator:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", emulator.url)
        yield emulator


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a page as ``python cookbook/PAGE.py`` would; returns what it printed."""

    def run_page(name: str) -> str:
        monkeypatch.syspath_prepend(str(COOKBOOK))
        monkeypatch.setenv("COLUMNS", "100")
        runpy.run_path(str(COOKBOOK / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run_page


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_a_test_of_its_own(page: str) -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert f"test_{page}_" in tests


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_how_to_run_it(page: str) -> None:
    text = (COOKBOOK / f"{page}.py").read_text(encoding="utf-8")
    assert re.search(rf"^Run it with `\.uv/bin/uv run .*--extra all .*cookbook/{page}\.py`\.$", text, re.MULTILINE)


def test_quickstart_answers_with_statistics_out_of_both_frameworks(server: Emulator, run: Run) -> None:
    printed = run("quickstart")
    row = next(line for line in printed.splitlines() if "stop reason" in line)
    assert row.count("eosFound") + row.count("maxPredictedTokensReached") == 2
    counts = re.findall(r"\d+", next(line for line in printed.splitlines() if "prompt tokens" in line))
    assert len(counts) == 2
    assert all(int(count) > 100 for count in counts)


def test_quickstart_names_the_documents_that_it_used(server: Emulator, run: Run) -> None:
    assert re.search(r"sources: crane \(0\.\d\d\), \w+ \(0\.\d\d\)", run("quickstart"))


def test_quickstart_draws_a_full_bar_for_each_prompt(server: Emulator, run: Run) -> None:
    assert run("quickstart").count("100%") == 2


@pytest.mark.real_model
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_quickstart_streams_real_tokens_where_no_lm_studio_answers(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    if find_spec("xllamacpp") is None or find_model() is None:
        pytest.skip("needs the extra `emulator` and the dependency group `model`")
    monkeypatch.delenv("LMSTUDIO_BASE_URL", raising=False)
    # A machine may well have an LM Studio; the quickstart is to find none.
    monkeypatch.setattr(discovery, "DEFAULT_PORTS", ())
    monkeypatch.setattr(discovery, "USER_PORT", _free_port())
    printed = run("quickstart")
    assert "No LM Studio answers at 127.0.0.1:" in printed
    assert "SmolLM2-135M-Instruct" in printed
    assert printed.count("100%") == 2
    for row in ("prompt tokens", "generated tokens", "time to first token", "tokens per second"):
        line = next(line for line in printed.splitlines() if row in line)
        figures = [float(figure) for figure in re.findall(r"\d+(?:\.\d+)?", line)]
        assert len(figures) == 2
        assert min(figures) > 0, line


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_server_without_an_embedding_model_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    with Emulator([EmulatedModel("only/chat", loaded=True)]) as emulator:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", emulator.url)
        with pytest.raises(SystemExit, match="has no embedding model"):
            run("quickstart")


def test_client_alone_shows_progress_statistics_and_the_count_of_the_conversation(server: Emulator, run: Run) -> None:
    printed = run("client_alone")
    assert printed.count("[prompt 100%]") == 2
    assert printed.count("/s: eosFound") == 2
    assert re.search(r"conversation has \d{2,} tokens", printed)


def test_client_alone_sends_the_first_answer_along_with_the_second_question(server: Emulator, run: Run) -> None:
    run("client_alone")
    creations = [
        frame.message["creationParameter"] for frame in server.requests if frame.message.get("endpoint") == "predict"
    ]
    roles = [[message["role"] for message in creation["history"]["messages"]] for creation in creations]
    assert roles == [["system", "user"], ["system", "user", "assistant", "user"]]


def test_progress_shows_it_from_the_client_and_from_langchain(server: Emulator, run: Run) -> None:
    printed = run("progress")
    assert re.search(r"prompt 50%: \d+ of \d+ tokens", printed)
    assert "lmstudio.prompt_progress: 50%" in printed
    assert printed.count("You said:") == 4


def test_langchain_structured_prints_objects_of_the_form(server: Emulator, run: Run) -> None:
    printed = run("langchain_structured")
    assert re.search(r"name='.+' kind='ferry' crew=\d+ cargo=\[", printed)
    assert "error:  None" in printed


def test_langchain_agent_calls_a_tool_and_answers_with_its_result(server: Emulator, run: Run) -> None:
    printed = run("langchain_agent")
    assert re.search(r"model: \w+\(\{.*\}\)\n  tools: .+\n  model: .+", printed)
    assert "'name': 'wind'" in printed.split("One call of a named tool:")[1]


def test_llama_index_agent_calls_a_tool_and_makes_an_object(server: Emulator, run: Run) -> None:
    printed = run("llama_index_agent")
    assert re.search(r"depth_of_water\(\{.*\}\) -> ", printed)
    assert re.search(r"destination='.+' hour=\d+", printed)


def test_embeddings_rag_puts_the_ferry_first_in_both_frameworks(server: Emulator, run: Run) -> None:
    printed = run("embeddings_rag")
    for framework in ("LangChain", "LlamaIndex"):
        first = next(line for line in printed.splitlines() if re.match(rf"{framework}: 0\.\d\d ", line))
        assert "The ferry" in first
