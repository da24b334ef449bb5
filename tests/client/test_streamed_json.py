"""Streamed arguments of tool calls: what is handed out, and how it is completed."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmstudio_integrations.client.streamed_json import StreamedArguments

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text(max_size=4), JSON, max_size=4)


def stream(text: str, cuts: list[int], arguments: dict[str, Any]) -> tuple[str, str | None]:
    streamed = StreamedArguments()
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    shown = "".join(streamed.feed(text[a:b]) for a, b in itertools.pairwise(places))
    return shown, streamed.complete(arguments)


@given(ARGUMENTS, st.lists(st.integers(0, 200), max_size=8), st.booleans(), st.sampled_from([None, 2]))
def test_strict_json_is_handed_out_as_it_comes_and_completed_to_itself(
    arguments: dict[str, Any], cuts: list[int], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(arguments, ensure_ascii=ascii_only, indent=indent)
    shown, rest = stream(text, cuts, arguments)
    assert rest is not None
    assert shown + rest == text


@given(ARGUMENTS, st.integers(0, 200), st.lists(st.integers(0, 200), max_size=6))
def test_text_that_stops_anywhere_is_completed_from_the_arguments(
    arguments: dict[str, Any], end: int, cuts: list[int]
) -> None:
    shown, rest = stream(json.dumps(arguments)[:end], cuts, arguments)
    assert rest is not None
    assert json.loads(shown + rest) == arguments


@given(ARGUMENTS, st.integers(0, 60), st.text(alphabet="'{}[],:/*#\\\"x1 \n", max_size=3), st.lists(st.integers(0, 99)))
def test_corrupted_text_never_leaves_broken_json_behind(
    arguments: dict[str, Any], place: int, junk: str, cuts: list[int]
) -> None:
    text = json.dumps(arguments)
    place = min(place, len(text))
    shown, rest = stream(text[:place] + junk + text[place:], cuts, arguments)
    if rest is not None:
        assert json.loads(shown + rest) == arguments


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("{'q': 'x'}", {"q": "x"}),
        ('{"q": "x",}', {"q": "x"}),
        ('{"q": ["a", "b",],}', {"q": ["a", "b"]}),
        ('{"q": "x" // why\n}', {"q": "x"}),
        ('{/* why */ "q": "x"}', {"q": "x"}),
        ("{q: 'x'}", {"q": "x"}),
        ('{"q": True, "r": None}', {"q": True, "r": None}),
        ('{"q": NaN}', {"q": None}),
        ('{"q": 1, "q": 2}', {"q": 2}),
        ('{"a": {"b": [1, {"c": \'x\'}]}}', {"a": {"b": [1, {"c": "x"}]}}),
        ('{"a": "one\ntwo"}', {"a": "one\ntwo"}),
        ('{"a": "it\\\'s"}', {"a": "it's"}),
        ("", {"q": 1}),
        ("<tool>q=1</tool>", {"q": 1}),
        ('{"q": 1} and more', {"q": 1}),
        ('{"q": +1}', {"q": 1}),
        ('{"q": 0x10}', {"q": 16}),
    ],
)
def test_dialects_are_completed_to_the_parsed_arguments(text: str, arguments: dict[str, Any]) -> None:
    for cuts in ([], list(range(len(text)))):
        shown, rest = stream(text, cuts, arguments)
        assert rest is not None
        assert json.loads(shown + rest) == arguments


def test_long_string_is_handed_out_before_it_ends() -> None:
    streamed = StreamedArguments()
    assert streamed.feed('{"text": "Once upon') == '{"text": "Once upon'
    assert streamed.feed(" a time\\") == " a time"
    assert streamed.feed('n"}') == '\\n"}'


def test_arguments_that_contradict_the_text_cannot_be_completed() -> None:
    streamed = StreamedArguments()
    streamed.feed('{"a": 1, "b": ')
    assert streamed.complete({"a": 2, "b": 3}) is None
