"""The pictures of the architecture page are those of the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import draw_architecture

pytestmark = pytest.mark.timeout(60)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
IMPORTS = draw_architecture.real_imports()


@pytest.mark.parametrize("path", sorted(draw_architecture.files()), ids=lambda path: path.name)
def test_picture_is_up_to_date_and_on_the_page(path: Path) -> None:
    assert path.read_text("utf-8") == draw_architecture.files()[path], "run python tools/draw_architecture.py"
    assert f"images/{path.name}" in PAGE.read_text("utf-8")


@pytest.mark.parametrize(
    ("imports", "words"),
    [
        (IMPORTS | {("client", "langchain")}, r"imports without an arrow \[\('client', 'langchain'\)\]"),
        (IMPORTS - {("compat", "client")}, r"arrows without an import \[\('compat', 'client'\)\]"),
        (IMPORTS - {("emulator", "errors")}, r"do not import errors \['emulator'\]"),
    ],
    ids=["an import more", "an import less", "a layer without errors"],
)
def test_drawing_fails_if_its_arrows_are_not_the_imports(imports: set[tuple[str, str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        draw_architecture.check(imports)


def test_drawing_fails_if_a_module_in_it_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw_architecture, "STEPS", ((0, 0, "client/nowhere.py", "text"),))
    with pytest.raises(ValueError, match=r"modules that do not exist \['client/nowhere.py'\]"):
        draw_architecture.check(IMPORTS)


@pytest.mark.parametrize("path", sorted(draw_architecture.files()), ids=lambda path: path.name)
def test_picture_loads_nothing(path: Path) -> None:
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text
    assert "href" not in text
