"""What grammar a real model's tool calls are held to."""

from __future__ import annotations

from typing import Any

import pytest

from lmstudio_integrations.emulator.backends.llama_tool_calls import call_schema

UNIT = {"unit": {"type": "string"}}


@pytest.mark.parametrize(
    ("parameters", "held_to"),
    [
        ({"type": "object", "properties": UNIT}, {"type": "object", "properties": UNIT, "additionalProperties": False}),
        ({"properties": {}, "additionalProperties": True}, {"properties": {}, "additionalProperties": True}),
        ({"type": "object"}, {"type": "object"}),
        (None, {"type": "object", "properties": {}, "additionalProperties": False}),
    ],
    ids=["names its own", "asks for more", "takes anything", "takes nothing"],
)
def test_tool_arguments_are_limited_to_the_tools_parameters(parameters: Any, held_to: dict[str, Any]) -> None:
    schema = call_schema([{"name": "wind", "parameters": parameters}])
    assert schema["properties"]["arguments"] == held_to


def test_tool_definition_is_not_changed() -> None:
    parameters = {"type": "object", "properties": UNIT}
    call_schema([{"name": "wind", "parameters": parameters}])
    assert parameters == {"type": "object", "properties": UNIT}
