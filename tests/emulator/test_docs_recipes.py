"""The recipes of docs/emulator.md, taken from the page, each run as a test of its own; and the program with a scenario."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest

from lmstudio_integrations import Client
from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.emulator import __main__ as program
from lmstudio_integrations.emulator.faults import NAMES
from lmstudio_integrations.emulator.scenario import read_scenario
from lmstudio_integrations.errors import LMStudioValueError

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
SCENARIO = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
Serve: TypeAlias = Callable[..., tuple[int, str, str]]
TOKEN = "sk-lm-abcdefgh:ABCDEFGHIJKLMNOPQRST"

needs_frameworks = pytest.mark.skipif(
    not all(__import__("importlib.util").util.find_spec(name) for name in ("langchain_core", "pytest_asyncio")),
    reason="langchain-core or pytest-asyncio is not installed",
)


@needs_frameworks
def test_every_recipe_of_the_page_passes(pytester: pytest.Pytester) -> None:
    recipes = [snippet for snippet in SNIPPETS if "def test_" in snippet]
    assert len(recipes) == 10
    for number, recipe in enumerate(recipes):
        (pytester.path / f"test_recipe_{number}.py").write_text(recipe, encoding="utf-8")
    outcome = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "--asyncio-mode=strict")
    outcome.assert_outcomes(passed=13)


@needs_frameworks
def test_first_snippet_of_the_page_runs() -> None:
    exec(SNIPPETS[0], {})  # the page's own text


def test_page_lists_every_fault() -> None:
    table = PAGE.partition("## Faults")[2].partition("## pytest")[0]
    assert set(re.findall(r"`(\w+)`", table)) >= set(NAMES)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Serve:
    """Run the program with arguments; ``use(url)`` is called while it serves. Its exit status and outputs."""
    announce = program._announce

    def run(arguments: list[str], use: Callable[[str], object] = lambda url: None) -> tuple[int, str, str]:
        stop, listening = threading.Event(), threading.Event()
        urls: list[str] = []

        def announced(server: Emulator, model_path: Path | None) -> None:
            announce(server, model_path)
            urls.append(server.url)
            listening.set()

        monkeypatch.setattr(program, "_announce", announced)
        with ThreadPoolExecutor(1) as pool:
            status = pool.submit(program.main, arguments, stop=stop)
            status.add_done_callback(lambda _: listening.set())  # it may have failed before it listened
            listening.wait()
            try:
                for url in urls:
                    use(url)
            finally:
                stop.set()
            ended = status.result()
        out, err = capsys.readouterr()
        return ended, out, err

    return run


def test_program_answers_as_the_scenario_of_the_page_says_and_records(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "scenario.json").write_text(SCENARIO[0], encoding="utf-8")
    record = tmp_path / "frames.jsonl"

    def use(url: str) -> None:
        assert Client(url).llm.model("qwen/qwen3-4b").respond("Hi").content == "Hello from the scenario"

    status, _, err = serve(["--scenario", str(tmp_path / "scenario.json"), "--record", str(record)], use)
    assert (status, err) == (0, "")
    frames = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    assert {frame["dir"] for frame in frames} == {"c2s", "s2c"}
    assert any(frame["frame"].get("endpoint") == "predict" for frame in frames)


def test_program_with_a_strict_scenario_ends_with_1_if_a_reply_is_left(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "scenario.json").write_text(SCENARIO[0], encoding="utf-8")
    status, _, err = serve(["--scenario", str(tmp_path / "scenario.json")])
    assert status == 1
    assert "a reply was not used" in err


@pytest.mark.parametrize("place", ["file", "environment"])
def test_program_takes_the_token_from_a_file_or_the_environment(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    arguments = []
    if place == "file":
        (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
        arguments = ["--api-token-file", str(tmp_path / "token")]
    else:
        monkeypatch.setenv("LMSTUDIO_EMULATOR_API_TOKEN", TOKEN)
    versions = []
    status, out, _ = serve(
        arguments, lambda url: versions.append(Client(url, api_token=TOKEN).system.version().version)
    )
    assert (status, versions) == (0, ["emulator"])
    assert TOKEN not in out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[]", "expected an object"),
        ("a.json", '{\n"model": []}', "line 2: .*'model': did you mean 'models'"),
        ("a.json", '{"models": [{"name": "x"}]}', r"line 1: models\[0\]: there is no member 'name'"),
        ("a.json", '{"models": [{"loaded": true}]}', r"line 1: models\[0\]: expected the member 'key', got loaded"),
        ("a.json", '{"models": ["x"]}', "expected an object, got 'x'"),
        ("a.json", '{"models": "x"}', "line 1: models: expected a list of objects, got 'x'"),
        ("a.json", '{"models": [{"key": "a"}, {"key": "a"}]}', "a.json: .*same key: a"),
        ("a.json", '{"models": [{"key": "a",\n"domain": "lmm"}]}', "models.*did you mean 'llm'"),
        ("a.json", '{"replies": [\n{"pace": 0,\n"txt": "}"}]}', r"line 3: replies\[0\]: .*did you mean 'text'"),
        ("a.json", '{"replies": [\n{"text": "a\\"{:"}, {"text": 5}]}', r"line 2: replies\[1\]: .*expected a text"),
        ("a.json", '{"replies": [{"tool_calls": [{"nam": "x"}]}]}', r"tool_calls\[0\]: .*did you mean 'name'"),
        (
            "a.json",
            '{"replies": [{"text": "a",\n"text": "b"}]}',
            "line 2: the key 'text' occurs twice, first in line 1",
        ),
        ("a.json", '{"replies": [{"hold": true}]}', r"'hold' of replies\[0\] needs Python"),
        ("a.json", '{"replies": [{"text": "a", "model": "nope"}]}', r"replies\[0\]: there is no model .*'nope'"),
        ("a.json", '{"faults": [{"name": "stal"}]}', r"faults\[0\]: .*did you mean 'stall'"),
        ("a.json", '{"faults": [{"name": "stall",\n"conection": true}]}', "line 2: .*did you mean 'connection'"),
        ("a.json", '{"faults": [{}]}', "expected the member 'name'"),
        ("a.json", '{"strict": "yes"}', "a.json: .*expected True or False, got 'yes'"),
        ("a.json", '{"embeddings": {"a": []}}', "a.json: .*at least one number"),
        ("a.yaml", "models: [", "not YAML"),
        ("a.yaml", "replies:\n  - text: a\n  - txt: b\n", r"line 3: replies\[1\]: .*did you mean 'text'"),
        ("a.yaml", "replies:\n  - text: a\n    text: b\n", "line 3: the key 'text' occurs twice, first in line 2"),
        ("a.yaml", "1: 2", "line 1: a key: expected a text, got 1"),
        ("a.yaml", "", "expected an object .*got None"),
        ("missing.json", None, "cannot be read"),
    ],
)
def test_scenario_with_a_mistake_is_an_error_that_names_it(
    tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    if name.endswith(".yaml"):
        pytest.importorskip("yaml")
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(LMStudioValueError, match=words):
        read_scenario(tmp_path / name)


def test_scenario_that_is_not_utf8_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"\xff": 1}')
    with pytest.raises(LMStudioValueError, match="is not UTF-8"):
        read_scenario(tmp_path / "a.json")


def test_yaml_scenario_without_pyyaml_is_an_error_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text("strict: true", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(LMStudioValueError, match=r"pip install pyyaml.*or write the scenario as JSON"):
        read_scenario(tmp_path / "a.yaml")


def test_scenario_may_be_yaml(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "a.yaml"
    path.write_text(
        "models:\n  - key: small\nreplies:\n  - text: Hello\n    model: small\nfaults:\n  - name: drop\n",
        encoding="utf-8",
    )
    scenario = read_scenario(path)
    assert [(reply.text, model) for reply, model in scenario.replies] == [("Hello", "small")]
    assert scenario.faults == [{"name": "drop"}]
