"""The recipes of docs/emulator.md, taken from the page, each run as a test of its own; and the program with a scenario."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
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
from lmstudio_integrations.emulator.faults import NAMES, OPTIONS
from lmstudio_integrations.emulator.scenario import read_scenario
from lmstudio_integrations.errors import LMStudioValueError

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
SCENARIO = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
YAML_SCENARIO = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
JAVASCRIPT = re.findall(r"^```js\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
INI = re.findall(r"^```ini\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
ROOT = Path(__file__).resolve().parents[2]
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
@pytest.mark.parametrize("snippet", [snippet for snippet in SNIPPETS if "def test_" not in snippet], ids=range(2))
def test_snippet_of_the_page_that_is_no_recipe_runs(snippet: str) -> None:
    exec(snippet, {})  # the page's own text


def test_page_lists_every_fault_with_its_options() -> None:
    table = PAGE.partition("## Faults")[2].partition("## pytest")[0]
    rows = [line.split("|")[1:] for line in table.splitlines() if line.startswith("| `")]
    assert [re.findall(r"`(\w+)`", row[0]) for row in rows] == [[name] for name in NAMES]
    for row, name in zip(rows, NAMES, strict=True):
        assert set(re.findall(r"`(\w+)(?:=[^`]*)?`", row[2])) - {"True"} == set(OPTIONS.get(name, ())), name


def test_configuration_of_the_page_sets_up_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makefile(".ini", pytest=INI[0])
    pytester.makepyfile(
        """
        from lmstudio_integrations import Client

        def test_it(lmstudio_emulator):
            with Client() as client:
                assert client.llm.model("qwen/qwen3-4b").respond("Hi").content == "Hello from the configuration file"
        """
    )
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "--strict-config").assert_outcomes(passed=1)


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with LM Studio's SDK for JavaScript, and `python` that is this one."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("recipe")
    shutil.copy(ROOT / "tests" / "javascript" / "package.json", folder)
    command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
    install = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    if install.returncode:
        pytest.skip(f"the JavaScript SDK cannot be installed here: {install.stderr[-300:]}")
    (folder / "bin").mkdir()
    launcher = folder / "bin" / "python"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    launcher.chmod(0o755)
    (folder / "emulator.test.mjs").write_text(JAVASCRIPT[0], encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["json", "yaml"])
def test_javascript_recipe_of_the_page_passes_in_node(node_folder: Path, kind: str) -> None:
    if kind == "yaml":
        pytest.importorskip("yaml")
    scenario = {"json": SCENARIO, "yaml": YAML_SCENARIO}[kind][0]
    (node_folder / f"scenario.{kind}").write_text(scenario, encoding="utf-8")
    environment = {
        **os.environ,
        "PATH": f"{node_folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SCENARIO": f"scenario.{kind}",
    }
    run = subprocess.run(
        ["node", "--test", "emulator.test.mjs"],
        cwd=node_folder, env=environment, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
    assert re.search(r"^# pass 1$", run.stdout, re.MULTILINE)
    frames = [json.loads(line) for line in (node_folder / "frames.jsonl").read_text(encoding="utf-8").splitlines()]
    assert any(frame["frame"].get("endpoint") == "predict" for frame in frames)


def test_json_and_yaml_scenario_of_the_page_mean_the_same() -> None:
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(YAML_SCENARIO[0]) == json.loads(SCENARIO[0])


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


def test_program_warns_of_a_token_on_the_command_line(serve: Serve) -> None:
    status, out, err = serve(["--api-token", TOKEN])
    assert status == 0
    assert "Warning: other users of this machine see --api-token" in err
    assert "--api-token-file" in err
    assert TOKEN not in out + err


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_program_warns_if_other_machines_can_reach_it(serve: Serve, host: str, warned: bool) -> None:
    status, _, err = serve(["--host", host])
    assert status == 0
    assert ("Warning: other machines can reach this address" in err) is warned


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--api-token-file", "nowhere"], "nowhere"),
        (["--api-token-file", os.devnull], "expected a token in the file"),
        (["--scenario", "nowhere.json"], "cannot be read"),
        (["--record", "nowhere/frames.jsonl"], "nowhere/frames.jsonl"),
        (["--api-token", "secret"], "expected an api_token of the form"),
        (["--threads", "0"], "expected a whole number from 1, got 0"),
    ],
)
def test_program_that_cannot_start_ends_with_1_and_says_why(serve: Serve, arguments: list[str], words: str) -> None:
    status, out, err = serve(arguments)
    assert (status, out) == (1, "")
    assert "The emulator could not start" in err
    assert words in err


@pytest.mark.parametrize("arguments", [["--port", "70000"], ["--port", "-1"], ["--port", "x"], ["--nonsense"]])
def test_program_with_a_wrong_command_line_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m lmstudio_integrations.emulator" in capsys.readouterr().err


def test_help_says_how_the_program_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--help"])
    assert ended.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "Exit status: 0 if it ended in order" in words
    assert "LMSTUDIO_EMULATOR_API_TOKEN" in words


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
