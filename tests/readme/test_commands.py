"""The shell commands of README.md are the ones that a newcomer and CI paste."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.readme.snippets import README, snippets

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_first_command_is_one_line_that_ends_in_the_quickstart() -> None:
    command = snippets("sh")[0].text
    assert command.count("\n") == 1
    assert command.rstrip().endswith("cookbook/quickstart.py")


def test_the_second_command_is_one_line_that_ends_in_the_tests() -> None:
    command = snippets("sh")[1].text
    assert command.count("\n") == 1
    assert command.rstrip().endswith("pytest -n 2 --dist loadfile")


def test_both_commands_bring_uv_with_pip_into_the_folder_that_git_ignores() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    for snippet in snippets("sh")[:2]:
        assert snippet.text.startswith("python3 -m pip install --quiet --target .uv uv && .uv/bin/uv run ")
    assert ".uv/" in ignored


def test_every_extra_that_a_command_names_exists() -> None:
    extras = set(PYPROJECT["project"]["optional-dependencies"])
    for snippet in snippets("sh"):
        named = re.findall(r"--extra (\S+)", snippet.text)
        for group in re.findall(r"lmstudio-integrations\[([\w,-]+)\]", snippet.text):
            named += group.split(",")
        assert set(named) <= extras, f"README.md:{snippet.line}"


def test_every_file_that_the_readme_names_exists() -> None:
    text = README.read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:cookbook|tests)/\w+\.py\b", text)) | set(re.findall(r"\]\(([\w./-]+)\)", text))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
