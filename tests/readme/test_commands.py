"""The shell commands of README.md are the ones that a newcomer and CI paste."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.readme.snippets import README, snippets

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_first_command_is_one_line_that_ends_in_the_quickstart() -> None:
    command = snippets("sh")[0].text
    assert command.count("\n") == 1
    assert command.rstrip().endswith("cookbook/quickstart.py")


def test_second_command_is_one_line_that_ends_in_the_tests() -> None:
    command = snippets("sh")[1].text
    assert command.count("\n") == 1
    assert command.rstrip().endswith("pytest -n 2 --dist loadfile")


def test_both_commands_install_uv_into_the_ignored_folder() -> None:
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


def test_links_and_pictures_are_absolute_and_those_of_this_repository_exist() -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", README.read_text(encoding="utf-8"))
    assert [target for target in targets if not target.startswith("https://")] == [], "PyPI has no relative links"
    own = re.compile(
        r"https://(?:github\.com|raw\.githubusercontent\.com)/lmstudio-integrations/lmstudio-integrations/"
        r"(?:blob/|tree/)?main/(?P<path>[^#]+)"
    )
    paths = [found["path"] for target in targets if (found := own.match(target))]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_readme_links_every_page_of_the_documentation() -> None:
    text = README.read_text(encoding="utf-8")
    # A page that begins with "--8<--" is a file of this folder, which README links itself.
    pages = [
        page.relative_to(ROOT).as_posix()
        for page in (ROOT / "docs").rglob("*.md")
        if page.parent.name != "reference" and not page.read_text("utf-8").startswith("--8<--")
    ]
    assert [page for page in sorted(pages) if page not in text] == []


def test_moving_picture_moves_and_is_small() -> None:
    picture = (ROOT / "docs" / "images" / "quickstart.gif").read_bytes()
    assert picture[:6] == b"GIF89a"
    assert picture.count(b"\x21\xf9\x04") > 20, "frames"
    assert len(picture) < 500_000


def test_readme_is_read_in_three_minutes() -> None:
    prose = re.sub(r"```.*?```|\]\([^)]*\)|[|#*`!·\[\]-]", " ", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(prose.split()) < 3 * 250, "words, at 250 a minute"
