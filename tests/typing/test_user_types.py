"""The types that users' checkers see: correct code passes strict checks without plugins, mistakes are flagged."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lmstudio_integrations
from lmstudio_integrations import emulator, langchain, llama_index
from lmstudio_integrations.langchain import _keywords as langchain_keywords
from lmstudio_integrations.llama_index import _keywords as llama_index_keywords
from tests.readme.snippets import snippets
from tools import generate_keywords

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent


def _marked(*marks: str) -> set[int]:
    lines = (FOLDER / "mistakes.py").read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith(marks)}


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="the PyPI package pyright needs node")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


GOOD = ("good.py", "good_names.py")
# An interpreter that has the built wheel installed, as in `.ci/run`: the checkers then see the wheel, not this checkout.
WHEEL_PYTHON = os.environ.get("WHEEL_PYTHON")
PYTHON = WHEEL_PYTHON or sys.executable
SOURCES = [] if WHEEL_PYTHON else [str(ROOT)]


def _diagnostics(program: str, folder: Path, **settings: Any) -> list[dict[str, Any]]:
    """The errors of all files in ``folder``, in strict mode."""
    settings = {"include": ["."], "typeCheckingMode": "strict", "extraPaths": SOURCES, **settings}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    command = [sys.executable, "-m", program, "-p", str(folder), "--pythonpath", PYTHON, "--outputjson"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return [item for item in json.loads(done.stdout)["generalDiagnostics"] if item["severity"] == "error"]


def _pyright(program: str, folder: Path) -> dict[str, set[int]]:
    """The lines with errors in each file."""
    for name in (*GOOD, "mistakes.py"):
        shutil.copy(FOLDER / name, folder)
    found: dict[str, set[int]] = {name: set() for name in (*GOOD, "mistakes.py")}
    for item in _diagnostics(program, folder):
        found[Path(item["file"]).name].add(item["range"]["start"]["line"] + 1)
    return found


@pytest.mark.parametrize("program", ["basedpyright", pytest.param("pyright", marks=needs_node)])
def test_pyright_accepts_correct_code_and_flags_each_mistake(program: str, tmp_path: Path) -> None:
    assert _pyright(program, tmp_path) == {
        **{name: set() for name in GOOD},
        "mistakes.py": _marked("# MISTAKE", "# MISTAKE for pyright"),
    }


# What strict mode says of snippets as short as a page's, and of types that the frameworks leave unknown.
_NOT_OURS = (
    "reportGeneralTypeIssues",
    "reportOptionalMemberAccess",
    "reportOptionalSubscript",
    "reportPossiblyUnboundVariable",
    "reportPrivateImportUsage",
    "reportUnknownArgumentType",
    "reportUnknownMemberType",
    "reportUnknownVariableType",
)


def test_snippets_of_the_readme_have_no_type_errors(tmp_path: Path) -> None:
    for snippet in snippets("python"):
        (tmp_path / f"line_{snippet.line}.py").write_text(snippet.text, "utf-8")
    found = _diagnostics("basedpyright", tmp_path, **dict.fromkeys(_NOT_OURS, "none"))
    assert [(Path(item["file"]).stem, item["message"]) for item in found] == []


@pytest.mark.parametrize("package", [lmstudio_integrations, emulator, langchain, llama_index])
def test_correct_code_uses_every_public_name(package: Any) -> None:
    words = set(re.findall(r"\w+", "".join((FOLDER / name).read_text("utf-8") for name in GOOD)))
    assert set(package.__all__) - words == set()


def _mypy(name: str, folder: Path) -> tuple[set[int], str]:
    """The lines with errors of a file, and the output. No plugin and none of this project's settings."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--python-executable",
        PYTHON,
        "--cache-dir",
        str(folder / "cache"),
        shutil.copy(FOLDER / name, folder),
    ]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(SOURCES)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=environment)
    return {int(line) for line in re.findall(rf"{name}:(\d+): error", done.stdout)}, done.stdout


@pytest.mark.parametrize("name", GOOD)
def test_mypy_without_plugins_accepts_correct_code(name: str, tmp_path: Path) -> None:
    lines, output = _mypy(name, tmp_path)
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
