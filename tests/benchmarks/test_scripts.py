"""Every script of the benchmarks runs, with tiny sizes, and prints figures of the promised form. Nothing is timed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import flood
from benchmarks.calls import CALLS
from benchmarks.contenders import CONTENDERS
from benchmarks.imports import STATEMENTS
from benchmarks.imports import measure as measure_import

ROOT = Path(__file__).resolve().parents[2]
OURS = [name for name, contender in CONTENDERS.items() if contender.environment == "ours"]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with flood(Path(sys.executable)) as port:
        yield port


def _run(*arguments: object) -> str:
    command = [sys.executable, "-W", "ignore", "-m", *map(str, arguments)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _figures(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run(*arguments))
    return found


@pytest.mark.parametrize("name", OURS)
def test_contender_streams_the_right_text_and_is_timed(name: str, port: int) -> None:
    found = _figures("benchmarks.streams", name, port, 20, 2)
    assert found.keys() == {"name", "tokens", "cpu_us", "wall_us", "first_ms", "probe_ms"}
    assert (found["name"], found["tokens"]) == (name, 20)


@pytest.mark.parametrize("name", ["client sync", "client async"])
def test_concurrency_gets_every_text_right(name: str, port: int) -> None:
    found = _figures("benchmarks.concurrency", name, port, 12, 5)
    assert found.keys() == {
        "name",
        "size",
        "tokens",
        "right",
        "per_open_kb",
        "per_second",
        "single_per_second",
        "probe_ms",
    }
    assert found["right"] == found["size"] == 12


@pytest.mark.parametrize("name", [name for name, contender in CALLS.items() if contender.environment == "ours"])
@pytest.mark.parametrize("kind", ["messages", "tools"])
def test_calls_script_prints_a_figure_for_each_size(name: str, kind: str, port: int) -> None:
    found = _figures("benchmarks.calls", name, port, kind, 1, 2, 3)
    assert found.keys() == {"name", "2", "3", "probe_ms"}
    assert found["2"] > 0


@pytest.mark.parametrize("name", ["bare", "client sync", "client async"])
def test_embeddings_come_in_the_order_of_their_texts(name: str, port: int) -> None:
    assert _figures("benchmarks.embeddings", name, port, 70, 1).keys() == {
        "name",
        "texts",
        "wall_ms",
        "cpu_ms",
        "probe_ms",
    }


@pytest.mark.parametrize("name", ["client sync", "client async"])
def test_memory_is_measured_early_and_late(name: str, port: int) -> None:
    found = _figures("benchmarks.soak", name, port, 20)
    assert found.keys() == {"name", "predictions", "early_mb", "late_mb", "growth_kb"}


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_import_statement_works(name: str) -> None:
    found = measure_import(Path(sys.executable), name, ROOT)
    assert found is not None
    assert found.keys() == {"name", "ms", "probe_ms"}


def test_import_is_measured_with_compiled_modules_in_any_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    package = tmp_path / "lmstudio_integrations"
    package.mkdir()
    (package / "__init__.py").touch()
    assert measure_import(Path(sys.executable), "lmstudio_integrations", tmp_path) is not None
    assert list(package.rglob("*.pyc"))


def test_one_command_writes_the_table_its_figures_and_the_picture(tmp_path: Path) -> None:
    sizes = ("--rounds", 2, "--tokens", 5, "--repeats", 1, "--texts", 3)
    kinds = ("--without-peers", "--only", "embeddings")
    printed = _run("benchmarks", "--python", sys.executable, "--out", tmp_path, *kinds, *sizes)
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert results["failed"] == []
    assert results["about"]["rounds"] == 2
    assert results["about"]["versions"]["websockets"]
    assert {row["what"].partition(",")[0] for row in results["rows"]} == {"3 short texts embedded"}
    page = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert page in printed
    assert "| what | here | limit | met |" in page


def test_figures_and_page_contain_no_path_of_the_machine(tmp_path: Path) -> None:
    kinds = ("--without-peers", "--only", "embeddings", "--rounds", 1, "--repeats", 1, "--texts", 3)
    _run("benchmarks", "--python", sys.executable, "--out", tmp_path, *kinds)
    for name in ("results.json", "results.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert str(ROOT) not in text
        assert str(Path.home()) not in text


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="the picture needs the group `benchmark`")
def test_picture_is_drawn_from_the_figures(tmp_path: Path) -> None:
    stream = {
        f"{name} {way}": {"tokens": 20, "cpu_us": 5.0}
        for name in ("bare", "client", "ChatLMStudio", "LMStudio")
        for way in ("sync", "async")
    }
    about = {"date": "2026-01-01", "rounds": 1, "machine": "a machine"}
    (tmp_path / "r.json").write_text(json.dumps({"about": about, "figures": {"stream": stream}}), encoding="utf-8")
    _run("benchmarks.picture", tmp_path / "r.json", tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.real_model
@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["LangChain", "LlamaIndex"])
def test_conversation_is_sent_equally_so_that_the_cache_holds(adapter: str) -> None:
    pytest.importorskip("xllamacpp")
    found = _figures("benchmarks.prompt_cache", adapter, 2)
    if "missing" in found:
        pytest.skip(found["missing"])
    assert found["least"] >= 0.95
    assert len(found["calls"]) > 2, "a turn with a tool asks the model twice"
