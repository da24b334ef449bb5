"""The migration pages: their tables name what exists, their examples run, and the old arguments really work."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from lmstudio_integrations.emulator import Emulator
from lmstudio_integrations.langchain import ChatLMStudio, LMStudioLLM
from lmstudio_integrations.langchain._keywords import ChatCallKeywords, LLMCallKeywords
from lmstudio_integrations.llama_index import LMStudio
from lmstudio_integrations.llama_index._keywords import CallKeywords
from tests.compat.test_peer_fields import PEERS
from tests.docs.answers import MODELS
from tests.readme.snippets import Snippet, snippets
from tools import write_migration_tables as tables

PAGES = sorted(tables.files())
CALLS: dict[Any, Any] = {ChatLMStudio: ChatCallKeywords, LMStudioLLM: LLMCallKeywords, LMStudio: CallKeywords}
DIFFS = [(page, diff) for page in PAGES for diff in snippets("diff", page)]


def _rows(page: Path, package: str, kind: str) -> list[list[str]]:
    """The cells of a table on its page, without its head and without the marks of code."""
    text = page.read_text("utf-8")
    found = re.search(rf"<!-- table: {package} {kind} -->\n(.*?)<!-- end of table -->", text, re.DOTALL)
    assert found is not None
    lines = found[1].strip().splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def _tables() -> list[Any]:
    marks = re.compile(r"<!-- table: ([\w-]+) (\w+) -->")
    return [
        pytest.param(page, *mark, id=f"{page.stem}-{mark[1]}")
        for page in PAGES
        for mark in marks.findall(page.read_text("utf-8"))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_are_up_to_date(page: Path) -> None:
    assert page.read_text("utf-8") == tables.files()[page], "run python tools/write_migration_tables.py"


def test_every_class_whose_settings_are_known_has_one_table() -> None:
    found = sorted(tuple(table.values[1:]) for table in _tables())
    assert found == sorted((package.split()[0], kind) for package, kinds in PEERS.items() for kind in kinds)


@pytest.mark.parametrize(("page", "package", "kind"), _tables())
def test_table_has_each_setting_of_the_other_class_once(page: Path, package: str, kind: str) -> None:
    (fields,) = (kinds[kind] for name, kinds in PEERS.items() if name.split()[0] == package)
    assert [theirs for theirs, _, _ in _rows(page, package, kind)] == fields


@pytest.mark.parametrize(("page", "package", "kind"), _tables())
def test_each_setting_of_ours_in_a_table_exists(page: Path, package: str, kind: str) -> None:
    ours = tables.OURS[package, kind]
    keywords = set(get_type_hints(CALLS[ours])) if ours in CALLS else set()
    for theirs, setting, note in _rows(page, package, kind):
        if setting == "–":
            assert re.fullmatch(r"not (needed|possible|under this name): .{10,}", note), theirs
        elif "keyword of each call" in note:
            assert setting in keywords, theirs
        else:
            assert setting in ours.model_fields, theirs
            assert (setting == theirs) == note.startswith("same"), theirs


@pytest.mark.parametrize(
    ("page", "diff"), DIFFS, ids=lambda one: one.stem if isinstance(one, Path) else f"line{one.line}"
)
def test_lines_after_the_change_run_and_the_old_arguments_are_understood(
    page: Path, diff: Snippet, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = diff.text.splitlines()
    new = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    old = ast.parse("\n".join(line[1:] for line in lines if not line.startswith("+")))
    with Emulator(MODELS) as server:
        monkeypatch.setenv("LMSTUDIO_BASE_URL", server.url)
        names: dict[str, Any] = {}
        exec(compile(new, page.name, "exec"), names)
        (made,) = [value for name, value in names.items() if name in ("model", "llm", "embeddings")]
        (call,) = [node for node in ast.walk(old) if isinstance(node, ast.Call)]
        type(made)(**{keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_says_what_changes_what_is_gained_and_the_pitfalls(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text("utf-8"), re.MULTILINE)
    assert headings[:2] == ["What you gain", "Pitfalls"]
    assert len([diff for where, diff in DIFFS if where == page]) >= 1
