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


def stream(text: str, cuts: list[int], arguments: dict[str, Any]) -> tuple[str, str]:
    streamed = StreamedArguments()
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    shown = "".join(streamed.feed(text[a:b]) for a, b in itertools.pairwise(places))
    return shown, streamed.complete(arguments)


@given(ARGUMENTS, st.lists(st.integers(0, 200), max_size=8), st.booleans(), st.sampled_from([None, 2]))
def test_strict_json_is_streamed_unchanged(
    arguments: dict[str, Any], cuts: list[int], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(arguments, ensure_ascii=ascii_only, indent=indent)
    shown, rest = stream(text, cuts, arguments)
    assert shown + rest == text


@given(ARGUMENTS, st.integers(0, 200), st.lists(st.integers(0, 200), max_size=6))
def test_text_that_stops_anywhere_is_completed_from_the_arguments(
    arguments: dict[str, Any], end: int, cuts: list[int]
) -> None:
    shown, rest = stream(json.dumps(arguments)[:end], cuts, arguments)
    assert json.loads(shown + rest) == arguments


@given(ARGUMENTS, st.integers(0, 60), st.text(alphabet="'{}[],:/*#\\\"x1 \n", max_size=3), st.lists(st.integers(0, 99)))
def test_corrupted_text_never_leaves_broken_json_behind(
    arguments: dict[str, Any], place: int, junk: str, cuts: list[int]
) -> None:
    text = json.dumps(arguments)
    place = min(place, len(text))
    shown, rest = stream(text[:place] + junk + text[place:], cuts, arguments)
    joined = json.loads(shown + rest)
    assert {key: joined[key] for key in arguments} == arguments


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
def test_relaxed_json_is_completed_to_the_parsed_arguments(text: str, arguments: dict[str, Any]) -> None:
    for cuts in ([], list(range(len(text)))):
        shown, rest = stream(text, cuts, arguments)
        assert json.loads(shown + rest) == arguments


def test_long_string_is_streamed_before_it_ends() -> None:
    streamed = StreamedArguments()
    assert streamed.feed('{"text": "Once upon') == '{"text": "Once upon'
    assert streamed.feed(" a time\\") == " a time"
    assert streamed.feed('n"}') == '\\n"'
    assert streamed.complete({"text": "Once upon a time\n"}) == "}"


@given(ARGUMENTS, ARGUMENTS, st.integers(0, 200), st.lists(st.integers(0, 200), max_size=6))
def test_contradicting_arguments_win_over_the_text(
    written: dict[str, Any], arguments: dict[str, Any], end: int, cuts: list[int]
) -> None:
    shown, rest = stream(json.dumps(written)[:end], cuts, arguments)
    joined = json.loads(shown + rest)
    assert {key: joined[key] for key in arguments} == arguments
    assert set(joined) <= {*arguments, *written, ""}


def test_escaped_pair_after_a_backslash_is_one_character() -> None:
    text = '{"a": "\\\\\\ud83c\\udf88"}'
    shown, rest = stream(text, list(range(len(text))), {"a": "\\🎈"})
    assert shown + rest == text


def test_corrected_value_is_streamed_again() -> None:
    streamed = StreamedArguments()
    assert streamed.feed('{"a": "1", "b": [2') == '{"a": "1", "b": ['
    assert json.loads('{"a": "1", "b": [' + streamed.complete({"a": 1, "b": [3]})) == {"a": 1, "b": [3]}


def test_corrected_value_after_complete_text_is_streamed_again() -> None:
    shown, rest = stream('{"a": "1"}', [], {"a": 1})
    assert json.loads(shown + rest) == {"a": 1}


def test_number_beyond_json_is_null() -> None:
    shown, rest = stream('{"a": Infinity}', [], {"a": float("inf")})
    assert json.loads(shown + rest, parse_constant=pytest.fail) == {"a": None}


def test_streamed_text_is_not_kept() -> None:
    streamed = StreamedArguments()
    streamed.feed('{"text": "')
    for _ in range(1_000):
        assert streamed.feed("word") == "word"
        assert streamed._text == ""
    assert streamed.complete({"text": "word" * 1_000}) == '"}'


def test_a_megabyte_after_the_end_of_strict_json_is_read_in_linear_time() -> None:
    """Joined with each piece, it takes longer than the time limit of a test."""
    arguments = StreamedArguments()
    pieces = [arguments.feed("{'text': '"), *[arguments.feed("abcd") for _ in range(300_000)], arguments.feed("'}")]
    text = "abcd" * 300_000
    assert json.loads("".join(pieces) + arguments.complete({"text": text})) == {"text": text}
