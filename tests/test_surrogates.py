"""Halves of characters: joined if both are there, else U+FFFD, in everything that the package passes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmstudio_integrations._surrogates import SurrogateJoiner, without_surrogates
from lmstudio_integrations.client.tool_functions import json_output
from lmstudio_integrations.errors import server_error

HALVES = "\ud83d\ude00 \ud83d, \ude00"
WHOLE = "\U0001f600 \ufffd, \ufffd"


@pytest.mark.parametrize("text", ["", "plain", "Grüße, 世界 \U0001f600", "\ufeffmark", "null\0"])
def test_without_surrogates_keeps_text_without_surrogates(text: str) -> None:
    assert without_surrogates(text) == text


def test_without_surrogates_joins_pairs_and_replaces_other_surrogates() -> None:
    assert without_surrogates(HALVES) == WHOLE


def test_tool_output_and_server_error_replace_halves_alike() -> None:
    error: Any = server_error({"title": HALVES})
    assert str(error) == WHOLE
    assert json_output(HALVES).text == json.dumps(WHOLE, ensure_ascii=False)


def test_joiner_of_single_units_returns_the_text_that_without_surrogates_returns() -> None:
    joiner = SurrogateJoiner()
    assert "".join([joiner.feed(unit) for unit in HALVES]) + joiner.end() == WHOLE
