"""The types that users' checkers see: correct code passes strict checks without plugins, mistakes are flagged."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmstudio_integrations.langchain import _keywords as langchain_keywords
from lmstudio_integrations.llama_index import _keywords as llama_index_keywords
from tools import generate_keywords

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent


def _marked(*marks: str) -> set[int]:
    lines = (FOLDER / "mistakes.py").read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith(marks)}


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="the PyPI package pyright needs node")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _pyright(program: str, folder: Path) -> dict[str, set[int]]:
    """The lines with errors in each file, in strict mode."""
    for name in ("good.py", "mistakes.py"):
        shutil.copy(FOLDER / name, folder)
    settings = {"include": ["."], "typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    command = [sys.executable, "-m", program, "-p", str(folder), "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found: dict[str, set[int]] = {"good.py": set(), "mistakes.py": set()}
    diagnostics: list[dict[str, Any]] = json.loads(done.stdout)["generalDiagnostics"]
    for diagnostic in diagnostics:
        if diagnostic["severity"] == "error":
            found[Path(diagnostic["file"]).name].add(diagnostic["range"]["start"]["line"] + 1)
    return found


@pytest.mark.parametrize("program", ["basedpyright", pytest.param("pyright", marks=needs_node)])
def test_pyright_accepts_correct_code_and_flags_each_mistake(program: str, tmp_path: Path) -> None:
    assert _pyright(program, tmp_path) == {
        "good.py": set(),
        "mistakes.py": _marked("# MISTAKE", "# MISTAKE for pyright"),
    }


def _mypy(name: str, folder: Path) -> tuple[set[int], str]:
    """The lines with errors of a file, and the output. No plugin and none of this project's settings."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir",
        str(folder),
        f"{FOLDER}/{name}",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    return {int(line) for line in re.findall(rf"{name}:(\d+): error", done.stdout)}, done.stdout


def test_mypy_without_plugins_accepts_correct_code(tmp_path: Path) -> None:
    lines, output = _mypy("good.py", tmp_path)
    assert not lines, output


def test_mypy_without_plugins_flags_each_mistake(tmp_path: Path) -> None:
    assert _mypy("mistakes.py", tmp_path)[0] == _marked("# MISTAKE")


def test_keywords_are_up_to_date() -> None:
    for path, text in generate_keywords.files().items():
        assert path.read_text("utf-8") == text, "run python tools/generate_keywords.py"


def test_keywords_hold_every_field_and_its_synonyms() -> None:
    from lmstudio_integrations.compat.names import SYNONYMS
    from lmstudio_integrations.langchain import ChatLMStudio
    from lmstudio_integrations.llama_index import LMStudioEmbedding

    chat = set(langchain_keywords.ChatLMStudioKeywords.__annotations__)
    assert chat >= set(ChatLMStudio.model_fields)
    assert chat >= {name for name, setting in SYNONYMS.items() if setting in ChatLMStudio.model_fields}
    embedding = set(llama_index_keywords.LMStudioEmbeddingKeywords.__annotations__)
    assert embedding >= {*LMStudioEmbedding.model_fields, "model", "api_token"}
