"""The emulator as LM Studio's runtime: its engine, and a survey of its hardware."""

from __future__ import annotations

from typing import Any

import pytest

from lmstudio_integrations.emulator import Emulator
from tests.emulator.raw_client import RawClient


@pytest.mark.parametrize(
    "scope", [..., {"type": "all"}, {"type": "custom", "engines": [{"name": "emulator", "version": "1.0.0"}]}]
)
def test_survey_of_the_hardware_has_a_processor_and_memory(scope: Any) -> None:
    with Emulator() as server, RawClient(server, "runtime") as runtime:
        survey = runtime.call("surveyHardware", scope)["result"]
    (engine,) = survey["engines"]
    assert (survey["status"], engine["name"], engine["compatibility"]) == ("ok", "emulator", {"status": "compatible"})
    assert engine["hardwareSurvey"]["gpuSurveyResult"]["gpuInfo"] == []
    assert engine["memoryInfo"]["ramCapacity"] == engine["memoryInfo"]["totalMemory"] > 0


def test_survey_for_another_engine_finds_none() -> None:
    scope = {"type": "custom", "engines": [{"name": "llama.cpp", "version": "1.0.0"}]}
    with Emulator() as server, RawClient(server, "runtime") as runtime:
        assert runtime.call("surveyHardware", scope)["result"] == {"status": "noCompatibleBackends", "engines": []}
