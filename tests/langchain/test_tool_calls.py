"""Tool calls in any pieces: what hypothesis can think of."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.utils.json import parse_partial_json

from lmstudio_integrations.langchain._tool_call_deltas import ToolCallAccumulator, ToolCallDelta
from tests.packet_builders import (
    events_and_result,
    failed_tool_call,
    tool_call,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text(), VALUES, max_size=4)


def split(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


def read(*packets: dict[str, Any]) -> list[ToolCallDelta]:
    reader = ToolCallAccumulator()
    made = [piece for event in events_and_result(*packets)[:-1] for piece in reader.read(event)]
    assert all(isinstance(piece, ToolCallDelta) for piece in made)
    return [piece for piece in made if isinstance(piece, ToolCallDelta)]


@given(ARGUMENTS, st.lists(st.integers(min_value=0), max_size=6), st.booleans())
def test_arguments_in_any_pieces_join_to_the_arguments(
    arguments: dict[str, Any], cuts: list[int], ascii_only: bool
) -> None:
    text = json.dumps(arguments, ensure_ascii=ascii_only)
    made = read(*tool_call("add", arguments, *split(text, cuts)))
    assert json.loads("".join(piece.args for piece in made)) == arguments
    assert [piece.name for piece in made] == ["add"] + [None] * (len(made) - 1)


@given(ARGUMENTS, st.integers(min_value=0), st.text(max_size=5))
@example({"a": '"00"'}, len('{"a": "\\'), "")
@example({"a": {"b": ["\\"]}}, len('{"a": {"b": ["\\'), "")
@example({"a": "\u1234"}, len('{"a": "\\u1'), "")
def test_failed_call_cut_anywhere_cannot_be_parsed(arguments: dict[str, Any], cut: int, noise: str) -> None:
    text = json.dumps(arguments)
    shown = text[: cut % (len(text) + 1)] + noise
    made = "".join(piece.args for piece in read(*failed_tool_call(shown)))
    try:
        parsed = parse_partial_json(made)
    except ValueError:
        return
    assert not isinstance(parsed, dict)


@given(st.text())
def test_failed_call_with_any_raw_text_cannot_be_parsed(raw: str) -> None:
    made = "".join(piece.args for piece in read(*failed_tool_call(name=None, raw=raw)))
    assert raw in made
    try:
        parsed = parse_partial_json(made)
    except ValueError:
        return
    assert not isinstance(parsed, dict)
