"""``act``'s rounds on LM Studio's recorded ``act`` sessions: what we would send next to what the official SDKs sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from lmstudio_integrations.client import requests
from lmstudio_integrations.client.act import act_steps, drive
from lmstudio_integrations.client.act_options import ActSettings
from lmstudio_integrations.client.history import PreparedHistory
from lmstudio_integrations.client.prediction import PredictionReader
from lmstudio_integrations.client.result import PredictionResult
from lmstudio_integrations.client.settings import Timeout
from tests.frame_validation import transcripts
from tests.frame_validation.shared import needs_shared

pytestmark = needs_shared


def add_numbers(a: float, b: float) -> int:
    return int(a + b)


def double_number(a: float) -> int:
    return int(2 * a)


def add_integers(a: int, b: int) -> int:
    return a + b


def double_integer(a: int) -> int:
    return 2 * a


def described(function: Any, name: str, description: str) -> Any:
    from lmstudio_integrations import ToolFunctionDef

    return ToolFunctionDef.from_callable(function, name=name, description=description)


TOOLS = {
    "act.js20": [described(add_numbers, "add", "Add two numbers")],
    "act_parallel.js20": [
        described(add_numbers, "add", "Add two numbers"),
        described(double_number, "mul", "Mul"),
    ],
    "act.py16": [described(add_integers, "add", "Add two numbers.")],
    "act_parallel.py16": [
        described(add_integers, "add", "Add two numbers."),
        described(double_integer, "mul", "Double."),
    ],
}


class Recording:
    """Answers each prediction with the packets that were recorded, and keeps what we would have sent."""

    def __init__(self, name: str) -> None:
        frames = transcripts.load(name)
        self.sent = transcripts.client_frames(name, "channelCreate", "predict")
        self.packets = [
            [
                item.frame["message"]
                for item in frames
                if item.direction == "s2c"
                and item.frame.get("type") == "channelSend"
                and item.frame["channelId"] == create["channelId"]
            ]
            for create in self.sent
        ]
        self.ours: list[dict[str, Any]] = []

    def predict(self, history: PreparedHistory, options: Mapping[str, Any]) -> PredictionResult:
        prediction = requests.prediction(history, tools=options["tools"])
        reader = PredictionReader(tool_names=prediction.tool_names, taken_ids=prediction.call_ids)
        for packet in self.packets[len(self.ours)]:
            reader.read(packet)
        self.ours.append(json.loads(prediction.parameter.text("alpha-7b")))
        assert reader.result is not None
        return reader.result


def fields(parameter: dict[str, Any]) -> dict[str, Any]:
    (layer,) = parameter["predictionConfigStack"]["layers"]
    return {field["key"]: field["value"] for field in layer["config"]["fields"]}


def by_call(messages: Any) -> Any:
    """The Python SDK orders results by when their tools ended, and gives no names."""
    if isinstance(messages, dict) and messages.get("role") == "tool":
        parts = [{key: value for key, value in part.items() if key != "name"} for part in messages["content"]]
        return {**messages, "content": sorted(parts, key=lambda part: str(part["toolCallId"]))}
    return messages


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_act_sends_what_the_official_sdk_sent(name: str) -> None:
    recording = Recording(name)
    chat = recording.sent[0]["creationParameter"]["history"]
    options = ActSettings(timeout=Timeout(), prediction={})
    result = drive(act_steps(chat, TOOLS[name], options, blocking=True), recording.predict)
    assert result.rounds == len(recording.sent) == 2
    for ours, frame in zip(recording.ours, recording.sent, strict=True):
        theirs = frame["creationParameter"]
        if name.endswith("js20"):
            assert ours["history"] == theirs["history"]
        else:
            assert [*map(by_call, ours["history"]["messages"])] == [*map(by_call, theirs["history"]["messages"])]
        sent, recorded = fields(ours), fields(theirs)
        assert sent.pop("llm.prediction.toolNaming") == "passThrough"  # ours alone: names come back as they are
        if name.endswith("py16"):  # ours alone: closed objects (number 12)
            for tool in sent["llm.prediction.tools"]["tools"]:
                assert tool["function"]["parameters"].pop("additionalProperties") is False
        assert sent == recorded
