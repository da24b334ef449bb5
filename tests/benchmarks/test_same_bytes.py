"""What is sent for one conversation is the same, byte for byte, turn after turn: a model's prompt cache lives on that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from benchmarks.prompt_cache import ADAPTERS
from lmstudio_integrations.emulator import Emulator, RecordedFrame, Reply, ToolCall

MODEL = "emulator/chat"

# Everything that could be written in two ways: order of keys, floats, escapes, thoughts, text beside a call, two calls.
REPLIES = (
    Reply(reasoning="First I add.", tool_calls=[ToolCall("add", '{"second": 30, "first": 12}')]),
    Reply(reasoning="Done.", text="It is 42 🎉, naïve “quotes” \\ and \n lines."),
    Reply("A harbour master keeps workload."),
    Reply(
        "Both at once:",
        tool_calls=[ToolCall("add", {"first": 40, "second": 7}), ToolCall("look_up", {"subject": "漢字 ½"})],
    ),
    Reply("47, and deep enough."),
)


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator(replies=REPLIES) as emulator:
        yield emulator


def _predictions(server: Emulator) -> list[dict[str, Any]]:
    def is_prediction(frame: RecordedFrame) -> bool:
        return bool(frame.message.get("endpoint") == "predict")

    return [frame.message["creationParameter"] for frame in server.requests if is_prediction(frame)]


def _bytes(value: Any) -> str:
    """As it was sent: decoding keeps the order of keys, so nothing is sorted here either."""
    return json.dumps(value, ensure_ascii=False)


def _user_messages(messages: list[str]) -> int:
    return sum(json.loads(message)["role"] == "user" for message in messages)


def _settled(messages: list[str]) -> list[str]:
    """Number 18 of the design: reasoning before the last user message is left out."""
    return [re.sub("<think>.*?</think>", "", message) for message in messages]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_each_request_begins_with_the_messages_of_the_one_before(adapter: str, server: Emulator) -> None:
    ADAPTERS[adapter](server.url, MODEL, 3)
    histories = [[_bytes(message) for message in request["history"]["messages"]] for request in _predictions(server)]
    assert len(histories) == len(REPLIES)
    for before, after in pairwise(histories):
        assert after[: len(before)] == (before if _user_messages(after) == _user_messages(before) else _settled(before))
        assert len(after) > len(before)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_settings_and_tools_are_the_same_in_every_request(adapter: str, server: Emulator) -> None:
    ADAPTERS[adapter](server.url, MODEL, 3)
    assert len({_bytes(request["predictionConfigStack"]) for request in _predictions(server)}) == 1


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_answers_of_the_model_are_sent_back_complete(adapter: str, server: Emulator) -> None:
    ADAPTERS[adapter](server.url, MODEL, 3)
    last = _bytes(_predictions(server)[-1]["history"])
    assert "It is 42 🎉, naïve “quotes”" in last
    assert '{"second": 30, "first": 12}' in last
    assert "漢字 ½" in last
