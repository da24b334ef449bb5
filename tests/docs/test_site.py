"""The site's navigation has every page, and its reference every public name."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from pydantic import BaseModel

from lmstudio_integrations.langchain import ChatLMStudio, LMStudioEmbeddings, LMStudioLLM
from lmstudio_integrations.llama_index import LMStudio, LMStudioEmbedding

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CONFIGURATION = (ROOT / "mkdocs.yml").read_text("utf-8")
MODULES = {
    "client": "lmstudio_integrations",
    "langchain": "lmstudio_integrations.langchain",
    "llama_index": "lmstudio_integrations.llama_index",
    "emulator": "lmstudio_integrations.emulator",
    "errors": "lmstudio_integrations.errors",
}
needs_zensical = pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="the dependency group `docs` is not installed"
)


def test_navigation_has_every_page_once() -> None:
    listed = re.findall(r"- (?:[\w -]+: )?([\w/]+\.md)$", CONFIGURATION, flags=re.MULTILINE)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A warning of the build, or of the reader of docstrings, is an error."""
    folder = tmp_path_factory.mktemp("documentation")
    for name in ("docs", "lmstudio_integrations", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "griffe:" not in output, output
    return folder / "site"


def _documented(site: Path, page: str) -> set[str]:
    """The public names on a page of the reference: those with a heading, and those in a table of other names."""
    text = (site / "reference" / page / "index.html").read_text("utf-8")
    return set(re.findall(rf'<h[23] id="{re.escape(MODULES[page])}\.(\w+)"', text)) | set(
        re.findall(r"<td><code>(\w+)</code></td>", text)
    )


@needs_zensical
@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", MODULES)
def test_reference_has_every_public_name(site: Path, page: str) -> None:
    module = importlib.import_module(MODULES[page])
    found = _documented(site, page) | (_documented(site, "errors") if page == "client" else set())
    assert {name for name in module.__all__ if not name.startswith("_")} - found == set()


@needs_zensical
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "model",
    [ChatLMStudio, LMStudioLLM, LMStudioEmbeddings, LMStudio, LMStudioEmbedding],
    ids=lambda model: model.__name__,
)
def test_reference_has_every_setting_of_a_model(site: Path, model: type[BaseModel]) -> None:
    page = model.__module__.split(".")[1]
    text = (site / "reference" / page / "index.html").read_text("utf-8")
    shown = set(re.findall(rf'<h3 id="{re.escape(MODULES[page])}\.{model.__name__}\.(\w+)"', text))
    frameworks = {
        name
        for base in model.__mro__
        if issubclass(base, BaseModel) and not base.__module__.startswith("lmstudio_integrations")
        for name in base.model_fields
    }
    assert set(model.model_fields) - frameworks - shown == set()
    assert len(shown) > 10


@needs_zensical
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("page", "words"), [("changelog", "not released yet"), ("contributing", "Private interfaces")])
def test_page_has_the_file_that_it_includes(site: Path, page: str, words: str) -> None:
    assert words in (site / page / "index.html").read_text("utf-8")


@needs_zensical
@pytest.mark.timeout(180)
def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)[^>]+src="(https?://[^"]+)"', page.read_text("utf-8"))
        sheets = re.findall(
            r'<link[^>]+rel="(?:stylesheet|preconnect)"[^>]+href="(https?://[^"]+)"', page.read_text("utf-8")
        )
        assert loaded + sheets == [], page


@needs_zensical
@pytest.mark.timeout(180)
def test_examples_of_docstrings_are_shown_as_code(site: Path) -> None:
    for page in (site / "reference").rglob("index.html"):
        text = page.read_text("utf-8")
        assert "<p>::</p>" not in text, page
        assert not re.search(r"::</p>", text), page
    assert 'class="n">ChatLMStudio' in (site / "reference" / "langchain" / "index.html").read_text("utf-8")


@needs_zensical
@pytest.mark.timeout(180)
def test_links_within_the_site_have_their_targets(site: Path) -> None:
    pages = {page.parent: page.read_text("utf-8") for page in site.rglob("index.html")}
    identifiers = {folder: set(re.findall(r'\bid="([^"]+)"', text)) for folder, text in pages.items()}
    broken = []
    for folder, text in pages.items():
        for link in re.findall(r'<a[^>]+href="([^"]+)"', text):
            path, _, fragment = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = (folder / path).resolve()
            if (target not in pages and not target.is_file()) or (
                fragment and target in pages and unquote(fragment) not in identifiers[target]
            ):
                broken.append(f"{folder.relative_to(site)}: {link}")
    assert broken == []
    assert len(pages) > 30
