"""Every page of the cookbook runs as it stands; here its answers come from the emulator's rules."""

from __future__ import annotations

import json
import re
import runpy
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lmstudio_integrations.client.transport import discovery
from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply
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


def test_quickstart_without_an_embedding_model_says_so(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
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


def _cancels(server: Emulator) -> int:
    return sum(frame.message.get("message") == {"type": "cancel"} for frame in server.requests)


def test_caching_asks_once_for_the_same_question_and_reuses_the_handbook(server: Emulator, run: Run) -> None:
    printed = run("caching")
    asked = sum(frame.message.get("endpoint") == "predict" for frame in server.requests)
    assert asked == 1 + 1 + 3  # the second question came from the cache, another temperature did not
    counts = [[int(count) for count in re.findall(r"\d+", line)] for line in printed.splitlines() if "cache" in line]
    (_, first), *later = [pair for pair in counts if len(pair) == 2]
    assert first < 10
    assert len(later) == 2
    assert all(kept > 200 for _, kept in later)


def test_cancelling_stops_the_server_in_each_way(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    with Emulator(replies=lambda _: Reply("word " * 500, pace=0.005)) as server:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", server.url)
        printed = run("cancelling")
        server.wait_until(lambda: _cancels(server) == 5)
    assert re.search(r"left the loop after: '(word ?){4}", printed)
    assert "cancelled userStopped" in printed
    assert "by a token: cancelled" in printed
    assert "LlamaIndex, closed after: 'word" in printed
    assert "the task is cancelled: True" in printed


def test_errors_and_retries_shows_each_error_and_the_retry(run: Run) -> None:
    printed = run("errors_and_retries")
    assert "unknown model:     Model not found: qwen/qwen3-4bb" in printed
    assert re.search(r"wrong setting: +'temperature' must be", printed)
    assert re.search(r"too long a prompt: the prompt has \d+ tokens", printed)
    assert re.search(r"lost before: +This came after all\.", printed)
    assert re.search(r"lost in between: +'One two'", printed)
    assert re.search(r"silence: +idle 0\.2 s", printed)
    assert re.search(r"no server at: +ws://127\.0\.0\.1:1\n", printed)
    assert re.search(r"fallback: +The second server answers\.", printed)


def test_images_sends_the_same_picture_from_the_client_and_both_frameworks(server: Emulator, run: Run) -> None:
    printed = run("images")
    assert printed.count("You said: What colours has this flag") == 3
    creations = [
        frame.message["creationParameter"] for frame in server.requests if frame.message.get("endpoint") == "predict"
    ]
    files = [
        part
        for creation in creations
        for message in creation["history"]["messages"]
        for part in message["content"]
        if part["type"] == "file"
    ]
    assert len(files) == 3
    assert {part["fileType"] for part in files} == {"image"}


def test_images_needs_a_model_with_vision(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    models = [EmulatedModel("only/chat", loaded=True), EmulatedModel("only/embedding", "embedding", loaded=True)]
    with Emulator(models) as emulator:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", emulator.url)
        with pytest.raises(SystemExit, match="No downloaded model sees pictures"):
            run("images")


def test_reasoning_is_separate_from_the_answer_in_all_three(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    with Emulator(replies=lambda _: Reply("Twelve.", reasoning="Seven and five.")) as server:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", server.url)
        printed = run("reasoning")
        thoughts = [frame for frame in server.sent if '"reasoning"' in json.dumps(frame.message)]
    assert len(thoughts) == 3 * 4  # four tokens in each answer, but for the one where it was switched off
    assert "(Seven)( and)( five)(.)Twelve." in printed
    assert re.search(r"  4 of \d+ tokens were reasoning", printed)
    assert "  reasoning: Seven and five.\n  text: Twelve.\n  without: Twelve.\n" in printed
    assert "  thinking: Seven and five.\n  answer:   Twelve.\n" in printed


def test_tokens_and_limits_counts_cuts_and_refuses(server: Emulator, run: Run) -> None:
    printed = run("tokens_and_limits")
    assert "The context has 4096 tokens" in printed
    alone, templated = (int(re.search(pattern, printed)[1]) for pattern in (r"handbook has (\d+)", r"around it: (\d+)"))  # type: ignore[index]
    assert templated > alone > 100
    assert "ends with 'length' (maxPredictedTokensReached)" in printed
    assert f"prompt_tokens={templated}, completion_tokens=10" in printed
    assert re.search(r"Too long: the prompt has \d{4,} tokens", printed)
    assert f"own tokenizer: {alone}." in printed
