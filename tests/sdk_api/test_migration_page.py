"""The migration page says what running each call shape shows."""

from __future__ import annotations

import pytest

pytest.importorskip("lmstudio", reason="the official SDK is not installed")

from tests.sdk_api.call_shapes import SHAPES, Shape
from tests.sdk_api.comparison import PAGE, Row, compare, line, page

pytestmark = pytest.mark.slow  # a second for each shape, a minute for all


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.call)
def test_call_shape_comes_to_what_the_page_says(shape: Shape) -> None:
    row = compare(shape)
    assert line(row) in PAGE.read_text(encoding="utf-8").splitlines(), row.details()
    assert row.verdict not in ("only the SDK", "neither"), row.details()
    assert bool(shape.note) == (row.verdict != "same"), row.details()


def test_page_has_every_shape_once_and_nothing_else() -> None:
    text = PAGE.read_text(encoding="utf-8")
    lines = [text_line for text_line in text.splitlines() if text_line.startswith("| `")]
    assert len(lines) == len(SHAPES)
    assert [text_line.split("`")[1] for text_line in lines] == [shape.call for shape in SHAPES]
    verdicts = [text_line.rsplit(" | ", 1)[1].removesuffix(" |") for text_line in lines]
    for name, words in (("same", "Same"), ("different", "Different"), ("only here", "Only here")):
        assert f"{words}: {sum(verdict.startswith(name) for verdict in verdicts)}." in text


def test_page_without_outcomes_is_not_the_page() -> None:
    assert page([Row(shape, {}) for shape in SHAPES]) != PAGE.read_text(encoding="utf-8")
